//! Which architectures there are. Each file builds one of them of the parts that they share.

mod gemma2;
mod gemma3_text;
mod granite;
mod llama;
mod mistral;
mod olmo2;
mod parts;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod rope;
mod smollm3;
mod table;

pub use parts::Parts;
pub use table::{find, supported};
