//! Which kernels serve a model: chosen once, as it is loaded.

use super::mlx::Mlx;
use super::operations::Kernels;
use super::{cpu, cuda};
use crate::protocol::DeviceKind;
use mlx_rs::error::Result;
use std::rc::Rc;

/// Which kernels are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelChoice {
    /// The device's own, where there are any.
    #[default]
    Own,
    /// MLX's operations alone, which are the reference.
    Mlx,
}

/// The kernels for a device.
pub fn choose(device: DeviceKind, choice: KernelChoice) -> Result<Rc<dyn Kernels>> {
    let reference = match device {
        DeviceKind::Cpu => Mlx::Cpu,
        DeviceKind::Gpu => Mlx::Gpu,
    };
    let own = match (choice, device) {
        (KernelChoice::Mlx, _) => None,
        (KernelChoice::Own, DeviceKind::Cpu) => cpu::kernels(),
        (KernelChoice::Own, DeviceKind::Gpu) => cuda::kernels()?,
    };
    Ok(own.unwrap_or_else(|| Rc::new(reference)))
}
