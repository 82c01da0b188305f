//! Security contexts of pods and containers.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::mounts::descending;
use super::{each_container, flag, sub, windows_user};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names;
use crate::resources::check::{choice, dns_subdomain, invalid_as, messages};
use crate::resources::tree::{Tree, child, count, int, is_set, is_zero, items, text, texts};

const CONTEXT: &str = "io.k8s.api.core.v1.SecurityContext";
const SYSCTL_BYTES_MAX: usize = 253;
const SYSCTL_PATTERN: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const IPC_SYSCTLS: [&str; 10] = [
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg",
];
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const APP_ARMOR_BYTES_MAX: usize = 4095;
const GMSA_BYTES_MAX: usize = 64 * 1024;
/// What a context of a Windows pod may not have.
const NOT_WINDOWS: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
/// What a context of a Windows container may not have.
const NOT_WINDOWS_CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// The security context of the pod.
pub(super) fn pod(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let Some(context) = child(spec, "securityContext") else { return };
    let at = path.child("securityContext");
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, int(context, key), &at.child(key));
    }
    let groups = at.child("supplementalGroups");
    for (i, group) in context.get("supplementalGroups").and_then(Value::as_array).into_iter().flatten().enumerate() {
        id(errors, group.as_i64(), &groups.index(i));
    }
    sysctls(errors, context, spec, &at.child("sysctls"));
    if is_set(context, "fsGroupChangePolicy") {
        let value = text(context, "fsGroupChangePolicy");
        choice(errors, value, &at.child("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    }
    profiles(errors, context, &at);
    if is_set(context, "supplementalGroupsPolicy") {
        let value = text(context, "supplementalGroupsPolicy");
        choice(errors, value, &at.child("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    }
    if is_set(context, "seLinuxChangePolicy") {
        let value = text(context, "seLinuxChangePolicy");
        choice(errors, value, &at.child("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
    }
}

fn profiles(errors: &mut Errors, context: &Tree, at: &Path<'_>) {
    seccomp(errors, context, &at.child("seccompProfile"));
    windows_options(errors, sub(context, "windowsOptions"), &at.child("windowsOptions"));
    app_armor(errors, context, &at.child("appArmorProfile"));
}

/// The security context of a container.
pub(super) fn container(errors: &mut Errors, context: &Tree, host_users: bool, path: &Path<'_>) {
    for key in ["runAsUser", "runAsGroup"] {
        id(errors, int(context, key), &path.child(key));
    }
    if is_set(context, "procMount") {
        let (mount, at) = (text(context, "procMount"), path.child("procMount"));
        choice(errors, mount, &at, &["Default", "Unmasked"]);
        if host_users && mount == "Unmasked" {
            errors.push(FieldError::invalid(&at, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    seccomp(errors, context, &path.child("seccompProfile"));
    if context.get("allowPrivilegeEscalation") == Some(&json!(false)) {
        if flag(context, "privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(invalid_as(path, json!(context), CONTEXT, detail));
        }
        for _ in texts(sub(context, "capabilities"), "add").filter(|c| *c == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(invalid_as(path, json!(context), CONTEXT, detail));
        }
    }
    windows_options(errors, sub(context, "windowsOptions"), &path.child("windowsOptions"));
    app_armor(errors, context, &path.child("appArmorProfile"));
}

/// The id of a user or a group, if there is one.
pub(super) fn id(errors: &mut Errors, id: Option<i64>, path: &Path<'_>) {
    if let Some(id) = id {
        messages(errors, path, id, names::user_or_group_id(id));
    }
}

fn sysctls(errors: &mut Errors, context: &Tree, spec: &Tree, path: &Path<'_>) {
    let mut seen = HashSet::new();
    for (i, sysctl) in items(context, "sysctls").enumerate() {
        let (list, name) = (path.index(i), text(sysctl, "name"));
        let at = list.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most {SYSCTL_BYTES_MAX} characters and match regex {SYSCTL_PATTERN}");
            errors.push(FieldError::invalid(&at, name, detail));
        } else if seen.contains(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        seen.insert(name);
        let plain = dotted(name);
        if flag(spec, "hostNetwork") && plain.starts_with("net.") {
            errors.push(FieldError::invalid(&at, name, "may not be specified when 'hostNetwork' is true"));
        } else if flag(spec, "hostIPC") && (IPC_SYSCTLS.contains(&plain.as_str()) || plain.starts_with("fs.mqueue.")) {
            errors.push(FieldError::invalid(&at, name, "may not be specified when 'hostIPC' is true"));
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let segment = |s: &str| end(s.as_bytes().first()) && end(s.as_bytes().last()) && s.bytes().all(inner);
    name.len() <= SYSCTL_BYTES_MAX && name.split(['.', '/']).all(segment)
}

/// The name with dots as separators; where a slash comes first, slashes separate and dots stand for themselves.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => {
            let swap = |c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        Some(_) | None => name.to_owned(),
    }
}

fn seccomp(errors: &mut Errors, context: &Tree, path: &Path<'_>) {
    let Some(profile) = child(context, "seccompProfile") else { return };
    let (kind, at, file) = (text(profile, "type"), path.child("localhostProfile"), profile.get("localhostProfile"));
    match kind {
        "" => errors.push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set")),
        _ => choice(errors, kind, &path.child("type"), &PROFILES),
    }
    match file.and_then(Value::as_str) {
        None if kind == "Localhost" => {
            errors.push(FieldError::required(&at, "must be set when seccomp type is Localhost"));
        }
        Some(file) if kind == "Localhost" => descending(errors, file, &at),
        Some(_) => {
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(invalid_as(&at, json!(profile), "io.k8s.api.core.v1.SeccompProfile", detail));
        }
        None => {}
    }
}

fn app_armor(errors: &mut Errors, context: &Tree, path: &Path<'_>) {
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = child(context, "appArmorProfile") else { return };
    let at = path.child("localhostProfile");
    let file = profile.get("localhostProfile").and_then(Value::as_str);
    match (text(profile, "type"), file) {
        ("Localhost", None) => errors.push(FieldError::required(&at, MISSING)),
        ("Localhost", Some(file)) => {
            if file.trim() != file {
                errors.push(FieldError::invalid(&at, file, "must not be padded with whitespace"));
            } else if file.is_empty() {
                errors.push(FieldError::required(&at, MISSING));
            }
            if file.len() > APP_ARMOR_BYTES_MAX {
                errors.push(FieldError::too_long(&at, APP_ARMOR_BYTES_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            errors.push(FieldError::invalid(&at, file, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            let detail = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(&path.child("type"), detail));
        }
        (other, _) => choice(errors, other, &path.child("type"), &PROFILES),
    }
}

fn windows_options(errors: &mut Errors, options: &Tree, path: &Path<'_>) {
    if let Some(name) = options.get("gmsaCredentialSpecName").and_then(Value::as_str) {
        dns_subdomain(errors, name, &path.child("gmsaCredentialSpecName"));
    }
    if let Some(spec) = options.get("gmsaCredentialSpec").and_then(Value::as_str) {
        let at = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(FieldError::invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > GMSA_BYTES_MAX {
            errors.push(FieldError::invalid(&at, spec, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(user) = options.get("runAsUserName").and_then(Value::as_str) {
        windows_user::validate(errors, user, &path.child("runAsUserName"));
    }
}

/// Containers that are processes of a Windows host: all of a pod or none.
pub(super) fn host_process(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let of = |tree: &Tree| sub(sub(tree, "securityContext"), "windowsOptions").get("hostProcess")?.as_bool();
    let of_pod = of(spec);
    let (mut all, mut with) = (0, 0);
    each_container(spec, path, |container, at| {
        all += 1;
        let own = of(container);
        if let (Some(pod), Some(own)) = (of_pod, own)
            && pod != own
        {
            let (context, detail) = (
                at.child("securityContext"),
                format!("pod hostProcess value must be identical if both are specified, was {pod}"),
            );
            let options = context.child("windowsOptions");
            errors.push(FieldError::invalid(&options.child("hostProcess"), own, detail));
        }
        with += usize::from(own.or(of_pod) == Some(true));
    });
    if with == 0 {
        return;
    }
    if with != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", detail));
    }
    if !flag(spec, "hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.child("hostNetwork"), false, detail));
    }
}

/// What a Linux pod may not have.
pub(super) fn linux(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let mut check = |tree: &Tree, at: &Path<'_>| {
        if is_set(sub(tree, "securityContext"), "windowsOptions") {
            let context = at.child("securityContext");
            let detail = "windows options cannot be set for a linux pod";
            errors.push(FieldError::forbidden(&context.child("windowsOptions"), detail));
        }
    };
    check(spec, path);
    each_container(spec, path, check);
}

/// What a Windows pod may not have.
pub(super) fn windows(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    const DETAIL: &str = "cannot be set for a windows pod";
    let at = path.child("securityContext");
    let context = sub(spec, "securityContext");
    for key in NOT_WINDOWS.into_iter().filter(|key| is_set(context, key)) {
        if key != "sysctls" || count(context, key) > 0 {
            errors.push(FieldError::forbidden(&at.child(key), DETAIL));
        }
    }
    let set = |key: &str| match key {
        "hostPID" | "hostIPC" => spec.get(key).is_some_and(|value| !is_zero(value)),
        _ => is_set(spec, key),
    };
    for key in ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"].into_iter().filter(|key| set(key)) {
        errors.push(FieldError::forbidden(&path.child(key), DETAIL));
    }
    each_container(spec, path, |container, container_path| {
        let (context, at) = (sub(container, "securityContext"), container_path.child("securityContext"));
        for key in NOT_WINDOWS_CONTAINER.into_iter().filter(|key| is_set(context, key)) {
            errors.push(FieldError::forbidden(&at.child(key), DETAIL));
        }
    });
}
