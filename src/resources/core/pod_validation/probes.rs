//! Probes and the hooks of a container's life.

use serde_json::Value;

use super::containers::Surroundings;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names;
use crate::resources::check::{choice, messages, nonnegative, port_number};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text};

const ONE_ONLY: &str = "may not specify more than 1 handler type";
const LINUX_SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
const WINDOWS_SIGNALS: [&str; 2] = ["SIGKILL", "SIGTERM"];

/// Hooks and probes of a container that keeps running.
pub(super) fn validate(errors: &mut Errors, container: &Tree, pod: &Surroundings<'_>, path: &Path<'_>) {
    if let Some(lifecycle) = child(container, "lifecycle") {
        let at = path.child("lifecycle");
        for hook in ["postStart", "preStop"] {
            if let Some(handler) = child(lifecycle, hook) {
                one_handler(errors, handler, pod.grace(), &at.child(hook));
            }
        }
        if is_set(lifecycle, "stopSignal") {
            stop_signal(errors, text(lifecycle, "stopSignal"), pod.system(), &at.child("stopSignal"));
        }
    }
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (Some(probe), at) = (child(container, key), path.child(key)) else { continue };
        validate_probe(errors, probe, &at);
        if key == "readinessProbe" {
            if let Some(seconds) = int(probe, "terminationGracePeriodSeconds") {
                let detail = "must not be set for readinessProbes";
                errors.push(FieldError::invalid(&at.child("terminationGracePeriodSeconds"), seconds, detail));
            }
        } else if int(probe, "successThreshold") != Some(1) {
            let value = int(probe, "successThreshold").unwrap_or(0);
            errors.push(FieldError::invalid(&at.child("successThreshold"), value, "must be 1"));
        }
    }
}

fn validate_probe(errors: &mut Errors, probe: &Tree, path: &Path<'_>) {
    one_handler(errors, probe, None, path);
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        nonnegative(errors, probe, key, path);
    }
    if let Some(seconds) = int(probe, "terminationGracePeriodSeconds").filter(|seconds| *seconds <= 0) {
        let at = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&at, seconds, "must be greater than 0"));
    }
}

/// Exactly one of the ways to act.
fn one_handler(errors: &mut Errors, handler: &Tree, grace: Option<i64>, path: &Path<'_>) {
    let mut found = false;
    for key in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let Some(action) = child(handler, key) else { continue };
        let at = path.child(key);
        if found {
            errors.push(FieldError::forbidden(&at, ONE_ONLY));
            continue;
        }
        found = true;
        match key {
            "exec" if count(action, "command") == 0 => errors.push(FieldError::required(&at.child("command"), "")),
            "httpGet" => http_get(errors, action, &at),
            "tcpSocket" => port(errors, action.get("port"), &at.child("port")),
            "grpc" => {
                port(errors, action.get("port"), &at.child("port"));
                if is_set(action, "mode") {
                    choice(errors, text(action, "mode"), &at.child("mode"), &["Plaintext", "TLS"]);
                }
            }
            "sleep" => sleep(errors, action, grace, &at),
            _ => {}
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn sleep(errors: &mut Errors, action: &Tree, grace: Option<i64>, path: &Path<'_>) {
    let seconds = int(action, "seconds").unwrap_or(0);
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path, seconds, detail));
    }
}

fn http_get(errors: &mut Errors, action: &Tree, path: &Path<'_>) {
    if text(action, "path").is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    }
    port(errors, action.get("port"), &path.child("port"));
    let scheme = text(action, "scheme");
    choice(errors, scheme, &path.child("scheme"), &["HTTP", "HTTPS"]);
    for header in items(action, "httpHeaders") {
        let name = text(header, "name");
        messages(errors, &path.child("httpHeaders"), name, names::http_header_name(name));
    }
    if !is_set(action, "protocol") {
        return;
    }
    let (protocol, at) = (text(action, "protocol"), path.child("protocol"));
    if !["HTTP1", "HTTP2"].contains(&protocol) {
        choice(errors, protocol, &at, &["HTTP1", "HTTP2"]);
    } else if protocol == "HTTP2" && scheme != "HTTP" {
        errors.push(FieldError::invalid(&at, protocol, "is only supported with HTTP (H2C)"));
    } else if protocol == "HTTP2" && !text(action, "host").is_empty() {
        let detail = "must be empty when `protocol` is \"HTTP2\"";
        errors.push(FieldError::invalid(&path.child("host"), text(action, "host"), detail));
    }
}

fn port(errors: &mut Errors, value: Option<&Value>, path: &Path<'_>) {
    match value {
        Some(Value::String(name)) => messages(errors, path, name.as_str(), names::port_name(name)),
        other => port_number(errors, other.and_then(Value::as_i64).unwrap_or(0), path),
    }
}

fn stop_signal(errors: &mut Errors, signal: &str, system: Option<&str>, path: &Path<'_>) {
    match system {
        None => {
            let detail = "may not be set for containers with empty `spec.os.name`";
            errors.push(FieldError::forbidden(path, detail));
        }
        Some("windows") => choice(errors, signal, path, &WINDOWS_SIGNALS),
        Some("linux") => choice(errors, signal, path, &LINUX_SIGNALS),
        Some(_) => {}
    }
}
