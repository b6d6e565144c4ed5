//! What GGUF calls the fields and tensors that config.json and the mlx-community checkpoints name otherwise.

use crate::hub::gguf::{Gguf, GgufValue};
use crate::model::ModelError;

/// Metadata keys after the architecture's name, and config.json's fields.
pub const FIELDS: &[(&str, &str)] = &[
    ("embedding_length", "hidden_size"),
    ("block_count", "num_hidden_layers"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.sliding_window", "sliding_window"),
    ("context_length", "max_position_embeddings"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("rope.freq_base", "rope_theta"),
    ("rope.freq_base_swa", "rope_local_base_freq"),
    ("rope.dimension_count", "rope.dimension_count"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
];

/// Names of a layer's modules: GGUF's, then the checkpoint's.
type Names = &'static [(&'static str, &'static str)];

const COMMON: Names = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_norm", "post_attention_layernorm"),
];

const GEMMA: Names = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

const PHI: Names = &[("attn_qkv", "self_attn.qkv_proj"), ("ffn_up", "mlp.gate_up_proj")];

const EXPERTS: Names = &[
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_exps", "mlp.switch_mlp.gate_proj"),
    ("ffn_up_exps", "mlp.switch_mlp.up_proj"),
    ("ffn_down_exps", "mlp.switch_mlp.down_proj"),
];

/// How llama.cpp's converter lays out one architecture.
#[derive(Debug)]
pub struct Conversion {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// config.json's `model_type`.
    pub model_type: &'static str,
    /// Whether the rows of queries and keys are permuted, so that neighbours are rotated together.
    pub interleaves_rotated_pairs: bool,
    /// Whether the norms' weights are stored with the 1 added that the architecture adds.
    pub norms_hold_one_more: bool,
    /// Names that differ from, or add to, the common ones.
    own_names: Names,
}

impl Conversion {
    const fn plain(architecture: &'static str, model_type: &'static str, own_names: Names) -> Self {
        Self { architecture, model_type, interleaves_rotated_pairs: false, norms_hold_one_more: false, own_names }
    }

    const ALL: [Self; 7] = [
        Self { interleaves_rotated_pairs: true, ..Self::plain("llama", "llama", &[]) },
        Self::plain("qwen2", "qwen2", &[]),
        Self::plain("qwen3", "qwen3", &[]),
        Self::plain("qwen3moe", "qwen3_moe", EXPERTS),
        Self { norms_hold_one_more: true, ..Self::plain("gemma2", "gemma2", GEMMA) },
        Self { norms_hold_one_more: true, ..Self::plain("gemma3", "gemma3_text", GEMMA) },
        Self::plain("phi3", "phi3", PHI),
    ];

    /// The conversion of `gguf`, or a refusal that names the architectures there are.
    pub fn of(gguf: &Gguf) -> Result<&'static Self, ModelError> {
        const ALL: &[Conversion] = &Conversion::ALL;
        let name = gguf.require("general.architecture", GgufValue::as_text)?;
        ALL.iter().find(|conversion| conversion.architecture == name).ok_or_else(|| {
            let known: Vec<&str> = ALL.iter().map(|conversion| conversion.architecture).collect();
            ModelError::unsupported("general.architecture", name, &known.join(", "))
        })
    }

    /// "blk.3.attn_q.scales" → "model.layers.3.self_attn.q_proj.scales".
    pub fn checkpoint_name(&self, name: &str) -> Option<String> {
        let (module, part) = name.rsplit_once('.')?;
        let module = match module {
            "token_embd" => "model.embed_tokens".to_owned(),
            "output_norm" => "model.norm".to_owned(),
            "output" => "lm_head".to_owned(),
            layer => {
                let (index, module) = layer.strip_prefix("blk.")?.split_once('.')?;
                let names = self.own_names.iter().chain(COMMON);
                let (_, checkpoint) = names.into_iter().find(|(gguf, _)| *gguf == module)?;
                format!("model.layers.{index}.{checkpoint}")
            }
        };
        Some(format!("{module}.{part}"))
    }
}
