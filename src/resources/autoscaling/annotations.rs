//! The annotations in which v1 carries what it has no fields for, byte for byte as Go writes them: metrics and conditions
//! in the order of their Go types, the behaviour as upstream's internal type, whose fields have Go's own names.

use serde_json::{Map, Value, json};

/// The fields of all the types in annotations, in an order that each of them keeps.
const ORDER: &[&str] = &[
    "type",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "observedGeneration",
    "target",
    "kind",
    "name",
    "apiVersion",
    "metricName",
    "metricSelector",
    "targetAverageUtilization",
    "targetValue",
    "targetAverageValue",
    "currentAverageUtilization",
    "currentValue",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
];

/// What a client chose the keys of, which Go sorts.
const CHOSEN: &str = "matchLabels";

/// A scaling rule's fields by the names of upstream's internal type, in its order, and those of v2.
const RULE: &[(&str, &str)] = &[
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
    ("SelectPolicy", "selectPolicy"),
    ("Policies", "policies"),
    ("Tolerance", "tolerance"),
];

const POLICY: &[(&str, &str)] = &[("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];

const DIRECTIONS: &[(&str, &str)] = &[("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];

/// Metrics or conditions as text.
pub(super) fn list_text(list: &[Value]) -> String {
    let items: Vec<String> = list.iter().map(ordered).collect();
    format!("[{}]", items.join(","))
}

fn ordered(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
            let text = |(name, value): (&String, &Value)| {
                let value = if name == CHOSEN { value.to_string() } else { ordered(value) };
                format!("{}:{value}", json!(name))
            };
            let fields: Vec<String> = fields.into_iter().map(text).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => list_text(items),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// The behaviour of v2 as text.
pub(super) fn behavior_text(behavior: &Value) -> String {
    struct_text(behavior, DIRECTIONS, &|_, rules| {
        struct_text(rules, RULE, &|name, value| match value.as_array() {
            Some(policies) if name == "Policies" => {
                let plain = |_: &str, value: &Value| value.to_string();
                let policies: Vec<String> = policies.iter().map(|policy| struct_text(policy, POLICY, &plain)).collect();
                format!("[{}]", policies.join(","))
            }
            _ => value.to_string(),
        })
    })
}

/// A struct of Go without any names for JSON: all fields, those that are not set as null.
fn struct_text(tree: &Value, names: &[(&str, &str)], write: &dyn Fn(&str, &Value) -> String) -> String {
    let field = |(go, ours): &(&str, &str)| {
        let text = tree.get(*ours).filter(|value| !value.is_null()).map_or("null".to_owned(), |value| write(go, value));
        format!("\"{go}\":{text}")
    };
    format!("{{{}}}", names.iter().map(field).collect::<Vec<_>>().join(","))
}

/// The behaviour of v2 from its annotation. Go reads the names of fields in any case.
pub(super) fn behavior_of(told: &Value) -> Value {
    let rules = |rules: &Value| {
        let mut rules = renamed(rules, RULE);
        if let Some(Value::Array(policies)) = rules.get_mut("policies") {
            policies.iter_mut().for_each(|policy| *policy = Value::Object(renamed(policy, POLICY)));
        }
        Value::Object(rules)
    };
    Value::Object(renamed(told, DIRECTIONS).into_iter().map(|(name, told)| (name, rules(&told))).collect())
}

fn renamed(tree: &Value, names: &[(&str, &str)]) -> Map<String, Value> {
    let fields = tree.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let known = fields.filter_map(|(name, value)| {
        let (_, ours) = names.iter().find(|(go, _)| go.eq_ignore_ascii_case(name))?;
        Some(((*ours).to_owned(), value.clone()))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_in_the_order_of_their_go_types() {
        let metric = json!({"pods": {"selector": {"matchLabels": {"type": "x", "a": "b"}}, "targetAverageValue": "10",
            "metricName": "rps"}, "type": "Pods"});
        let expected = r#"[{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"10","selector":{"matchLabels":{"a":"b","type":"x"}}}}]"#;
        assert_eq!(list_text(&[metric]), expected);
    }

    #[test]
    fn a_behaviour_is_written_as_the_internal_type_and_read_back() {
        let behavior = json!({"scaleDown": {"selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}});
        let text = behavior_text(&behavior);
        let expected = r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null}}"#;
        assert_eq!(text, expected);
        assert_eq!(behavior_of(&serde_json::from_str(&text).unwrap()), behavior);
        assert_eq!(behavior_of(&behavior), behavior);
    }
}
