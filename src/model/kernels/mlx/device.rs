//! Which device MLX's operations are put together for.

/// MLX's operations, put together as suits a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlx {
    /// For a CPU, for which MLX has no kernels of attention and rotations.
    Cpu,
    /// For a GPU.
    Gpu,
}
