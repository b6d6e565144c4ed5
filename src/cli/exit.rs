//! The process's exit codes, as `--help` lists them.

/// Some session failed.
pub(super) const FAILED: u8 = 1;
/// Nothing could start.
pub(super) const NOT_STARTED: u8 = 2;
/// Stopped by Ctrl-C; what shells expect.
pub(super) const INTERRUPTED: u8 = 130;
