//! A request as webhooks and expressions are shown it (`admission.k8s.io/v1` AdmissionRequest), in the version that
//! they asked for.

use serde_json::{Map, Value, json};

use super::{Attributes, Context, Operation};
use crate::api::apply;
use crate::api::request::Options;
use crate::api::{GroupVersionKind, Object, Result};
use crate::remote::convert;
use crate::resources::Kind;

/// As which resource a request is shown.
#[derive(Clone)]
pub struct Invocation {
    /// The served version whose rules matched: that of the request, or an equivalent one.
    pub kind: std::sync::Arc<Kind>,
}

impl Operation {
    /// As rules name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

impl Attributes<'_> {
    /// The name of the object, empty as long as it has none.
    pub fn object_name(&self) -> &str {
        if matches!(self.options, Options::DeleteMany(_)) {
            return "";
        }
        match (self.target.name.as_str(), self.object.as_deref()) {
            ("", Some(object)) => object.name(),
            (name, _) => name,
        }
    }

    /// The namespace; of a namespace itself its own name.
    pub fn namespace(&self) -> &str {
        match self.about("", "namespaces") {
            true => self.object_name(),
            false => &self.target.namespace,
        }
    }

    /// The object as it is to be, and as it was, in a version.
    pub fn shown(&self, kind: &Kind) -> (Option<Object>, Option<Object>) {
        let view = |object: &Object| view(kind, &self.target.subresource, object);
        (self.object.as_deref().map(view), self.old.map(view))
    }

    /// The request without its objects.
    pub fn request(&self, invocation: &Invocation) -> Map<String, Value> {
        let (shown, target) = (&invocation.kind, self.target);
        let resource =
            |kind: &Kind| json!({ "group": kind.gvk.group, "version": kind.gvk.version, "resource": kind.resource });
        let gvk = |gvk: &GroupVersionKind| json!({ "group": gvk.group, "version": gvk.version, "kind": gvk.kind });
        let mut out = Map::new();
        out.insert("kind".to_owned(), gvk(shown.payload(&target.subresource)));
        out.insert("resource".to_owned(), resource(shown));
        put(&mut out, "subResource", &target.subresource);
        out.insert("requestKind".to_owned(), gvk(self.kind.payload(&target.subresource)));
        out.insert("requestResource".to_owned(), resource(self.kind));
        put(&mut out, "requestSubResource", &target.subresource);
        put(&mut out, "name", self.object_name());
        put(&mut out, "namespace", self.namespace());
        out.insert("operation".to_owned(), self.operation.as_str().into());
        out.insert("userInfo".to_owned(), self.user_info());
        out.insert("dryRun".to_owned(), self.dry_run.into());
        out.insert("options".to_owned(), self.options.to_value());
        out
    }

    fn user_info(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "username", &self.user.name);
        put(&mut out, "uid", &self.user.uid);
        if !self.user.groups.is_empty() {
            out.insert("groups".to_owned(), json!(self.user.groups));
        }
        if !self.user.extra.is_empty() {
            let extra = self.user.extra.iter().map(|(key, values)| (key.clone(), json!(values)));
            out.insert("extra".to_owned(), Value::Object(extra.collect()));
        }
        Value::Object(out)
    }
}

impl Context {
    /// The served versions that a request could be shown as beside its own, in the order of discovery: what is stored
    /// in one place is one type.
    pub fn equivalents(&self, attributes: &Attributes<'_>) -> Vec<Invocation> {
        let (kind, subresource) = (attributes.kind, attributes.target.subresource.as_str());
        let served = self.catalog.served();
        let has = |other: &Kind| subresource.is_empty() || other.subresource(subresource).is_some();
        let others = served.sharing(kind).into_iter().filter(|other| other.gvk != kind.gvk && has(other));
        others.map(|kind| Invocation { kind }).collect()
    }

    /// `Attributes::shown`, where a webhook converts between the versions by way of it.
    ///
    /// # Errors
    /// Those of the webhook.
    pub async fn shown(&self, attributes: &Attributes<'_>, kind: &Kind) -> Result<(Option<Object>, Option<Object>)> {
        let payload = attributes.kind.payload(&attributes.target.subresource);
        let by_webhook = kind.custom.as_ref().is_some_and(|version| version.conversion().is_some());
        if !by_webhook || *payload != attributes.kind.gvk {
            return Ok(attributes.shown(kind));
        }
        let object = self.converted(kind, attributes.object.as_deref().cloned()).await?;
        Ok((object, self.converted(kind, attributes.old.cloned()).await?))
    }

    /// A custom resource in another of its versions.
    ///
    /// # Errors
    /// Those of the webhook that converts it.
    pub async fn converted(&self, kind: &Kind, object: Option<Object>) -> Result<Option<Object>> {
        let Some(mut object) = object else { return Ok(None) };
        if object.gvk() == kind.gvk {
            return Ok(Some(object));
        }
        if let Some(webhook) = kind.custom.as_ref().and_then(|version| version.conversion()) {
            return Ok(convert(&self.remote, webhook, vec![object], &kind.gvk).await?.pop());
        }
        kind.behaviour.revive(&mut object)?;
        Ok(Some(object))
    }

    /// A request as it came.
    pub fn as_it_came(&self, attributes: &Attributes<'_>) -> Option<Invocation> {
        let gvk = &attributes.kind.gvk;
        let served = self.catalog.served();
        let kind = served.find(&gvk.group, &gvk.version, &attributes.kind.resource)?;
        Some(Invocation { kind: kind.clone() })
    }
}

/// An object of the path of a write in a version. What is sent to a subresource with a type of its own is that already.
fn view(kind: &Kind, subresource: &str, object: &Object) -> Object {
    if subresource == "scale"
        && let Some(scale) = kind.scale_of(object)
    {
        return scale;
    }
    let mut object = object.clone();
    apply::spell_out(&mut object);
    if *kind.payload(subresource) != kind.gvk {
        return object;
    }
    if kind.is_custom() {
        if object.gvk() != kind.gvk {
            // What cannot be converted is shown as it is.
            drop(kind.behaviour.revive(&mut object));
        }
        return object;
    }
    let mut object = kind.served(object);
    kind.fit(kind.type_id, &mut object);
    object.set_gvk(&kind.gvk);
    object
}

fn put(out: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        out.insert(key.to_owned(), text.into());
    }
}
