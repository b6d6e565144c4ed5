//! Rotary position embedding (RoFormer, Su et al. 2021) with the scalings that checkpoints ask for.

use super::ModelError;
use super::config::{Config, RopeScaling};
use crate::protocol::DeviceKind;
use mlx_rs::error::Result as MlxResult;
use mlx_rs::ops::concatenate;
use mlx_rs::{Array, fast};
use std::cell::{OnceCell, RefCell};
use std::f32::consts::TAU;
use std::rc::Rc;

/// Rotates queries and keys by their positions.
#[derive(Debug)]
pub struct Rope {
    rotation: Rc<Rotation>,
    /// Base of the wavelengths, where they are its powers.
    base: Option<f32>,
    /// Wavelengths / 2π, shape [dims / 2], where they aren't.
    freqs: Option<Array>,
    /// Factors of a head's dimensions before they are rotated, shape [head_dim].
    amplitude: Option<Array>,
    /// Radians a place of each pair, f32 [dims / 2].
    frequencies: Array,
}

/// What sines and cosines follow from, besides the positions.
#[derive(Debug, PartialEq)]
struct Rotation {
    head_dim: i32,
    /// How many of a head's dimensions, its first ones, are rotated.
    dims: i32,
    traditional: bool,
    scale: f32,
    /// Wavelengths / 2π, dims / 2 of them.
    wavelengths: Vec<f32>,
    amplitude: f32,
}

/// Where the tokens of a step stand in their sessions.
#[derive(Debug)]
pub struct Positions {
    places: Places,
    /// On a CPU, which has no kernel for rotations: sines and cosines, made once a step for all layers that rotate
    /// alike.
    tables: Option<Tables>,
    /// The places as an array, once they were asked for as one.
    array: OnceCell<Array>,
}

type Tables = RefCell<Vec<(Rc<Rotation>, Table)>>;

#[derive(Debug)]
enum Places {
    /// One session: its tokens stand at `start`, `start + 1`, …
    From { start: i32, count: i32 },
    /// Many sessions, one token each.
    Each { offsets: Vec<i32> },
}

/// Factors [T, 1, head_dim] of a head's dimensions, and of the dimensions that they are rotated with.
#[derive(Clone, Debug)]
struct Table {
    cosines: Array,
    sines: Array,
}

impl Positions {
    /// One session's next `count` tokens, the first at `start`.
    pub fn from(start: i32, count: i32, device: DeviceKind) -> Self {
        Self { places: Places::From { start, count }, tables: tables(device), array: OnceCell::new() }
    }

    /// One token each of many sessions.
    pub fn each(offsets: Vec<i32>, device: DeviceKind) -> Self {
        Self { places: Places::Each { offsets }, tables: tables(device), array: OnceCell::new() }
    }

    /// The tokens' places, i32 [T].
    pub fn array(&self) -> &Array {
        self.array.get_or_init(|| match &self.places {
            Places::Each { offsets } => Array::from_slice(offsets, &[offsets.len() as i32]),
            Places::From { start, count } => {
                let places: Vec<i32> = (*start..*start + *count).collect();
                Array::from_slice(&places, &[*count])
            }
        })
    }

    fn table(&self, rotation: &Rc<Rotation>, tables: &Tables) -> Table {
        if let Some((_, table)) = tables.borrow().iter().find(|(known, _)| known == rotation) {
            return table.clone();
        }
        let table = match &self.places {
            Places::From { start, count } => rotation.table(*start..*start + *count),
            Places::Each { offsets } => rotation.table(offsets.iter().copied()),
        };
        tables.borrow_mut().push((Rc::clone(rotation), table.clone()));
        table
    }
}

fn tables(device: DeviceKind) -> Option<Tables> {
    (device == DeviceKind::Cpu).then(RefCell::default)
}

impl Rotation {
    fn table(&self, positions: impl ExactSizeIterator<Item = i32>) -> Table {
        let (count, width) = (positions.len() as i32, self.head_dim as usize);
        let mut cosines = vec![1.0_f32; count as usize * width];
        let mut sines = vec![0.0_f32; count as usize * width];
        let half = self.wavelengths.len();
        for (row, position) in positions.enumerate() {
            for (pair, wavelength) in self.wavelengths.iter().enumerate() {
                let angle = f64::from(position) * f64::from(self.scale) / f64::from(*wavelength);
                let (sine, cosine) = angle.sin_cos();
                let (first, second) = if self.traditional { (2 * pair, 2 * pair + 1) } else { (pair, pair + half) };
                for (place, sine) in [(first, -sine), (second, sine)] {
                    cosines[row * width + place] = cosine as f32 * self.amplitude;
                    sines[row * width + place] = sine as f32 * self.amplitude;
                }
            }
        }
        let shape = [count, 1, self.head_dim];
        Table { cosines: Array::from_slice(&cosines, &shape), sines: Array::from_slice(&sines, &shape) }
    }

    /// x [T, heads, head_dim] with the two dimensions of each pair in each other's place.
    fn swap_pairs(&self, x: &Array) -> MlxResult<Array> {
        let half = self.dims / 2;
        let is_whole = self.dims == self.head_dim;
        if !self.traditional {
            let ends = if is_whole { vec![half] } else { vec![half, self.dims] };
            let mut parts = x.split_at_indices(&ends, -1)?;
            parts.swap(0, 1);
            return concatenate(&parts, -1);
        }
        let (rows, heads) = (x.dim(0), x.dim(1));
        let parts = if is_whole { vec![x.clone()] } else { x.split_at_indices(&[self.dims], -1)? };
        let mut pairs = parts[0].reshape(&[rows, heads, half, 2])?.split_at_indices(&[1], -1)?;
        pairs.swap(0, 1);
        let swapped = concatenate(&pairs, -1)?.reshape(&[rows, heads, self.dims])?;
        match parts.get(1) {
            Some(rest) => concatenate(&[&swapped, rest], -1),
            None => Ok(swapped),
        }
    }
}

impl Rope {
    /// As config.json says, over all of a head's dimensions.
    pub fn new(config: &Config) -> Result<Self, ModelError> {
        Self::with_theta(config, config.head_dim, config.rope_theta, &config.rope_scaling)
    }

    /// Over a head's first `dims` dimensions and with wavelengths of its own, for architectures whose layers differ.
    pub fn with_theta(config: &Config, dims: i32, theta: f32, scaling: &RopeScaling) -> Result<Self, ModelError> {
        let powers: Vec<f32> = (0..dims / 2).map(|index| wavelength(dims, theta, index)).collect();
        let mut rotation = Rotation {
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
                rotation.scale = 1.0 / factor;
                None
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let (low, high) = (*low_freq_factor, *high_freq_factor);
                Some(llama3_freqs(dims, theta, *factor, low, high, *original_max_position_embeddings))
            }
            RopeScaling::Factors { factors, .. } if factors.len() as i32 * 2 != dims => {
                return Err(config.fields.problem(format!(
                    "the rotary embedding of {dims} dimensions needs {} factors, not {}",
                    dims / 2,
                    factors.len()
                )));
            }
            RopeScaling::Factors { factors, amplitude } => {
                rotation.amplitude = *amplitude;
                Some(powers.iter().zip(factors).map(|(wavelength, factor)| wavelength * factor).collect())
            }
        };
        let amplitudes: Vec<f32> =
            (0..config.head_dim).map(|index| if index < dims { rotation.amplitude } else { 1.0 }).collect();
        let base = own_wavelengths.is_none().then_some(theta);
        let freqs = own_wavelengths.as_ref().map(|own: &Vec<f32>| Array::from_slice(own, &[dims / 2]));
        let amplitude = (rotation.amplitude != 1.0).then(|| Array::from_slice(&amplitudes, &[config.head_dim]));
        rotation.wavelengths = own_wavelengths.unwrap_or(powers);
        let frequencies: Vec<f32> = rotation.wavelengths.iter().map(|wavelength| rotation.scale / wavelength).collect();
        let frequencies = Array::from_slice(&frequencies, &[dims / 2]);
        Ok(Self { rotation: Rc::new(rotation), base, freqs, amplitude, frequencies })
    }

    /// Radians a place of each pair, f32 [pairs]; none where more is done than rotating.
    pub fn frequencies(&self) -> Option<&Array> {
        self.amplitude.is_none().then_some(&self.frequencies)
    }

    /// Whether a pair's dimensions are neighbours; else they are half of the rotated dimensions apart.
    pub fn is_traditional(&self) -> bool {
        self.rotation.traditional
    }

    /// How many of a head's dimensions, its first ones, are rotated.
    pub fn rotated(&self) -> i32 {
        self.rotation.dims
    }

    /// Factors [T, 1, head_dim] of a head's dimensions, and of those that they are rotated with; none on a GPU.
    pub fn table(&self, positions: &Positions) -> Option<(Array, Array)> {
        let Table { cosines, sines } = positions.table(&self.rotation, positions.tables.as_ref()?);
        Some((cosines, sines))
    }

    /// x [T, heads, head_dim], rotated.
    pub fn apply(&self, x: &Array, positions: &Positions) -> MlxResult<Array> {
        match self.table(positions) {
            Some((cosines, sines)) => {
                let sines = sines.as_dtype(x.dtype())?;
                x.multiply(cosines.as_dtype(x.dtype())?)?.add(self.rotation.swap_pairs(x)?.multiply(sines)?)
            }
            None => self.apply_kernel(x, positions),
        }
    }

    /// By MLX's kernel for GPUs.
    fn apply_kernel(&self, x: &Array, positions: &Positions) -> MlxResult<Array> {
        let amplified = match &self.amplitude {
            Some(amplitude) => Some(x.multiply(amplitude.as_dtype(x.dtype())?)?),
            None => None,
        };
        let (dims, traditional, scale) = (self.rotated(), self.is_traditional(), self.rotation.scale);
        let (x, base, freqs) = (amplified.as_ref().unwrap_or(x), self.base, self.freqs.as_ref());
        let (count, heads, head_dim) = (x.dim(0), x.dim(1), x.dim(2));
        match &positions.places {
            Places::From { start, .. } => {
                let x = x.reshape(&[1, count, heads, head_dim])?.swap_axes(1, 2)?;
                let rotated = fast::rope(x, dims, traditional, base, scale, *start, freqs)?;
                rotated.swap_axes(1, 2)?.reshape(&[count, heads, head_dim])
            }
            Places::Each { .. } => {
                let x = x.reshape(&[count, heads, 1, head_dim])?;
                let rotated = fast::rope_dynamic(x, dims, traditional, base, scale, positions.array(), freqs)?;
                rotated.reshape(&[count, heads, head_dim])
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
