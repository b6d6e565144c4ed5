//! What stands around a matrix product, so that a device may compute it together with the product.

use crate::model::ops::Activation;
use mlx_rs::Array;

/// What is done to a product's rows besides multiplying them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Before.
    pub norm: Option<Norm<'a>>,
    /// Added to the product, `[out]`.
    pub bias: Option<&'a Array>,
    /// Afterwards.
    pub then: Then<'a>,
}

/// What follows a product.
#[derive(Clone, Copy, Debug, Default)]
pub enum Then<'a> {
    /// Nothing.
    #[default]
    Nothing,
    /// The activation of the outputs' first half times their second.
    Gate(Activation),
    /// This is added, of the result's shape.
    Add(&'a Array),
}

/// A root mean square norm: its weight, of the last axis' shape, and the ε added to the mean square.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Factors of the normed numbers.
    pub weight: &'a Array,
    /// Added to the mean square before its root is taken.
    pub eps: f32,
}
