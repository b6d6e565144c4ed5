//! Why a request failed: for good, with an error for a person, or for now, so that it is worth another try.

use super::HubError;
use hf_hub::HFError;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::error::Error;
use std::time::Duration;

/// A failed request.
pub(super) enum Failure {
    /// Another try can't help.
    Lasting(HubError),
    /// Another try may help, after `wait` where the hub asked for one.
    Passing {
        /// What happened, in words.
        problem: String,
        /// How long the hub asked to wait.
        wait: Option<Duration>,
    },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Lasting(error)
    }
}

impl Failure {
    pub(super) fn passing(problem: impl Into<String>) -> Self {
        Self::Passing { problem: problem.into(), wait: None }
    }
}

/// What one must know of a request to tell what its refusal means.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub id: &'a str,
    /// Whether an access token came with it.
    pub has_token: bool,
}

impl Request<'_> {
    /// Reads hf-hub's error about it.
    pub fn failure(self, error: HFError) -> Failure {
        match error {
            HFError::Http { context } => self.refusal(context.status, None),
            HFError::AuthRequired { context } | HFError::Forbidden { context } => self.refusal(context.status, None),
            HFError::RateLimited { retry_after, context } => self.refusal(context.status, retry_after),
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => {
                self.refusal(StatusCode::NOT_FOUND, None)
            }
            HFError::EntryNotFound { path, .. } => Failure::Lasting(HubError::NotAModel {
                id: self.id.to_owned(),
                problem: format!("the hub lists its file {path} and doesn't have it"),
            }),
            HFError::Request { source, .. } => Failure::passing(innermost(&source)),
            other => Failure::passing(innermost(&other)),
        }
    }

    /// Reads a status that is no success.
    pub fn refusal(self, status: StatusCode, wait: Option<Duration>) -> Failure {
        let id = self.id.to_owned();
        match status.as_u16() {
            401 | 403 if self.has_token => Failure::Lasting(HubError::TokenRefused(id)),
            401 | 403 => Failure::Lasting(HubError::TokenNeeded(id)),
            404 => Failure::Lasting(HubError::NoSuchRepository(id)),
            408 | 429 | 500..=599 => Failure::Passing { problem: format!("the hub answered {status}"), wait },
            _ => Failure::Lasting(HubError::Refused { id, status: status.to_string() }),
        }
    }
}

/// The seconds of a `Retry-After` header.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The cause at the bottom of an error says what happened; what is above it repeats the request's address.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
