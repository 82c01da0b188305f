//! How the metrics of an autoscaler are printed: what is aimed at and what is.

use serde_json::Value;

use crate::api::Object;
use crate::resources::print::plain;
use crate::resources::tree::{Tree, child, list, text};

const SHOWN_MAX: usize = 2;

/// `cpu: 40%/80%, 5/10 + 1 more...`.
pub(super) fn metrics_cell(object: &Object) -> String {
    let specs: Vec<&Tree> = list(object, &["spec", "metrics"]).collect();
    let statuses: Vec<&Tree> = list(object, &["status", "currentMetrics"]).collect();
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let all: Vec<String> = specs.iter().enumerate().map(|(i, spec)| metric(spec, statuses.get(i).copied())).collect();
    let shown = all.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(SHOWN_MAX) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        Some(_) | None => shown,
    }
}

fn metric(spec: &Tree, status: Option<&Tree>) -> String {
    let (field, named) = match text(spec, "type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let source = child(spec, field);
    let target = source.and_then(|s| child(s, "target"));
    let current = status.and_then(|s| child(s, field)).and_then(|s| child(s, "current"));
    let at = |holder: Option<&Tree>, key: &str| plain(holder.and_then(|h| h.get(key)));
    let unknown = || "<unknown>".to_owned();
    if named {
        let name = source.map_or("", |s| text(s, "name"));
        let percent = |holder: Option<&Tree>| {
            holder.and_then(|h| h.get("averageUtilization")).and_then(Value::as_i64).map(|p| format!("{p}%"))
        };
        return match at(target, "averageValue") {
            Some(aim) => format!("{name}: {}/{aim}", at(current, "averageValue").unwrap_or_else(unknown)),
            None => {
                let aim = percent(target).unwrap_or_else(|| "<auto>".to_owned());
                format!("{name}: {}/{aim}", percent(current).unwrap_or_else(unknown))
            }
        };
    }
    match (at(target, "averageValue"), field) {
        (Some(aim), "pods") => format!("{}/{aim}", at(current, "averageValue").unwrap_or_else(unknown)),
        (Some(aim), _) => format!("{}/{aim} (avg)", at(current, "averageValue").unwrap_or_else(unknown)),
        (None, _) => {
            let aim = at(target, "value").unwrap_or_else(|| "0".to_owned());
            format!("{}/{aim}", at(current, "value").unwrap_or_else(unknown))
        }
    }
}
