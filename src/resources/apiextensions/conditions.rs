//! What the status of a definition says: which of its names are its own, whether it is served, whether it is going
//! (apiextensions-apiserver `pkg/controller/{status,establish,nonstructuralschema,apiapproval,finalizer}`). Pure.

use serde_json::{Value, json};

use super::approval::approval;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::schema::structural::check::{unsupported, validate_structural};
use crate::resources::Moment;
use crate::resources::custom::Names;

/// The kinds of names, in the order in which conflicts of a later one hide those of an earlier one.
const NAMES: [(&str, &str); 4] = [
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
];

/// The accepted names of the other definitions of a group.
#[derive(Default)]
pub struct Taken<'a>(pub Vec<&'a Names>);

impl Taken<'_> {
    fn has(&self, key: &str, name: &str) -> bool {
        let of_kind = matches!(key, "kind" | "listKind");
        self.0.iter().any(|names| match of_kind {
            true => names.kind == name || names.list_kind == name,
            false => names.plural == name || names.singular == name || names.short_names.iter().any(|n| n == name),
        })
    }
}

fn short_names(definition: &Object, path: &[&str]) -> Vec<String> {
    let list = definition.get(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A condition as it is to be.
struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Condition {
    fn new(kind: &'static str, status: &'static str, why: (&str, &str)) -> Self {
        Self { kind, status, reason: why.0.to_owned(), message: why.1.to_owned() }
    }
}

fn find<'a>(definition: &'a Object, kind: &str) -> Option<&'a Value> {
    let conditions = definition.get(&["status", "conditions"]).and_then(Value::as_array)?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition is true.
pub fn is_true(definition: &Object, kind: &str) -> bool {
    find(definition, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Writes a condition; its time changes with its status only.
fn set(definition: &mut Object, condition: Condition, moment: &Moment) {
    let Condition { kind, status, reason, message } = condition;
    let now = moment.seconds();
    let list = definition.object_at(&["status"]).entry("conditions").or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(all) = list.as_array_mut() else { return };
    let since = |known: &Value| {
        let same = known["status"] == status && known["lastTransitionTime"].is_string();
        if same { known["lastTransitionTime"].clone() } else { json!(now) }
    };
    let made = |since: Value| {
        json!({ "type": kind, "status": status, "lastTransitionTime": since, "reason": reason,
        "message": message })
    };
    match all.iter_mut().find(|known| known["type"] == kind) {
        Some(known) => {
            let since = since(known);
            let observed = known.get("observedGeneration").cloned();
            *known = made(since);
            if let Some(observed) = observed {
                known["observedGeneration"] = observed;
            }
        }
        None => all.push(made(json!(now))),
    }
}

fn differs(definition: &Object, wished: &Condition) -> bool {
    find(definition, wished.kind).is_none_or(|known| {
        known["status"] != wished.status
            || known["reason"] != wished.reason.as_str()
            || known["message"] != wished.message.as_str()
    })
}

/// The next step of a definition that is not being deleted: the definition with another status, or `None` when there
/// is nothing to do. Names come first, serving after them in a step of its own.
pub fn next(definition: &Object, taken: &Taken<'_>, moment: &Moment) -> Option<Object> {
    accept_names(definition, taken, moment).or_else(|| advise(definition, moment)).or_else(|| {
        let waits = is_true(definition, "NamesAccepted") && !is_true(definition, "Established");
        waits.then(|| {
            let mut next = definition.clone();
            let why = ("InitialNamesAccepted", "the initial names have been accepted");
            set(&mut next, Condition::new("Established", "True", why), moment);
            next
        })
    })
}

fn accept_names(definition: &Object, taken: &Taken<'_>, moment: &Moment) -> Option<Object> {
    let wished = definition.get(&["spec", "names"]).cloned().unwrap_or_default();
    let present = definition.get(&["status", "acceptedNames"]).cloned().unwrap_or_default();
    if wished == present {
        return None;
    }
    let (mut accepted, mut conflict) = (present.clone(), None);
    for (key, reason) in NAMES {
        // Short names are looked at between the singular and the kind, as upstream does it.
        if key == "kind" {
            accept_short_names(definition, taken, (&mut accepted, &mut conflict));
        }
        let name = wished[key].as_str().unwrap_or("");
        if name != present[key].as_str().unwrap_or("") && taken.has(key, name) {
            conflict = Some((reason, format!("{} is already in use", crate::api::field::go_quote(name))));
        } else {
            accepted[key] = json!(name);
        }
    }
    copy(&mut accepted, &wished, "categories");
    let names = match conflict {
        Some((reason, message)) => {
            Condition { kind: "NamesAccepted", status: "False", reason: reason.to_owned(), message }
        }
        None => Condition::new("NamesAccepted", "True", ("NoConflicts", "no conflicts found")),
    };
    if accepted == present && !differs(definition, &names) {
        return None;
    }
    let mut next = definition.clone();
    next.set(&["status", "acceptedNames"], accepted);
    let (accepts, established) = (names.status == "True", is_true(definition, "Established"));
    set(&mut next, names, moment);
    if !established && accepts {
        let why = ("Installing", "the initial names have been accepted");
        set(&mut next, Condition::new("Established", "False", why), moment);
    } else if find(definition, "Established").is_none() {
        let why = ("NotAccepted", "not all names are accepted");
        set(&mut next, Condition::new("Established", "False", why), moment);
    }
    Some(next)
}

fn accept_short_names(
    definition: &Object,
    taken: &Taken<'_>,
    (accepted, conflict): (&mut Value, &mut Option<(&'static str, String)>),
) {
    let own = short_names(definition, &["status", "acceptedNames", "shortNames"]);
    let wished = short_names(definition, &["spec", "names", "shortNames"]);
    let clash = |name: &&String| !own.contains(name) && taken.has("shortNames", name);
    let words: Vec<String> = wished
        .iter()
        .filter(clash)
        .map(|name| format!("{} is already in use", crate::api::field::go_quote(name)))
        .collect();
    match words.as_slice() {
        [] => {
            let names = definition.get(&["spec", "names"]).cloned().unwrap_or_default();
            copy(accepted, &names, "shortNames");
        }
        [one] => *conflict = Some(("ShortNamesConflict", one.clone())),
        many => *conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    }
}

fn copy(into: &mut Value, from: &Value, key: &str) {
    let Some(into) = into.as_object_mut() else { return };
    match from.get(key) {
        Some(value) => into.insert(key.to_owned(), value.clone()),
        None => into.remove(key),
    };
}

/// Conditions that only tell: schemas that are not structural, groups that need an approval.
fn advise(definition: &Object, moment: &Moment) -> Option<Object> {
    let mut wished = Vec::new();
    // A schema that is pruned by is structural, or it would not have been taken.
    let pruned = definition.get(&["spec", "preserveUnknownFields"]) != Some(&Value::Bool(true));
    let violations = if pruned { Errors::new() } else { violations(definition) };
    if !violations.is_empty() {
        let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let message = if texts.len() == 1 { texts[0].clone() } else { format!("[{}]", texts.join(", ")) };
        let reason = "Violations".to_owned();
        wished.push(Condition { kind: "NonStructuralSchema", status: "True", reason, message });
    }
    if let Some((status, reason, message)) = approval(definition) {
        let kind = "KubernetesAPIApprovalPolicyConformant";
        wished.push(Condition { kind, status, reason: reason.to_owned(), message });
    }
    wished.retain(|condition| differs(definition, condition));
    if wished.is_empty() {
        return None;
    }
    let mut next = definition.clone();
    wished.into_iter().for_each(|condition| set(&mut next, condition, moment));
    Some(next)
}

fn violations(definition: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let versions = spec.child("versions");
    let list = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    for (index, version) in list.into_iter().flatten().enumerate() {
        let Some(props) = version.pointer("/schema/openAPIV3Schema").and_then(Value::as_object) else { continue };
        let version = versions.index(index);
        let schema = version.child("schema");
        if !unsupported(props) {
            errors.extend(validate_structural(&schema.child("openAPIV3Schema"), props));
        }
    }
    errors
}

/// How far the deletion of a definition's objects is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cleanup<'a> {
    Pending,
    Running,
    /// They cannot be deleted, because of this.
    Failed(&'a str),
    /// They are not gone in the time that they get at once.
    Unconfirmed,
    NeverServed,
    Done,
}

/// The definition with the condition that tells of it.
pub fn terminating(definition: &Object, cleanup: Cleanup<'_>, moment: &Moment) -> Object {
    let failed;
    let (status, reason, message) = match cleanup {
        Cleanup::Pending => (
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        ),
        Cleanup::Running => ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"),
        Cleanup::Failed(why) => {
            failed = format!("could not issue all deletes: {why}");
            ("True", "InstanceDeletionFailed", failed.as_str())
        }
        Cleanup::Unconfirmed => (
            "True",
            "InstanceDeletionCheck",
            "could not confirm zero CustomResources remaining: context deadline exceeded",
        ),
        Cleanup::NeverServed => ("False", "NeverEstablished", "resource was never established"),
        Cleanup::Done => ("False", "InstanceDeletionCompleted", "removed all instances"),
    };
    let mut next = definition.clone();
    set(&mut next, Condition::new("Terminating", status, (reason, message)), moment);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        Moment { now: jiff::Timestamp::from_second(1_000_000).unwrap() }
    }

    fn definition(kind: &str) -> Object {
        let plural = format!("{}s", kind.to_lowercase());
        let names = json!({ "plural": plural, "singular": kind.to_lowercase(), "kind": kind,
            "listKind": format!("{kind}List") });
        Object::from_value(json!({ "metadata": { "name": format!("{plural}.g.io") },
            "spec": { "group": "g.io", "names": names },
            "status": { "acceptedNames": { "plural": "", "kind": "" }, "conditions": null } }))
        .unwrap()
    }

    fn condition<'a>(of: &'a Object, kind: &str) -> (&'a str, &'a str) {
        let found = find(of, kind).unwrap();
        (found["status"].as_str().unwrap(), found["reason"].as_str().unwrap())
    }

    #[test]
    fn names_are_accepted_before_a_definition_is_served() {
        let first = next(&definition("Foo"), &Taken::default(), &moment()).unwrap();
        assert_eq!(condition(&first, "NamesAccepted"), ("True", "NoConflicts"));
        assert_eq!(condition(&first, "Established"), ("False", "Installing"));
        assert_eq!(first.get(&["status", "acceptedNames"]), first.get(&["spec", "names"]));
        let second = next(&first, &Taken::default(), &moment()).unwrap();
        assert_eq!(condition(&second, "Established"), ("True", "InitialNamesAccepted"));
        assert!(next(&second, &Taken::default(), &moment()).is_none());
    }

    #[test]
    fn a_name_of_another_definition_is_a_conflict() {
        let first = next(&definition("Foo"), &Taken::default(), &moment()).unwrap();
        let names = first.get(&["status", "acceptedNames"]).unwrap().clone();
        let names = serde_json::from_value(names).unwrap();
        let taken = Taken(vec![&names]);
        let mut other = definition("Bar");
        other.set(&["spec", "names", "kind"], "Foo");
        let refused = next(&other, &taken, &moment()).unwrap();
        assert_eq!(condition(&refused, "NamesAccepted"), ("False", "KindConflict"));
        assert_eq!(condition(&refused, "Established"), ("False", "NotAccepted"));
        assert_eq!(refused.text_at(&["status", "acceptedNames", "plural"]), "bars");
        assert_eq!(refused.text_at(&["status", "acceptedNames", "kind"]), "");
        assert!(next(&refused, &taken, &moment()).is_none());
    }
}
