//! Architecture `mistral` (Jiang et al. 2023): a llama without biases.

use super::ModelError;
use super::config::Config;
use super::decoder::Decoder;
use super::llama;
use super::weights::Weights;

/// Takes the model's weights. As in mlx-lm, `sliding_window` is not applied: each token sees the whole context.
pub fn build(config: &Config, weights: &mut Weights) -> Result<Decoder, ModelError> {
    llama::build(config, weights)
}
