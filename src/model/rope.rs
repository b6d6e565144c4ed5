//! Rotary position embedding (RoFormer, Su et al. 2021) with the scalings that checkpoints ask for.

use super::ModelError;
use super::config::{Config, RopeScaling};
use mlx_rs::error::Result as MlxResult;
use mlx_rs::{Array, fast};
use std::f32::consts::TAU;

/// Rotates queries and keys by their positions.
#[derive(Debug)]
pub struct Rope {
    dims: i32,
    traditional: bool,
    base: Option<f32>,
    scale: f32,
    /// Wavelengths / 2π, shape [dims / 2], where they aren't powers of `base`.
    freqs: Option<Array>,
    /// Factors of a head's dimensions before they are rotated, shape [head_dim].
    amplitude: Option<Array>,
}

/// Where the tokens of a step stand in their sessions.
#[derive(Debug)]
pub enum Positions {
    /// One session: its tokens stand at `offset`, `offset + 1`, …
    From(i32),
    /// Many sessions, one token each: i32 array [N].
    Each(Array),
}

impl Rope {
    /// As config.json says, over all of a head's dimensions.
    pub fn new(config: &Config) -> Result<Self, ModelError> {
        Self::with_theta(config, config.head_dim, config.rope_theta, &config.rope_scaling)
    }

    /// Over a head's first `dims` dimensions and with wavelengths of its own, for architectures whose layers differ.
    pub fn with_theta(config: &Config, dims: i32, theta: f32, scaling: &RopeScaling) -> Result<Self, ModelError> {
        let plain = Self {
            dims,
            traditional: config.rope_traditional,
            base: Some(theta),
            scale: 1.0,
            freqs: None,
            amplitude: None,
        };
        match scaling {
            RopeScaling::Default => Ok(plain),
            RopeScaling::Linear { factor } => Ok(Self { scale: 1.0 / factor, ..plain }),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let (low, high) = (*low_freq_factor, *high_freq_factor);
                let freqs = llama3_freqs(dims, theta, *factor, low, high, *original_max_position_embeddings);
                Ok(Self { base: None, freqs: Some(Array::from_slice(&freqs, &[dims / 2])), ..plain })
            }
            RopeScaling::Factors { factors, .. } if factors.len() as i32 * 2 != dims => Err(config.fields.problem(
                format!("the rotary embedding of {dims} dimensions needs {} factors, not {}", dims / 2, factors.len()),
            )),
            RopeScaling::Factors { factors, amplitude } => {
                let freqs: Vec<f32> =
                    (0..).zip(factors).map(|(index, factor)| wavelength(dims, theta, index) * factor).collect();
                let amplitudes: Vec<f32> =
                    (0..config.head_dim).map(|index| if index < dims { *amplitude } else { 1.0 }).collect();
                let amplitude = (*amplitude != 1.0).then(|| Array::from_slice(&amplitudes, &[config.head_dim]));
                Ok(Self { base: None, freqs: Some(Array::from_slice(&freqs, &[dims / 2])), amplitude, ..plain })
            }
        }
    }

    /// x [B, heads, L, head_dim], rotated.
    pub fn apply(&self, x: &Array, positions: &Positions) -> MlxResult<Array> {
        let amplified = match &self.amplitude {
            Some(amplitude) => Some(x.multiply(amplitude.as_dtype(x.dtype())?)?),
            None => None,
        };
        let (x, freqs) = (amplified.as_ref().unwrap_or(x), self.freqs.as_ref());
        match positions {
            Positions::From(offset) => {
                fast::rope(x, self.dims, self.traditional, self.base, self.scale, *offset, freqs)
            }
            Positions::Each(offsets) => {
                fast::rope_dynamic(x, self.dims, self.traditional, self.base, self.scale, offsets, freqs)
            }
        }
    }
}

/// The wavelength / 2π of pair `index`.
fn wavelength(dims: i32, base: f32, index: i32) -> f32 {
    base.powf(2.0 * index as f32 / dims as f32)
}

/// The `llama3` scaling as Meta published it with Llama 3.1.
fn llama3_freqs(dims: i32, base: f32, factor: f32, low: f32, high: f32, context: f32) -> Vec<f32> {
    let (longest, shortest) = (context / low, context / high);
    (0..dims / 2)
        .map(|index| {
            let freq = wavelength(dims, base, index);
            let wavelength = TAU * freq;
            if wavelength > longest {
                freq * factor
            } else if wavelength > shortest {
                let smooth = (context / wavelength - low) / (high - low);
                freq / ((1.0 - smooth) / factor + smooth)
            } else {
                freq
            }
        })
        .collect()
}
