//! Server-side apply.

use super::scope::{Conflicts, Scope, Writer};
use crate::api::object::Object;
use crate::api::status::{Result, Status};

/// Applies a configuration: merges it into the stored object (`None`: creates), takes away what the manager applied
/// before and applies no more, and records ownership. The result is not defaulted yet.
///
/// # Errors
/// 409 with a cause for each field that another manager owns, unless forced; 400 and 500 with upstream's words for a
/// configuration that is not one.
pub fn apply(
    scope: &Scope<'_>,
    live: Option<&Object>,
    config: Object,
    (writer, conflicts): (&Writer<'_>, Conflicts),
) -> Result<Object> {
    let _ = (scope, live, config, writer, conflicts);
    Err(Status::internal("server-side apply is not there yet"))
}
