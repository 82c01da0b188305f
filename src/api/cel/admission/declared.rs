//! The types of `request` and `namespaceObject` (apiserver `pkg/admission/plugin/cel/compile.go`).

use super::super::env::Env;
use super::super::types::Type;

const KIND: &str = "kubernetes.GroupVersionKind";
const RESOURCE: &str = "kubernetes.GroupVersionResource";
const USER: &str = "kubernetes.UserInfo";

/// Adds `request` and `namespaceObject` to an environment.
pub(super) fn declare(env: Env) -> Env {
    let texts = || Type::list(Type::String);
    let all_text = |names: &[&'static str]| names.iter().map(|name| (*name, Type::String)).collect::<Vec<_>>();
    let env = object(env, KIND, all_text(&["group", "version", "kind"]));
    let env = object(env, RESOURCE, all_text(&["group", "version", "resource"]));
    let user = [("groups", texts()), ("extra", Type::map(Type::String, texts()))];
    let env = object(env, USER, [all_text(&["username", "uid"]), user.to_vec()].concat());
    let request = [
        ("kind", Type::object(KIND)),
        ("resource", Type::object(RESOURCE)),
        ("requestKind", Type::object(KIND)),
        ("requestResource", Type::object(RESOURCE)),
        ("userInfo", Type::object(USER)),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ];
    let plain = all_text(&["subResource", "requestSubResource", "name", "namespace", "operation"]);
    let env = object(env, "kubernetes.AdmissionRequest", [plain, request.to_vec()].concat());
    namespace(env)
        .variable("request", Type::object("kubernetes.AdmissionRequest"))
        .variable("namespaceObject", Type::object("kubernetes.Namespace"))
}

fn namespace(env: Env) -> Env {
    let texts = || Type::list(Type::String);
    let labels = || Type::map(Type::String, Type::String);
    let env = object(env, "kubernetes.NamespaceSpec", vec![("finalizers", texts())]);
    let condition = vec![
        ("status", Type::String),
        ("type", Type::String),
        ("lastTransitionTime", Type::Timestamp),
        ("message", Type::String),
        ("reason", Type::String),
    ];
    let env = object(env, "kubernetes.NamespaceCondition", condition);
    let conditions = Type::list(Type::object("kubernetes.NamespaceCondition"));
    let env = object(env, "kubernetes.NamespaceStatus", vec![("conditions", conditions), ("phase", Type::String)]);
    let metadata = vec![
        ("name", Type::String),
        ("generateName", Type::String),
        ("namespace", Type::String),
        ("labels", labels()),
        ("annotations", labels()),
        // Upstream declares it so, and no such field is ever there (v1.37).
        ("UID", Type::String),
        ("creationTimestamp", Type::Timestamp),
        ("deletionGracePeriodSeconds", Type::Int),
        ("deletionTimestamp", Type::Timestamp),
        ("generation", Type::Int),
        ("resourceVersion", Type::String),
        ("finalizers", texts()),
    ];
    let env = object(env, "kubernetes.NamespaceMetadata", metadata);
    let parts = ["metadata", "spec", "status"].into_iter().zip(["Metadata", "Spec", "Status"]);
    let parts = parts.map(|(field, of)| (field, Type::object(&format!("kubernetes.Namespace{of}"))));
    object(env, "kubernetes.Namespace", parts.collect())
}

fn object(env: Env, name: &str, fields: Vec<(&'static str, Type)>) -> Env {
    env.object(name, fields.into_iter().map(|(field, of)| (field.to_owned(), of)))
}
