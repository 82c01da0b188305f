//! APIService: those without a service are available at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::validation::names;
use crate::resources::part::anything;
use crate::resources::part::keep_rest;
use crate::resources::print::age;
use crate::resources::tree::{child_mut, fill, keep, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ApiService;

impl Behaviour for ApiService {
    fn default(&self, _: &Kind, object: &mut Object) {
        if let Some(service) = child_mut(object.object_at(&["spec"]), "service") {
            fill(service, "port", 443);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        object.remove(&["status"]);
        if object.get(&["spec", "service"]).is_none() {
            let condition = json!({
                "type": "Available",
                "status": "True",
                "lastTransitionTime": moment.seconds(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            });
            object.set(&["status", "conditions"], json!([condition]));
        }
    }

    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate_name(object);
        errors.extend(validate_spec(object));
        errors
    }

    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, validate: anything })
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let service = |key: &str| object.text_at(&["spec", "service", key]);
        let local = object.get(&["spec", "service"]).is_none();
        let place = if local { "Local".to_owned() } else { format!("{}/{}", service("namespace"), service("name")) };
        let available = list(object, &["status", "conditions"]).find(|c| text(c, "type") == "Available");
        let available = match available.map(|c| (text(c, "status"), text(c, "reason"))) {
            None => "Unknown".to_owned(),
            Some(("True", _)) => "True".to_owned(),
            Some((status, "")) => status.to_owned(),
            Some((status, reason)) => format!("{status} ({reason})"),
        };
        Some(vec![json!(object.name()), json!(place), json!(available), json!(age(object, moment))])
    }
}

/// The name says version and group.
fn validate_name(object: &Object) -> Errors {
    let required = format!("{}.{}", object.text_at(&["spec", "version"]), object.text_at(&["spec", "group"]));
    let name = object.name();
    if name.is_empty() || name == required || !names::path_segment_name(name).is_empty() {
        return Errors::new();
    }
    let why = format!("must be `spec.version+\".\"+spec.group`: {}", go_quote(&required));
    vec![FieldError::invalid(&Path::new("metadata").child("name"), name, why)]
}

fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let text = |key: &str| object.text_at(&["spec", key]);
    let (group, version) = (text("group"), text("version"));
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&spec.child("group"), why));
    }
    if !group.is_empty() {
        errors.extend(
            names::dns1123_subdomain(group).into_iter().map(|m| FieldError::invalid(&spec.child("group"), group, m)),
        );
    }
    errors.extend(
        names::dns1035_label(version).into_iter().map(|m| FieldError::invalid(&spec.child("version"), version, m)),
    );
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let value = object.int_at(&["spec", field]).unwrap_or(0);
        if value <= 0 || value > most {
            let why = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(&spec.child(field), value, why));
        }
    }
    let authorities = text("caBundle");
    let skips = object.get(&["spec", "insecureSkipTLSVerify"]).and_then(Value::as_bool).unwrap_or(false);
    let Some(service) = object.get(&["spec", "service"]).filter(|service| service.is_object()) else {
        if !authorities.is_empty() {
            let bytes = BASE64.decode(authorities).map_or(authorities.len(), |bytes| bytes.len());
            let why = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(&spec.child("caBundle"), format!("{bytes} bytes"), why));
        }
        if skips {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(&spec.child("insecureSkipTLSVerify"), true, why));
        }
        return errors;
    };
    let path = spec.child("service");
    for field in ["namespace", "name"] {
        if service.get(field).and_then(Value::as_str).unwrap_or("").is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or(0);
    let faults = names::port_number(port);
    if !faults.is_empty() {
        let why = format!("port is not valid: {}", faults.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, why));
    }
    if skips && !authorities.is_empty() {
        let why = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(&spec.child("insecureSkipTLSVerify"), true, why));
    }
    errors
}

fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest(new, old);
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        keep(new, old, &["metadata", key]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(service: Value, expected: &[&str]) {
        let object = Object::from_value(service).unwrap();
        let errors = validate_name(&object).into_iter().chain(validate_spec(&object));
        assert_eq!(errors.map(|error| error.to_string()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_name_says_version_and_group_and_priorities_are_bounded() {
        let spec = json!({ "version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1 });
        check(json!({ "metadata": { "name": "v1." }, "spec": spec }), &[]);
        let spec = json!({ "group": "a.io", "version": "v1", "groupPriorityMinimum": 20001, "versionPriority": 0 });
        check(
            json!({ "metadata": { "name": "v1.b.io" }, "spec": spec }),
            &[
                "metadata.name: Invalid value: \"v1.b.io\": must be `spec.version+\".\"+spec.group`: \"v1.a.io\"",
                "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            ],
        );
    }

    #[test]
    fn one_of_another_server_says_where_it_is() {
        let spec = json!({
            "group": "a.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "service": { "name": "", "namespace": "x", "port": 0 },
        });
        check(
            json!({ "metadata": { "name": "v1.a.io" }, "spec": spec }),
            &[
                "spec.service.name: Required value",
                "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ],
        );
    }
}
