//! Taking fields out of an object by their paths.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::{FieldSet, Node};
use super::types::{Form, MapType, Type};

/// The object without the members of a set. What is left empty by it is null, as upstream leaves it.
pub(super) fn remove<'a>(object: &'a Map<String, Value>, gone: &FieldSet<'_>, of: Type<'a>) -> Map<String, Value> {
    match of.form(&Value::Null) {
        Form::Map(map) => without_entries(object, gone, map),
        Form::Scalar(_) | Form::List(_) => object.clone(),
    }
}

fn without_entries(entries: &Map<String, Value>, gone: &FieldSet<'_>, map: MapType<'_>) -> Map<String, Value> {
    let mut left = Map::new();
    for (name, value) in entries {
        match gone.get(&Element::field(name)) {
            Some(node) if node.member => {}
            Some(node) => {
                let below = without_value(value, &node.children, map.entry_or_any(name));
                left.insert(name.clone(), below);
            }
            None => drop(left.insert(name.clone(), value.clone())),
        }
    }
    left
}

fn without_value(value: &Value, gone: &FieldSet<'_>, of: Type<'_>) -> Value {
    match (of.form(value), value) {
        (Form::Scalar(_), _) => value.clone(),
        (Form::List(list), Value::Array(items)) if !list.is_atomic() => {
            let mut left = Vec::with_capacity(items.len());
            for item in items {
                let node = list.element(item).ok().and_then(|element| gone.get(&element));
                match node {
                    Some(node) if node.member => {}
                    Some(node) => left.push(without_value(item, &node.children, list.item)),
                    None => left.push(item.clone()),
                }
            }
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
        (Form::Map(map), Value::Object(entries)) if !map.atomic => {
            let left = without_entries(entries, gone, map);
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        (Form::List(_) | Form::Map(_), _) => Value::Null,
    }
}

/// The set with all declared fields on the way to its members as members too.
pub(super) fn with_named_fields<'a>(set: &FieldSet<'a>, of: Option<Type<'_>>) -> FieldSet<'a> {
    let form = of.map(|of| of.form(&Value::Null));
    let mut out = FieldSet::new();
    for node in set.nodes() {
        let mut member = node.member;
        let below = match (&node.element, &form) {
            (Element::Field(name), Some(Form::Map(map))) => {
                member |= !node.children.is_empty() && map.declares(name);
                map.entry(name)
            }
            (Element::Key(_), Some(Form::List(list))) => Some(list.item),
            (Element::Field(_) | Element::Key(_) | Element::Value(_) | Element::Index(_), _) => None,
        };
        let children =
            if node.children.is_empty() { FieldSet::new() } else { with_named_fields(&node.children, below) };
        out.push(Node { element: node.element.clone(), member, children });
    }
    out
}
