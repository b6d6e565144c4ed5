//! Architecture `qwen3_moe` (Qwen3 30B-A3B and 235B-A22B, 2025): a qwen3 whose layers are mixtures of experts.

use super::ModelError;
use super::architecture::{layers, pre_norm_decoder, pre_norm_layer};
use super::config::Config;
use super::decoder::{Decoder, FeedForward};
use super::qwen3;
use super::weights::{Routing, Weights};
use serde_json::Value;

/// Takes the model's weights.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    let fields = &config.fields;
    let routing = Routing {
        experts: fields.size("num_experts", None)?,
        experts_per_token: fields.size("num_experts_per_tok", None)?,
        normalise: fields.flag("norm_topk_prob", false)?,
    };
    if routing.experts_per_token > routing.experts {
        return Err(fields.problem("num_experts_per_tok must not be above num_experts"));
    }
    let inner = fields.size("moe_intermediate_size", None)?;
    let step = fields.size("decoder_sparse_step", Some(1))? as usize;
    let dense_layers = fields.get("mlp_only_layers").as_array().cloned().unwrap_or_default();
    let layers = layers(config, |index, path| {
        let self_attn = qwen3::attention(config, weights, &format!("{path}.self_attn"))?;
        let is_sparse = (index + 1) % step == 0 && !dense_layers.contains(&Value::from(index));
        let path_of_mlp = format!("{path}.mlp");
        let mlp = match is_sparse {
            true => FeedForward::Sparse(weights.experts(config, &path_of_mlp, inner, routing)?),
            false => FeedForward::Dense(weights.mlp(config, &path_of_mlp, false)?),
        };
        pre_norm_layer(config, weights, path, self_attn, mlp)
    })?;
    pre_norm_decoder(config, weights, layers)
}
