//! The layer of architectures that norm what attention and MLP give, instead of or besides what they get.

use super::attention::{Attention, Step};
use super::decoder::Layer;
use super::linear::Weight;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use mlx_rs::Array;
use mlx_rs::error::Result;

/// x + norm(attention(norm(x))), then x + norm(mlp(norm(x))).
#[derive(Debug)]
pub struct SandwichLayer {
    /// Before the attention.
    pub input_layernorm: Option<RmsNorm>,
    /// The attention.
    pub self_attn: Attention,
    /// After the attention.
    pub post_attention_layernorm: RmsNorm,
    /// Before the MLP.
    pub pre_feedforward_layernorm: Option<RmsNorm>,
    /// The MLP.
    pub mlp: Mlp,
    /// After the MLP.
    pub post_feedforward_layernorm: RmsNorm,
}

impl Layer for SandwichLayer {
    fn forward(&self, index: usize, hidden: &Array, step: &mut Step<'_>) -> Result<Array> {
        let attended = self.self_attn.forward(index, &normed(self.input_layernorm.as_ref(), hidden)?, step)?;
        let hidden = hidden.add(self.post_attention_layernorm.forward(&attended)?)?;
        let mixed = self.mlp.forward(&normed(self.pre_feedforward_layernorm.as_ref(), &hidden)?)?;
        hidden.add(self.post_feedforward_layernorm.forward(&mixed)?)
    }

    fn attention(&self) -> &Attention {
        &self.self_attn
    }

    fn weights(&self) -> Vec<&Weight> {
        self.self_attn.weights().into_iter().chain(self.mlp.weights()).collect()
    }

    fn arrays(&self) -> Vec<&Array> {
        let before = self.input_layernorm.iter().chain(&self.pre_feedforward_layernorm);
        let norms = before.chain([&self.post_attention_layernorm, &self.post_feedforward_layernorm]);
        let norms = norms.map(RmsNorm::array);
        self.self_attn.arrays().into_iter().chain(self.mlp.arrays()).chain(norms).collect()
    }
}

fn normed(norm: Option<&RmsNorm>, x: &Array) -> Result<Array> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}
