//! IngressClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::tree::{child_mut, fill};
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
