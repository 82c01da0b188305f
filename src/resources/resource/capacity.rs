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
