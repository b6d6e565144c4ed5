"""Python mlx-lm's BatchGenerator as a peer: one JSON request a line on stdin, one JSON answer a line on stdout.

Requests: {"prompts": [texts], "raw": bool} gives {"ids": [[ids]]}; {"ids": [[ids]], "max_tokens": n, "temperature": x}
runs all of them at once and gives {"tokens": n, "seconds": s}. The model is an mlx-community folder, or a llama GGUF,
whose weights are unpacked to f32 as llmeval does on a CPU.
"""

import json
import sys
import time

import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import make_sampler


def load_gguf(path):
    from mlx_lm.models import llama

    tensors, metadata = mx.load(path, return_metadata=True)
    if metadata["general.architecture"] != "llama":
        sys.exit(f"{path}: only GGUF files of the llama architecture can be compared")
    number = lambda key: metadata[f"llama.{key}"].item()
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=number("embedding_length"),
        num_hidden_layers=number("block_count"),
        intermediate_size=number("feed_forward_length"),
        num_attention_heads=number("attention.head_count"),
        num_key_value_heads=number("attention.head_count_kv"),
        rms_norm_eps=number("attention.layer_norm_rms_epsilon"),
        rope_theta=number("rope.freq_base"),
        vocab_size=len(metadata["tokenizer.ggml.tokens"]),
        rope_traditional=True,
        tie_word_embeddings="output.weight" not in tensors,
    )
    names = {
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }
    weights = []
    for name, array in tensors.items():
        module, part = name.rsplit(".", 1)
        if part != "weight" or module == "rope_freqs":
            continue
        if f"{module}.scales" in tensors:
            scales, biases = tensors[f"{module}.scales"], tensors[f"{module}.biases"]
            bits = array.shape[-1] * 32 // (scales.shape[-1] * 32)
            array = mx.dequantize(array, scales.astype(mx.float32), biases.astype(mx.float32), 32, bits)
        if module.startswith("blk."):
            _, layer, inner = module.split(".")
            module = f"model.layers.{layer}.{names[inner]}"
        else:
            module = names[module]
        weights.append((f"{module}.weight", array.astype(mx.float32)))
    model = llama.Model(arguments)
    model.load_weights(weights)
    mx.eval(model.parameters())
    return model, GgufText(metadata)


class GgufText:
    """The tokenizer and chat template that a GGUF carries."""

    def __init__(self, metadata):
        from jinja2 import Environment
        from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

        tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"].tolist()
        merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
        vocabulary = {token: place for place, token in enumerate(tokens)}
        self.tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        control = [AddedToken(token, special=True) for token, kind in zip(tokens, kinds) if kind == 3]
        self.tokenizer.add_special_tokens(control)
        self.template = Environment().from_string(metadata["tokenizer.chat_template"])

    def ids(self, prompt, raw):
        if not raw:
            messages = [{"role": "user", "content": prompt}]
            prompt = self.template.render(messages=messages, add_generation_prompt=True)
        return self.tokenizer.encode(prompt).ids


class FolderText:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def ids(self, prompt, raw):
        if raw or not self.tokenizer.has_chat_template:
            return self.tokenizer.encode(prompt)
        return self.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)


def run(model, ids, max_tokens, temperature):
    sampler = make_sampler(temp=temperature) if temperature > 0 else None
    began = time.perf_counter()
    # No stop tokens: every answer has its full length.
    generator = BatchGenerator(
        model,
        max_tokens=max_tokens,
        sampler=sampler,
        prefill_batch_size=len(ids),
        completion_batch_size=len(ids),
    )
    generator.insert(ids)
    tokens = 0
    while responses := generator.next_generated():
        tokens += len(responses)
    seconds = time.perf_counter() - began
    generator.close()
    return {"tokens": tokens, "seconds": seconds}


def main():
    path = sys.argv[1]
    if path.endswith(".gguf"):
        model, text = load_gguf(path)
    else:
        from mlx_lm import load

        model, tokenizer = load(path)
        text = FolderText(tokenizer)
    answers = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps({"ready": True, "mlx": mx.__version__, "device": str(mx.default_device())}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "prompts" in request:
            answer = {"ids": [text.ids(prompt, request["raw"]) for prompt in request["prompts"]]}
        else:
            answer = run(model, request["ids"], request["max_tokens"], request["temperature"])
        print(json.dumps(answer), file=answers, flush=True)


main()
