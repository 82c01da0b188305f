//! StorageClass.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::validation::{parameters, provisioner};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::qualified_name;
use crate::resources::check::{choice, messages};
use crate::resources::print::{age, flag, text_or};
use crate::resources::tree::{Tree, count, fill, items, text, texts};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct StorageClass;

impl Behaviour for StorageClass {
    fn default(&self, _: &Kind, object: &mut Object) {
        fill(object.root_mut(), "reclaimPolicy", "Delete");
        fill(object.root_mut(), "volumeBindingMode", "Immediate");
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["provisioner"])),
            json!(text_or(object, &["reclaimPolicy"], "Delete")),
            json!(text_or(object, &["volumeBindingMode"], "Immediate")),
            json!(flag(object, &["allowVolumeExpansion"], false)),
            json!(age(object, moment)),
        ])
    }
}

/// That parameters, provisioner, policy and mode stay as they are is declared.
fn validate(class: &Object) -> Errors {
    let mut errors = Errors::new();
    provisioner(&mut errors, class, "provisioner");
    parameters(&mut errors, class, &Path::new("parameters"));
    let policy = class.text_at(&["reclaimPolicy"]);
    if !policy.is_empty() {
        choice(&mut errors, policy, &Path::new("reclaimPolicy"), &["Delete", "Retain"]);
    }
    let mode = Path::new("volumeBindingMode");
    match class.get(&["volumeBindingMode"]).and_then(Value::as_str) {
        None => errors.push(FieldError::required(&mode, "")),
        Some(given) => choice(&mut errors, given, &mode, &["Immediate", "WaitForFirstConsumer"]),
    }
    topologies(&mut errors, class);
    errors
}

fn topologies(errors: &mut Errors, class: &Object) {
    let list = Path::new("allowedTopologies");
    let terms: Vec<&Tree> = items(class.root(), "allowedTopologies").collect();
    // Upstream compares with as many empty terms as there are terms, and then with those before.
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = vec![BTreeMap::new(); terms.len()];
    for (i, term) in terms.into_iter().enumerate() {
        let at = list.index(i);
        let said = topology(errors, term, &at);
        for _ in seen.iter().filter(|before| **before == said) {
            errors.push(FieldError::duplicate(&at.child("matchLabelExpressions"), ""));
        }
        seen.push(said);
    }
}

fn topology<'a>(errors: &mut Errors, term: &'a Tree, path: &Path<'_>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let list = path.child("matchLabelExpressions");
    let mut said = BTreeMap::new();
    for (i, requirement) in items(term, "matchLabelExpressions").enumerate() {
        let at = list.index(i);
        let values = at.child("values");
        if count(requirement, "values") == 0 {
            errors.push(FieldError::required(&values, ""));
        }
        let mut distinct = BTreeSet::new();
        for (i, value) in texts(requirement, "values").enumerate() {
            if !distinct.insert(value) {
                errors.push(FieldError::duplicate(&values.index(i), value));
            }
        }
        let key = text(requirement, "key");
        messages(errors, &at.child("key"), key, qualified_name(key));
        if said.insert(key, distinct).is_some() {
            errors.push(FieldError::duplicate(&at.child("key"), key));
        }
    }
    said
}
