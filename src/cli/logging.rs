//! Logs for whoever looks for a fault: on stderr, `RUST_LOG` says how much.

use std::io;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging: errors only, unless `RUST_LOG` says otherwise.
pub(super) fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::ERROR.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
