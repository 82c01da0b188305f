//! The document that a webhook is sent (`admission.k8s.io` AdmissionReview).

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::{Attributes, Invocation};
use super::configuration::Hook;
use crate::api::Object;

/// A review to be sent.
pub(super) struct Review {
    pub uid: String,
    pub api_version: String,
    pub body: Bytes,
}

impl Review {
    /// For a webhook that is called, with the objects as it sees them.
    ///
    /// # Errors
    /// When it takes no review that we know.
    pub(super) fn new(
        attributes: &Attributes<'_>,
        (hook, invocation): (&Hook, &Invocation),
        objects: (Option<&Object>, Option<&Object>),
    ) -> Result<Self, String> {
        let unknown = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, \
                       v1beta1)";
        let version = hook.version.ok_or_else(|| unknown.to_owned())?;
        let uid = uuid::Uuid::new_v4().to_string();
        let api_version = format!("admission.k8s.io/{version}");
        let mut request: Map<String, Value> = Map::new();
        request.insert("uid".to_owned(), uid.clone().into());
        request.extend(attributes.request(invocation));
        for (name, object) in [("object", objects.0), ("oldObject", objects.1)] {
            let value = object.map_or(Value::Null, |object| Value::Object(object.root().clone()));
            request.insert(name.to_owned(), value);
        }
        let review = json!({ "kind": "AdmissionReview", "apiVersion": api_version, "request": request });
        Ok(Self { uid, api_version, body: review.to_string().into() })
    }
}
