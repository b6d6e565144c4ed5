//! The access token of the hub: from the environment, the standard token file or the system's keychain. Never shown.

use super::HubError;
use std::fmt;
use std::path::PathBuf;

/// An access token. Neither `Debug` nor an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    const SERVICE: &'static str = "LLMEval";
    const USER: &'static str = "huggingface-token";

    /// Takes what a person entered; none where that is empty or can't be a token.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.chars().all(|character| character.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// `HF_TOKEN`, else the file at `HF_TOKEN_PATH`, else the file `token` in the Hugging Face folder.
    pub fn from_environment() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        let file = |path: PathBuf| std::fs::read_to_string(path).ok();
        variable("HF_TOKEN")
            .and_then(|text| Self::new(&text))
            .or_else(|| Self::new(&file(variable("HF_TOKEN_PATH")?.into())?))
            .or_else(|| Self::new(&file(hf_hub::hf_home().join("token"))?))
    }

    /// The token that [`Token::keep`] put into the system's keychain. Blocks: the system may ask the person first.
    pub fn from_keychain() -> Option<Self> {
        let text = keyring::Entry::new(Self::SERVICE, Self::USER).and_then(|entry| entry.get_password()).ok()?;
        Self::new(&text)
    }

    /// Keeps the token in the system's keychain. Blocks, as all of the keychain.
    pub fn keep(&self) -> Result<(), HubError> {
        keyring::Entry::new(Self::SERVICE, Self::USER)
            .and_then(|entry| entry.set_password(&self.0))
            .map_err(|error| HubError::Keychain(error.to_string()))
    }

    /// Removes the token from the system's keychain; there may be none.
    pub fn forget() -> Result<(), HubError> {
        match keyring::Entry::new(Self::SERVICE, Self::USER).and_then(|entry| entry.inner.delete_credential()) {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(HubError::Keychain(error.to_string())),
        }
    }

    /// For a request's header only.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}
