//! The reference: everything by MLX's own operations, which every device has.

mod attention;
mod device;
mod reference;

pub use device::Mlx;
pub use reference::heads_first;
