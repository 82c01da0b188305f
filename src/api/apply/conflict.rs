//! Conflicts of an apply, in upstream's words.

use super::managed::{Entry, Operation};
use super::set::FieldPath;
use crate::api::field::go_quote;
use crate::api::status::{Cause, Status};

/// A field that another manager owns.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    /// Name, operation, version and subresource: the order in which conflicts are told.
    pub manager: (String, Operation, String, String),
    pub path: FieldPath<'static>,
}

impl Conflict {
    /// A field of an entry.
    pub(super) fn new(entry: &Entry<'_>, path: &FieldPath<'_>) -> Self {
        let manager = entry.manager;
        Self {
            manager: (
                manager.name.to_owned(),
                manager.operation,
                entry.api_version.to_owned(),
                manager.subresource.to_owned(),
            ),
            path: FieldPath(path.0.iter().cloned().map(super::Element::into_owned).collect()),
        }
    }

    /// Where the conflict is told among others: upstream sorts the texts of managers, in which a subresource comes before
    /// the end.
    fn place(&self) -> impl Ord {
        let (name, operation, version, subresource) = &self.manager;
        (name, operation, version, subresource.is_empty(), subresource)
    }

    /// `"kubectl" using apps/v1`; appliers without the version.
    fn manager_text(&self) -> String {
        let (name, operation, version, subresource) = &self.manager;
        let mut out = go_quote(name);
        if !subresource.is_empty() {
            out.push_str(&format!(" with subresource {}", go_quote(subresource)));
        }
        if *operation == Operation::Update {
            out.push_str(&format!(" using {version}"));
        }
        out
    }
}

/// 409 with one cause for each field. The conflicts are sorted by manager.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let causes = conflicts.iter().map(|conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", conflict.manager_text()),
        field: conflict.path.to_string(),
    });
    Status::apply_conflict(causes.collect(), message(conflicts))
}

fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager_text(), one.path);
    }
    let mut lines = Vec::with_capacity(conflicts.len() + 1);
    let mut sorted: Vec<&Conflict> = conflicts.iter().collect();
    sorted.sort_by(|a, b| a.place().cmp(&b.place()));
    for group in sorted.chunk_by(|a, b| a.manager == b.manager) {
        lines.extend(group.first().map(|first| format!("conflicts with {}:", first.manager_text())));
        lines.extend(group.iter().map(|conflict| format!("- {}", conflict.path)));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
