//! Warnings about pods and pod templates: what is deprecated, has no effect or is likely a mistake.

mod ports;
mod volumes;

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use super::resource_list::amount;
use crate::api::Object;
use crate::api::field::{Path, go_quote};
use crate::api::quantity::Quantity;
use crate::api::validation::ip::ip_warnings;
use crate::api::validation::names::{dns1123_label, label_value};
use crate::resources::tree::{Tree, child, int, is_set, items, text, texts};
use ports::{port_name_warnings, port_warnings};
use volumes::{overlap_warnings, volume_warnings};

const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];
const DEPRECATED_NODE_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_MESSAGE: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// A pod or a template, with the path under which its `metadata` and `spec` are printed.
pub(super) struct Template<'a> {
    metadata: &'a Tree,
    spec: &'a Tree,
    /// Empty for pods, `spec.template.` and the like for templates.
    prefix: &'a str,
}

/// A container; its path is what it prints.
pub(super) struct Container<'a> {
    pub(super) tree: &'a Tree,
    prefix: &'a str,
    list: &'static str,
    index: usize,
}

impl fmt::Display for Container<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}spec.{}[{}]", self.prefix, self.list, self.index)
    }
}

/// Warnings about a new pod. Changes of pods are left alone: people do not make them.
pub(super) fn pod_warnings(pod: &Object, old: Option<&Object>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let faults = dns1123_label(pod.name());
    let name = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label \
        is recommended";
    let mut warnings = if faults.is_empty() { Vec::new() } else { vec![format!("{name}: [{}]", faults.join(" "))] };
    warnings.extend(warnings_about(pod.root(), ""));
    warnings
}

/// Warnings about the template that a workload carries, on creation and whenever the workload's generation changes.
/// `prefix` is the path of the template with a dot at its end.
pub(in crate::resources) fn template_warnings(object: &Object, old: Option<&Object>, prefix: &str) -> Vec<String> {
    if old.is_some_and(|old| old.generation() == object.generation()) {
        return Vec::new();
    }
    let path: Vec<&str> = prefix.split('.').filter(|step| !step.is_empty()).collect();
    let template = object.get(&path).and_then(Value::as_object);
    template.map(|template| warnings_about(template, prefix)).unwrap_or_default()
}

fn warnings_about(holder: &Tree, prefix: &str) -> Vec<String> {
    let empty = Tree::new();
    let metadata = child(holder, "metadata").unwrap_or(&empty);
    let spec = child(holder, "spec").unwrap_or(&empty);
    let template = Template { metadata, spec, prefix };
    let mut warnings = node_label_warnings(&template);
    warnings.extend(template.annotation_warnings());
    warnings.extend(volume_warnings(&template));
    warnings.extend(overlap_warnings(spec));
    warnings.extend(duplicate_warnings(&template));
    for resource in ["memory", "ephemeral-storage"] {
        let list = child(spec, "overhead");
        warnings.extend(fraction_warning(list, resource, format_args!("{prefix}spec.overhead")));
    }
    warnings.extend(container_warnings(&template));
    let containers = template.containers();
    warnings.extend(port_warnings(&containers));
    warnings.extend(port_name_warnings(&containers));
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let path = format!("{prefix}spec.terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(affinity_warnings(&template));
    warnings.extend(address_warnings(&template));
    warnings
}

impl<'a> Template<'a> {
    /// All containers in the order in which upstream visits them.
    fn containers(&self) -> Vec<Container<'a>> {
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let of = |list: &'static str| {
            let all = items(self.spec, list).enumerate();
            all.map(move |(index, tree)| Container { tree, prefix: self.prefix, list, index })
        };
        lists.into_iter().flat_map(of).collect()
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        child(self.metadata, "annotations")?.get(key)?.as_str()
    }

    fn annotation_warning(&self, key: &str, message: &str) -> String {
        format!("{}metadata.annotations[{key}]: {message}", self.prefix)
    }

    fn annotation_warnings(&self) -> Vec<String> {
        let present = DEPRECATED_ANNOTATIONS.iter().filter(|(key, _)| self.annotation(key).is_some());
        present.map(|(key, message)| self.annotation_warning(key, message)).collect()
    }
}

/// The message about a label of nodes that has another name by now.
fn deprecated_label(key: &str) -> Option<&'static str> {
    DEPRECATED_NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

fn node_label_warnings(template: &Template<'_>) -> Vec<String> {
    let (spec, prefix) = (template.spec, template.prefix);
    let mut warnings = Vec::new();
    for key in child(spec, "nodeSelector").into_iter().flat_map(|s| s.keys()) {
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{prefix}spec.nodeSelector[{key}]: {message}"));
        }
    }
    if let Some(affinity) = child(spec, "affinity").and_then(|a| child(a, "nodeAffinity")) {
        let at = format!("{prefix}spec.affinity.nodeAffinity");
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let terms = child(affinity, required).into_iter().flat_map(|r| items(r, "nodeSelectorTerms"));
        for (i, term) in terms.enumerate() {
            term_warnings(&mut warnings, term, &format!("{at}.{required}.nodeSelectorTerms[{i}]"));
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, weighted) in items(affinity, preferred).enumerate() {
            let Some(term) = child(weighted, "preference") else { continue };
            let path = format!("{at}.{preferred}[{i}].preference");
            term_warnings(&mut warnings, term, &path);
            value_warnings(&mut warnings, term, &path);
        }
    }
    for (i, constraint) in items(spec, "topologySpreadConstraints").enumerate() {
        let path = format!("{prefix}spec.topologySpreadConstraints[{i}]");
        let key = text(constraint, "topologyKey");
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{path}.topologyKey: {key} is {message}"));
        }
        if !is_set(constraint, "labelSelector") {
            warnings.push(format!("{path}.labelSelector: {NO_SELECTOR}"));
        }
    }
    warnings
}

fn term_warnings(warnings: &mut Vec<String>, term: &Tree, path: &str) {
    for (i, expression) in items(term, "matchExpressions").enumerate() {
        let key = text(expression, "key");
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{path}.matchExpressions[{i}].key: {key} is {message}"));
        }
    }
}

fn value_warnings(warnings: &mut Vec<String>, term: &Tree, path: &str) {
    for (i, expression) in items(term, "matchExpressions").enumerate() {
        for (j, value) in texts(expression, "values").enumerate() {
            let at = format!("{path}.matchExpressions[{i}].values[{j}]");
            warnings.extend(label_value(value).iter().map(|m| format!("{at}: {value} is invalid, {m}")));
        }
    }
}

fn duplicate_warnings(template: &Template<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (list, key, what) in [("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")] {
        let mut seen = HashSet::new();
        for (i, item) in items(template.spec, list).enumerate() {
            let value = text(item, key);
            if !seen.insert(value) {
                let path = format!("{}spec.{list}[{i}].{key}", template.prefix);
                warnings.push(format!("{path}: duplicate {what} {}", go_quote(value)));
            }
        }
    }
    for (i, secret) in items(template.spec, "imagePullSecrets").enumerate() {
        if text(secret, "name").is_empty() {
            warnings.push(format!("{}spec.imagePullSecrets[{i}].name: invalid empty name \"\"", template.prefix));
        }
    }
    warnings
}

/// A warning when an amount of bytes is not whole.
fn fraction_warning(list: Option<&Tree>, resource: &str, path: fmt::Arguments<'_>) -> Option<String> {
    let quantity: Quantity = amount(list, resource);
    let whole = quantity.milli_value() % 1000 == 0;
    (!whole).then(|| format!("{path}[{resource}]: fractional byte value \"{quantity}\" is invalid, must be an integer"))
}

fn container_warnings(template: &Template<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let security = child(template.spec, "securityContext");
    if !security.is_some_and(|s| is_set(s, "seccompProfile")) && template.annotation(SECCOMP_POD).is_some() {
        warnings.push(template.annotation_warning(SECCOMP_POD, SECCOMP_MESSAGE));
    }
    for container in template.containers() {
        let tree = container.tree;
        if child(template.metadata, "annotations").is_some() {
            warnings.extend(profile_warnings(template, tree));
        }
        let resources = child(tree, "resources");
        for resource in ["memory", "ephemeral-storage"] {
            for list in ["limits", "requests"] {
                let amounts = resources.and_then(|r| child(r, list));
                warnings.extend(fraction_warning(amounts, resource, format_args!("{container}.resources.{list}")));
            }
        }
        warnings.extend(variable_warnings(&container));
    }
    warnings
}

/// Annotations about one container that profiles have taken the place of.
fn profile_warnings(template: &Template<'_>, container: &Tree) -> Vec<String> {
    let (name, context) = (text(container, "name"), child(container, "securityContext"));
    let profiled = |key: &str| context.is_some_and(|c| is_set(c, key));
    let mut warnings = Vec::new();
    let key = format!("{SECCOMP_CONTAINER}{name}");
    if !profiled("seccompProfile") && template.annotation(&key).is_some() {
        warnings.push(template.annotation_warning(&key, SECCOMP_MESSAGE));
    }
    let key = format!("{APP_ARMOR}{name}");
    let security = child(template.spec, "securityContext");
    if let Some(annotation) = template.annotation(&key).filter(|_| !profiled("appArmorProfile"))
        && !template.prefix.is_empty()
        && !same_profile(security.and_then(|s| child(s, "appArmorProfile")), annotation)
    {
        let message = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
        warnings.push(template.annotation_warning(&key, message));
    }
    warnings
}

/// Whether a profile of the pod says the same as an annotation about a container.
fn same_profile(profile: Option<&Tree>, annotation: &str) -> bool {
    let Some(profile) = profile else { return false };
    match (text(profile, "type"), text(profile, "localhostProfile")) {
        ("Unconfined", "") => annotation == "unconfined",
        ("RuntimeDefault", "") => annotation == "runtime/default",
        ("Localhost", name) => annotation.strip_prefix("localhost/") == Some(name),
        _ => false,
    }
}

/// A variable that comes twice hides the first one, unless it refers to it.
fn variable_warnings(container: &Container<'_>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    for (i, variable) in items(container.tree, "env").enumerate() {
        let (name, value) = (text(variable, "name"), text(variable, "value"));
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        if is_set(variable, "valueFrom") || value == reference || !value.contains(&reference) {
            let what = format!("hides previous definition of {}", go_quote(name));
            warnings.push(format!("{container}.env[{i}]: {what}, which may be dropped when using apply"));
        }
    }
    warnings
}

fn affinity_warnings(template: &Template<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = child(template.spec, "affinity").and_then(|a| child(a, kind)) else { continue };
        let at = format!("{}spec.affinity.{kind}", template.prefix);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (i, _) in items(affinity, required).enumerate().filter(|(_, t)| !is_set(t, "labelSelector")) {
            warnings.push(format!("{at}.{required}[{i}].labelSelector: {NO_SELECTOR}"));
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, weighted) in items(affinity, preferred).enumerate() {
            if !child(weighted, "podAffinityTerm").is_some_and(|t| is_set(t, "labelSelector")) {
                warnings.push(format!("{at}.{preferred}[{i}].podAffinityTerm.labelSelector: {NO_SELECTOR}"));
            }
        }
    }
    warnings
}

fn address_warnings(template: &Template<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let servers = child(template.spec, "dnsConfig").into_iter().flat_map(|d| texts(d, "nameservers"));
    for (i, server) in servers.enumerate() {
        let path = format!("{}spec.dnsConfig.nameservers[{i}]", template.prefix);
        warnings.extend(ip_warnings(server, &Path::new(&path)));
    }
    for (i, alias) in items(template.spec, "hostAliases").enumerate() {
        let path = format!("{}spec.hostAliases[{i}].ip", template.prefix);
        warnings.extend(ip_warnings(text(alias, "ip"), &Path::new(&path)));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_spec(spec: Value, expected: &[&str]) {
        let pod = Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        assert_eq!(pod_warnings(&pod, None), expected);
    }

    #[test]
    fn a_plain_pod_gives_no_warnings() {
        check_spec(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}), &[]);
    }

    #[test]
    fn deprecated_labels_and_volumes_are_named() {
        check_spec(
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "volumes": [{"name": "v", "glusterfs": {}}]}),
            &[
                "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+",
            ],
        );
    }

    #[test]
    fn hidden_variables_and_fractions_are_named() {
        let env = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}]);
        let resources = json!({"limits": {"memory": "500m"}});
        check_spec(
            json!({"containers": [{"name": "c", "env": env, "resources": resources}]}),
            &[
                "spec.containers[0].resources.limits[memory]: fractional byte value \"500m\" is invalid, must be an integer",
                "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            ],
        );
    }

    #[test]
    fn templates_warn_under_their_own_path_when_they_change() {
        let template = json!({"spec": {"terminationGracePeriodSeconds": -1}});
        let object = |generation: i64| {
            let value = json!({"metadata": {"generation": generation}, "spec": {"template": template}});
            Object::from_value(value).unwrap()
        };
        let expected = "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1";
        assert_eq!(template_warnings(&object(2), Some(&object(1)), "spec.template."), [expected]);
        assert_eq!(template_warnings(&object(1), Some(&object(1)), "spec.template."), Vec::<String>::new());
    }
}
