//! What a pod asks for and may use at most, summed over its containers (component-helpers `resource/helpers.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::Object;
use crate::api::quantity::Quantity;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Which of the two lists of a container.
#[derive(Clone, Copy)]
pub enum Side {
    Requests,
    Limits,
}

impl Side {
    pub fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// The amounts in a list of resources; what is no quantity is left out, validation has seen it.
pub fn amounts(list: Option<&Value>) -> Amounts {
    let entries = list.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, amount)| Some((name.clone(), quantity(amount)?))).collect()
}

pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Of a pod without its overhead: containers and sidecars together, or the largest of what runs before them.
/// Amounts for the whole pod take the place of the sums, for the resources that may have them.
pub fn of_pod(pod: &Object, side: Side) -> Amounts {
    let containers = |field| pod.get(&["spec", field]).and_then(Value::as_array).into_iter().flatten();
    let own = |container: &Value| amounts(container.get("resources").and_then(|r| r.get(side.field())));
    let mut sum = Amounts::new();
    containers("containers").for_each(|container| add(&mut sum, &own(container)));
    let mut sidecars = Amounts::new();
    let mut before = Amounts::new();
    for container in containers("initContainers") {
        let amounts = own(container);
        let together = if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut sum, &amounts);
            add(&mut sidecars, &amounts);
            sidecars.clone()
        } else {
            let mut together = amounts;
            add(&mut together, &sidecars);
            together
        };
        raise(&mut before, &together);
    }
    raise(&mut sum, &before);
    let whole = amounts(pod.get(&["spec", "resources", side.field()]));
    let supported = |name: &str| name == "cpu" || name == "memory" || name.starts_with("hugepages-");
    sum.extend(whole.into_iter().filter(|(name, _)| supported(name)));
    sum
}

/// Adds amounts to others.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(present) => *present += amount,
            None => drop(sum.insert(name.clone(), amount.clone())),
        }
    }
}

fn raise(present: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        if present.get(name).is_none_or(|present| amount > present) {
            present.insert(name.clone(), amount.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_needs_its_containers_and_sidecars_or_its_largest_first_step() {
        let cpu = |cpu: &str| json!({ "resources": { "requests": { "cpu": cpu } } });
        let sidecar = json!({ "restartPolicy": "Always", "resources": { "requests": { "cpu": "500m" } } });
        let check = |init: Value, expected: &str| {
            let pod = json!({ "spec": { "containers": [cpu("1"), cpu("200m")], "initContainers": init } });
            let sum = of_pod(&Object::from_value(pod).unwrap(), Side::Requests);
            assert_eq!(sum["cpu"].to_string(), expected);
        };
        check(json!([]), "1200m");
        check(json!([cpu("3")]), "3");
        check(json!([sidecar, cpu("1")]), "1700m");
        check(json!([sidecar, cpu("2")]), "2500m");
    }
}
