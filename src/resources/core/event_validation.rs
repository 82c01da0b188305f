//! Validation of events. Paths are those of the legacy form, whichever form was sent.

use serde_json::Value;

use super::event::{field, involved, text};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::{immutable, qualified_name};
use crate::resources::tree::is_zero;

const TEXT_BYTES_MAX: usize = 128;
const NOTE_BYTES_MAX: usize = 1024;

/// An event of the legacy group, new or changed.
pub(super) fn validate_core(event: &Object) -> Errors {
    legacy(event, "reportingComponent")
}

/// A new event of `events.k8s.io`.
pub(super) fn validate_new(event: &Object) -> Errors {
    let mut errors = legacy(event, "reportingController");
    series(&mut errors, event);
    if !set(event, "eventTime") {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let kind = event.text_at(&["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    for name in ["firstTimestamp", "lastTimestamp", "count"] {
        if set(event, name) {
            errors.push(FieldError::invalid(&Path::new(name), "", "needs to be unset"));
        }
    }
    let source = field(event, "source").and_then(Value::as_object);
    if source.is_some_and(|s| s.values().any(|v| !is_zero(v))) {
        errors.push(FieldError::invalid(&Path::new("source"), "", "needs to be unset"));
    }
    errors
}

/// A changed event of `events.k8s.io`: only its series goes on.
pub(super) fn validate_update(new: &Object, old: &Object) -> Errors {
    const FIXED: [&str; 14] = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ];
    let mut errors = legacy(new, "reportingController");
    if new.get(&["series"]) != old.get(&["series"]) {
        series(&mut errors, new);
    }
    for name in FIXED {
        let shown = if name == "reportingComponent" { "reportingController" } else { name };
        // Under another name than its own what is unset must say itself that it is a text.
        let unset = || (shown != name).then(|| Value::from(""));
        let given = |event: &'_ Object| field(event, name).filter(|v| !is_zero(v)).cloned().or_else(unset);
        immutable(&mut errors, given(new).as_ref(), given(old).as_ref(), &Path::new(shown));
    }
    errors
}

fn series(errors: &mut Errors, event: &Object) {
    if event.get(&["series"]).is_none() {
        return;
    }
    if event.int_at(&["series", "count"]).unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if event.text_at(&["series", "lastObservedTime"]).is_empty() {
        errors.push(FieldError::required(&Path::new("series.lastObservedTime"), ""));
    }
}

/// What holds for events of every form. Those without a time of their own are of clients older than v1.8.
fn legacy(event: &Object, reporter_field: &str) -> Errors {
    let mut errors = Errors::new();
    let (place, about) = (event.namespace(), involved(event, "namespace"));
    let timed = set(event, "eventTime");
    let elsewhere = match (timed, about) {
        (false, "") => !matches!(place, "" | "default"),
        (false, about) => place != about,
        (true, "") => !matches!(place, "default" | "kube-system"),
        (true, _) => false,
    };
    if elsewhere {
        let path = Path::new("involvedObject");
        errors.push(FieldError::invalid(&path.child("namespace"), about, "does not match event.namespace"));
    }
    if !timed {
        return errors;
    }
    let reporter = text(event, "reportingComponent");
    if reporter.is_empty() {
        errors.push(FieldError::required(&Path::new(reporter_field), ""));
    }
    qualified_name(&mut errors, reporter, &Path::new(reporter_field));
    for name in ["reportingInstance", "action", "reason"] {
        if event.text_at(&[name]).is_empty() {
            errors.push(FieldError::required(&Path::new(name), ""));
        }
        at_most(&mut errors, event.text_at(&[name]), (name, TEXT_BYTES_MAX));
    }
    at_most(&mut errors, text(event, "message"), ("message", NOTE_BYTES_MAX));
    errors
}

fn at_most(errors: &mut Errors, value: &str, (name, max): (&str, usize)) {
    if value.len() > max {
        errors.push(FieldError::invalid(&Path::new(name), "", format!("can have at most {max} characters")));
    }
}

fn set(event: &Object, name: &str) -> bool {
    field(event, name).is_some_and(|value| !is_zero(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    fn event(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn an_event_is_where_its_object_is() {
        let wrong = event(json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}}));
        let expected = ["involvedObject.namespace: Invalid value: \"b\": does not match event.namespace"];
        check_errors(&validate_core(&wrong), &expected);
        check_errors(&validate_core(&event(json!({"metadata": {"namespace": "default"}}))), &[]);
    }

    #[test]
    fn a_newer_event_says_who_reports_what() {
        let bare = event(
            json!({"metadata": {"namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal",
            "reportingController": "c", "reportingInstance": "i", "action": "a"}),
        );
        check_errors(&validate_new(&bare), &["reason: Required value"]);
    }

    #[test]
    fn only_the_series_of_a_newer_event_goes_on() {
        let old = event(json!({"metadata": {"namespace": "default"}, "reason": "a"}));
        let new =
            event(json!({"metadata": {"namespace": "default"}, "reason": "a", "series": {"count": 1}, "note": "n"}));
        check_errors(
            &validate_update(&new, &old),
            &[
                "series.count: Invalid value: \"\": should be at least 2",
                "series.lastObservedTime: Required value",
                "message: Invalid value: \"n\": field is immutable",
            ],
        );
    }
}
