//! Calls into the backend: errors and panics become one kind of failure, in words for a person.

use super::BackendError;
use crate::protocol::SessionError;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a call into the backend gave nothing.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// What the backend said.
    words: String,
    /// Whether it panicked: then the rows of the call, and maybe the model, are in an unknown state.
    pub panicked: bool,
}

impl Failure {
    /// The backend gave fewer outputs than rows.
    pub fn missing_output() -> Self {
        Self { words: "the model gave no token for this session".into(), panicked: false }
    }

    /// What the affected session tells its reader.
    pub fn session_error(&self) -> SessionError {
        SessionError(if self.panicked {
            format!("the model failed unexpectedly ({}); load the model again if other sessions fail too", self.words)
        } else {
            self.words.clone()
        })
    }
}

/// Runs `call`; a panic in it is caught.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, BackendError>) -> Result<T, Failure> {
    // What the call has left half done is dropped with the sessions that took part in it.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure { words: error.to_string(), panicked: false }),
        Err(panic) => Err(Failure { words: panic_words(panic.as_ref()), panicked: true }),
    }
}

/// What a panic said.
pub(super) fn panic_words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()))
        .unwrap_or_else(|| "no reason given".to_owned())
}
