//! IngressClass.

use serde_json::{Value, json};

use super::ingress_validation::reference;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::{dns1123_label, domain_prefixed_path};
use crate::resources::check::{immutable, messages};
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, child_mut, fill, is_set, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct IngressClass;

const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

impl Behaviour for IngressClass {
    fn default(&self, _: &Kind, object: &mut Object) {
        if let Some(parameters) = child_mut(object.object_at(&["spec"]), "parameters") {
            fill(parameters, "scope", "Cluster");
        }
    }

    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_spec(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        let controller = |object: &Object| Some(json!(object.text_at(&["spec", "controller"])));
        let (now, before) = (controller(new), controller(old));
        immutable(&mut errors, now.as_ref(), before.as_ref(), &Path::new("spec.controller"));
        errors.extend(validate_spec(new));
        errors
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let mark = if object.annotation(DEFAULT_ANNOTATION) == Some("true") { " (default)" } else { "" };
        let parameter = |key: &str| object.text_at(&["spec", "parameters", key]);
        let parameters = match object.get(&["spec", "parameters"]) {
            None => "<none>".to_owned(),
            Some(of) => {
                let group = of.get("apiGroup").and_then(Value::as_str).map(|g| format!(".{g}")).unwrap_or_default();
                format!("{}{group}/{}", parameter("kind"), parameter("name"))
            }
        };
        Some(vec![
            json!(format!("{}{mark}", object.name())),
            json!(object.text_at(&["spec", "controller"])),
            json!(parameters),
            json!(age(object, moment)),
        ])
    }
}

const CONTROLLER_BYTES_MAX: usize = 250;

fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(object.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    let (controller, at) = (text(spec, "controller"), path.child("controller"));
    if controller.len() > CONTROLLER_BYTES_MAX {
        errors.push(FieldError::too_long(&at, CONTROLLER_BYTES_MAX));
    }
    if controller.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        let faults = domain_prefixed_path(controller);
        errors.extend(faults.into_iter().map(|(value, detail)| FieldError::invalid(&at, value, detail)));
    }
    if let Some(parameters) = child(spec, "parameters") {
        validate_parameters(&mut errors, parameters, &path.child("parameters"));
    }
    errors
}

fn validate_parameters(errors: &mut Errors, parameters: &Tree, path: &Path<'_>) {
    reference(errors, parameters, path);
    let at = path.child("namespace");
    let scope = parameters.get("scope").and_then(Value::as_str);
    match (scope, parameters.get("namespace").and_then(Value::as_str)) {
        (None, _) => errors.push(FieldError::required(&path.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(FieldError::required(&at, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(namespace)) => messages(errors, &at, namespace, dns1123_label(namespace)),
        (Some("Cluster"), _) if is_set(parameters, "namespace") => {
            errors.push(FieldError::forbidden(&at, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), _) => {}
        (Some(other), _) => {
            errors.push(FieldError::not_supported(&path.child("scope"), other, &["Cluster", "Namespace"]));
        }
    }
}
