//! Event, of the legacy group and of `events.k8s.io`: one collection, two forms whose fields have other names.

use serde_json::{Value, json};

use super::event_validation::{validate_core, validate_new, validate_update};
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::names::GroupVersionKind;
use crate::resources::print::{int, or, since};
use crate::resources::tree::{fill, is_zero};
use crate::resources::{Behaviour, Kind, Moment, SelectableField};

/// The legacy form, which is the stored one.
pub(in crate::resources) struct CoreEvent;

/// The form of `events.k8s.io`.
pub(in crate::resources) struct EventsEvent;

/// Names of the same field in the legacy group and in `events.k8s.io`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

macro_rules! about {
    ($prefix:literal, $key:literal) => {
        SelectableField { name: concat!($prefix, ".", $key), read: |e| involved(e, $key).to_owned(), indexed: false }
    };
}

const CORE_FIELDS: &[SelectableField] = &[
    about!("involvedObject", "kind"),
    about!("involvedObject", "namespace"),
    about!("involvedObject", "name"),
    about!("involvedObject", "uid"),
    about!("involvedObject", "apiVersion"),
    about!("involvedObject", "resourceVersion"),
    about!("involvedObject", "fieldPath"),
    SelectableField { name: "reason", read: reason, indexed: false },
    SelectableField { name: "reportingComponent", read: |e| reporter(e).to_owned(), indexed: false },
    SelectableField { name: "source", read: source, indexed: false },
    SelectableField { name: "type", read: kind, indexed: false },
];

const EVENTS_FIELDS: &[SelectableField] = &[
    about!("regarding", "kind"),
    about!("regarding", "namespace"),
    about!("regarding", "name"),
    about!("regarding", "uid"),
    about!("regarding", "apiVersion"),
    about!("regarding", "resourceVersion"),
    about!("regarding", "fieldPath"),
    SelectableField { name: "reason", read: reason, indexed: false },
    SelectableField { name: "reportingController", read: |e| reporter(e).to_owned(), indexed: false },
    SelectableField { name: "type", read: kind, indexed: false },
];

impl Behaviour for CoreEvent {
    fn validated_by_hand(&self) -> bool {
        true
    }

    /// The legacy form checks no names.
    fn name_errors(&self, _: &str, _: bool) -> Vec<String> {
        Vec::new()
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_core(object)
    }

    fn fields(&self) -> &'static [SelectableField] {
        CORE_FIELDS
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(event_cells(object, moment))
    }

    fn convert(&self, object: &mut Object, to: &GroupVersionKind) {
        rename(object, to);
    }
}

impl Behaviour for EventsEvent {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_new(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_update(new, old)
    }

    fn fields(&self) -> &'static [SelectableField] {
        EVENTS_FIELDS
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(event_cells(object, moment))
    }

    fn convert(&self, object: &mut Object, to: &GroupVersionKind) {
        rename(object, to);
    }
}

fn rename(object: &mut Object, to: &GroupVersionKind) {
    let from = object.gvk().group;
    if from == to.group {
        return;
    }
    let to_core = to.group.is_empty();
    for (core, events) in RENAMED {
        let (from, to) = if to_core { (events, core) } else { (core, events) };
        if let Some(value) = object.root_mut().remove(from).filter(|value| !is_zero(value)) {
            object.root_mut().insert(to.to_owned(), value);
        }
    }
    // The newer form leaves them out, the legacy one does not.
    if to_core {
        for key in ["reportingComponent", "reportingInstance"] {
            fill(object.root_mut(), key, "");
        }
    } else if object.text_at(&["reportingInstance"]).is_empty() {
        object.remove(&["reportingInstance"]);
    }
}

/// A field by its legacy name, in whichever form the object is.
pub(super) fn field<'a>(event: &'a Object, name: &str) -> Option<&'a Value> {
    let renamed = RENAMED.iter().find(|(core, _)| *core == name).map(|(_, events)| *events);
    event.get(&[name]).or_else(|| event.get(&[renamed?]))
}

pub(super) fn text<'a>(event: &'a Object, name: &str) -> &'a str {
    field(event, name).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn involved<'a>(event: &'a Object, key: &str) -> &'a str {
    field(event, "involvedObject").and_then(|o| o.get(key)).and_then(Value::as_str).unwrap_or("")
}

fn source_part<'a>(event: &'a Object, key: &str) -> &'a str {
    field(event, "source").and_then(|o| o.get(key)).and_then(Value::as_str).unwrap_or("")
}

fn reporter(event: &Object) -> &str {
    text(event, "reportingComponent")
}

fn reason(event: &Object) -> String {
    event.text_at(&["reason"]).to_owned()
}

fn kind(event: &Object) -> String {
    event.text_at(&["type"]).to_owned()
}

fn source(event: &Object) -> String {
    or(source_part(event, "component"), reporter(event))
}

/// Last Seen, Type, Reason, Object, Subobject, Source, Message, First Seen, Count, Name.
fn event_cells(event: &Object, moment: &Moment) -> Vec<Value> {
    let first = since(&or(text(event, "firstTimestamp"), event.text_at(&["eventTime"])), moment);
    let last = text(event, "lastTimestamp");
    let mut last = if last.is_empty() { first.clone() } else { since(last, moment) };
    let mut count = field(event, "count").and_then(Value::as_i64).unwrap_or(0).max(0);
    if event.get(&["series"]).is_some() {
        last = since(event.text_at(&["series", "lastObservedTime"]), moment);
        count = int(event, &["series", "count"]);
    } else if count == 0 {
        // Events of the newer form are counted in their series only.
        count = 1;
    }
    let target = involved(event, "kind").to_lowercase();
    let target = match involved(event, "name") {
        "" => target,
        name => format!("{target}/{name}"),
    };
    let instance = or(source_part(event, "host"), event.text_at(&["reportingInstance"]));
    let source = source(event);
    let source = if instance.is_empty() { source } else { format!("{source}, {instance}") };
    vec![
        json!(last),
        json!(event.text_at(&["type"])),
        json!(event.text_at(&["reason"])),
        json!(target),
        json!(involved(event, "fieldPath")),
        json!(source),
        json!(text(event, "message").trim()),
        json!(first),
        json!(count),
        json!(event.name()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_convert_into_each_other() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod", "name": "p"}, "message": "m",
            "count": 2, "reportingComponent": "c", "reportingInstance": "", "reason": "r"});
        let mut event = Object::from_value(core.clone()).unwrap();
        let newer = GroupVersionKind::of("events.k8s.io", "v1", "Event");
        CoreEvent.convert(&mut event, &newer);
        event.set_gvk(&newer);
        assert_eq!(event.text_at(&["note"]), "m");
        assert_eq!(event.text_at(&["regarding", "name"]), "p");
        let older = GroupVersionKind::of("", "v1", "Event");
        EventsEvent.convert(&mut event, &older);
        event.set_gvk(&older);
        assert_eq!(event.into_value(), core);
    }
}
