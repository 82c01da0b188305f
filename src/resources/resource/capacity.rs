//! How the capacity of a device may be asked for in parts, in upstream's order and words.

use serde_json::Value;

use crate::api::field::{Errors, FieldError, Path};
use crate::api::quantity::Quantity;
use crate::resources::tree::{Tree, child, count};

const VALUES_MAX: usize = 10;

fn quantity(value: Option<&Value>) -> Option<Quantity> {
    value.and_then(Value::as_str).and_then(|text| Quantity::parse(text).ok())
}

/// A policy of a capacity.
pub(super) fn validate_policy(errors: &mut Errors, capacity: Option<&Value>, policy: &Tree, path: &Path<'_>) {
    let capacity = quantity(capacity).unwrap_or_default();
    let chosen = quantity(policy.get("default"));
    match (count(policy, "validValues"), child(policy, "validRange")) {
        (1.., Some(_)) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                          same time";
            errors.push(FieldError::forbidden(path, detail));
        }
        (0, None) => {}
        (_, range) => {
            let name = if range.is_some() { "validRange" } else { "validValues" };
            let at = path.child(name);
            match (chosen, range) {
                (None, _) => {
                    let detail = format!("required when {name} is defined");
                    errors.push(FieldError::required(&path.child("default"), detail));
                }
                (Some(chosen), None) => valid_values(errors, (&chosen, &capacity), policy, &at),
                (Some(chosen), Some(range)) => valid_range(errors, (&chosen, &capacity), range, &at),
            }
        }
    }
}

fn valid_values(errors: &mut Errors, (chosen, capacity): (&Quantity, &Quantity), policy: &Tree, path: &Path<'_>) {
    let given = policy.get("validValues").and_then(Value::as_array).into_iter().flatten();
    let values: Vec<Quantity> = given.filter_map(|value| quantity(Some(value))).collect();
    for (i, pair) in values.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let detail = "values must be sorted in ascending order";
        errors.push(FieldError::invalid(&path.index(i + 1), pair[1].to_string(), detail));
    }
    if values.len() > VALUES_MAX {
        errors.push(FieldError::too_many(path, values.len(), VALUES_MAX));
    } else {
        for (i, value) in values.iter().enumerate().filter(|(_, value)| *value > capacity) {
            let detail = format!("option is larger than capacity value: {capacity}");
            errors.push(FieldError::invalid(&path.index(i), value.to_string(), detail));
        }
        for (i, value) in values.iter().enumerate() {
            if values[..i].iter().any(|before| before.value() == value.value()) {
                errors.push(FieldError::duplicate(&path.index(i), value.value().to_string()));
            }
        }
    }
    if values.len() > VALUES_MAX || !values.contains(chosen) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path, chosen.to_string(), detail));
    }
}

fn valid_range(errors: &mut Errors, (chosen, capacity): (&Quantity, &Quantity), range: &Tree, path: &Path<'_>) {
    let of = |key: &str| quantity(range.get(key));
    let (max, step) = (of("max"), of("step"));
    let Some(min) = of("min") else {
        return errors.push(FieldError::required(&path.child("min"), "required when validRange is defined"));
    };
    let mut refuse = |key: &str, value: &Quantity, detail: String| {
        errors.push(FieldError::invalid(&path.child(key), value.to_string(), detail));
    };
    if min > *capacity {
        refuse("min", &min, format!("min is larger than capacity value: {capacity}"));
    }
    if *chosen < min {
        refuse("default", chosen, format!("default is less than min: {min}"));
    }
    if let Some(max) = &max {
        if min > *max {
            refuse("max", &min, format!("min is larger than max: {max}"));
        }
        if max > capacity {
            refuse("max", max, format!("max is larger than capacity value: {capacity}"));
        }
        if chosen > max {
            refuse("default", chosen, format!("default is more than max: {max}"));
        }
    }
    let Some(step) = step else { return };
    if step <= Quantity::default() {
        return refuse("step", &step, "must be greater than zero".to_owned());
    }
    let mut added = min.clone();
    added += &step;
    if added > *capacity {
        refuse("step", &step, format!("one step {added} is larger than capacity value: {capacity}"));
    }
    let bounds = [("default", Some(chosen)), ("min", Some(&min)), ("max", max.as_ref()), ("step", Some(&step))];
    let mut computable = true;
    for (key, value) in bounds.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        let detail = if value.is_negative() {
            "must be greater than or equal to 0"
        } else if *value > Quantity::new(i64::MAX, crate::api::quantity::Format::Decimal) {
            "must not be larger than 9223372036854775807"
        } else {
            continue;
        };
        refuse(key, value, detail.to_owned());
        computable = false;
    }
    for value in [Some(chosen), max.as_ref()].into_iter().flatten().filter(|_| computable) {
        if (value.value() - min.value()) % step.value() != 0 {
            refuse("step", value, format!("value is not a multiple of a given step ({step}) from ({min})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::check::testing::check_errors;

    #[track_caller]
    fn check(policy: Value, expected: &[&str]) {
        let mut errors = Errors::new();
        let Value::Object(policy) = policy else { panic!("{policy}") };
        validate_policy(&mut errors, Some(&json!("10Gi")), &policy, &Path::new("p"));
        check_errors(&errors, expected);
    }

    #[test]
    fn values_are_sorted_within_the_capacity_and_hold_the_default() {
        check(json!({"default": "1Gi", "validValues": ["1Gi", "2Gi"]}), &[]);
        check(json!({"validValues": ["1Gi"]}), &["p.default: Required value: required when validValues is defined"]);
        check(
            json!({"default": "3Gi", "validValues": ["2Gi", "1Gi", "20Gi", "20Gi"]}),
            &[
                "p.validValues[1]: Invalid value: \"1Gi\": values must be sorted in ascending order",
                "p.validValues[2]: Invalid value: \"20Gi\": option is larger than capacity value: 10Gi",
                "p.validValues[3]: Invalid value: \"20Gi\": option is larger than capacity value: 10Gi",
                "p.validValues[3]: Duplicate value: \"21474836480\"",
                "p.validValues: Invalid value: \"3Gi\": default value is not valid according to the requestPolicy",
            ],
        );
    }

    #[test]
    fn a_range_has_whole_steps() {
        check(json!({"default": "2Gi", "validRange": {"min": "1Gi", "max": "3Gi", "step": "1Gi"}}), &[]);
        check(
            json!({"default": "2500Mi", "validRange": {"min": "1Gi", "step": "1Gi"}}),
            &["p.validRange.step: Invalid value: \"2500Mi\": value is not a multiple of a given step (1Gi) from (1Gi)"],
        );
        check(
            json!({"default": "1Gi", "validRange": {"min": "2Gi", "max": "1Gi", "step": "0"}}),
            &[
                "p.validRange.default: Invalid value: \"1Gi\": default is less than min: 2Gi",
                "p.validRange.max: Invalid value: \"2Gi\": min is larger than max: 1Gi",
                "p.validRange.step: Invalid value: \"0\": must be greater than zero",
            ],
        );
    }

    #[test]
    fn values_and_a_range_exclude_each_other() {
        let policy = json!({"default": "1", "validValues": ["1"], "validRange": {"min": "1"}});
        let why = "p: Forbidden: exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" \
                   at the same time";
        check(policy, &[why]);
    }
}
