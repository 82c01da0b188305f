//! ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding.

use serde_json::{Value, json};

use super::match_resources::{default_match, name_warnings};
use crate::api::Object;
use crate::resources::print::age;
use crate::resources::tree::{child, child_mut, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct ValidatingAdmissionPolicyBinding;

pub(in crate::resources) struct MutatingAdmissionPolicyBinding;

impl Behaviour for ValidatingAdmissionPolicyBinding {
    fn default(&self, _: &Kind, object: &mut Object) {
        default_binding(object);
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        old.map_or_else(Vec::new, |_| name_warnings(object.name()))
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(binding_cells(object, moment))
    }
}

impl Behaviour for MutatingAdmissionPolicyBinding {
    fn default(&self, _: &Kind, object: &mut Object) {
        default_binding(object);
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        old.map_or_else(Vec::new, |_| name_warnings(object.name()))
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(binding_cells(object, moment))
    }
}

fn default_binding(object: &mut Object) {
    if let Some(matched) = child_mut(object.object_at(&["spec"]), "matchResources") {
        default_match(matched);
    }
}

fn binding_cells(object: &Object, moment: &Moment) -> Vec<Value> {
    let reference = child(object.root(), "spec").and_then(|s| child(s, "paramRef"));
    let parameter = match reference.map(|r| (text(r, "namespace"), text(r, "name"))) {
        None | Some((_, "")) => "<unset>".to_owned(),
        Some(("", name)) => format!("*/{name}"),
        Some((namespace, name)) => format!("{namespace}/{name}"),
    };
    let policy = object.text_at(&["spec", "policyName"]);
    vec![json!(object.name()), json!(policy), json!(parameter), json!(age(object, moment))]
}
