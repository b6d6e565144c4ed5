//! The C boundary: a CUDA kernel that MLX compiles when it is first used, as an operation of its graph.

use mlx_rs::error::{Exception, Result};
use mlx_rs::{Array, Dtype, StreamOrDevice};
use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString};
use std::hash::{Hash, Hasher};
use std::os::raw::c_int;
use std::path::PathBuf;
use std::{env, fs};

/// A kernel's source and what it is called with.
pub(super) struct Source {
    /// Unique among kernels.
    pub name: &'static CStr,
    /// Names of the inputs; a source that says `x_shape` or `x_strides` gets these too.
    pub inputs: &'static [&'static CStr],
    /// The output's name.
    pub output: &'static CStr,
    /// Templates and functions.
    pub headers: &'static [&'static str],
    /// The kernel's body.
    pub body: &'static CStr,
    /// Whether inputs that don't lie row by row are copied first.
    pub contiguous: bool,
}

/// A constant that the kernel is compiled with.
#[derive(Clone, Copy)]
pub(super) enum Constant {
    Number(i32),
    Type(Dtype),
}

/// How many blocks there are, and how many threads each has.
pub(super) struct Grid {
    pub blocks: [i32; 2],
    pub threads: i32,
}

/// A kernel, compiled when it is first used. It stays on the thread that made it.
#[derive(Debug)]
pub(super) struct Kernel(mlx_sys::mlx_fast_cuda_kernel);

impl Kernel {
    pub fn new(source: &Source) -> Self {
        let header = header(source);
        let mut inputs: Vec<_> = source.inputs.iter().map(|name| name.as_ptr()).collect();
        let mut outputs = [source.output.as_ptr()];
        // SAFETY: the vectors hold valid C strings, which MLX copies; they are freed once and used no more.
        unsafe {
            let inputs = mlx_sys::mlx_vector_string_new_data(inputs.as_mut_ptr(), inputs.len());
            let outputs = mlx_sys::mlx_vector_string_new_data(outputs.as_mut_ptr(), outputs.len());
            let (body, header) = (source.body.as_ptr(), header.as_ptr());
            let name = source.name.as_ptr();
            let kernel = mlx_sys::mlx_fast_cuda_kernel_new(name, inputs, outputs, body, header, source.contiguous, 0);
            mlx_sys::mlx_vector_string_free(inputs);
            mlx_sys::mlx_vector_string_free(outputs);
            Self(kernel)
        }
    }

    /// The kernel's output, of `shape` and `dtype`.
    pub fn apply(
        &self,
        inputs: &[&Array],
        constants: &[(&CStr, Constant)],
        grid: &Grid,
        shape: &[i32],
        dtype: Dtype,
    ) -> Result<Array> {
        let handles: Vec<_> = inputs.iter().map(|input| input.as_ptr()).collect();
        let stream = StreamOrDevice::default();
        let threads = [grid.blocks[0] * grid.threads, grid.blocks[1]];
        // SAFETY: all handles are valid as long as they are used: MLX copies those of the inputs, and what is made here
        // is freed here, but for the output, which becomes the array's own.
        unsafe {
            let config = mlx_sys::mlx_fast_cuda_kernel_config_new();
            let mut status =
                mlx_sys::mlx_fast_cuda_kernel_config_add_output_arg(config, shape.as_ptr(), shape.len(), dtype.into());
            status |= mlx_sys::mlx_fast_cuda_kernel_config_set_grid(config, threads[0], threads[1], 1);
            status |= mlx_sys::mlx_fast_cuda_kernel_config_set_thread_group(config, grid.threads, 1, 1);
            for (name, constant) in constants {
                status |= add_constant(config, name, *constant);
            }
            let handles = mlx_sys::mlx_vector_array_new_data(handles.as_ptr(), handles.len());
            let mut outputs = mlx_sys::mlx_vector_array_new();
            status |=
                mlx_sys::mlx_fast_cuda_kernel_apply(&mut outputs, self.0, handles, config, stream.as_ref().as_ptr());
            let mut output = mlx_sys::mlx_array_new();
            if status == 0 {
                status = mlx_sys::mlx_vector_array_get(&mut output, outputs, 0);
            }
            mlx_sys::mlx_vector_array_free(outputs);
            mlx_sys::mlx_vector_array_free(handles);
            mlx_sys::mlx_fast_cuda_kernel_config_free(config);
            let output = Array::from_ptr(output);
            if status == 0 { Ok(output) } else { Err(Exception::custom("a CUDA kernel could not be set up")) }
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's own.
        unsafe { mlx_sys::mlx_fast_cuda_kernel_free(self.0) };
    }
}

/// The kernel's templates and functions. MLX copies and hashes a kernel's source with every call, so it is made short: it
/// includes them from a file, or where that can't be written, holds them without what the compiler doesn't read.
fn header(source: &Source) -> CString {
    let lines = source.headers.iter().flat_map(|header| header.lines()).map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    let header = match write_header(&source.name.to_string_lossy(), &text) {
        Some(path) if !text.is_empty() => format!("#include \"{path}\"\n"),
        _ => text,
    };
    // What has no zeros before has none afterwards.
    CString::new(header).unwrap_or_default()
}

/// Writes a header below the person's cache folder, where it stays for the next run, and says where it is.
fn write_header(name: &str, text: &str) -> Option<String> {
    let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let folder = caches.join("llmeval").join("kernels");
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let path = folder.join(format!("{name}-{:016x}.cuh", hasher.finish()));
    if fs::read_to_string(&path).ok().as_deref() != Some(text) {
        fs::create_dir_all(&folder).ok()?;
        let draft = folder.join(format!("{name}-{}.draft", std::process::id()));
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).ok()?;
    }
    let path = path.into_os_string().into_string().ok()?;
    (path.starts_with('/') && !path.contains(['"', '\n'])).then_some(path)
}

/// # Safety
///
/// `config` must be a valid handle.
unsafe fn add_constant(config: mlx_sys::mlx_fast_cuda_kernel_config, name: &CStr, constant: Constant) -> c_int {
    // SAFETY: MLX copies the name.
    unsafe {
        match constant {
            Constant::Number(number) => {
                mlx_sys::mlx_fast_cuda_kernel_config_add_template_arg_int(config, name.as_ptr(), number)
            }
            Constant::Type(dtype) => {
                mlx_sys::mlx_fast_cuda_kernel_config_add_template_arg_dtype(config, name.as_ptr(), dtype.into())
            }
        }
    }
}

/// Whether MLX computes on an NVIDIA GPU.
pub(super) fn is_available() -> bool {
    let mut available = false;
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { mlx_sys::mlx_cuda_is_available(&mut available) };
    status == 0 && available
}
