//! Rotary position embedding (RoFormer, Su et al. 2021): what is rotated by how much, and where tokens stand.

use mlx_rs::error::Result;
use mlx_rs::ops::concatenate;
use mlx_rs::{Array, fast};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// How queries and keys are rotated by their positions.
#[derive(Debug)]
pub struct Rotation {
    angles: Rc<Angles>,
    /// Base of the wavelengths, where they are its powers.
    base: Option<f32>,
    /// Wavelengths / 2π, shape `[dims / 2]`, where they aren't.
    freqs: Option<Array>,
    /// Factors of a head's dimensions before they are rotated, shape `[head_dim]`.
    amplitude: Option<Array>,
    /// Radians a place of each pair, f32 `[dims / 2]`.
    frequencies: Array,
}

/// What sines and cosines follow from, besides the positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Angles {
    /// Width of one head.
    pub head_dim: i32,
    /// How many of a head's dimensions, its first ones, are rotated.
    pub dims: i32,
    /// Whether a pair's dimensions are neighbours; else they are half of the rotated dimensions apart.
    pub traditional: bool,
    /// Factor of the positions.
    pub scale: f32,
    /// Wavelengths / 2π, dims / 2 of them.
    pub wavelengths: Vec<f32>,
    /// Factor of what is rotated.
    pub amplitude: f32,
}

/// Where the tokens of a pass stand in their sessions.
#[derive(Debug)]
pub struct Positions {
    places: Places,
    /// Sines and cosines, made once a pass for all layers that rotate alike.
    tables: RefCell<Vec<(Rc<Angles>, Table)>>,
    /// The places as an array, once they were asked for as one.
    array: OnceCell<Array>,
}

#[derive(Debug)]
enum Places {
    /// One session: its tokens stand at `start`, `start + 1`, …
    From { start: i32, count: i32 },
    /// A place for each token.
    Each(Vec<i32>),
}

/// Factors `[T, 1, head_dim]` of a head's dimensions, and of the dimensions that they are rotated with.
#[derive(Clone, Debug)]
pub struct Table {
    /// Of the dimensions themselves.
    pub cosines: Array,
    /// Of the other dimension of each pair.
    pub sines: Array,
}

impl Positions {
    /// One session's next `count` tokens, the first at `start`.
    pub fn from(start: i32, count: i32) -> Self {
        Self::of(Places::From { start, count })
    }

    /// A place for each token.
    pub fn each(places: Vec<i32>) -> Self {
        Self::of(Places::Each(places))
    }

    fn of(places: Places) -> Self {
        Self { places, tables: RefCell::default(), array: OnceCell::new() }
    }

    /// The tokens' places, i32 `[T]`.
    pub fn array(&self) -> &Array {
        self.array.get_or_init(|| match &self.places {
            Places::Each(places) => Array::from_slice(places, &[places.len() as i32]),
            Places::From { start, count } => {
                let places: Vec<i32> = (*start..*start + *count).collect();
                Array::from_slice(&places, &[*count])
            }
        })
    }
}

impl Rotation {
    /// With wavelengths that are powers of `base`, or else are those of `angles`.
    pub fn new(angles: Angles, base: Option<f32>) -> Self {
        let dims = angles.dims;
        let freqs = base.is_none().then(|| Array::from_slice(&angles.wavelengths, &[dims / 2]));
        let amplitude = (angles.amplitude != 1.0).then(|| {
            let factor = |dimension| if dimension < dims { angles.amplitude } else { 1.0 };
            Array::from_slice(&(0..angles.head_dim).map(factor).collect::<Vec<f32>>(), &[angles.head_dim])
        });
        let radians: Vec<f32> = angles.wavelengths.iter().map(|wavelength| angles.scale / wavelength).collect();
        let frequencies = Array::from_slice(&radians, &[dims / 2]);
        Self { angles: Rc::new(angles), base, freqs, amplitude, frequencies }
    }

    /// Radians a place of each pair, f32 `[pairs]`; none where more is done than rotating.
    pub fn frequencies(&self) -> Option<&Array> {
        self.amplitude.is_none().then_some(&self.frequencies)
    }

    /// What sines and cosines follow from.
    pub fn angles(&self) -> &Angles {
        &self.angles
    }

    /// Sines and cosines of the positions.
    pub fn table(&self, positions: &Positions) -> Table {
        let mut tables = positions.tables.borrow_mut();
        if let Some((_, table)) = tables.iter().find(|(known, _)| *known == self.angles) {
            return table.clone();
        }
        let table = match &positions.places {
            Places::From { start, count } => self.angles.table(*start..*start + *count),
            Places::Each(places) => self.angles.table(places.iter().copied()),
        };
        tables.push((Rc::clone(&self.angles), table.clone()));
        table
    }

    /// x `[T, heads, head_dim]`, rotated by MLX's operations with sines and cosines from a table.
    pub fn by_table(&self, x: &Array, positions: &Positions) -> Result<Array> {
        let Table { cosines, sines } = self.table(positions);
        let sines = sines.as_dtype(x.dtype())?;
        x.multiply(cosines.as_dtype(x.dtype())?)?.add(self.angles.swap_pairs(x)?.multiply(sines)?)
    }

    /// x `[T, heads, head_dim]`, rotated by MLX's kernel for GPUs.
    pub fn by_kernel(&self, x: &Array, positions: &Positions) -> Result<Array> {
        let amplified = match &self.amplitude {
            Some(amplitude) => Some(x.multiply(amplitude.as_dtype(x.dtype())?)?),
            None => None,
        };
        let Angles { dims, traditional, scale, .. } = *self.angles;
        let (x, base, freqs) = (amplified.as_ref().unwrap_or(x), self.base, self.freqs.as_ref());
        let (count, heads, head_dim) = (x.dim(0), x.dim(1), x.dim(2));
        match &positions.places {
            Places::From { start, .. } => {
                let x = x.reshape(&[1, count, heads, head_dim])?.swap_axes(1, 2)?;
                let rotated = fast::rope(x, dims, traditional, base, scale, *start, freqs)?;
                rotated.swap_axes(1, 2)?.reshape(&[count, heads, head_dim])
            }
            Places::Each(_) => {
                let x = x.reshape(&[count, heads, 1, head_dim])?;
                let rotated = fast::rope_dynamic(x, dims, traditional, base, scale, positions.array(), freqs)?;
                rotated.reshape(&[count, heads, head_dim])
            }
        }
    }
}

impl Angles {
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

    /// x `[T, heads, head_dim]` with the two dimensions of each pair in each other's place.
    fn swap_pairs(&self, x: &Array) -> Result<Array> {
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
