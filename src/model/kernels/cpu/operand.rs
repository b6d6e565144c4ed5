//! An operation's arrays as its kernels see them.

use std::marker::PhantomData;

/// Where numbers are that several threads write, each its own.
#[derive(Clone, Copy, Debug)]
pub struct Numbers(*mut f32);

// SAFETY: whoever writes through it vouches for its place.
unsafe impl Send for Numbers {}
// SAFETY: as above.
unsafe impl Sync for Numbers {}

impl Numbers {
    pub fn new(data: *mut f32) -> Self {
        Self(data)
    }

    /// The place `passed` numbers on.
    pub fn at(self, passed: usize) -> *mut f32 {
        self.0.wrapping_add(passed)
    }
}

/// An array of f32 numbers that an operation reads.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    data: *const f32,
    shape: &'a [i32],
    /// Numbers from one place to the next, along each axis.
    strides: &'a [i64],
}

/// The same with its last axis in one piece.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: *const f32,
    strides: [usize; MOST_AXES],
    numbers: PhantomData<&'a [f32]>,
}

/// Axes of a KV cache.
const MOST_AXES: usize = 4;

// SAFETY: it is only read.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> Operand<'a> {
    /// # Safety
    /// The data must be those of an array of this shape and these strides, for as long as `'a`.
    pub unsafe fn new(data: *const f32, shape: &'a [i32], strides: &'a [i64]) -> Self {
        Self { data, shape, strides }
    }

    /// How long `axis` is.
    pub fn dim(&self, axis: usize) -> usize {
        self.shape[axis] as usize
    }

    /// A cache as it lies: row by row, as it was made.
    pub fn held(&self) -> View<'a> {
        debug_assert_eq!(self.strides.last(), Some(&1));
        let mut strides = [0; MOST_AXES];
        for (stride, own) in strides.iter_mut().zip(self.strides) {
            *stride = *own as usize;
        }
        View { data: self.data, strides, numbers: PhantomData }
    }

    /// The array as it lies, or a copy of it in `copy`, where its last axis doesn't lie in one piece.
    pub fn view<'v>(&self, copy: &'v mut Vec<f32>) -> View<'v>
    where
        'a: 'v,
    {
        let last = self.shape.len() - 1;
        if self.strides[last] == 1 && self.strides.iter().all(|stride| *stride >= 0) {
            return self.held();
        }
        let mut strides = [0; MOST_AXES];
        *copy = self.copied();
        let mut passed = 1;
        for axis in (0..=last).rev() {
            strides[axis] = passed;
            passed *= self.dim(axis);
        }
        View { data: copy.as_ptr(), strides, numbers: PhantomData }
    }

    fn copied(&self) -> Vec<f32> {
        let mut places = vec![0_i64];
        for (length, stride) in self.shape.iter().zip(self.strides) {
            places = places.iter().flat_map(|from| (0..i64::from(*length)).map(move |at| from + at * stride)).collect();
        }
        // SAFETY: these are the places of the array's numbers.
        places.into_iter().map(|place| unsafe { *self.data.offset(place as isize) }).collect()
    }
}

impl View<'_> {
    /// The first number at `places` of the first axes.
    pub fn at(&self, places: &[usize]) -> *const f32 {
        let passed: usize = places.iter().zip(self.strides).map(|(place, stride)| place * stride).sum();
        self.data.wrapping_add(passed)
    }

    /// Numbers from one place of `axis` to the next.
    pub fn stride(&self, axis: usize) -> usize {
        self.strides[axis]
    }
}
