//! The pod security standards, one function each, in upstream's order (pod-security-admission `policy`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::policy::{Level, Standard};
use crate::api::field::go_quote;

/// What a check looks at: a pod or the template of one.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    /// `metadata.annotations`.
    pub annotations: Option<&'a Value>,
    pub spec: &'a Value,
}

/// Why a pod does not meet a standard: reason and detail.
pub(super) type Violation = (String, String);

type Check = fn(Pod<'_>, u32) -> Option<Violation>;

/// A check, from which version on, and from which on the restricted level has a stricter one instead.
struct Row {
    since: u32,
    replaced_in_restricted: Option<u32>,
    check: Check,
}

const fn row(since: u32, check: Check) -> Row {
    Row { since, replaced_in_restricted: None, check }
}

const fn replaced(minor: u32, check: Check) -> Row {
    Row { since: 0, replaced_in_restricted: Some(minor), check }
}

const BASELINE: &[Row] = &[
    row(0, app_armor),
    replaced(22, capabilities_baseline),
    row(0, host_namespaces),
    replaced(0, host_path_volumes),
    row(0, host_ports),
    row(34, hosts_of_probes),
    row(0, privileged),
    replaced(35, proc_mount_baseline),
    row(0, se_linux),
    replaced(19, seccomp_baseline),
    row(0, sysctls),
    row(0, host_process),
];

const RESTRICTED: &[Row] = &[
    row(8, privilege_escalation),
    row(22, capabilities_restricted),
    row(35, proc_mount),
    row(0, restricted_volumes),
    row(0, run_as_non_root),
    row(23, run_as_user),
    row(19, seccomp_restricted),
];

/// All that a pod does wrong by a standard; empty when it meets it.
pub(super) fn violations(standard: Standard, pod: Pod<'_>) -> Vec<Violation> {
    let minor = standard.checks();
    let restricted = standard.level == Level::Restricted;
    let counts =
        |row: &&Row| minor >= row.since && !(restricted && row.replaced_in_restricted.is_some_and(|m| minor >= m));
    let rows = match standard.level {
        Level::Privileged => [&[][..], &[]],
        Level::Baseline => [BASELINE, &[]],
        Level::Restricted => [BASELINE, RESTRICTED],
    };
    rows.into_iter().flatten().filter(counts).filter_map(|row| (row.check)(pod, minor)).collect()
}

/// `reason (detail), reason (detail)`.
pub(super) fn details(violations: &[Violation]) -> String {
    let one = |(reason, detail): &Violation| {
        if detail.is_empty() { reason.clone() } else { format!("{reason} ({detail})") }
    };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `reason, reason`.
pub(super) fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>().join(", ")
}

impl<'a> Pod<'a> {
    fn containers(self) -> impl Iterator<Item = &'a Value> {
        let lists = ["initContainers", "containers", "ephemeralContainers"].into_iter();
        lists.filter_map(move |list| self.spec.get(list)).filter_map(Value::as_array).flatten()
    }

    /// The names of containers with a property.
    fn named(self, has: impl Fn(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| has(container)).map(|container| text(container, "/name")).collect()
    }

    fn annotations(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.annotations.and_then(Value::as_object).into_iter().flatten();
        all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    fn is_windows(self) -> bool {
        text(self.spec, "/os/name") == "windows"
    }

    fn has_own_users(self) -> bool {
        self.spec.get("hostUsers") == Some(&Value::Bool(false))
    }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    value.pointer(path).filter(|value| !value.is_null())
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or("")
}

fn is_true(value: &Value, path: &str) -> bool {
    at(value, path) == Some(&Value::Bool(true))
}

fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

fn joined<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    items.join(", ")
}

fn number<'a>(singular: &'a str, plural: &'a str, count: usize) -> &'a str {
    if count == 1 { singular } else { plural }
}

/// `container "a"` or `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    format!("{} {}", number("container", "containers", names.len()), joined(names))
}

/// `pod`, `container "a"` or both.
fn setters(pod: bool, names: &[&str]) -> Vec<String> {
    let pod = pod.then(|| "pod".to_owned());
    pod.into_iter().chain((!names.is_empty()).then(|| containers(names))).collect()
}

fn violation(reason: &str, detail: String) -> Option<Violation> {
    Some((reason.to_owned(), detail))
}

fn app_armor(pod: Pod<'_>, _: u32) -> Option<Violation> {
    const TYPE: &str = "/securityContext/appArmorProfile/type";
    let bad = |value: &Value| {
        at(value, "/securityContext/appArmorProfile").is_some()
            && !["RuntimeDefault", "Localhost"].contains(&text(value, TYPE))
    };
    let names = pod.named(bad);
    let mut setters = setters(bad(pod.spec), &names);
    let values: BTreeSet<_> =
        [pod.spec].into_iter().chain(pod.containers()).filter(|v| bad(v)).map(|v| text(v, TYPE)).collect();
    let mut values: Vec<String> = values.into_iter().map(str::to_owned).collect();
    let allowed =
        |profile: &str| profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/");
    let prefixed = |key: &str| key.starts_with("container.apparmor.security.beta.kubernetes.io/");
    let wrong = pod.annotations().filter(|(key, value)| prefixed(key) && !allowed(value));
    let mut wrong: Vec<_> = wrong.map(|(key, value)| format!("{key}={}", go_quote(value))).collect();
    if !wrong.is_empty() {
        wrong.sort();
        setters.push(number("annotation", "annotations", wrong.len()).to_owned());
        values.extend(wrong);
    }
    if setters.is_empty() {
        return None;
    }
    let reason = number("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    violation(reason, format!("{} must not set AppArmor profile type to {}", setters.join(" and "), joined(values)))
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const ADDED: &str = "/securityContext/capabilities/add";

/// The containers that add other capabilities than these, and which.
fn added<'a>(pod: Pod<'a>, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let wrong =
        |container: &'a Value| list(container, ADDED).filter_map(Value::as_str).filter(|c| !allowed.contains(c));
    let names = pod.containers().filter(|c| wrong(c).next().is_some()).map(|c| text(c, "/name")).collect();
    (names, pod.containers().flat_map(wrong).collect())
}

fn capabilities_baseline(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let (names, added) = added(pod, &CAPABILITIES);
    if names.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", containers(&names), joined(added));
    violation("non-default capabilities", detail)
}

fn capabilities_restricted(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    let keeping = pod.named(|c| !list(c, "/securityContext/capabilities/drop").any(|drop| drop == "ALL"));
    let (adding, added) = added(pod, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let (who, what) = (containers(&adding), joined(added));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

fn host_namespaces(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|f| is_true(pod.spec, &format!("/{f}")));
    let shared: Vec<_> = shared.map(|field| format!("{field}=true")).collect();
    if shared.is_empty() { None } else { violation("host namespaces", shared.join(", ")) }
}

fn host_path_volumes(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let names: Vec<_> =
        list(pod.spec, "/volumes").filter(|v| at(v, "/hostPath").is_some()).map(|v| text(v, "/name")).collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} {}", number("volume", "volumes", names.len()), joined(names));
    violation("hostPath volumes", detail)
}

fn host_ports(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let ports = |container| {
        list(container, "/ports").filter_map(|port| at(port, "/hostPort")).filter_map(Value::as_i64).filter(|p| *p != 0)
    };
    let names = pod.named(|container| ports(container).next().is_some());
    if names.is_empty() {
        return None;
    }
    let used: BTreeSet<String> = pod.containers().flat_map(ports).map(|port| port.to_string()).collect();
    let (uses, word) = (number("uses", "use", names.len()), number("hostPort", "hostPorts", used.len()));
    let used = used.into_iter().collect::<Vec<_>>().join(", ");
    violation("hostPort", format!("{} {uses} {word} {used}", containers(&names)))
}

fn hosts_of_probes(pod: Pod<'_>, _: u32) -> Option<Violation> {
    const HANDLERS: [&str; 5] =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    let hosts = |container| {
        let handlers = HANDLERS.into_iter().filter_map(move |path| at(container, path));
        handlers.flat_map(|h| [text(h, "/httpGet/host"), text(h, "/tcpSocket/host")]).filter(|host| !host.is_empty())
    };
    let names: BTreeSet<_> = pod.named(|container| hosts(container).next().is_some()).into_iter().collect();
    if names.is_empty() {
        return None;
    }
    let used: BTreeSet<_> = pod.containers().flat_map(hosts).collect();
    let names: Vec<_> = names.into_iter().collect();
    let uses = number("uses", "use", names.len());
    let word = number("probe or lifecycle host", "probe or lifecycle hosts", used.len());
    violation("probe or lifecycle host", format!("{} {uses} {word} {}", containers(&names), joined(used)))
}

fn privileged(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let names = pod.named(|container| is_true(container, "/securityContext/privileged"));
    if names.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

fn proc_mount_baseline(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= 35 && pod.has_own_users() { None } else { proc_mount(pod, minor) }
}

fn proc_mount(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let bad = |container: &Value| at(container, "/securityContext/procMount").is_some_and(|mount| mount != "Default");
    let names = pod.named(bad);
    if names.is_empty() {
        return None;
    }
    let mounts: BTreeSet<_> =
        pod.containers().filter(|c| bad(c)).map(|c| text(c, "/securityContext/procMount")).collect();
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&names), joined(mounts));
    violation("procMount", detail)
}

fn se_linux(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    const OPTIONS: &str = "/securityContext/seLinuxOptions";
    let mut allowed = vec!["", "container_t", "container_init_t", "container_kvm_t"];
    if minor >= 31 {
        allowed.push("container_engine_t");
    }
    let bad = |value: &Value| {
        at(value, OPTIONS).is_some_and(|options| {
            let set = |field| !text(options, field).is_empty();
            !allowed.contains(&text(options, "/type")) || set("/user") || set("/role")
        })
    };
    let names = pod.named(bad);
    let setters = setters(bad(pod.spec), &names);
    if setters.is_empty() {
        return None;
    }
    let all = || [pod.spec].into_iter().chain(pod.containers()).filter_map(|value| at(value, OPTIONS));
    let types: BTreeSet<_> = all().map(|options| text(options, "/type")).filter(|t| !allowed.contains(t)).collect();
    let mut wrong = Vec::new();
    if !types.is_empty() {
        wrong.push(format!("{} {}", number("type", "types", types.len()), joined(types)));
    }
    for field in ["user", "role"] {
        if all().any(|options| !text(options, &format!("/{field}")).is_empty()) {
            wrong.push(format!("{field} may not be set"));
        }
    }
    let (setters, wrong) = (setters.join(" and "), wrong.join("; "));
    violation("seLinuxOptions", format!("{setters} set forbidden securityContext.seLinuxOptions: {wrong}"))
}

const SECCOMP: &str = "/securityContext/seccompProfile";

fn seccomp_is_bad(value: &Value) -> bool {
    at(value, SECCOMP).is_some_and(|profile| !["Localhost", "RuntimeDefault"].contains(&text(profile, "/type")))
}

/// Profiles that are set and not allowed.
fn seccomp_set(pod: Pod<'_>) -> Option<Violation> {
    let names = pod.named(seccomp_is_bad);
    let setters = setters(seccomp_is_bad(pod.spec), &names);
    if setters.is_empty() {
        return None;
    }
    let all = [pod.spec].into_iter().chain(pod.containers()).filter(|value| seccomp_is_bad(value));
    let values: BTreeSet<_> = all.map(|value| text(value, "/securityContext/seccompProfile/type")).collect();
    let detail =
        format!("{} must not set securityContext.seccompProfile.type to {}", setters.join(" and "), joined(values));
    violation("seccompProfile", detail)
}

fn seccomp_baseline(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= 19 {
        return seccomp_set(pod);
    }
    let allowed =
        |value: &str| ["runtime/default", "docker/default"].contains(&value) || value.starts_with("localhost/");
    let mut keys = vec!["seccomp.security.alpha.kubernetes.io/pod".to_owned()];
    let of_container = |c| format!("container.seccomp.security.alpha.kubernetes.io/{}", text(c, "/name"));
    keys.extend(pod.containers().map(of_container));
    let wrong = pod.annotations().filter(|(key, value)| keys.iter().any(|k| k == key) && !allowed(value));
    let wrong: BTreeSet<_> = wrong.map(|(key, value)| format!("{key}={}", go_quote(value))).collect();
    if wrong.is_empty() {
        return None;
    }
    let word = number("annotation", "annotations", wrong.len());
    violation("seccompProfile", format!("forbidden {word} {}", wrong.into_iter().collect::<Vec<_>>().join(", ")))
}

fn seccomp_restricted(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    if let Some(set) = seccomp_set(pod) {
        return Some(set);
    }
    let names = pod.named(|container| at(container, SECCOMP).is_none());
    if names.is_empty() || at(pod.spec, SECCOMP).is_some() {
        return None;
    }
    let who = containers(&names);
    let detail =
        format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
    violation("seccompProfile", detail)
}

/// Sysctls that a pod may set, with the version since which it may.
const SYSCTLS: [(u32, &str); 14] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

fn sysctls(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    let names = list(pod.spec, "/securityContext/sysctls").map(|sysctl| text(sysctl, "/name"));
    let allowed = |name: &str| SYSCTLS.iter().any(|(since, sysctl)| minor >= *since && *sysctl == name);
    let forbidden: Vec<_> = names.filter(|name| !allowed(name)).collect();
    if forbidden.is_empty() { None } else { violation("forbidden sysctls", forbidden.join(", ")) }
}

fn host_process(pod: Pod<'_>, _: u32) -> Option<Violation> {
    const FIELD: &str = "/securityContext/windowsOptions/hostProcess";
    let setters = setters(is_true(pod.spec, FIELD), &pod.named(|container| is_true(container, FIELD)));
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}

fn privilege_escalation(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    const FIELD: &str = "/securityContext/allowPrivilegeEscalation";
    let names = pod.named(|container| at(container, FIELD) != Some(&Value::Bool(false)));
    if names.is_empty() || (minor >= 25 && pod.is_windows()) {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    violation("allowPrivilegeEscalation != false", detail)
}

const ALLOWED_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn restricted_volumes(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let sources = |volume: &'_ Value| -> Vec<String> {
        let fields = volume.as_object().into_iter().flatten();
        fields.filter(|(key, value)| *key != "name" && !value.is_null()).map(|(key, _)| key.clone()).collect()
    };
    let bad = |volume: &&Value| !sources(volume).iter().any(|source| ALLOWED_VOLUMES.contains(&source.as_str()));
    let names: Vec<_> = list(pod.spec, "/volumes").filter(bad).map(|volume| text(volume, "/name")).collect();
    if names.is_empty() {
        return None;
    }
    let kind = |volume| sources(volume).into_iter().next().unwrap_or_else(|| "unknown".to_owned());
    let kinds: BTreeSet<String> = list(pod.spec, "/volumes").filter(bad).map(kind).collect();
    let word = number("restricted volume type", "restricted volume types", kinds.len());
    let (volume, uses) = (number("volume", "volumes", names.len()), number("uses", "use", names.len()));
    violation("restricted volume types", format!("{volume} {} {uses} {word} {}", joined(names), joined(kinds)))
}

fn run_as_non_root(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    const FIELD: &str = "/securityContext/runAsNonRoot";
    const REASON: &str = "runAsNonRoot != true";
    if minor >= 35 && pod.has_own_users() {
        return None;
    }
    let refuses = |value: &Value| at(value, FIELD) == Some(&Value::Bool(false));
    let setters = setters(refuses(pod.spec), &pod.named(refuses));
    if !setters.is_empty() {
        return violation(REASON, format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and ")));
    }
    let silent = pod.named(|container| at(container, FIELD).is_none());
    if silent.is_empty() || is_true(pod.spec, FIELD) {
        return None;
    }
    violation(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

fn run_as_user(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= 35 && pod.has_own_users() {
        return None;
    }
    let root = |value: &Value| at(value, "/securityContext/runAsUser").and_then(Value::as_i64) == Some(0);
    let setters = setters(root(pod.spec), &pod.named(root));
    if setters.is_empty() {
        return None;
    }
    violation("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(level: Level, minor: Option<u32>, spec: Value, expected: &str) {
        let pod = Pod { annotations: None, spec: &spec };
        assert_eq!(details(&violations(Standard { level, minor }, pod)), expected);
    }

    #[test]
    fn a_plain_pod_meets_the_baseline_and_not_the_restricted_standard() {
        let spec = || json!({ "containers": [{ "name": "a" }, { "name": "b" }] });
        check(Level::Privileged, None, spec(), "");
        check(Level::Baseline, None, spec(), "");
        let expected = "allowPrivilegeEscalation != false (containers \"a\", \"b\" must set \
                        securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers \"a\", \"b\" \
                        must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or containers \"a\", \
                        \"b\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers \"a\", \"b\" must \
                        set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
        check(Level::Restricted, None, spec(), expected);
        check(
            Level::Restricted,
            Some(7),
            spec(),
            "runAsNonRoot != true (pod or containers \"a\", \"b\" must set securityContext.runAsNonRoot=true)",
        );
    }

    #[test]
    fn a_careful_pod_meets_the_restricted_standard() {
        let security = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] } });
        let spec = json!({
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "a", "securityContext": security }], "volumes": [{ "name": "v", "emptyDir": {} }],
        });
        check(Level::Restricted, None, spec, "");
    }

    #[test]
    fn what_reaches_into_the_host_is_told_in_upstreams_words() {
        let container = |security: Value| json!({ "name": "a", "securityContext": security });
        check(
            Level::Baseline,
            None,
            json!({ "hostNetwork": true, "hostPID": true }),
            "host namespaces (hostNetwork=true, hostPID=true)",
        );
        check(
            Level::Baseline,
            None,
            json!({ "containers": [container(json!({ "privileged": true, "capabilities": { "add": ["NET_RAW", "CHOWN"] } }))] }),
            "non-default capabilities (container \"a\" must not include \"NET_RAW\" in securityContext.capabilities.add), \
             privileged (container \"a\" must not set securityContext.privileged=true)",
        );
        check(
            Level::Baseline,
            None,
            json!({ "volumes": [{ "name": "v", "hostPath": {} }], "containers": [{ "name": "a", "ports": [{ "hostPort": 90 }, { "hostPort": 8080 }] }] }),
            "hostPath volumes (volume \"v\"), hostPort (container \"a\" uses hostPorts 8080, 90)",
        );
        check(
            Level::Restricted,
            Some(7),
            json!({ "securityContext": { "runAsNonRoot": true }, "volumes": [{ "name": "v", "hostPath": {} }] }),
            "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")",
        );
        check(
            Level::Baseline,
            None,
            json!({ "securityContext": { "sysctls": [{ "name": "kernel.msgmax" }] } }),
            "forbidden sysctls (kernel.msgmax)",
        );
    }

    #[test]
    fn newer_versions_allow_more_sysctls() {
        let spec = || json!({ "securityContext": { "sysctls": [{ "name": "net.ipv4.tcp_rmem" }] } });
        check(Level::Baseline, Some(31), spec(), "forbidden sysctls (net.ipv4.tcp_rmem)");
        check(Level::Baseline, Some(32), spec(), "");
    }
}
