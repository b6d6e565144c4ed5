//! The layers that models are made of. They know no device: what is computed is asked of the [`Kernels`](super::kernels::Kernels)
//! that a pass brings along.

mod attention;
mod decoder;
mod experts;
mod forward;
mod linear;
mod mlp;
mod norm;
mod pre_norm;
mod sandwich;

pub use attention::{Attention, HeadNorms};
pub use decoder::{Decoder, Layer};
pub use experts::MixtureOfExperts;
pub use forward::Forward;
pub use linear::{Linear, Projections};
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use pre_norm::{FeedForward, PreNormLayer};
pub use sandwich::SandwichLayer;
