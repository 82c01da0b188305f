//! How strategic merge patch merges two lists, and the order of the result.

use serde_json::{Map, Value};

use super::strategic::{DIRECTIVE, Failure, Level, Merger};
use crate::api::field;

/// Merges a patch into a list: objects by their merge key, scalars as a set; or takes the items of the patch from it.
pub(super) fn merge<'t>(
    merger: &Merger<'t>,
    (mut original, mut patch): (Vec<Value>, Vec<Value>),
    (level, merge_key): (Level<'t>, &str),
    deleting: bool,
) -> Result<Vec<Value>, Failure> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    check_items(&[&original, &patch], true)?;
    let objects = original.iter().chain(&patch).next().is_some_and(Value::is_object);
    if !objects {
        if deleting {
            original.retain(|item| !patch.contains(item));
            return Ok(original);
        }
        let merged = deduplicate(original.iter().chain(&patch).cloned().collect());
        return in_order(merged, &patch, &original, "");
    }
    if merge_key.is_empty() {
        let kind = match level {
            Level::Struct(_) | Level::Opaque(_) => "struct",
            Level::Other(kind) => kind,
        };
        return Err(Failure::Other(format!("cannot merge lists without merge key for {kind}")));
    }
    (original, patch) = obey_directives(original, patch, merge_key)?;
    let mut merged = original.clone();
    for item in &patch {
        let Value::Object(change) = item else { continue };
        let key = change.get(merge_key).ok_or_else(|| no_merge_key(change, merge_key))?;
        match merged.iter().position(|have| have.get(merge_key) == Some(key)) {
            Some(at) => {
                let Value::Object(have) = std::mem::take(&mut merged[at]) else { continue };
                merged[at] = Value::Object(merger.merge(have, change.clone(), level)?);
            }
            None => merged.push(item.clone()),
        }
    }
    in_order(merged, &patch, &original, merge_key)
}

/// Items with `$patch` delete an item or say that the list is replaced; the rest is the patch proper.
fn obey_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Value::Object(fields) = &item else { continue };
        let Some(directive) = fields.get(DIRECTIVE) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let key = fields.get(merge_key).ok_or_else(|| no_merge_key(fields, merge_key))?;
                original.retain(|have| have.get(merge_key) != Some(key));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(Failure::Other("merging lists cannot yet be specified in the patch".to_owned()));
            }
            _ => return Err(bad_directive(directive, fields)),
        }
    }
    if replace { Ok((rest, Vec::new())) } else { Ok((original, rest)) }
}

/// Puts merged items in order: those that `patch_order` names as it has them, the others as the live list has them,
/// and the two woven together so that each keeps its own order.
pub(super) fn in_order(
    merged: Vec<Value>,
    patch_order: &[Value],
    live_order: &[Value],
    merge_key: &str,
) -> Result<Vec<Value>, Failure> {
    if !merge_key.is_empty() {
        for item in merged.iter().chain(patch_order).chain(live_order) {
            // Upstream tells the place in a list that holds nothing else.
            let Value::Object(fields) = item else {
                return Err(Failure::Other("value for key 0 is not a map".to_owned()));
            };
            if !fields.contains_key(merge_key) {
                return Err(no_merge_key(fields, merge_key));
            }
        }
    }
    let place = |order: &[Value], item: &Value| {
        order.iter().position(|other| identity(other, merge_key) == identity(item, merge_key))
    };
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(patch_order, item).is_some());
    named.sort_by_key(|item| place(patch_order, item));
    others.sort_by_key(|item| place(live_order, item).unwrap_or(usize::MAX));

    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let before = match (others.peek(), named.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(named)) => {
                matches!((place(live_order, other), place(live_order, named)), (Some(a), Some(b)) if a < b)
            }
        };
        out.extend(if before { others.next() } else { named.next() });
    }
}

fn identity<'v>(item: &'v Value, merge_key: &str) -> Option<&'v Value> {
    if merge_key.is_empty() { Some(item) } else { item.get(merge_key) }
}

/// The items of a patch must stand in the order that the patch itself gives.
pub(super) fn check_order(patch: &[Value], order: &[Value], merge_key: &str) -> Result<(), Failure> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let is_deletion = |item: &&Value| !merge_key.is_empty() && item.get(DIRECTIVE) == Some(&Value::from("delete"));
    let mut rest = order.iter();
    for item in patch.iter().filter(|item| !is_deletion(item)) {
        // Upstream looks at directives only while the order has items left.
        if !merge_key.is_empty() && item.get(DIRECTIVE).is_some() && rest.len() > 0 {
            continue;
        }
        if !find(&mut rest, item, merge_key)? {
            let (patch, order) = (Value::from(patch), Value::from(order));
            return Err(Failure::Other(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                go_format(&patch),
                go_format(&order)
            )));
        }
    }
    Ok(())
}

/// Goes on to the item of the same key.
fn find(rest: &mut std::slice::Iter<'_, Value>, item: &Value, merge_key: &str) -> Result<bool, Failure> {
    for other in rest.by_ref() {
        if key_of(item, merge_key)? == key_of(other, merge_key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn key_of<'v>(item: &'v Value, merge_key: &str) -> Result<&'v Value, Failure> {
    match item {
        _ if merge_key.is_empty() => Ok(item),
        Value::Object(fields) => fields.get(merge_key).ok_or_else(|| no_merge_key(fields, merge_key)),
        other => Err(bad_argument("map[string]interface {}", other)),
    }
}

/// All items must be of one type, and not lists.
pub(super) fn check_items(lists: &[&[Value]], needed: bool) -> Result<(), Failure> {
    let mut items = lists.iter().copied().flatten();
    let Some(first) = items.next() else {
        let none = Failure::Other("no elements in any of the given slices".to_owned());
        return if needed { Err(none) } else { Ok(()) };
    };
    if first.is_array() {
        return Err(Failure::NotSupported);
    }
    if items.any(|item| go_type(item) != go_type(first)) {
        let all = lists.iter().map(|list| Value::from(*list)).collect();
        return Err(Failure::Other(format!("list element types are not identical: {}", go_format(&all))));
    }
    Ok(())
}

/// Upstream's way of dropping repeated scalars, which moves the last item into the gap.
fn deduplicate(mut items: Vec<Value>) -> Vec<Value> {
    let mut at = 0;
    while at < items.len() {
        let mut other = at + 1;
        while other < items.len() {
            if items[at] == items[other] {
                items.swap_remove(other);
            } else {
                other += 1;
            }
        }
        at += 1;
    }
    items
}

pub(super) fn bad_directive(directive: &Value, fields: &Map<String, Value>) -> Failure {
    let fields = Value::Object(fields.clone());
    // A directive is printed as a text, which it need not be.
    let told = match directive {
        Value::String(text) => text.clone(),
        Value::Null => "%!s(<nil>)".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("%!s({}={})", go_type(directive), go_format(directive)),
        Value::Array(_) | Value::Object(_) => go_format(directive),
    };
    Failure::Other(format!("unknown patch type: {told} in map: {}", go_format(&fields)))
}

pub(super) fn bad_argument(expected: &str, actual: &Value) -> Failure {
    Failure::Other(format!("expected a {expected}, but received a {}", go_type(actual)))
}

fn no_merge_key(fields: &Map<String, Value>, merge_key: &str) -> Failure {
    let fields = go_format(&Value::Object(fields.clone()));
    Failure::Other(format!("map: {fields} does not contain declared merge key: {merge_key}"))
}

/// The Go type that a decoded JSON value has, as the patches' own errors print it.
pub(super) fn go_type(value: &Value) -> &'static str {
    if value.is_null() { "%!s(<nil>)" } else { field::go_type(value) }
}

/// A value as Go's `%v` prints it.
pub(super) fn go_format(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_format).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}:{}", go_format(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}
