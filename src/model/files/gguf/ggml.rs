//! Unpacks the bytes of a GGUF tensor to f32, type by type, as ggml defines them.

use crate::hub::gguf::GgufType;
use half::{bf16, f16};

/// The f32 of a tensor's bytes, in order; none for a type that nothing here unpacks. `bytes` are whole blocks.
pub fn unpack(kind: GgufType, bytes: &[u8]) -> Option<Vec<f32>> {
    let block: fn(&[u8], &mut Vec<f32>) = match kind {
        GgufType::F32 => |block, out| out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
        GgufType::F16 => |block, out| out.push(half_at(block, 0)),
        GgufType::BF16 => |block, out| out.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
        GgufType::Q4_0 => |block, out| nibbles(&block[2..], 0, out, |q| half_at(block, 0) * (q as f32 - 8.0)),
        GgufType::Q4_1 => {
            |block, out| nibbles(&block[4..], 0, out, |q| half_at(block, 0) * q as f32 + half_at(block, 2))
        }
        GgufType::Q5_0 => {
            |block, out| nibbles(&block[6..], bits(block, 2), out, |q| half_at(block, 0) * (q as f32 - 16.0))
        }
        GgufType::Q5_1 => {
            |block, out| nibbles(&block[8..], bits(block, 4), out, |q| half_at(block, 0) * q as f32 + half_at(block, 2))
        }
        GgufType::Q8_0 => |block, out| out.extend(block[2..].iter().map(|q| half_at(block, 0) * f32::from(*q as i8))),
        GgufType::Q2_K => q2_k,
        GgufType::Q3_K => q3_k,
        GgufType::Q4_K => |blocks, out| q4_or_q5_k(blocks, None, &blocks[16..], out),
        GgufType::Q5_K => |blocks, out| q4_or_q5_k(blocks, Some(&blocks[16..48]), &blocks[48..], out),
        GgufType::Q6_K => q6_k,
        _ => return None,
    };
    let (weights, size) = kind.block();
    let mut out = Vec::with_capacity(bytes.len() / size as usize * weights as usize);
    bytes.chunks_exact(size as usize).for_each(|bytes| block(bytes, &mut out));
    Some(out)
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// 16 bytes hold the low 4 bits of 32 weights, the first half of them in the low nibbles; bit i of `fifth` is weight
/// i's fifth.
fn nibbles(packed: &[u8], fifth: u32, out: &mut Vec<f32>, value: impl Fn(u32) -> f32) {
    let weight = |index: usize| {
        let low = u32::from(packed[index % 16]) >> (index / 16 * 4) & 0xF;
        value(low | (fifth >> index & 1) << 4)
    };
    out.extend((0..32).map(weight));
}

/// 16 groups of 16 weights of 2 bits; a group's scale and minimum have 4 bits each.
fn q2_k(block: &[u8], out: &mut Vec<f32>) {
    let (scales, packed, scale, minimum) = (&block[..16], &block[16..80], half_at(block, 80), half_at(block, 82));
    for (group, byte) in scales.iter().enumerate() {
        let factor = scale * f32::from(byte & 0xF);
        let offset = minimum * f32::from(byte >> 4);
        out.extend(two_bits(packed, group).map(|q| factor * f32::from(q) - offset));
    }
}

/// 16 groups of 16 weights of 3 bits, whose third bits stand apart; a group's scale has 6 bits.
fn q3_k(block: &[u8], out: &mut Vec<f32>) {
    let (third, packed, scales, scale) = (&block[..32], &block[32..96], &block[96..108], half_at(block, 108));
    for group in 0..16 {
        let low = scales[group % 8] >> (group / 8 * 4) & 0xF;
        let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let factor = scale * (f32::from(low | high << 4) - 32.0);
        let third = third[group % 2 * 16..].iter().map(|byte| byte >> (group / 2) & 1);
        out.extend(two_bits(packed, group).zip(third).map(|(q, third)| factor * (f32::from(q | third << 2) - 4.0)));
    }
}

/// The 16 two-bit weights of `group`: 32 bytes hold eight groups, two side by side at each bit position.
fn two_bits(packed: &[u8], group: usize) -> impl Iterator<Item = u8> {
    let start = group / 8 * 32 + group % 2 * 16;
    packed[start..start + 16].iter().map(move |byte| byte >> (group % 8 / 2 * 2) & 3)
}

/// 8 groups of 32 weights of 4 bits, or 5 where `fifth` holds the fifth bits; scales and minima have 6 bits.
fn q4_or_q5_k(block: &[u8], fifth: Option<&[u8]>, packed: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    for group in 0..8 {
        let (low, high) = match group {
            0..4 => (scales[group] & 63, scales[group + 4] & 63),
            _ => (
                scales[group + 4] & 0xF | scales[group - 4] >> 6 << 4,
                scales[group + 4] >> 4 | scales[group] >> 6 << 4,
            ),
        };
        let (factor, offset) = (scale * f32::from(low), minimum * f32::from(high));
        let start = group / 2 * 32;
        out.extend(packed[start..start + 32].iter().enumerate().map(|(index, byte)| {
            let fifth = fifth.map_or(0, |fifth| fifth[index] >> group & 1);
            factor * f32::from(byte >> (group % 2 * 4) & 0xF | fifth << 4) - offset
        }));
    }
}

/// 16 groups of 16 weights of 6 bits, the low 4 and the high 2 apart; a group's scale is a signed byte.
fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales, scale) = (&block[..128], &block[128..192], &block[192..208], half_at(block, 208));
    for index in 0..256 {
        // Each half of the block has 64 bytes of low bits and 32 of high bits.
        let (half, within) = (index / 128, index % 128);
        let low = low[half * 64 + within % 64] >> (within / 64 * 4) & 0xF;
        let high = high[half * 32 + within % 32] >> (within / 32 * 2) & 3;
        let group_scale = f32::from(scales[index / 16] as i8);
        out.push(scale * group_scale * (f32::from(low | high << 4) - 32.0));
    }
}
