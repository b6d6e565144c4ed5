//! What differs between macOS and Linux: the same functions for both. Imports nothing of this crate.
//!
//! `linux.rs` and `macos.rs` have what every build needs, `window/` what is around the window.

mod gpu;
#[cfg(feature = "window")]
mod window;

#[cfg(not(target_os = "macos"))]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;

pub use gpu::{GpuProblem, missing_kernels};
pub use system::{gpu_problem, log_folder};
#[cfg(feature = "window")]
pub use window::{
    Entry, InstanceError, MENUS, MenuBar, MenuCommand, MenuError, RENDERER, Shortcut, SingleInstance, Standard, Start,
    is_drawn_by_software, receive_files, runtime_folder, show_in_file_manager, show_problem,
};
