//! What a tree says that it is, held against what is expected of it: of a body by its path, of the result of a patch by
//! the object that was patched.

use std::sync::Arc;

use serde_json::Value;

use super::decode::{Origin, Wanted};
use super::{Call, Registry};
use crate::api::codec;
use crate::api::field::{FieldError, Path};
use crate::api::schema::decode;
use crate::api::{GroupKind, GroupVersionKind, Result, Status};
use crate::resources::Kind;

/// What a tree may say that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stated {
    /// What is expected, or nothing at all.
    Expected,
    /// The result of a patch of no version. Upstream reads it into a type of its own (v1.37), which knows none of the
    /// fields by their names.
    NoVersion,
}

/// Versions that upstream still knows, although it has not served them for long, with their kinds.
const UNSERVED: [(&str, &[&str]); 8] = [
    ("extensions/v1beta1", &["DaemonSet", "Deployment", "Ingress", "NetworkPolicy", "ReplicaSet"]),
    ("apps/v1beta1", &["ControllerRevision", "Deployment", "StatefulSet"]),
    ("apps/v1beta2", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("batch/v1beta1", &["CronJob"]),
    ("policy/v1beta1", &["PodDisruptionBudget"]),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"]),
    ("rbac.authorization.k8s.io/v1beta1", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("storage.k8s.io/v1beta1", &["CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttachment"]),
];

/// Ways to write no version.
const NO_VERSION: [&str; 2] = ["", "/"];

impl Registry {
    /// What a tree says that it is must be what is expected.
    pub(super) fn check_kind(&self, wanted: &Wanted<'_>, value: &Value, origin: &Origin<'_>) -> Result<Stated> {
        let expected = wanted.gvk;
        let patched = matches!(origin, Origin::Patch(_));
        if patched && wanted.custom {
            return Ok(Stated::Expected);
        }
        let (api_version, kind) = codec::interpret(value).map_err(|error| match patched {
            true => origin.refusal(expected, &expected.kind, &error.to_string()),
            false => codec::unrecognized(&expected.kind, &error, value.to_string().as_bytes()),
        })?;
        let kind = if kind.is_empty() { &expected.kind } else { kind };
        if kind == expected.kind && NO_VERSION.contains(&api_version) && value.is_object() {
            let bare = value.as_object().is_some_and(|map| map.keys().all(|key| is_envelope(key)));
            return Ok(if patched && !bare { Stated::NoVersion } else { Stated::Expected });
        }
        let expected_version = expected.api_version();
        let api_version = if api_version.is_empty() { &expected_version } else { api_version };
        if api_version == expected_version && kind == expected.kind {
            return Ok(Stated::Expected);
        }
        let given = GroupVersionKind::parse(api_version, kind);
        let known = UNSERVED.iter().any(|(version, kinds)| *version == api_version && kinds.contains(&kind));
        let same = kind == expected.kind && (wanted.custom || known);
        if same && patched {
            return Ok(Stated::Expected);
        }
        if same {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version \
                 ({expected_version})"
            )));
        }
        Err(self.no_conversion((expected, wanted.custom), &given, (value, origin)))
    }

    /// The refusal of a tree that is something else altogether.
    fn no_conversion(
        &self,
        (expected, custom): (&GroupVersionKind, bool),
        given: &GroupVersionKind,
        (value, origin): (&Value, &Origin<'_>),
    ) -> Status {
        let GroupVersionKind { version, kind, .. } = given;
        if custom {
            let why = format!(
                "converting ({version}.{kind}) to ({}.{}): unknown conversion",
                expected.version, expected.kind
            );
            return origin.refusal(given, &expected.kind, &why);
        }
        let Some(id) = self.facts.type_of(given) else {
            return origin.refusal(given, &expected.kind, &codec::not_registered(&given.api_version(), kind));
        };
        // It is decoded as what it says before that turns out to be the wrong thing.
        if let Err(error) = decode::normalise(&mut value.clone(), &self.facts.types, id) {
            return origin.refusal(given, &expected.kind, &error.to_string());
        }
        // Those of events are in the legacy group.
        let internal = match expected.group.split('.').next() {
            None | Some("" | "events") => "core",
            Some(group) => group,
        };
        let why = format!("converting ({version}.{kind}) to ({internal}.{}): unknown conversion", expected.kind);
        origin.refusal(given, &expected.kind, &why)
    }

    /// The other served version of a kind that the result of a patch says it is in.
    pub(super) fn other_version(&self, kind: &Kind, value: &Value) -> Option<Arc<Kind>> {
        let (api_version, name) = codec::interpret(value).ok()?;
        let given = GroupVersionKind::parse(api_version, if name.is_empty() { &kind.gvk.kind } else { name });
        if given == kind.gvk || kind.is_custom() {
            return None;
        }
        let served = self.catalog.served();
        let other = served.find_kind(&given.group, &given.version, &given.kind)?;
        (other.collection == kind.collection).then(|| other.clone())
    }
}

fn is_envelope(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind")
}

/// Takes all that a tree has beside what it says that it is; gives the names.
pub(super) fn take_fields(value: &mut Value) -> Vec<String> {
    let Some(map) = value.as_object_mut() else { return Vec::new() };
    let mut names: Vec<String> = map.keys().filter(|key| !is_envelope(key)).cloned().collect();
    map.retain(|key, _| is_envelope(key));
    map.remove("apiVersion");
    names.sort_unstable();
    names
}

/// Of custom resources another kind is a fault of the object.
pub(super) fn check_custom_body(kind: &Kind, value: &Value) -> Result<()> {
    let given = text(value, "/kind");
    if given.is_empty() || given == kind.gvk.kind || text(value, "/apiVersion") != kind.gvk.api_version() {
        return Ok(());
    }
    Err(another(kind, value))
}

/// The result of a patch of a custom resource must say what it is.
pub(super) fn check_custom_patched(call: &Call, value: &Value, origin: &Origin<'_>) -> Result<()> {
    let kind = &*call.kind;
    let refusal = |why: &str| origin.refusal(&kind.gvk, &kind.gvk.kind, why);
    let (api_version, name) = codec::interpret(value).map_err(|error| refusal(&error.to_string()))?;
    if let (true, Origin::Patch(shown)) = (name.is_empty(), origin) {
        return Err(refusal(&format!("Object 'Kind' is missing in '{}'", shown())));
    }
    if value.get("apiVersion").is_some_and(Value::is_null) {
        return Err(refusal(".apiVersion accessor error: <nil> is of the type <nil>, expected string"));
    }
    if NO_VERSION.contains(&api_version) {
        return Err(Status::internal("Object 'apiVersion' is missing in 'object has no apiVersion field'"));
    }
    // Whether it is the object of the path is looked at before.
    let here = text(value, "/metadata/name") == call.target.name;
    let same = api_version == kind.gvk.api_version() && name == kind.gvk.kind;
    if same || !here { Ok(()) } else { Err(another(kind, value)) }
}

fn another(kind: &Kind, value: &Value) -> Status {
    let (api_version, name) = (text(value, "/apiVersion"), text(value, "/kind"));
    let given = GroupVersionKind::parse(api_version, name);
    let wanted = [("kind", name, kind.gvk.kind.to_string()), ("apiVersion", api_version, kind.gvk.api_version())];
    let wrong = wanted.into_iter().filter(|(_, given, wanted)| given != wanted);
    let errors: Vec<FieldError> = wrong
        .map(|(field, given, wanted)| FieldError::invalid(&Path::new(field), given, format!("must be {wanted}")))
        .collect();
    let named = GroupKind { group: given.group, kind: given.kind };
    Status::invalid(&named, text(value, "/metadata/name"), &errors)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}
