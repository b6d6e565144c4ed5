//! The tensor list of GGUF: name, shape, type and place of each.

use super::reader::{Problem, Reader};
use std::io::Read;

/// The only alignment that MLX's reader honours, in bytes.
pub(super) const ALIGNMENT: u64 = 32;

/// One tensor of a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its shape, outermost axis first (the file has it the other way round).
    pub shape: Vec<u64>,
    /// How its elements are stored.
    pub kind: GgufType,
    /// Bytes from the start of the data to its first byte.
    offset: u64,
}

impl GgufTensor {
    const MAX_AXES: u32 = 4;

    /// How many weights it holds.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Bytes of its data.
    pub fn bytes(&self) -> u64 {
        let (per_block, bytes) = self.kind.block();
        self.elements() / per_block * bytes
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether its bytes lie within a file of `size` bytes whose data begins at `data_start`.
    pub(super) fn check_place(&self, data_start: u64, size: u64) -> Result<(), Problem> {
        if !self.offset.is_multiple_of(ALIGNMENT) {
            return Err(format!("begins at {}, not at a multiple of {ALIGNMENT}", self.offset));
        }
        match data_start.checked_add(self.offset).and_then(|start| start.checked_add(self.bytes())) {
            Some(end) if end <= size => Ok(()),
            _ => Err(format!("goes beyond the file's end at {size} bytes")),
        }
    }
}

/// Reads one entry of the tensor list.
pub(super) fn read<R: Read>(reader: &mut Reader<R>) -> Result<(String, GgufTensor), Problem> {
    let name = reader.text()?;
    let axes = reader.u32()?;
    if !(1..=GgufTensor::MAX_AXES).contains(&axes) {
        return Err(format!("the tensor {name} has {axes} axes"));
    }
    let mut shape = (0..axes).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()?;
    let number = reader.u32()?;
    let kind =
        GgufType::from_number(number).ok_or_else(|| format!("the tensor {name} has the unknown type {number}"))?;
    let offset = reader.u64()?;

    let (per_block, bytes) = kind.block();
    let elements = shape.iter().try_fold(1u64, |product, axis| product.checked_mul(*axis));
    // Below this limit no size in bytes exceeds a u64 later on.
    if !elements.is_some_and(|elements| elements > 0 && elements < u64::MAX / bytes) {
        return Err(format!("the tensor {name} has the impossible shape {shape:?}"));
    }
    if shape[0] % per_block != 0 {
        return Err(format!("the rows of the tensor {name} have {} weights, not a multiple of {per_block}", shape[0]));
    }
    shape.reverse();
    Ok((name, GgufTensor { shape, kind, offset }))
}

macro_rules! gguf_types {
    ($($number:literal $variant:ident $name:literal $per_block:literal $bytes:literal)*) => {
        /// How a tensor's elements are stored: ggml's own names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types, missing_docs)]
        pub enum GgufType { $($variant),* }

        impl GgufType {
            fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// ggml's name, as in file names.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Weights in a block, and the bytes that a block takes.
            pub fn block(self) -> (u64, u64) {
                match self { $(Self::$variant => ($per_block, $bytes)),* }
            }
        }
    };
}

gguf_types! {
    0 F32 "F32" 1 4
    1 F16 "F16" 1 2
    2 Q4_0 "Q4_0" 32 18
    3 Q4_1 "Q4_1" 32 20
    6 Q5_0 "Q5_0" 32 22
    7 Q5_1 "Q5_1" 32 24
    8 Q8_0 "Q8_0" 32 34
    9 Q8_1 "Q8_1" 32 36
    10 Q2_K "Q2_K" 256 84
    11 Q3_K "Q3_K" 256 110
    12 Q4_K "Q4_K" 256 144
    13 Q5_K "Q5_K" 256 176
    14 Q6_K "Q6_K" 256 210
    15 Q8_K "Q8_K" 256 292
    16 IQ2_XXS "IQ2_XXS" 256 66
    17 IQ2_XS "IQ2_XS" 256 74
    18 IQ3_XXS "IQ3_XXS" 256 98
    19 IQ1_S "IQ1_S" 256 50
    20 IQ4_NL "IQ4_NL" 32 18
    21 IQ3_S "IQ3_S" 256 110
    22 IQ2_S "IQ2_S" 256 82
    23 IQ4_XS "IQ4_XS" 256 136
    24 I8 "I8" 1 1
    25 I16 "I16" 1 2
    26 I32 "I32" 1 4
    27 I64 "I64" 1 8
    28 F64 "F64" 1 8
    29 IQ1_M "IQ1_M" 256 56
    30 BF16 "BF16" 1 2
    34 TQ1_0 "TQ1_0" 256 54
    35 TQ2_0 "TQ2_0" 256 66
    39 MXFP4 "MXFP4" 32 17
}

impl GgufType {
    /// The types that MLX's GGUF loader takes as they are. It reads no bf16, and knows no types beyond its own table.
    pub const NATIVE: [Self; 5] = [Self::F32, Self::F16, Self::Q4_0, Self::Q4_1, Self::Q8_0];

    /// The types whose blocks are unpacked here. MLX gets the K types wrong or refuses the file.
    pub const CONVERTED: [Self; 8] =
        [Self::BF16, Self::Q5_0, Self::Q5_1, Self::Q2_K, Self::Q3_K, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    /// Whether it can be loaded, by MLX or converted.
    pub fn is_loadable(self) -> bool {
        self.is_native() || Self::CONVERTED.contains(&self)
    }

    /// Whether MLX loads it as it is.
    pub fn is_native(self) -> bool {
        Self::NATIVE.contains(&self)
    }
}
