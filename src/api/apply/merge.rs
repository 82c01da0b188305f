//! Merging an applied configuration into an object: maps by entry, lists by item, all else the configuration's value.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::element::Element;
use super::types::{Form, ListType, MapType, Type};

/// The object with the configuration merged in. Both were checked against the type before.
pub(super) fn merge_objects<'a>(
    live: &'a Map<String, Value>,
    config: &'a Map<String, Value>,
    of: Type<'a>,
) -> Map<String, Value> {
    match of.form(&Value::Null) {
        Form::Map(map) => merge_entries(live, config, map),
        Form::Scalar(_) | Form::List(_) => config.clone(),
    }
}

fn merge_values<'a>(live: &'a Value, config: &'a Value, of: Type<'a>) -> Value {
    match (of.form(config), live, config) {
        (Form::Map(map), Value::Object(live), Value::Object(config)) if !map.atomic => {
            Value::Object(merge_entries(live, config, map))
        }
        // A null or empty value beside one with content leaves the content there.
        (Form::Map(map), Value::Object(entries), Value::Null) if !map.atomic && !entries.is_empty() => live.clone(),
        (Form::List(list), Value::Array(live), Value::Array(config)) if !list.is_atomic() => {
            Value::Array(merge_items(live, config, list))
        }
        (Form::List(list), Value::Array(items), Value::Null) if !list.is_atomic() && !items.is_empty() => live.clone(),
        _ => config.clone(),
    }
}

fn merge_entries<'a>(
    live: &'a Map<String, Value>,
    config: &'a Map<String, Value>,
    map: MapType<'a>,
) -> Map<String, Value> {
    // What is merged must not be copied before: of a deep object everything would be, at every level.
    let mut out: Map<String, Value> = live
        .iter()
        .filter(|(name, _)| !config.contains_key(*name))
        .map(|(name, have)| (name.clone(), have.clone()))
        .collect();
    for (name, value) in config {
        let merged = match live.get(name) {
            Some(have) => merge_values(have, value, map.entry_or_any(name)),
            None => value.clone(),
        };
        out.insert(name.clone(), merged);
    }
    out
}

/// Items of one side with their steps.
struct Side<'a> {
    steps: Vec<Element<'a>>,
    items: &'a [Value],
    /// The steps in order with the places of their first items; `None` for steps that occur twice.
    index: Vec<(Element<'a>, Option<usize>)>,
}

impl<'a> Side<'a> {
    fn new(list: ListType<'a>, items: &'a [Value]) -> Self {
        let steps: Vec<Element<'a>> =
            items.iter().map(|item| list.element(item).unwrap_or(Element::Index(-1))).collect();
        let mut index: Vec<(Element<'a>, Option<usize>)> =
            steps.iter().cloned().enumerate().map(|(at, step)| (step, Some(at))).collect();
        index.sort_by(|(a, _), (b, _)| a.cmp(b));
        index.dedup_by(|next, first| {
            let same = next.0 == first.0;
            if same {
                first.1 = None;
            }
            same
        });
        Self { steps, items, index }
    }

    fn find(&self, step: &Element<'_>) -> Option<Option<&'a Value>> {
        let at = self.index.binary_search_by(|(other, _)| other.cmp(step)).ok()?;
        Some(self.index[at].1.and_then(|at| self.items.get(at)))
    }

    fn has(&self, step: &Element<'_>) -> bool {
        self.find(step).is_some()
    }
}

/// Merges by step. Shared items stand in the configuration's order; items of only one side keep their place between
/// their neighbours.
fn merge_items<'a>(live: &'a [Value], config: &'a [Value], list: ListType<'a>) -> Vec<Value> {
    if live.is_empty() || config.is_empty() {
        return if config.is_empty() { live.to_vec() } else { config.to_vec() };
    }
    let (left, right) = (Side::new(list, live), Side::new(list, config));
    let merged = |step: &Element<'a>, item: &'a Value| match left.find(step).flatten() {
        Some(have) => merge_values(have, item, list.item),
        None => item.clone(),
    };
    let mut shared = right.steps.iter().filter(|step| left.has(step)).peekable();
    let mut taken: BTreeSet<&Element<'a>> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut l, mut r) = (0, 0);
    while l < live.len() || r < config.len() {
        if let (Some(step), Some(next)) = (left.steps.get(l), right.steps.get(r)) {
            if step == next {
                taken.insert(next);
                out.push(merged(next, &config[r]));
                l += 1;
                r += 1;
                shared.next();
                continue;
            }
            if right.has(step) && shared.peek().is_some_and(|wanted| *wanted != step) {
                // A shared item, but not the one whose turn it is.
                l += 1;
                continue;
            }
        }
        if let Some(step) = left.steps.get(l) {
            if !right.has(step) {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if taken.contains(step) {
                l += 1;
            }
        }
        if let Some(step) = right.steps.get(r) {
            taken.insert(step);
            out.push(merged(step, &config[r]));
            r += 1;
            shared.next_if(|wanted| *wanted == step);
        }
    }
    out
}
