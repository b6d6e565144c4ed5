//! Architecture `qwen3_moe` (Qwen3 30B-A3B and 235B-A22B, 2025): a qwen3 whose layers are mixtures of experts.

use super::parts::{Parts, Routing};
use crate::model::ModelError;
use crate::model::layers::{Decoder, FeedForward};
use serde_json::Value;

/// Takes the model's weights.
pub fn build(parts: &mut Parts<'_>) -> Result<Decoder, ModelError> {
    let fields = &parts.config.fields;
    let routing = Routing {
        experts: fields.size("num_experts", None)?,
        experts_per_token: fields.size("num_experts_per_tok", None)?,
        normalise: fields.flag("norm_topk_prob", false)?,
    };
    if routing.experts_per_token > routing.experts {
        return Err(fields.problem("num_experts_per_tok must not be above num_experts").into());
    }
    let inner = fields.size("moe_intermediate_size", None)?;
    let step = fields.size("decoder_sparse_step", Some(1))? as usize;
    let dense_layers = fields.get("mlp_only_layers").as_array().cloned().unwrap_or_default();
    let layers = parts.layers(|parts, index, path| {
        let self_attn = parts.attention_with_head_norms(&format!("{path}.self_attn"))?;
        let is_sparse = (index + 1) % step == 0 && !dense_layers.contains(&Value::from(index));
        let path_of_mlp = format!("{path}.mlp");
        let mlp = match is_sparse {
            true => FeedForward::Sparse(parts.experts(&path_of_mlp, inner, routing)?),
            false => FeedForward::Dense(parts.mlp(&path_of_mlp, false)?),
        };
        parts.pre_norm_layer(path, self_attn, mlp)
    })?;
    parts.decoder(layers)
}
