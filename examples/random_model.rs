//! Writes a model of a Qwen3 shape with seeded random weights, for timing where no real one can be fetched:
//! `cargo run --release --example random_model -- FOLDER qwen3-0.6b [bf16|4bit] [SEED]`.
//!
//! The layout is mlx-community's. The tokenizer is the tests' small one, so the text that it answers means nothing.

use half::bf16;
use llmeval::hub::ModelFiles;
use llmeval::model::{Quantization, convert};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// A small tokenizer and its chat template.
const TOKENIZER: [(&str, &str); 4] = [
    ("tokenizer.json", include_str!("../tests/fixtures/models/qwen3-f32/tokenizer.json")),
    ("tokenizer_config.json", include_str!("../tests/fixtures/models/qwen3-f32/tokenizer_config.json")),
    ("chat_template.jinja", include_str!("../tests/fixtures/models/qwen3-f32/chat_template.jinja")),
    ("generation_config.json", include_str!("../tests/fixtures/models/qwen3-f32/generation_config.json")),
];
const VOCABULARY: usize = 151_936;
const LAYERS: usize = 28;
const HEADS: usize = 16;
const KEY_VALUE_HEADS: usize = 8;
const HEAD_DIMENSION: usize = 128;

/// What differs between the shapes: config.json's `hidden_size` and `intermediate_size`.
#[derive(Clone, Copy)]
struct Shape {
    hidden: usize,
    intermediate: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "random_model FOLDER qwen3-0.6b|qwen3-1.7b [bf16|4bit] [SEED]";
    let [folder, shape, rest @ ..] = arguments.as_slice() else { return Err(usage.into()) };
    let shape = match shape.as_str() {
        "qwen3-0.6b" => Shape { hidden: 1024, intermediate: 3072 },
        "qwen3-1.7b" => Shape { hidden: 2048, intermediate: 6144 },
        _ => return Err(usage.into()),
    };
    let folder = PathBuf::from(folder);
    let seed = rest.get(1).map_or(Ok(0), |text| text.parse())?;
    match rest.first().map(String::as_str) {
        None | Some("bf16") => write(&folder, shape, seed)?,
        Some("4bit") => {
            let dense = tempfile::tempdir()?;
            write(dense.path(), shape, seed)?;
            let files = ModelFiles::in_folder(dense.path())?;
            convert(&files, &folder, Quantization::new(4, 64)?, &|_, _| true)?;
        }
        Some(_) => return Err(usage.into()),
    }
    writeln!(stdout(), "wrote {}", folder.display())?;
    Ok(())
}

/// Writes the dense model.
fn write(folder: &Path, shape: Shape, seed: u64) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (name, text) in TOKENIZER {
        fs::write(folder.join(name), text)?;
    }
    let config = serde_json::json!({
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": false,
        "eos_token_id": 2,
        "head_dim": HEAD_DIMENSION,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": 40_960,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": true,
        "torch_dtype": "bfloat16",
        "vocab_size": VOCABULARY,
    });
    fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
    safetensors::serialize_to_file(tensors(shape, seed), None, &folder.join("model.safetensors"))?;
    Ok(())
}

/// All tensors of the shape by their names in the checkpoint.
fn tensors(Shape { hidden, intermediate }: Shape, seed: u64) -> Vec<(String, Tensor)> {
    let (queries, keys) = (HEADS * HEAD_DIMENSION, KEY_VALUE_HEADS * HEAD_DIMENSION);
    let mut shapes =
        vec![("model.embed_tokens".to_owned(), vec![VOCABULARY, hidden]), ("model.norm".to_owned(), vec![hidden])];
    for layer in 0..LAYERS {
        let parts = [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_norm", vec![HEAD_DIMENSION]),
            ("self_attn.k_norm", vec![HEAD_DIMENSION]),
            ("self_attn.q_proj", vec![queries, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, queries]),
            ("mlp.gate_proj", vec![intermediate, hidden]),
            ("mlp.up_proj", vec![intermediate, hidden]),
            ("mlp.down_proj", vec![hidden, intermediate]),
        ];
        shapes.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
    }
    let tensor =
        |(index, (path, shape))| (format!("{path}.weight"), Tensor { shape, seed: seed ^ (index as u64) << 32 });
    shapes.into_iter().enumerate().map(tensor).collect()
}

/// A bf16 tensor whose values are made when it is written: ones for a norm, uniform ones of deviation 0.02 elsewhere.
struct Tensor {
    shape: Vec<usize>,
    seed: u64,
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        Dtype::BF16
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let elements = self.shape.iter().product();
        if self.shape.len() == 1 {
            return bf16::ONE.to_le_bytes().repeat(elements).into();
        }
        let mut state = self.seed;
        let value = |_| bf16::from_f32((random(&mut state) - 0.5) * 0.02 * 12_f32.sqrt()).to_le_bytes();
        (0..elements).flat_map(value).collect()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<bf16>()
    }
}

/// A number from 0 to 1: SplitMix64 (Steele, Lea and Flood, 2014), its upper 24 bits.
fn random(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 24) as f32
}
