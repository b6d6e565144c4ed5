//! The usual layer on an NVIDIA GPU, where the host's work for each operation is what a step takes: five kernels, of which
//! four are products together with what stands around them.

use super::attention::Step;
use super::cuda::{Around, Matrix};
use super::decoder::{FeedForward, PreNormLayer};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;

/// A layer's matrices as the kernels take them.
#[derive(Debug)]
pub struct FusedLayer {
    qkv: Matrix,
    output: Matrix,
    gate_up: Matrix,
    down: Matrix,
}

impl FusedLayer {
    /// Of a layer without biases and other extras, whose weights the kernels take.
    pub fn of(layer: &PreNormLayer) -> Option<Self> {
        let FeedForward::Dense(mlp) = &layer.mlp else { return None };
        let (attention, [gate_up, down]) = (&layer.self_attn, mlp.matrices()?);
        let qkv = attention.qkv_proj.fused()?.matrix()?;
        attention.heads_plan(layer.input_layernorm.array().dtype())?;
        let is_plain = layer.residual_multiplier.is_none()
            && qkv.takes_norm(&layer.input_layernorm)
            && gate_up.takes_norm(&layer.post_attention_layernorm);
        is_plain.then_some(Self { qkv, output: attention.o_proj.matrix()?, gate_up, down })
    }

    /// What [`PreNormLayer`] does; none where there are too many rows.
    pub fn forward(
        &self,
        layer: &PreNormLayer,
        index: usize,
        hidden: &Array,
        step: &mut Step<'_>,
    ) -> Result<Option<Array>> {
        let attention = &layer.self_attn;
        let Some(plan) = attention.heads_plan(hidden.dtype()) else { return Ok(None) };
        if ![&self.qkv, &self.output, &self.gate_up, &self.down].iter().all(|matrix| matrix.takes(hidden)) {
            return Ok(None);
        }
        let product = self.qkv.product(hidden, Around::Norm(&layer.input_layernorm))?;
        let attended = attention.attend_product(index, &product, &plan, step)?;
        self.behind_attention(layer, hidden, &attended).map(Some)
    }

    /// See [`Layer::fused_products`](super::decoder::Layer::fused_products).
    pub fn products(&self, layer: &PreNormLayer, hidden: &Array) -> Result<Array> {
        let product = self.qkv.product(hidden, Around::Norm(&layer.input_layernorm))?;
        let attended = product.try_index((.., ..layer.self_attn.heads * layer.self_attn.head_dim))?;
        self.behind_attention(layer, hidden, &attended)
    }

    fn behind_attention(&self, layer: &PreNormLayer, hidden: &Array, attended: &Array) -> Result<Array> {
        let hidden = self.output.product(attended, Around::Add(hidden))?;
        let gated = self.gate_up.product(&hidden, Around::NormAndGate(&layer.post_attention_layernorm))?;
        self.down.product(&gated, Around::Add(&hidden))
    }
}
