//! ServiceAccount.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::tree::items_mut;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct ServiceAccount;

const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

impl Behaviour for ServiceAccount {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        keep_names_of_secrets(object);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, _: &Object) {
        keep_names_of_secrets(new);
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let annotated = |o: &Object| o.annotation(ENFORCE_SECRETS).is_some();
        if !annotated(object) || old.is_some_and(annotated) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{ENFORCE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )]
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(age(object, moment))])
    }
}

fn keep_names_of_secrets(object: &mut Object) {
    for reference in items_mut(object.root_mut(), "secrets") {
        reference.retain(|key, _| key == "name");
    }
}
