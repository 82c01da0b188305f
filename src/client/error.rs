//! What a client could not do: an answer of the API server that is an error, or no answer.

use serde::Deserialize;

/// A request that did not succeed.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    #[error("{}", .0.message)]
    Api(Box<ApiError>),
    #[error("the API server could not be reached")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer of the API server could not be read")]
    Decode(#[from] serde_json::Error),
    #[error("the answer is longer than {limit} bytes")]
    TooLong { limit: usize },
}

/// The parts of a `Status` that clients decide by.
#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, rename_all = "camelCase")]
pub struct ApiError {
    pub code: u16,
    pub reason: String,
    pub message: String,
    details: Details,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl ApiError {
    /// From a body; an unreadable one becomes the message.
    pub(super) fn read(code: u16, body: &[u8]) -> Self {
        let mut error = serde_json::from_slice::<Self>(body)
            .unwrap_or_else(|_| Self { message: String::from_utf8_lossy(body).into_owned(), ..Self::default() });
        error.code = code;
        error
    }

    /// Seconds that the server asks to wait; 0 when it does not say.
    pub fn retry_after_seconds(&self) -> u64 {
        self.details.retry_after_seconds
    }
}

impl Error {
    /// The HTTP status of the answer; 0 without an answer.
    pub fn code(&self) -> u16 {
        match self {
            Self::Api(error) => error.code,
            Self::Transport(_) | Self::Decode(_) | Self::TooLong { .. } => 0,
        }
    }

    /// The `reason` of the answer.
    pub fn reason(&self) -> &str {
        match self {
            Self::Api(error) => &error.reason,
            Self::Transport(_) | Self::Decode(_) | Self::TooLong { .. } => "",
        }
    }

    /// The object is not there.
    pub fn not_found(&self) -> bool {
        self.code() == 404
    }

    /// The object changed meanwhile, or a precondition does not hold.
    pub fn conflict(&self) -> bool {
        self.code() == 409 && self.reason() != "AlreadyExists"
    }

    /// An object of that name is there.
    pub fn already_exists(&self) -> bool {
        self.code() == 409 && self.reason() == "AlreadyExists"
    }

    /// The revision asked for is no longer kept.
    pub fn expired(&self) -> bool {
        self.code() == 410
    }

    /// The namespace is being deleted, so nothing can be created in it.
    pub fn namespace_terminating(&self) -> bool {
        match self {
            Self::Api(error) => error.details.causes.iter().any(|c| c.reason == "NamespaceTerminating"),
            Self::Transport(_) | Self::Decode(_) | Self::TooLong { .. } => false,
        }
    }
}
