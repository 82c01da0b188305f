//! An object in the versions of its type: from the stored one to the served one and back, and its scale.

use serde_json::{Value, json};

use super::Kind;
use crate::api::codec::Error;
use crate::api::labels::Selector;
use crate::api::schema::{Str, TypeId, decode, default};
use crate::api::{GroupVersionKind, Object, apply};

impl Kind {
    /// From the stored version to this one.
    pub fn served(&self, mut object: Object) -> Object {
        if self.gvk != self.stored_as {
            self.behaviour.convert(&mut object, &self.gvk);
            object.set_gvk(&self.gvk);
            // Fields that only the stored version has are none of the served one.
            self.fit(self.type_id, &mut object);
        }
        object
    }

    /// From a tree in this version that already has the shape of its type to the stored version, defaulted.
    pub fn stored(&self, mut object: Object) -> Object {
        self.default(&mut object);
        if self.gvk != self.stored_as {
            self.behaviour.convert(&mut object, &self.stored_as);
        }
        object.set_gvk(&self.stored_as);
        object
    }

    /// All defaults of this version.
    pub fn default(&self, object: &mut Object) {
        if !self.is_custom() {
            default::apply(object.root_mut(), &self.types, self.type_id);
        }
        self.behaviour.default(self, object);
    }

    /// Brings a tree from outside into the shape of this version; what the type does not have is dropped.
    ///
    /// # Errors
    /// With the message of upstream's decoder.
    pub fn read(&self, mut value: Value) -> Result<Object, Error> {
        apply::refuse_texts(&mut value);
        self.behaviour.fit(self, &mut value)?;
        let mut object = Object::from_value(value).map_err(|_| Error::new("an object is expected"))?;
        object.set_gvk(&self.gvk);
        Ok(object)
    }

    /// Makes a tree of our own making what Go's type of a version would write: fields it does not have go, fields it
    /// always writes come.
    pub fn fit(&self, type_id: TypeId, object: &mut Object) {
        let mut value = Value::Object(std::mem::take(object.root_mut()));
        // Everything in it was decoded before; what the server added has the shapes of the type.
        let fitted = if self.is_custom() {
            self.behaviour.fit(self, &mut value)
        } else {
            decode::normalise(&mut value, &self.types, type_id)
        };
        if let Err(error) = fitted {
            tracing::error!(kind = %self.gvk, %error, "an object does not fit its type");
        }
        if let Value::Object(root) = value {
            *object.root_mut() = root;
        }
    }

    /// What is sent to a subresource, or the kind itself.
    pub fn payload(&self, subresource: &str) -> &GroupVersionKind {
        self.subresource(subresource).map_or(&self.gvk, |found| &found.payload)
    }

    /// The scale of an object; `None` of types that have none.
    pub fn scale_of(&self, object: &Object) -> Option<Object> {
        let paths = self.behaviour.scale(self)?;
        let mut metadata = json!({ "name": object.name(), "namespace": object.namespace(), "uid": object.uid(),
            "resourceVersion": object.resource_version() });
        if let Some(created) = object.get(&["metadata", "creationTimestamp"]) {
            metadata["creationTimestamp"] = created.clone();
        }
        let wished = at(object, &paths.spec_replicas).and_then(Value::as_i64).unwrap_or(0);
        let present = at(object, &paths.status_replicas).and_then(Value::as_i64).unwrap_or(0);
        let mut spec = json!({});
        if wished != 0 {
            spec["replicas"] = wished.into();
        }
        let mut status = json!({ "replicas": present });
        let selector = selector_text(at(object, &paths.selector));
        if !selector.is_empty() {
            status["selector"] = selector.into();
        }
        let scale = json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec,
            "status": status });
        Object::from_value(scale).ok()
    }
}

fn at<'a>(object: &'a Object, path: &[Str]) -> Option<&'a Value> {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    object.get(&path)
}

/// The text form of whatever selects the pods: a text, a label selector, or a plain map.
fn selector_text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) if map.contains_key("matchLabels") || map.contains_key("matchExpressions") => {
            Selector::from_label_selector(value).map(|s| s.to_string()).unwrap_or_default()
        }
        Some(Value::Object(map)) => Selector::from_map(map).to_string(),
        _ => String::new(),
    }
}
