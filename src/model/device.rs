//! Which MLX device computes, and why.

use crate::protocol::DeviceKind;
use mlx_rs::{Device, DeviceType};

/// What the device computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// The checkpoint's own packing and dtype: a GPU's way.
    AsStored,
    /// Everything unpacked to f32: a CPU's way, where half precision is emulated and packed products don't batch.
    DenseF32,
}

/// The device that MLX computes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputeDevice {
    /// CPU or GPU.
    pub kind: DeviceKind,
    /// Why it was chosen, in words for a person.
    pub reason: String,
}

impl ComputeDevice {
    /// MLX's default device: a GPU where this build of MLX has one that works, else the CPU.
    pub fn detect() -> Self {
        let (kind, reason) = if is_gpu() {
            (DeviceKind::Gpu, "MLX found a GPU: Metal on macOS, CUDA elsewhere")
        } else {
            (
                DeviceKind::Cpu,
                "this build of MLX has no GPU backend; weights are unpacked to f32, in which a CPU computes fastest",
            )
        };
        Self { kind, reason: reason.into() }
    }

    /// How weights are kept on it.
    pub(super) fn compute(&self) -> Compute {
        match self.kind {
            DeviceKind::Cpu => Compute::DenseF32,
            DeviceKind::Gpu => Compute::AsStored,
        }
    }
}

/// Whether MLX's default device is a GPU.
fn is_gpu() -> bool {
    let kind = Device::try_default().and_then(|device| device.get_type());
    kind.is_ok_and(|kind| matches!(kind, DeviceType::Gpu))
}
