//! Brings a stored field set in line with a schema that has changed since it was written: what has become atomic is
//! owned as a whole. What has become granular is taken as if it always had been.

use serde_json::Value;

use super::element::Element;
use super::set::{FieldSet, Node};
use super::types::{Form, Type};

/// The set as the present schema has it; `None` when it is the same.
pub(super) fn reconcile<'a>(set: &FieldSet<'a>, of: Type<'_>) -> Option<FieldSet<'a>> {
    is_stale(set, of).then(|| rebuild(set, of))
}

fn is_stale(set: &FieldSet<'_>, of: Type<'_>) -> bool {
    set.nodes().iter().filter(|node| !node.children.is_empty()).any(|node| match child_type(of, &node.element) {
        Some(below) => is_whole(below) || is_stale(&node.children, below),
        None => false,
    })
}

fn rebuild<'a>(set: &FieldSet<'a>, of: Type<'_>) -> FieldSet<'a> {
    let mut out = FieldSet::new();
    for node in set.nodes() {
        let below = child_type(of, &node.element).filter(|_| !node.children.is_empty());
        out.push(match below {
            Some(below) if is_whole(below) => {
                Node { element: node.element.clone(), member: true, children: FieldSet::new() }
            }
            Some(below) => {
                Node { element: node.element.clone(), member: node.member, children: rebuild(&node.children, below) }
            }
            None => node.clone(),
        });
    }
    out
}

fn is_whole(of: Type<'_>) -> bool {
    match of.form(&Value::Null) {
        Form::Scalar(_) => false,
        Form::List(list) => list.is_atomic(),
        Form::Map(map) => map.atomic && !of.is_deduced_map(),
    }
}

/// The type below a step; `None` where the schema does not go.
fn child_type<'t>(of: Type<'t>, element: &Element<'_>) -> Option<Type<'t>> {
    match (of.form(&Value::Null), element) {
        (Form::Map(_), _) if of.is_deduced_map() => None,
        (Form::Map(map), Element::Field(name)) => map.entry(name),
        (Form::List(list), _) => Some(list.item),
        (Form::Map(_) | Form::Scalar(_), _) => None,
    }
}
