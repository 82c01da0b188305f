//! What selectors of devices see: `device` with its driver, attributes and capacity by domain and name
//! (dynamic-resource-allocation `cel/compile.go`).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::env::{Env, Expressions};
use super::schema::Declared;
use super::types::Type;

const DEVICE: &str = "kubernetes.DRADevice";
const DRIVER_BYTES_MAX: u64 = 63;
const DOMAIN_BYTES_MAX: u64 = 63;
const NAME_BYTES_MAX: u64 = 32;
const VALUE_BYTES_MAX: u64 = 64;
/// Attributes and capacities of a device together.
const ENTRIES_MAX: u64 = 32;

/// The environment of a selector.
pub fn device(expressions: Expressions) -> Env {
    static TYPE: LazyLock<Arc<Declared>> = LazyLock::new(|| Arc::new(declared()));
    Env::new(expressions).bindings().declared(&TYPE).variable("device", Type::object(DEVICE))
}

fn declared() -> Declared {
    let leaf =
        |of: Type, max: u64| Declared { of, fields: None, key: None, element: None, elements_max: max, bytes_min: 0 };
    let map = |key: u64, value: Declared| Declared {
        of: Type::map(Type::String, value.of.clone()),
        key: Some(Box::new(leaf(Type::String, key))),
        element: Some(Box::new(value)),
        ..leaf(Type::Dyn, ENTRIES_MAX)
    };
    let by_domain = |value: Declared| map(DOMAIN_BYTES_MAX, map(NAME_BYTES_MAX, value));
    let fields = [
        ("driver", leaf(Type::String, DRIVER_BYTES_MAX)),
        ("allowMultipleAllocations", leaf(Type::Bool, 1)),
        ("attributes", by_domain(leaf(Type::Any, VALUE_BYTES_MAX))),
        ("capacity", by_domain(leaf(Type::object("kubernetes.Quantity"), 0))),
    ];
    let fields: BTreeMap<String, Declared> = fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
    Declared { fields: Some(fields), ..leaf(Type::object(DEVICE), 0) }
}

#[cfg(test)]
mod tests {
    use super::super::program::Program;
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let compiled = Program::compile(source, &device(Expressions::New));
        let found = compiled.map_or_else(|issues| issues.to_string(), |program| program.result_type().to_string());
        assert!(found.starts_with(expected), "{source}: {found}");
    }

    #[test]
    fn a_selector_sees_driver_attributes_and_capacity() {
        check("device.driver == 'd.example.com'", "bool");
        check("device.attributes['d.example.com'].healthy", "any");
        check("device.capacity['d.example.com'].memory.compareTo(quantity('1Gi')) >= 0", "bool");
        check("cel.bind(own, device.attributes['d.example.com'], own.a == 'x')", "bool");
        check("device.name", "ERROR: <input>:1:7: undefined field 'name'");
    }

    #[test]
    fn the_cost_of_a_selector_is_bounded_by_the_size_of_a_device() {
        let cost = |source: &str| Program::compile(source, &device(Expressions::New)).unwrap().estimate().max;
        assert!(cost("device.attributes['d.example.com'].name.matches('[a-z]*')") < 1_000_000);
        assert!(cost("device.attributes.all(d, device.attributes.all(e, d == e))") < 1_000_000);
    }
}
