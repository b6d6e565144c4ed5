//! The layer of architectures that norm what attention and MLP give, instead of or besides what they get.

use super::attention::Attention;
use super::decoder::Layer;
use super::forward::Forward;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use crate::model::kernels::Kernels;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;

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

impl SandwichLayer {
    /// What follows the attention: hidden and attended `[T, ..]` → hidden states between attention and MLP, what stands between
    /// the MLP's products, and the hidden states behind it.
    fn behind_attention(&self, kernels: &dyn Kernels, hidden: &Array, attended: &Array) -> Result<[Array; 3]> {
        let attended = self.self_attn.o_proj.forward(kernels, attended)?;
        let hidden = hidden.add(kernels.rms_norm(&attended, self.post_attention_layernorm.norm())?)?;
        let norm = self.pre_feedforward_layernorm.as_ref().map(RmsNorm::norm);
        let inner = self.mlp.inner(kernels, &hidden, norm)?;
        let mixed = self.mlp.down_proj.forward(kernels, &inner)?;
        let last = hidden.add(kernels.rms_norm(&mixed, self.post_feedforward_layernorm.norm())?)?;
        Ok([hidden, inner, last])
    }
}

impl Layer for SandwichLayer {
    fn forward(&self, index: usize, hidden: &Array, forward: &mut Forward<'_, '_>) -> Result<Array> {
        let norm = self.input_layernorm.as_ref().map(RmsNorm::norm);
        let attended = self.self_attn.attend(index, hidden, norm, forward)?;
        let [_, _, last] = self.behind_attention(forward.kernels, hidden, &attended)?;
        Ok(last)
    }

    fn attention(&self) -> &Attention {
        &self.self_attn
    }

    fn products(&self, kernels: &dyn Kernels, hidden: &Array) -> Result<Vec<Array>> {
        let attention = &self.self_attn;
        let norm = self.input_layernorm.as_ref().map(RmsNorm::norm);
        let all = attention.qkv_proj.forward(kernels, hidden, norm)?;
        let attended = all.try_index((.., ..attention.heads * attention.head_dim))?;
        let behind = self.behind_attention(kernels, hidden, &attended)?;
        Ok([all].into_iter().chain(behind).collect())
    }

    fn arrays(&self) -> Vec<&Array> {
        let before = self.input_layernorm.iter().chain(&self.pre_feedforward_layernorm);
        let norms = before.chain([&self.post_attention_layernorm, &self.post_feedforward_layernorm]);
        let norms = norms.map(RmsNorm::array);
        self.self_attn.arrays().into_iter().chain(self.mlp.arrays()).chain(norms).collect()
    }
}
