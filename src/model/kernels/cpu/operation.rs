//! The C boundary: work in Rust as an operation of MLX's graph (tools/linux/operation.cpp).

use super::operand::{Numbers, Operand};
use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use std::ffi::{c_int, c_void};

/// What an operation computes.
pub trait Work: Send + Sync + 'static {
    /// Writes `output` from the inputs. It lies row by row.
    fn compute(&self, inputs: &[Operand<'_>], output: Numbers);
}

#[repr(C)]
struct RawWork {
    work: *mut c_void,
    compute: extern "C" fn(*const c_void, *const RawOperand, usize, *const RawOperand),
    drop: extern "C" fn(*mut c_void),
}

#[repr(C)]
struct RawOperand {
    data: *mut c_void,
    shape: *const i32,
    strides: *const i64,
    dimensions: usize,
}

unsafe extern "C" {
    fn llmeval_operation(
        result: *mut mlx_sys::mlx_array,
        inputs: *const mlx_sys::mlx_array,
        count: usize,
        shape: *const i32,
        dimensions: usize,
        work: RawWork,
    ) -> c_int;
}

/// The f32 array of `shape` that `work` computes from the inputs, all of them f32, once it is wanted.
pub fn operation<W: Work>(work: W, inputs: &[&Array], shape: &[i32]) -> Result<Array> {
    let handles: Vec<_> = inputs.iter().map(|input| input.as_ptr()).collect();
    let work = RawWork { work: Box::into_raw(Box::new(work)).cast(), compute: compute::<W>, drop: drop_work::<W> };
    // SAFETY: all handles are valid for the call; the work is MLX's from here on, which drops it.
    unsafe {
        let mut result = mlx_sys::mlx_array_new();
        let status = llmeval_operation(&mut result, handles.as_ptr(), handles.len(), shape.as_ptr(), shape.len(), work);
        let result = Array::from_ptr(result);
        if status == 0 { Ok(result) } else { Err(Exception::custom("an operation could not be set up")) }
    }
}

struct Unwritten;

impl Work for Unwritten {
    fn compute(&self, _inputs: &[Operand<'_>], _output: Numbers) {}
}

/// An f32 array of `shape` whose numbers are whatever its memory holds, which takes none before it is written.
pub fn unwritten(shape: &[i32]) -> Result<Array> {
    operation(Unwritten, &[], shape)
}

extern "C" fn compute<W: Work>(
    work: *const c_void,
    inputs: *const RawOperand,
    count: usize,
    output: *const RawOperand,
) {
    // SAFETY: `operation` made the work; MLX hands over valid arrays, and nobody else has the output yet.
    unsafe {
        let inputs: Vec<Operand<'_>> = std::slice::from_raw_parts(inputs, count)
            .iter()
            .map(|raw| {
                Operand::new(
                    raw.data.cast(),
                    std::slice::from_raw_parts(raw.shape, raw.dimensions),
                    std::slice::from_raw_parts(raw.strides, raw.dimensions),
                )
            })
            .collect();
        (*work.cast::<W>()).compute(&inputs, Numbers::new((*output).data.cast()));
    }
}

extern "C" fn drop_work<W: Work>(work: *mut c_void) {
    // SAFETY: `operation` made it with this type, and MLX drops it once.
    drop(unsafe { Box::from_raw(work.cast::<W>()) });
}
