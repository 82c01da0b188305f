//! HorizontalPodAutoscaler in v1 and v2: v1 has a field for the utilization of the processor and carries everything
//! else in annotations.

use serde_json::{Value, json};

use super::annotations::{behavior_of, behavior_text, list_text};
use super::pod_autoscaler::CPU_UTILIZATION;
use crate::api::Object;
use crate::resources::tree::{Tree, child, fill, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// From v2 to v1.
pub(super) fn to_v1(object: &mut Object) {
    drop_annotations(object);
    let metrics = take_list(object, &["spec", "metrics"]);
    let (cpu, others): (Vec<Value>, Vec<Value>) = metrics.into_iter().partition(is_cpu_utilization);
    if let Some(utilization) = cpu.last().and_then(|m| m.pointer("/resource/target/averageUtilization")) {
        object.set(&["spec", "targetCPUUtilizationPercentage"], utilization.clone());
    }
    annotate(object, METRICS, others.iter().map(|m| each_source(m, spec_to_v1)).collect());
    let current = take_list(object, &["status", "currentMetrics"]);
    if let Some(utilization) =
        current.iter().rfind(|m| is_cpu(m)).and_then(|m| m.pointer("/resource/current/averageUtilization"))
    {
        object.set(&["status", "currentCPUUtilizationPercentage"], utilization.clone());
    }
    annotate(object, CURRENT_METRICS, current.iter().map(|m| each_source(m, status_to_v1)).collect());
    // The older form has no way to leave these out.
    for key in ["currentReplicas", "desiredReplicas"] {
        fill(object.object_at(&["status"]), key, 0);
    }
    if let Some(behavior) = object.remove(&["spec", "behavior"]) {
        object.set(&["metadata", "annotations", BEHAVIOR], behavior_text(&behavior));
    }
    let conditions = take_list(object, &["status", "conditions"]);
    annotate(object, CONDITIONS, conditions);
}

/// From v1 to v2.
pub(super) fn to_v2(object: &mut Object) {
    let read =
        |object: &Object, key: &str| object.annotation(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let list = |value: Option<Value>| match value {
        Some(Value::Array(list)) => list,
        Some(_) | None => Vec::new(),
    };
    let mut metrics: Vec<Value> = list(read(object, METRICS)).iter().map(|m| each_source(m, spec_to_v2)).collect();
    if let Some(utilization) = object.remove(&["spec", "targetCPUUtilizationPercentage"]) {
        metrics.push(cpu_metric("target", json!({"type": "Utilization", "averageUtilization": utilization})));
    }
    if metrics.is_empty() {
        let target = json!({"type": "Utilization", "averageUtilization": CPU_UTILIZATION});
        metrics.push(cpu_metric("target", target));
    }
    object.set(&["spec", "metrics"], metrics);
    if let Some(behavior) = read(object, BEHAVIOR).filter(Value::is_object) {
        object.set(&["spec", "behavior"], behavior_of(&behavior));
    }
    let utilization = object.remove(&["status", "currentCPUUtilizationPercentage"]);
    let current = match (read(object, CURRENT_METRICS), utilization) {
        (Some(metrics), _) => list(Some(metrics)).iter().map(|m| each_source(m, status_to_v2)).collect(),
        (None, Some(utilization)) => vec![cpu_metric("current", json!({"averageUtilization": utilization}))],
        (None, None) => Vec::new(),
    };
    if !current.is_empty() {
        object.set(&["status", "currentMetrics"], current);
    }
    let conditions = list(read(object, CONDITIONS));
    if !conditions.is_empty() {
        object.set(&["status", "conditions"], conditions);
    }
    drop_annotations(object);
}

fn cpu_metric(field: &str, value: Value) -> Value {
    let mut resource = json!({"name": "cpu"});
    resource[field] = value;
    json!({"type": "Resource", "resource": resource})
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric.pointer("/resource/name").and_then(Value::as_str) == Some("cpu")
}

fn is_cpu_utilization(metric: &Value) -> bool {
    is_cpu(metric) && metric.pointer("/resource/target/averageUtilization").is_some()
}

fn take_list(object: &mut Object, path: &[&str]) -> Vec<Value> {
    match object.remove(path) {
        Some(Value::Array(list)) => list,
        Some(_) | None => Vec::new(),
    }
}

fn annotate(object: &mut Object, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        object.set(&["metadata", "annotations", key], list_text(&list));
    }
}

fn drop_annotations(object: &mut Object) {
    for key in [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR] {
        object.remove(&["metadata", "annotations", key]);
    }
    if object.annotations().next().is_none() {
        object.remove(&["metadata", "annotations"]);
    }
}

/// Changes the source of a metric, whichever of the five it is.
fn each_source(metric: &Value, change: fn(&str, &Tree) -> Tree) -> Value {
    let mut out = metric.clone();
    for field in ["object", "pods", "resource", "containerResource", "external"] {
        if let Some(source) = metric.get(field).and_then(Value::as_object) {
            out[field] = Value::Object(change(field, source));
        }
    }
    out
}

/// Copies fields under other names; those that are not set stay unset.
fn renamed(from: Option<&Tree>, names: &[(&str, &str)], into: &mut Tree) {
    for (name, other) in names {
        if let Some(value) = from.and_then(|f| f.get(*name)) {
            into.insert((*other).to_owned(), value.clone());
        }
    }
}

fn spec_to_v1(field: &str, source: &Tree) -> Tree {
    let mut out = Tree::new();
    let target = child(source, "target");
    renamed(child(source, "metric"), &[("name", "metricName"), ("selector", selector_name(field))], &mut out);
    match field {
        "object" => {
            renamed(Some(source), &[("describedObject", "target")], &mut out);
            out.insert("targetValue".to_owned(), json!("0"));
            renamed(target, &[("value", "targetValue"), ("averageValue", "averageValue")], &mut out);
        }
        "pods" => renamed(target, &[("averageValue", "targetAverageValue")], &mut out),
        "external" => {
            renamed(target, &[("value", "targetValue"), ("averageValue", "targetAverageValue")], &mut out);
        }
        _ => {
            renamed(Some(source), &[("name", "name"), ("container", "container")], &mut out);
            let names = [("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")];
            renamed(target, &names, &mut out);
        }
    }
    out
}

fn spec_to_v2(field: &str, source: &Tree) -> Tree {
    let mut out = metric_identity(field, source);
    let mut target = Tree::new();
    match field {
        "object" => {
            renamed(Some(source), &[("target", "describedObject")], &mut out);
            renamed(Some(source), &[("averageValue", "averageValue")], &mut target);
            let zero = matches!(text(source, "targetValue"), "" | "0");
            if !zero || target.is_empty() {
                renamed(Some(source), &[("targetValue", "value")], &mut target);
            }
        }
        "pods" => renamed(Some(source), &[("targetAverageValue", "averageValue")], &mut target),
        "external" => {
            let names = [("targetValue", "value"), ("targetAverageValue", "averageValue")];
            renamed(Some(source), &names, &mut target);
        }
        _ => {
            renamed(Some(source), &[("name", "name"), ("container", "container")], &mut out);
            let names = [("targetAverageUtilization", "averageUtilization"), ("targetAverageValue", "averageValue")];
            renamed(Some(source), &names, &mut target);
        }
    }
    let kind = match field {
        "object" if !target.contains_key("averageValue") => "Value",
        "external" if target.contains_key("value") => "Value",
        "resource" | "containerResource" if target.contains_key("averageUtilization") => "Utilization",
        _ => "AverageValue",
    };
    target.insert("type".to_owned(), json!(kind));
    out.insert("target".to_owned(), Value::Object(target));
    out
}

fn status_to_v1(field: &str, source: &Tree) -> Tree {
    let mut out = Tree::new();
    let current = child(source, "current");
    renamed(child(source, "metric"), &[("name", "metricName"), ("selector", selector_name(field))], &mut out);
    match field {
        "object" => {
            renamed(Some(source), &[("describedObject", "target")], &mut out);
            out.insert("currentValue".to_owned(), json!("0"));
            renamed(current, &[("value", "currentValue"), ("averageValue", "averageValue")], &mut out);
        }
        "pods" => renamed(current, &[("averageValue", "currentAverageValue")], &mut out),
        "external" => {
            out.insert("currentValue".to_owned(), json!("0"));
            renamed(current, &[("value", "currentValue"), ("averageValue", "currentAverageValue")], &mut out);
        }
        _ => {
            renamed(Some(source), &[("name", "name"), ("container", "container")], &mut out);
            out.insert("currentAverageValue".to_owned(), json!("0"));
            let names = [("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")];
            renamed(current, &names, &mut out);
        }
    }
    out
}

fn status_to_v2(field: &str, source: &Tree) -> Tree {
    let mut out = metric_identity(field, source);
    let mut current = Tree::new();
    match field {
        "object" => {
            renamed(Some(source), &[("target", "describedObject")], &mut out);
            renamed(Some(source), &[("currentValue", "value"), ("averageValue", "averageValue")], &mut current);
        }
        "pods" => renamed(Some(source), &[("currentAverageValue", "averageValue")], &mut current),
        "external" => {
            let names = [("currentValue", "value"), ("currentAverageValue", "averageValue")];
            renamed(Some(source), &names, &mut current);
        }
        _ => {
            renamed(Some(source), &[("name", "name"), ("container", "container")], &mut out);
            let names = [("currentAverageUtilization", "averageUtilization"), ("currentAverageValue", "averageValue")];
            renamed(Some(source), &names, &mut current);
        }
    }
    out.insert("current".to_owned(), Value::Object(current));
    out
}

/// `metric` of v2 for the sources that have one.
fn metric_identity(field: &str, source: &Tree) -> Tree {
    let mut out = Tree::new();
    if matches!(field, "object" | "pods" | "external") {
        let mut metric = Tree::new();
        renamed(Some(source), &[("metricName", "name"), (selector_name(field), "selector")], &mut metric);
        out.insert("metric".to_owned(), Value::Object(metric));
    }
    out
}

fn selector_name(field: &str) -> &'static str {
    if field == "external" { "metricSelector" } else { "selector" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way_to_v1_and_back() {
        let metrics = json!([
            {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
            {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "Value", "value": "30"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
        ]);
        let behavior = json!({"scaleDown": {"selectPolicy": "Max"}});
        let given = json!({"metadata": {}, "spec": {"metrics": metrics, "behavior": behavior},
            "status": {"currentReplicas": 1, "desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}]}});
        let mut object = Object::from_value(given.clone()).unwrap();
        to_v1(&mut object);
        assert_eq!(object.int_at(&["spec", "targetCPUUtilizationPercentage"]), Some(70));
        assert!(object.annotation(METRICS).is_some_and(|m| m.contains("targetAverageValue")));
        to_v2(&mut object);
        assert_eq!(object.into_value(), given);
    }
}
