//! Policies over a store in memory: what they let pass, refuse and change, and in which words.

use serde_json::{Value, json};

use super::{MutatingAdmissionPolicy, ValidatingAdmissionPolicy};
use crate::admission::trial::Trial;
use crate::api::Object;
use crate::auth::fixture::put;

const GROUP: &str = "admissionregistration.k8s.io";

async fn trial(objects: &[(&str, Value)]) -> Trial {
    let trial = Trial::new().await;
    put(&trial.context.store, "namespaces", json!({ "metadata": { "name": "n" } })).await;
    for (collection, object) in objects {
        put(&trial.context.store, collection, object.clone()).await;
    }
    trial
}

fn constraints() -> Value {
    let rule = json!({ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["deployments"], "scope": "*" });
    json!({ "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [rule] })
}

fn policy(mut spec: Value) -> Value {
    spec["matchConstraints"] = constraints();
    json!({ "metadata": { "name": "p", "generation": 1 }, "spec": spec })
}

fn binding(mut spec: Value) -> Value {
    spec["policyName"] = json!("p");
    json!({ "metadata": { "name": "b" }, "spec": spec })
}

fn deployment(replicas: i64) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "namespace": "n" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c" }] } } } })
}

async fn judge(spec: Value, bound: Value, replicas: i64) -> Result<(), (u16, String)> {
    let (policies, bindings) =
        (collection("validatingadmissionpolicies"), collection("validatingadmissionpolicybindings"));
    let trial = trial(&[(&policies, policy(spec)), (&bindings, binding(bound))]).await;
    let done = trial.validate(&ValidatingAdmissionPolicy::default(), "deployments", deployment(replicas)).await;
    done.map(drop).map_err(|status| (status.code(), status.message().to_owned()))
}

fn collection(resource: &str) -> String {
    format!("{resource}.{GROUP}")
}

fn denied(code: u16, why: &str) -> Result<(), (u16, String)> {
    let message = format!(
        "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {why}"
    );
    Err((code, message))
}

#[tokio::test]
async fn a_validation_that_is_false_refuses_with_its_message_and_reason() {
    let deny = || json!({ "validationActions": ["Deny"] });
    let spec = |rest: Value| {
        let mut validation = json!({ "expression": "object.spec.replicas <= 5" });
        validation.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({ "validations": [validation], "variables": [{ "name": "limit", "expression": "5" }] })
    };
    assert_eq!(judge(spec(json!({})), deny(), 5).await, Ok(()));
    let failed = denied(422, "failed expression: object.spec.replicas <= 5");
    assert_eq!(judge(spec(json!({})), deny(), 6).await, failed);
    let message = json!({ "message": " too many ", "reason": "Forbidden" });
    assert_eq!(judge(spec(message), deny(), 6).await, denied(403, "too many"));
    let given = json!({ "messageExpression": "'at most ' + string(variables.limit)", "message": "many" });
    assert_eq!(judge(spec(given), deny(), 6).await, denied(422, "at most 5"));
    let warn = json!({ "validationActions": ["Warn", "Audit"] });
    assert_eq!(judge(spec(json!({})), warn, 6).await, Ok(()));
}

#[tokio::test]
async fn what_cannot_be_evaluated_refuses_unless_failures_are_ignored() {
    let deny = || json!({ "validationActions": ["Deny"] });
    let spec =
        |failure: &str| json!({ "failurePolicy": failure, "validations": [{ "expression": "object.none == 1" }] });
    let why = "expression 'object.none == 1' resulted in error: no such key: none";
    assert_eq!(judge(spec("Fail"), deny(), 1).await, denied(422, why));
    assert_eq!(judge(spec("Ignore"), deny(), 1).await, Ok(()));
    let kind = json!({ "failurePolicy": "Fail", "paramKind": { "apiVersion": "x.io/v1", "kind": "X" },
        "validations": [{ "expression": "true" }] });
    let message = "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to \
                   configure policy: failed to find resource referenced by paramKind: 'x.io/v1, Kind=X'";
    assert_eq!(judge(kind, deny(), 1).await, Err((422, message.to_owned())));
}

#[tokio::test]
async fn parameters_are_found_by_name_and_by_labels() {
    let spec = json!({ "failurePolicy": "Fail", "paramKind": { "apiVersion": "v1", "kind": "ConfigMap" },
        "validations": [{ "expression": "object.spec.replicas <= int(params.data.max)" }] });
    let map = |name: &str, max: &str| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "max": max },
            "metadata": { "name": name, "namespace": "n", "labels": { "use": "limit" } } })
    };
    let judge = async |reference: Value, replicas: i64| {
        let bound = json!({ "validationActions": ["Deny"], "paramRef": reference });
        let (policies, bindings) =
            (collection("validatingadmissionpolicies"), collection("validatingadmissionpolicybindings"));
        let objects = [
            (policies.as_str(), policy(spec.clone())),
            (bindings.as_str(), binding(bound)),
            ("configmaps", map("low", "1")),
            ("configmaps", map("high", "5")),
        ];
        let trial = trial(&objects).await;
        let done = trial.validate(&ValidatingAdmissionPolicy::default(), "deployments", deployment(replicas)).await;
        done.map(drop).map_err(|status| (status.code(), status.message().to_owned()))
    };
    let failed = || denied(422, "failed expression: object.spec.replicas <= int(params.data.max)");
    assert_eq!(judge(json!({ "name": "high" }), 3).await, Ok(()));
    assert_eq!(judge(json!({ "name": "low" }), 3).await, failed());
    assert_eq!(judge(json!({ "selector": { "matchLabels": { "use": "limit" } } }), 3).await, failed());
    let absent = json!({ "name": "none", "parameterNotFoundAction": "Allow" });
    assert_eq!(judge(absent, 3).await, Ok(()));
    let why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    let absent = json!({ "name": "none", "parameterNotFoundAction": "Deny" });
    assert_eq!(judge(absent, 3).await, denied(422, why));
}

async fn mutate(mutations: Value) -> Result<Object, (u16, String)> {
    let spec = json!({ "failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": mutations });
    let (policies, bindings) = (collection("mutatingadmissionpolicies"), collection("mutatingadmissionpolicybindings"));
    let trial = trial(&[(&policies, policy(spec)), (&bindings, binding(json!({})))]).await;
    let done = trial.admit(&MutatingAdmissionPolicy::default(), "deployments", deployment(1)).await;
    done.map_err(|status| (status.code(), status.message().to_owned()))
}

#[tokio::test]
async fn a_mutation_merges_a_configuration_or_applies_a_patch() {
    let merge = "Object{spec: Object.spec{replicas: 3, template: Object.spec.template{spec: \
                 Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'x', image: 'i'}]}}}}";
    let merged = mutate(json!([{ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": merge } }]));
    let merged = merged.await.unwrap();
    assert_eq!(merged.int_at(&["spec", "replicas"]), Some(3));
    let containers = merged.get(&["spec", "template", "spec", "containers"]).and_then(Value::as_array).unwrap();
    let names: Vec<&str> = containers.iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["c", "x"]);
    let patch = "[JSONPatch{op: 'replace', path: '/spec/replicas', value: object.spec.replicas + 1}]";
    let patched = mutate(json!([{ "patchType": "JSONPatch", "jsonPatch": { "expression": patch } }])).await.unwrap();
    assert_eq!(patched.int_at(&["spec", "replicas"]), Some(2));
    let test = "[JSONPatch{op: 'test', path: '/spec/replicas', value: 7}, JSONPatch{op: 'remove', path: '/spec'}]";
    let untouched = mutate(json!([{ "patchType": "JSONPatch", "jsonPatch": { "expression": test } }])).await.unwrap();
    assert_eq!(untouched.int_at(&["spec", "replicas"]), Some(1));
}

#[tokio::test]
async fn a_mutation_that_cannot_be_made_refuses_the_request() {
    let apply = |expression: &str| json!([{ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": expression } }]);
    let refused = |why: &str| Err((403, format!("policy 'p' with binding 'b' denied request: {why}")));
    let unknown = "error applying patch: failed to convert patch object to typed object: .spec.none: field not \
                   declared in schema";
    let found = mutate(apply("Object{spec: Object.spec{none: 1}}")).await.map(drop);
    assert_eq!(found, refused(unknown));
    let atomic = "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: \
                  .spec.selector";
    let found = mutate(apply("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'c'}}}}"));
    assert_eq!(found.await.map(drop), refused(atomic));
}
