//! The set of fields that an applied configuration names.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::{FieldSet, Node};
use super::types::{Form, ListType, MapType, Type};

/// The fields that an object sets: its leaves, its list items, and the entries of its maps.
pub(super) fn fields_of<'a>(object: &'a Map<String, Value>, of: Type<'a>) -> FieldSet<'a> {
    match of.form(&Value::Null) {
        Form::Map(map) => entries(object, map),
        Form::Scalar(_) | Form::List(_) => FieldSet::new(),
    }
}

/// Whether the value is itself a member, and the members below it.
fn value_fields<'a>(value: &'a Value, of: Type<'a>) -> (bool, FieldSet<'a>) {
    match of.form(value) {
        Form::Scalar(_) => (true, FieldSet::new()),
        Form::List(list) if list.is_atomic() => (true, FieldSet::new()),
        Form::Map(map) if map.atomic => (true, FieldSet::new()),
        Form::List(list) => (false, value.as_array().map_or(FieldSet::new(), |array| items(array, list))),
        Form::Map(map) => (false, value.as_object().map_or(FieldSet::new(), |object| entries(object, map))),
    }
}

fn entries<'a>(object: &'a Map<String, Value>, map: MapType<'a>) -> FieldSet<'a> {
    let mut out = FieldSet::new();
    for (name, value) in object {
        let (leaf, children) = value_fields(value, map.entry_or_any(name));
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        let member = leaf || empty || !map.declares(name);
        out.push(Node { element: Element::field(name), member, children });
    }
    out
}

fn items<'a>(array: &'a [Value], list: ListType<'a>) -> FieldSet<'a> {
    // Items without a step were refused when the object was checked.
    let mut steps: Vec<_> = array.iter().filter_map(|item| Some((list.element(item).ok()?, item))).collect();
    steps.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut out = FieldSet::new();
    let mut steps = steps.into_iter().peekable();
    while let Some((element, item)) = steps.next() {
        let mut duplicate = false;
        while steps.next_if(|(next, _)| *next == element).is_some() {
            duplicate = true;
        }
        let children = if duplicate { FieldSet::new() } else { value_fields(item, list.item).1 };
        out.push(Node { element, member: true, children });
    }
    out
}
