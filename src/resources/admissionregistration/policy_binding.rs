//! ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding.

use serde_json::{Value, json};

use super::match_resources::{default_match, name_warnings, static_name};
use super::rule_validation::{mutable_operations, validate_match};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::validation::names::{dns1123_subdomain, path_segment_name};
use crate::resources::check::{choice, messages};
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, child_mut, items, text, texts};
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

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate_binding(object);
        actions(&mut errors, object);
        static_name(&mut errors, object);
        errors
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        name_warnings(object.name())
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

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate_binding(object);
        let matched = child(object.root(), "spec").and_then(|spec| child(spec, "matchResources"));
        if let Some(matched) = matched {
            mutable_operations(&mut errors, matched, &Path::new("spec").child("matchResources"));
        }
        static_name(&mut errors, object);
        errors
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        name_warnings(object.name())
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

/// A selector as the generated `String` of its Go type prints it.
fn selector_in_go(selector: &Tree) -> String {
    let labels: Vec<String> = child(selector, "matchLabels")
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or("")))
        .collect();
    let requirement = |r: &Tree| {
        let values: Vec<&str> =
            r.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let (key, operator) = (text(r, "key"), text(r, "operator"));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let requirements: Vec<String> = items(selector, "matchExpressions").map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        labels.concat(),
        requirements.concat()
    )
}

fn binding_cells(object: &Object, moment: &Moment) -> Vec<Value> {
    let reference = child(object.root(), "spec").and_then(|s| child(s, "paramRef"));
    let parameter = match reference.map(|r| (text(r, "namespace"), text(r, "name"))) {
        None => "<unset>".to_owned(),
        Some((_, "")) => {
            let selector = reference.and_then(|r| child(r, "selector"));
            selector.map_or_else(|| "<unset>".to_owned(), selector_in_go)
        }
        Some(("", name)) => format!("*/{name}"),
        Some((namespace, name)) => format!("{namespace}/{name}"),
    };
    let policy = object.text_at(&["spec", "policyName"]);
    vec![json!(object.name()), json!(policy), json!(parameter), json!(age(object, moment))]
}

/// Sorted, as messages list them.
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

/// What bindings of both kinds of policies have.
fn validate_binding(binding: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(binding.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    let (policy, at) = (text(spec, "policyName"), path.child("policyName"));
    if policy.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        messages(&mut errors, &at, policy, dns1123_subdomain(policy));
    }
    if let Some(reference) = child(spec, "paramRef") {
        parameters(&mut errors, reference, &path.child("paramRef"));
    }
    if let Some(matched) = child(spec, "matchResources") {
        validate_match(&mut errors, matched, &path.child("matchResources"));
    }
    errors
}

fn parameters(errors: &mut Errors, reference: &Tree, path: &Path<'_>) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let name = text(reference, "name");
    let selector = reference.get("selector").filter(|selector| !selector.is_null());
    if !name.is_empty() {
        messages(errors, &path.child("name"), name, path_segment_name(name));
        if selector.is_some() {
            errors.push(FieldError::forbidden(&path.child("name"), EXCLUSIVE));
        }
    }
    if let Some(selector) = selector {
        errors.extend(validate_label_selector(selector, &path.child("selector")));
        if !name.is_empty() {
            errors.push(FieldError::forbidden(&path.child("selector"), EXCLUSIVE));
        }
    } else if name.is_empty() {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    let (action, at) = (text(reference, "parameterNotFoundAction"), path.child("parameterNotFoundAction"));
    if action.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        choice(errors, action, &at, &["Deny", "Allow"]);
    }
}

fn actions(errors: &mut Errors, binding: &Object) {
    let path = Path::new("spec");
    let at = path.child("validationActions");
    let spec = child(binding.root(), "spec");
    let given: Vec<&str> = spec.into_iter().flat_map(|spec| texts(spec, "validationActions")).collect();
    for (i, action) in given.iter().enumerate() {
        choice(errors, action, &at.index(i), &ACTIONS);
        if given[..i].contains(action) {
            errors.push(FieldError::duplicate(&at.index(i), *action));
        }
    }
    if given.contains(&"Deny") && given.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(FieldError::invalid(&at, Value::from(given.clone()), detail));
    }
    if given.is_empty() {
        errors.push(FieldError::required(&at, "at least one validation action is required"));
    }
}
