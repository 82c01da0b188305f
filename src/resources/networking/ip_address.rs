//! IPAddress.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::names::GroupResource;
use crate::resources::print::age;
use crate::resources::tree::{child, text};
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct IpAddress;

impl Behaviour for IpAddress {
    /// The name is the address itself, in canonical form.
    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        let canonical = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_string() == name);
        if canonical {
            return Vec::new();
        }
        vec!["must be a valid IP address in canonical form".to_owned()]
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
