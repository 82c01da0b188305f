//! IPAddress.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::names::GroupResource;
use crate::api::validation::ip::ip;
use crate::api::validation::names::{dns1123_subdomain, path_segment_name};
use crate::resources::check::messages;
use crate::resources::print::age;
use crate::resources::tree::{child, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct IpAddress;

impl Behaviour for IpAddress {
    /// The name is the address itself, in canonical form.
    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        ip(name, &Path::ROOT).into_iter().map(|error| error.detail).collect()
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    /// That none of it changes is declared.
    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = Errors::new();
        let spec = Path::new("spec");
        let path = spec.child("parentRef");
        let Some(parent) = child(object.root(), "spec").and_then(|spec| child(spec, "parentRef")) else {
            errors.push(FieldError::required(&path, ""));
            return errors;
        };
        for key in ["group", "resource", "name", "namespace"] {
            let value = text(parent, key);
            let faults = if key == "group" { dns1123_subdomain(value) } else { path_segment_name(value) };
            if !value.is_empty() {
                messages(&mut errors, &path.child(key), value, faults);
            } else if matches!(key, "resource" | "name") {
                errors.push(FieldError::required(&path.child(key), ""));
            }
        }
        errors
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let reference = child(object.root(), "spec").and_then(|s| child(s, "parentRef"));
        let parent = reference.map_or_else(
            || "<none>".to_owned(),
            |reference| {
                let of = |key: &str| text(reference, key).to_owned();
                let resource = GroupResource { group: of("group").into(), resource: of("resource").into() };
                let namespace = match text(reference, "namespace") {
                    "" => String::new(),
                    namespace => format!("/{namespace}"),
                };
                format!("{}{namespace}/{}", resource.to_string().to_lowercase(), text(reference, "name"))
            },
        );
        Some(vec![json!(object.name()), json!(parent), json!(age(object, moment))])
    }
}
