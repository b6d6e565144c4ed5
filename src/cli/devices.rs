//! `llmeval devices`: which MLX device will be used, and why.

use crate::model::ComputeDevice;
use crate::platform;
use anyhow::bail;
use std::io::Write;

pub(super) fn run() -> anyhow::Result<u8> {
    if let Some(problem) = platform::gpu_problem() {
        bail!(problem);
    }
    let device = ComputeDevice::detect();
    writeln!(std::io::stdout(), "{}: {}", device.kind.name(), device.reason)?;
    Ok(0)
}
