//! Where logs go: to stderr.

use std::io;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging on stderr: errors only, unless `RUST_LOG` says otherwise.
pub(super) fn start() {
    tracing_subscriber::registry().with(to_stderr()).init();
}

/// The layer that writes to stderr.
pub(super) fn to_stderr<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::ERROR.into()).from_env_lossy();
    tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(filter)
}
