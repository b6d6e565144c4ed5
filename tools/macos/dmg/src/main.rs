//! `dmg IMAGE OUTPUT`: packs the HFS+ volume of a hybrid image, made by `xorrisofs -hfsplus`, as a compressed .dmg, as
//! Apple's `hdiutil` would.

use anyhow::{Context, bail};
use apple_dmg::DmgWriter;
use std::path::PathBuf;

/// What partition maps and .dmg tables count in.
const SECTOR_BYTES: usize = 512;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [image, output] = arguments.as_slice() else { bail!("usage: dmg IMAGE OUTPUT") };
    let bytes = std::fs::read(image).with_context(|| format!("{} can't be read", image.display()))?;
    let volume = hfs_volume(&bytes).with_context(|| format!("{} holds no HFS+ volume", image.display()))?;
    let mut writer = DmgWriter::create(output)?;
    writer.add_partition("whole disk (Apple_HFS : 0)", volume)?;
    writer.finish()
}

/// Finds the volume through Apple's partition map: an entry a sector from the second one on, all numbers big-endian.
fn hfs_volume(image: &[u8]) -> Option<&[u8]> {
    let mut entries = image.chunks_exact(SECTOR_BYTES).skip(1).take_while(|entry| entry.starts_with(b"PM"));
    let entry = entries.find(|entry| entry[48..].starts_with(b"Apple_HFS\0"))?;
    let number = |at: usize| Some(u32::from_be_bytes(entry[at..at + 4].try_into().ok()?) as usize);
    let (start, count) = (number(8)?, number(12)?);
    let volume = image.get(start * SECTOR_BYTES..(start + count) * SECTOR_BYTES)?;
    volume.get(1024..)?.starts_with(b"H+").then_some(volume)
}
