//! What ends an evaluation without a value.

use std::borrow::Cow;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The expression went wrong; `&&` and `||` can make up for it.
    #[error("{0}")]
    Failed(Cow<'static, str>),
    /// It cost more than it may; nothing makes up for that.
    #[error("operation cancelled: actual cost limit exceeded")]
    BudgetExceeded,
}

impl Error {
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(message.into())
    }

    /// No implementation of the function takes these values.
    pub(super) fn no_such_overload() -> Self {
        Self::new("no such overload")
    }

    /// A function does not take these values; the caller puts it into words.
    pub(super) fn refused() -> Self {
        Self::new("the function does not take these values")
    }

    pub(super) fn overflow() -> Self {
        Self::new("integer overflow")
    }

    pub(super) fn unsigned_overflow() -> Self {
        Self::new("unsigned integer overflow")
    }

    pub(super) fn timestamp_overflow() -> Self {
        Self::new("timestamp overflow")
    }
}
