//! A decoder-only transformer: embedding, layers, norm, output matrix. Architectures differ in their layers.

use super::attention::Attention;
use super::experts::MixtureOfExperts;
use super::forward::Forward;
use super::norm::RmsNorm;
use crate::model::kernels::{Around, Kernels, KvShape, Matrix, Then};
use crate::model::ops::scalar;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::tanh;
use mlx_rs::transforms::async_eval;
use std::fmt::Debug;

/// One decoder layer. Fields are named as in the checkpoint.
pub trait Layer: Debug {
    /// hidden `[T, hidden]` → `[T, hidden]`, for the T tokens of `forward`; `index` is the layer's number.
    fn forward(&self, index: usize, hidden: &Array, forward: &mut Forward<'_, '_>) -> Result<Array>;

    /// The layer's attention.
    fn attention(&self) -> &Attention;

    /// The mixture of experts, where the layer has one.
    fn experts(&self) -> Option<&MixtureOfExperts> {
        None
    }

    /// What each of the layer's products gives in turn, with all that stands around them, where a part of the first one's
    /// result takes the attention's place: hidden `[T, hidden]` → arrays `[T, ..]`. The probe compares their bits.
    fn products(&self, kernels: &dyn Kernels, hidden: &Array) -> Result<Vec<Array>>;

    /// The arrays to evaluate.
    fn arrays(&self) -> Vec<&Array>;
}

/// A model's weights, shared by all sessions. It never changes once loaded.
#[derive(Debug)]
pub struct Decoder {
    /// Token embedding `[vocab, hidden]`.
    pub embed_tokens: Matrix,
    /// Factor of the embedding, where the architecture has one.
    pub embedding_scale: Option<f32>,
    /// The layers.
    pub layers: Vec<Box<dyn Layer>>,
    /// The norm before the output matrix.
    pub norm: RmsNorm,
    /// Output matrix `[vocab, hidden]`; none where the embedding serves.
    pub lm_head: Option<Matrix>,
    /// Factor of the logits, where the architecture has one.
    pub logits_scale: Option<f32>,
    /// Logits are squeezed into ± this, where the architecture says so.
    pub logits_softcap: Option<f32>,
    /// What one session's KV cache looks like.
    pub kv_shape: KvShape,
}

/// How many layers are put together at a time, where they are.
const LAYERS_AHEAD: usize = 4;

impl Decoder {
    /// token ids `[T]` → hidden states `[T, hidden]` after the last layer, not normed.
    pub fn hidden(&self, tokens: &Array, forward: &mut Forward<'_, '_>) -> Result<Array> {
        let starts_early = forward.kernels.promises().starts_early;
        let mut hidden = forward.kernels.rows_of(&self.embed_tokens, tokens)?;
        if let Some(scale) = self.embedding_scale {
            hidden = hidden.multiply(scalar(scale, &hidden)?)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if starts_early && index % LAYERS_AHEAD == 0 && index > 0 {
                async_eval([&hidden])?;
            }
            hidden = layer.forward(index, &hidden, forward)?;
        }
        Ok(hidden)
    }

    /// hidden `[T, hidden]` → logits `[T, vocab]`.
    pub fn logits(&self, kernels: &dyn Kernels, hidden: &Array) -> Result<Array> {
        let output = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let around = Around { norm: Some(self.norm.norm()), bias: None, then: Then::Nothing };
        let mut logits = kernels.product(hidden, output, around)?;
        if let Some(scale) = self.logits_scale {
            logits = logits.multiply(scalar(scale, &logits)?)?;
        }
        if let Some(cap) = self.logits_softcap {
            let cap = scalar(cap, &logits)?;
            logits = tanh(logits.divide(&cap)?)?.multiply(cap)?;
        }
        Ok(logits)
    }

    /// All arrays to evaluate before the first session.
    pub fn arrays(&self) -> Vec<&Array> {
        let mut arrays = self.embed_tokens.arrays();
        arrays.extend(self.layers.iter().flat_map(|layer| layer.arrays()));
        arrays.push(self.norm.array());
        arrays.extend(self.lm_head.iter().flat_map(Matrix::arrays));
        arrays
    }
}
