//! `dmg IMAGE OUTPUT`: packs an HFS+ image as a compressed .dmg, as Apple's `hdiutil` would.

use anyhow::{Context, bail};
use apple_dmg::DmgWriter;
use std::path::PathBuf;

/// What a .dmg's tables count in.
const SECTOR_BYTES: usize = 512;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [image, output] = arguments.as_slice() else { bail!("usage: dmg IMAGE OUTPUT") };
    let mut bytes = std::fs::read(image).with_context(|| format!("{} can't be read", image.display()))?;
    bytes.resize(bytes.len().next_multiple_of(SECTOR_BYTES), 0);
    let mut writer = DmgWriter::create(output)?;
    writer.add_partition("whole disk (Apple_HFS : 0)", &bytes)?;
    writer.finish()
}
