//! Where the hub is and what it may use: plain settings, from the environment that all Hugging Face programs share.

use super::Token;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, io};

/// Settings of a [`super::Hub`].
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The hub's address; none is hf-hub's own choice: `HF_ENDPOINT`, else the public hub.
    pub endpoint: Option<String>,
    /// The cache's folder; none is hf-hub's own choice: `HF_HUB_CACHE`, `$HF_HOME/hub`, `~/.cache/huggingface/hub`.
    pub cache: Option<PathBuf>,
    /// The access token, where there is one.
    pub token: Option<Token>,
    /// Asks the system's keychain for a token; called only where the hub wants one and `token` is none.
    pub kept_token: fn() -> Option<Token>,
    /// Whether the network is left alone.
    pub offline: bool,
    /// The pause before the first retry; each further one is twice as long.
    pub first_retry: Duration,
    /// Bytes that the disk of a path has left.
    pub free_bytes: fn(&Path) -> io::Result<u64>,
}

impl HubSettings {
    /// `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE` as other programs read them.
    pub fn from_environment() -> Self {
        let offline = env::var("HF_HUB_OFFLINE").unwrap_or_default();
        Self {
            endpoint: None,
            cache: None,
            token: Token::from_environment(),
            kept_token: Token::from_keychain,
            offline: matches!(offline.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"),
            first_retry: Duration::from_millis(500),
            free_bytes: |path| fs4::available_space(path),
        }
    }
}
