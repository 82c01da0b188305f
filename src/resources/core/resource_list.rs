//! Resource lists: maps from resource names to quantities.

use serde_json::Value;

use crate::api::quantity::Quantity;
use crate::resources::tree::{Tree, child_mut};

/// Reads a quantity; zero when it is absent or not one.
pub(in crate::resources) fn amount(list: Option<&Tree>, name: &str) -> Quantity {
    let text = list.and_then(|l| l.get(name)).and_then(Value::as_str);
    text.and_then(|t| Quantity::parse(t).ok()).unwrap_or_default()
}

/// Rounds the quantities of the lists in the named fields up to thousandths, finer ones are not kept (since v1.0).
pub(in crate::resources) fn round(holder: &mut Tree, lists: &[&str]) {
    for list in lists {
        for (_, value) in child_mut(holder, list).into_iter().flatten() {
            round_up(value);
        }
    }
}

/// Rounds `requests` and `limits` of the requirements in a field.
pub(in crate::resources) fn round_requirements(holder: &mut Tree, field: &str) {
    if let Some(requirements) = child_mut(holder, field) {
        round(requirements, &["limits", "requests"]);
    }
}

fn round_up(value: &mut Value) {
    // Only suffixes below `m` and decimal fractions can be finer than thousandths.
    let Some(text) = value.as_str().filter(|t| t.ends_with(['n', 'u']) || t.contains(['.', 'e', 'E'])) else { return };
    let Ok(quantity) = Quantity::parse(text) else { return };
    let rounded = quantity.rounded_up(-3);
    if rounded != quantity {
        *value = Value::String(rounded.to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_finer_than_thousandths_are_rounded_up() {
        let Value::Object(mut holder) = json!({"limits": {"cpu": "100u", "memory": "1E", "x": "1m"}}) else { panic!() };
        round(&mut holder, &["limits", "requests"]);
        assert_eq!(holder["limits"], json!({"cpu": "1m", "memory": "1E", "x": "1m"}));
    }
}
