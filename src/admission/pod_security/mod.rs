//! `PodSecurity`: pods meet the standard that the labels of their namespace name (pod-security-admission
//! `admission`). Controllers whose pods would not are warned of.

mod checks;
mod configuration;
mod policy;

use std::collections::BTreeMap;

use serde_json::Value;

use self::checks::{Pod, details, reasons, violations};
use self::policy::{Level, Policy, Standard};
use super::measures::Verdict;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::{Object, Result, Status};
use crate::resources::Kind;

/// How many pods are looked at when a namespace becomes stricter.
const PODS_MAX: usize = 3000;

/// Subresources of pods that do not change what runs.
const HARMLESS: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// What counts for namespaces that say nothing, and who is exempt.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PodSecurity {
    defaults: Policy,
    usernames: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        if !matches!(operation, Operation::Create | Operation::Update) {
            return false;
        }
        match (&*kind.gvk.group, &*kind.resource) {
            ("", "pods") => !HARMLESS.contains(&subresource),
            ("", "namespaces") => subresource.is_empty(),
            _ => subresource.is_empty() && template(kind).is_some(),
        }
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let checked = match (&*attributes.kind.gvk.group, &*attributes.kind.resource) {
            ("", "namespaces") => self.namespace(ctx, attributes),
            _ if self.exempts(attributes) => Ok(()),
            ("", "pods") => self.pod(ctx, attributes),
            _ => self.controller(ctx, attributes),
        };
        Answer::Ready(checked)
    }
}

/// Where a controller has the template of its pods.
fn template(kind: &Kind) -> Option<&'static [&'static str]> {
    match (&*kind.gvk.group, &*kind.resource) {
        ("", "podtemplates") => Some(&["template"]),
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some(&["spec", "template"]),
        ("batch", "cronjobs") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

impl PodSecurity {
    /// Whether it does not matter what is written here, or by this user.
    fn exempts(&self, attributes: &Attributes<'_>) -> bool {
        self.namespaces.contains(&attributes.target.namespace) || self.usernames.contains(&attributes.user.name)
    }

    fn exempts_class(&self, pod: Pod<'_>) -> bool {
        let class = pod.spec.get("runtimeClassName").and_then(Value::as_str).unwrap_or_default();
        self.runtime_classes.iter().any(|exempt| exempt == class)
    }

    fn policy_of(&self, ctx: &Context, namespace: &str) -> Option<Policy> {
        let snapshot = ctx.store.snapshot();
        let stored = snapshot.find("namespaces", "", namespace)?;
        Some(self.defaults.of_labels(|key| stored.facts.label(key).map(|value| &**value)).0)
    }

    fn pod(&self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let namespace = attributes.target.namespace.as_str();
        let missing = || Status::internal(format!("failed to lookup namespace {}", go_quote(namespace)));
        let policy = self.policy_of(ctx, namespace).ok_or_else(missing)?;
        let Some(object) = attributes.object.as_deref() else { return Ok(()) };
        // Upstream looks at the policy first, and counts what everything is allowed by.
        if policy.allows_everything() {
            note(ctx, attributes, ("enforce", policy.enforce, true));
            return Ok(());
        }
        if attributes.old.is_some_and(|old| !runs_something_else(object, old)) {
            return Ok(());
        }
        let pod = pod_of(object, &[]);
        if self.exempts_class(pod) {
            return Ok(());
        }
        let refused = violations(policy.enforce, pod);
        note(ctx, attributes, ("enforce", policy.enforce, refused.is_empty()));
        if !violations(policy.audit, pod).is_empty() {
            note(ctx, attributes, ("audit", policy.audit, false));
        }
        if !refused.is_empty() {
            let standard = go_quote(&policy.enforce.to_string());
            let why = format!("violates PodSecurity {standard}: {}", details(&refused));
            let name = if attributes.target.name.is_empty() { object.name() } else { &attributes.target.name };
            return Err(Status::forbidden(&attributes.kind.group_resource(), name, &why));
        }
        let warning = warning(policy.warn, pod);
        if warning.is_some() {
            note(ctx, attributes, ("warn", policy.warn, false));
        }
        attributes.warnings.extend(warning);
        Ok(())
    }

    fn controller(&self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let Some(policy) = self.policy_of(ctx, &attributes.target.namespace) else { return Ok(()) };
        let (Some(object), Some(path)) = (attributes.object.as_deref(), template(attributes.kind)) else {
            return Ok(());
        };
        if object.get(path).is_none_or(Value::is_null) {
            return Ok(());
        }
        let pod = pod_of(object, path);
        if self.exempts_class(pod) {
            return Ok(());
        }
        if !violations(policy.audit, pod).is_empty() {
            note(ctx, attributes, ("audit", policy.audit, false));
        }
        let warning = warning(policy.warn, pod);
        if warning.is_some() {
            note(ctx, attributes, ("warn", policy.warn, false));
        }
        attributes.warnings.extend(warning);
        Ok(())
    }

    fn namespace(&self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let Some(object) = attributes.object.as_deref() else { return Ok(()) };
        let of = |object: &Object| {
            self.defaults.of_labels(|key| object.get(&["metadata", "labels", key]).and_then(Value::as_str))
        };
        let (policy, errors) = of(object);
        let old = attributes.old.map(of);
        let known_errors = old.as_ref().is_some_and(|(_, old)| *old == errors);
        if !errors.is_empty() && !known_errors {
            return Err(Status::invalid(&attributes.kind.group_kind(), object.name(), &errors));
        }
        let exempt = self.namespaces.iter().any(|name| name == object.name());
        let Some((before, _)) = old else {
            attributes.warnings.extend(self.exemption(object, policy).filter(|_| exempt));
            return Ok(());
        };
        let relaxed = policy.enforce.minor == before.enforce.minor && policy.enforce.level <= before.enforce.level;
        if policy.enforce == before.enforce || policy.enforce.level == Level::Privileged || relaxed {
            return Ok(());
        }
        let warnings = match exempt {
            true => self.exemption(object, policy).into_iter().collect(),
            false => self.warnings_for_pods(ctx, object.name(), policy.enforce),
        };
        attributes.warnings.extend(warnings);
        Ok(())
    }

    /// Which pods of a namespace do not meet its new standard; they stay, but could not be made again.
    fn warnings_for_pods(&self, ctx: &Context, namespace: &str, standard: Standard) -> Vec<String> {
        let snapshot = ctx.store.snapshot();
        let total = snapshot.list("pods", Some(namespace), None).count();
        let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for stored in snapshot.list("pods", Some(namespace), None).take(PODS_MAX) {
            let Ok(pod) = Object::from_json(&stored.body.json) else { continue };
            if self.exempts_class(pod_of(&pod, &[])) {
                continue;
            }
            let violations = violations(standard, pod_of(&pod, &[]));
            if !violations.is_empty() {
                // The store lists by name, so that the first pod is the one to name.
                found.entry(reasons(&violations)).or_insert_with(|| (pod.name().to_owned(), 0)).1 += 1;
            }
        }
        let mut warnings = Vec::new();
        if total > PODS_MAX {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {PODS_MAX} of {total} existing pods"
            ));
        }
        if !found.is_empty() {
            let (namespace, standard) = (go_quote(namespace), go_quote(&standard.to_string()));
            warnings.push(format!(
                "existing pods in namespace {namespace} violate the new PodSecurity enforce level {standard}"
            ));
        }
        let mut of_pods: Vec<_> = found
            .into_iter()
            .map(|(reasons, (name, count))| match count {
                1 => format!("{name}: {reasons}"),
                2 => format!("{name} (and 1 other pod): {reasons}"),
                more => format!("{name} (and {} other pods): {reasons}", more - 1),
            })
            .collect();
        of_pods.sort();
        warnings.extend(of_pods);
        warnings
    }

    /// The warning that what an exempt namespace says of itself is of no effect.
    fn exemption(&self, namespace: &Object, policy: Policy) -> Option<String> {
        if policy.allows_everything() || policy == self.defaults {
            return None;
        }
        let said = |mode: &str| {
            let label = |suffix| format!("pod-security.kubernetes.io/{mode}{suffix}");
            ["", "-version"].iter().any(|end| namespace.labels().any(|(key, _)| key == label(end)))
        };
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        let strict = modes.iter().filter(|(mode, standard)| standard.level != Level::Privileged && said(mode));
        let strict: Vec<String> = strict.map(|(mode, standard)| format!("{mode}={standard}")).collect();
        let (name, strict) = (go_quote(namespace.name()), strict.join(", "));
        Some(format!("namespace {name} is exempt from Pod Security, and the policy ({strict}) will be ignored"))
    }
}

/// Counts what a standard says.
fn note(ctx: &Context, attributes: &Attributes<'_>, (mode, standard, allowed): (&'static str, Standard, bool)) {
    let resource = if &*attributes.kind.resource == "pods" { "pod" } else { "controller" };
    let (level, version) = (standard.level.as_str(), standard.version());
    let (operation, subresource) = (attributes.operation, attributes.target.subresource.clone());
    ctx.measures.pod_security.count(Verdict { allowed, mode, level, version, operation, resource, subresource });
}

fn warning(standard: Standard, pod: Pod<'_>) -> Option<String> {
    let found = violations(standard, pod);
    let standard = go_quote(&standard.to_string());
    (!found.is_empty()).then(|| format!("would violate PodSecurity {standard}: {}", details(&found)))
}

fn pod_of<'a>(object: &'a Object, path: &[&str]) -> Pod<'a> {
    let at = |rest: &[&str]| object.get(&[path, rest].concat());
    Pod { annotations: at(&["metadata", "annotations"]), spec: at(&["spec"]).unwrap_or(&Value::Null) }
}

/// Whether an update changes an image or the set of containers; nothing else that matters can change.
fn runs_something_else(new: &Object, old: &Object) -> bool {
    let images = |pod: &Object, list: &str| -> Vec<Value> {
        let containers = pod.get(&["spec", list]).and_then(Value::as_array).into_iter().flatten();
        containers.map(|container| container.get("image").cloned().unwrap_or_default()).collect()
    };
    if ["containers", "initContainers"].iter().any(|list| images(new, list) != images(old, list)) {
        return true;
    }
    let ephemeral = |pod: &Object| -> Vec<(Value, Value)> {
        let containers = pod.get(&["spec", "ephemeralContainers"]).and_then(Value::as_array).into_iter().flatten();
        containers.map(|c| (c["name"].clone(), c.get("image").cloned().unwrap_or_default())).collect()
    };
    let before = ephemeral(old);
    ephemeral(new).iter().any(|container| !before.contains(container))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    async fn trial(labels: Value) -> Trial {
        let trial = Trial::new().await;
        put(&trial.context.store, "namespaces", json!({ "metadata": { "name": "web", "labels": labels } })).await;
        trial
    }

    fn pod() -> Value {
        let spec = json!({ "hostPID": true, "containers": [{ "name": "a" }] });
        json!({ "metadata": { "namespace": "web", "name": "p" }, "spec": spec })
    }

    #[tokio::test]
    async fn a_pod_that_does_not_meet_the_enforced_standard_is_refused() {
        let labels = json!({ "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.30" });
        let refused = trial(labels).await.validate(&PodSecurity::default(), "pods", pod()).await.unwrap_err();
        let message =
            "pods \"p\" is forbidden: violates PodSecurity \"baseline:v1.30\": host namespaces (hostPID=true)";
        assert_eq!(refused.message(), message);
        trial(json!({})).await.validate(&PodSecurity::default(), "pods", pod()).await.unwrap();
        let warned = trial(json!({ "pod-security.kubernetes.io/warn": "baseline" })).await;
        warned.validate(&PodSecurity::default(), "pods", pod()).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_standards_of_a_namespace_say_is_counted() {
        let of = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
        let labels = json!({ of("enforce"): "privileged", of("audit"): "baseline", of("audit-version"): "v1.99",
            of("warn"): "restricted", of("warn-version"): "v1.30" });
        let trial = trial(labels).await;
        trial.validate(&PodSecurity::default(), "pods", pod()).await.unwrap();
        let counted = trial.context.measures.pod_security.rows().into_iter();
        let counted = counted.map(|(v, count)| (v.allowed, v.mode, v.level, v.version, v.resource, count));
        let audit = (false, "audit", "baseline", "future".to_owned(), "pod", 1);
        let warn = (false, "warn", "restricted", "v1.30".to_owned(), "pod", 1);
        let enforce = (true, "enforce", "privileged", "latest".to_owned(), "pod", 1);
        assert_eq!(counted.collect::<Vec<_>>(), [audit, warn, enforce]);
    }

    #[tokio::test]
    async fn labels_that_make_no_sense_are_refused_with_the_namespace() {
        let namespace =
            json!({ "metadata": { "name": "web", "labels": { "pod-security.kubernetes.io/enforce": "x" } } });
        let refused =
            trial(json!({})).await.validate(&PodSecurity::default(), "namespaces", namespace).await.unwrap_err();
        assert_eq!(refused.code(), 422);
    }

    #[tokio::test]
    async fn a_stricter_namespace_tells_which_pods_do_not_fit() {
        let trial = trial(json!({})).await;
        for name in ["b", "a", "c"] {
            let mut pod = pod();
            pod["metadata"]["name"] = json!(name);
            put(&trial.context.store, "pods", pod).await;
        }
        let standard = Standard { level: Level::Baseline, minor: None };
        let expected = [
            "existing pods in namespace \"web\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 2 other pods): host namespaces",
        ];
        assert_eq!(PodSecurity::default().warnings_for_pods(&trial.context, "web", standard), expected);
    }
}
