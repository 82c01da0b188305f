//! How the pods of a set spread over the cluster.

use serde_json::Value;

use super::affinity::label_keys;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::resources::check::choice;
use crate::resources::tree::{Tree, int, is_set, items, text};

const POSITIVE: &str = "must be greater than zero";

/// `topologySpreadConstraints` of a spec.
pub(super) fn validate(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let all: Vec<&Tree> = items(spec, "topologySpreadConstraints").collect();
    for (i, constraint) in all.iter().enumerate() {
        let at = path.index(i);
        let skew = int(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(&at.child("maxSkew"), skew, POSITIVE));
        }
        let (key, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        if key.is_empty() {
            errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty"));
        }
        choice(errors, action, &at.child("whenUnsatisfiable"), &["DoNotSchedule", "ScheduleAnyway"]);
        let same = |other: &&Tree| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == action;
        if all.iter().skip(i + 1).any(same) {
            let pair = at.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&pair, format!("{{{key}, {action}}}")));
        }
        domains(errors, constraint, action, &at.child("minDomains"));
        for key in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if is_set(constraint, key) {
                choice(errors, text(constraint, key), &at.child(key), &["Honor", "Ignore"]);
            }
        }
        label_keys(errors, constraint, &at);
        if let Some(selector) = constraint.get("labelSelector").filter(|s| !Value::is_null(s)) {
            errors.extend(validate_label_selector(selector, &at.child("labelSelector")));
        }
    }
}

fn domains(errors: &mut Errors, constraint: &Tree, action: &str, path: &Path<'_>) {
    let Some(domains) = int(constraint, "minDomains") else { return };
    if domains <= 0 {
        errors.push(FieldError::invalid(path, domains, POSITIVE));
    }
    if action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(path, domains, detail));
    }
}
