//! Rotations with the scalings that checkpoints ask for.

use crate::model::ModelError;
use crate::model::files::{Config, RopeScaling};
use crate::model::kernels::{Angles, Rotation};
use std::f32::consts::TAU;

/// As config.json says, over all of a head's dimensions.
pub fn usual(config: &Config) -> Result<Rotation, ModelError> {
    rotation(config, config.head_dim, config.rope_theta, &config.rope_scaling)
}

/// Over a head's first `dims` dimensions and with wavelengths of its own, for architectures whose layers differ.
pub fn rotation(config: &Config, dims: i32, theta: f32, scaling: &RopeScaling) -> Result<Rotation, ModelError> {
    let powers: Vec<f32> = (0..dims / 2).map(|index| wavelength(dims, theta, index)).collect();
    let mut angles = Angles {
        head_dim: config.head_dim,
        dims,
        traditional: config.rope_traditional,
        scale: 1.0,
        wavelengths: Vec::new(),
        amplitude: 1.0,
    };
    let own_wavelengths = match scaling {
        RopeScaling::Default => None,
        RopeScaling::Linear { factor } => {
            angles.scale = 1.0 / factor;
            None
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            let (low, high) = (*low_freq_factor, *high_freq_factor);
            Some(llama3_freqs(dims, theta, *factor, low, high, *original_max_position_embeddings))
        }
        RopeScaling::Factors { factors, .. } if factors.len() as i32 * 2 != dims => {
            return Err(config
                .fields
                .problem(format!(
                    "the rotary embedding of {dims} dimensions needs {} factors, not {}",
                    dims / 2,
                    factors.len()
                ))
                .into());
        }
        RopeScaling::Factors { factors, amplitude } => {
            angles.amplitude = *amplitude;
            Some(powers.iter().zip(factors).map(|(wavelength, factor)| wavelength * factor).collect())
        }
    };
    let base = own_wavelengths.is_none().then_some(theta);
    angles.wavelengths = own_wavelengths.unwrap_or(powers);
    Ok(Rotation::new(angles, base))
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
