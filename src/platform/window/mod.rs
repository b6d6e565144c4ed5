//! What differs between macOS and Linux around the window.
//!
//! All code for macOS alone lies in `macos/`; `linux.rs` has the same functions. A start goes so:
//! [`SingleInstance::claim`] → [`receive_files`] → the window opens → `gpu_problem`, [`MenuBar::install`].

mod instance;
mod menu;

#[cfg(not(target_os = "macos"))]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos/mod.rs"]
mod system;

pub use instance::{InstanceError, SingleInstance, Start};
pub use menu::{Entry, MENUS, MenuCommand, Shortcut, Standard};
pub use system::{
    MenuBar, MenuError, RENDERER, is_drawn_by_software, receive_files, runtime_folder, show_in_file_manager,
    show_problem,
};
