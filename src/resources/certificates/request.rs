//! CertificateSigningRequest: nothing of the spec ever changes; approval and status are parts.

use serde_json::{Value, json};

use super::request_validation::{Written, validate, validate_update};
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::request::User;
use crate::api::validation::names::path_segment_object_name;
use crate::resources::part::keep_rest;
use crate::resources::print::{age, human_duration, or_none};
use crate::resources::tree::{Tree, is_zero, items, items_mut, keep, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct CertificateSigningRequest;

const FIELDS: &[SelectableField] = &[SelectableField {
    name: "spec.signerName",
    read: |request| request.text_at(&["spec", "signerName"]).to_owned(),
    indexed: false,
}];

impl Behaviour for CertificateSigningRequest {
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        path_segment_object_name(name, prefix)
    }

    fn resets(&self, subresource: &str) -> Option<&'static [&'static str]> {
        match subresource {
            "status" => Some(&["spec", "status.conditions"]),
            "approval" => Some(&["spec", "status.certificate"]),
            _ => Some(&["spec", "status"]),
        }
    }

    fn stamp_requester(&self, object: &mut Object, user: &User) {
        let spec = object.object_at(&["spec"]);
        for key in ["username", "uid", "groups", "extra"] {
            spec.remove(key);
        }
        let fields = [("username", json!(user.name)), ("uid", json!(user.uid)), ("groups", json!(user.groups))];
        for (key, value) in fields {
            if !is_zero(&value) {
                spec.insert(key.to_owned(), value);
            }
        }
        if !user.extra.is_empty() {
            let extra: Tree = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
            spec.insert("extra".to_owned(), Value::Object(extra));
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        keep(new, old, &["spec"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_update((new, old), Written::Main)
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        match subresource {
            "status" => Some(Part {
                prepare: prepare_status,
                validate: |new, old| validate_update((new, old), Written::Status),
            }),
            "approval" => Some(Part {
                prepare: prepare_approval,
                validate: |new, old| validate_update((new, old), Written::Approval),
            }),
            _ => None,
        }
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let requested = object.int_at(&["spec", "expirationSeconds"]);
        let requested = requested.map(|s| human_duration(jiff::SignedDuration::from_secs(s)));
        Some(vec![
            json!(object.name()),
            json!(age(object, moment)),
            json!(or_none(object.text_at(&["spec", "signerName"]))),
            json!(object.text_at(&["spec", "username"])),
            json!(requested.unwrap_or_else(|| "<none>".to_owned())),
            json!(state(object)),
        ])
    }
}

/// The signer's part: the certificate and its own conditions; approval and denial stay.
fn prepare_status(new: &mut Object, old: &Object, moment: &Moment) {
    keep_rest(new, old);
    let empty = Tree::new();
    let before = old.get(&["status"]).and_then(Value::as_object).unwrap_or(&empty);
    let Some(status) = new.root_mut().get_mut("status").and_then(Value::as_object_mut) else { return };
    for kind in ["Approved", "Denied"] {
        let kept: Vec<Tree> = items(before, "conditions").filter(|c| text(c, "type") == kind).cloned().collect();
        if kept.len() != items(status, "conditions").filter(|c| text(c, "type") == kind).count() {
            // Conditions were added or taken away: validation refuses that.
            continue;
        }
        let present = items_mut(status, "conditions").filter(|c| text(c, "type") == kind);
        for (condition, was) in present.zip(kept) {
            *condition = was;
        }
    }
    stamp_conditions(status, before, moment);
}

/// The approver's part: conditions only.
fn prepare_approval(new: &mut Object, old: &Object, moment: &Moment) {
    keep_rest(new, old);
    let empty = Tree::new();
    let before = old.get(&["status"]).and_then(Value::as_object).unwrap_or(&empty);
    stamp_conditions(new.object_at(&["status"]), before, moment);
    let conditions = new.remove(&["status", "conditions"]);
    keep(new, old, &["status"]);
    match conditions {
        Some(conditions) => new.set(&["status", "conditions"], conditions),
        None => drop(new.remove(&["status", "conditions"])),
    }
}

fn stamp_conditions(status: &mut Tree, before: &Tree, moment: &Moment) {
    for condition in items_mut(status, "conditions") {
        let unset = |c: &Tree, key: &str| c.get(key).is_none_or(is_zero);
        if unset(condition, "lastUpdateTime") {
            condition.insert("lastUpdateTime".to_owned(), json!(moment.seconds()));
        }
        if unset(condition, "lastTransitionTime") {
            let same = |c: &&Tree| ["type", "status"].iter().all(|key| text(c, key) == text(condition, key));
            let was = items(before, "conditions").find(|c| same(c) && !unset(c, "lastTransitionTime"));
            let time = was.map_or_else(|| moment.seconds(), |c| text(c, "lastTransitionTime").to_owned());
            condition.insert("lastTransitionTime".to_owned(), json!(time));
        }
    }
}

fn state(object: &Object) -> String {
    let has = |kind: &str| list(object, &["status", "conditions"]).any(|c| text(c, "type") == kind);
    let decision = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if object.text_at(&["status", "certificate"]).is_empty() { "" } else { ",Issued" };
    format!("{decision}{failed}{issued}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_stamped_and_touches_conditions_alone() {
        let moment = Moment { now: "2026-01-01T00:00:00Z".parse().unwrap() };
        let old = Object::from_value(json!({"spec": {"request": "x"}, "status": {"certificate": "c"}})).unwrap();
        let given = json!({"spec": {"request": "y"}, "status": {"certificate": "d", "conditions": [{"type": "Approved", "status": "True"}]}});
        let mut new = Object::from_value(given).unwrap();
        prepare_approval(&mut new, &old, &moment);
        let time = "2026-01-01T00:00:00Z";
        let condition =
            json!({"type": "Approved", "status": "True", "lastUpdateTime": time, "lastTransitionTime": time});
        let expected = json!({"spec": {"request": "x"}, "status": {"certificate": "c", "conditions": [condition]}});
        assert_eq!(new.into_value(), expected);
    }

    #[test]
    fn a_request_is_made_by_whoever_asks() {
        let mut request =
            Object::from_value(json!({"spec": {"username": "root", "groups": ["system:masters"]}})).unwrap();
        let user = User { name: "jane".to_owned(), ..User::default() };
        CertificateSigningRequest.stamp_requester(&mut request, &user);
        assert_eq!(request.into_value(), json!({"spec": {"username": "jane"}}));
    }
}
