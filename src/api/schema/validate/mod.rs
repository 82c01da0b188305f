//! Declarative validation: the `+k8s:` tags of upstream's types, run as upstream's generated code runs them
//! (apimachinery `pkg/api/validate` of v1.37). What did not change in an update is not looked at again.

mod format;
pub(super) mod rules;

use serde_json::{Map, Value};

use self::rules::{Check, Stability, Union, What};
use super::{Field, ListKind, Shape, Struct, Table, TypeId};
use crate::api::codec::json::{self, Layout};
use crate::api::field::{ErrorKind, Errors, FieldError, Path, Shown};

/// Which rules count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Those that upstream enforces; alpha rules are left to hand-written validation.
    Enforced,
    /// All, and the values of enums: for types whose validation is not written by hand.
    All,
}

impl Level {
    fn counts(self, stability: Stability) -> bool {
        self == Self::All || stability > Stability::Alpha
    }
}

/// How a validation is run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    pub level: Level,
    /// Whether a feature gate or option is on.
    pub enabled: &'a dyn Fn(&str) -> bool,
}

/// Runs the declared rules of a type on a new object, or on an update with what was there before.
pub fn validate(
    new: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
    types: (&Table, TypeId),
    options: Options<'_>,
) -> Errors {
    let mut walk = Walk { table: types.0, options, update: old.is_some(), errors: Errors::new() };
    walk.object(types.1, Maps { new, old, path: &Path::ROOT });
    walk.errors
}

/// Upstream's union of hand-written and declared errors: a hand-written error is told once, and not when a declared one
/// says it as well (same kind, same field; of invalid values the same of them, as there may be several).
pub fn merge(by_hand: Errors, declared: Errors) -> Errors {
    let mut told = Errors::with_capacity(by_hand.len() + declared.len());
    for error in by_hand {
        let said = |d: &FieldError| d.kind != ErrorKind::Invalid || same_rule(&d.detail, &error.detail);
        let declared = declared.iter().any(|d| d.kind == error.kind && d.field == error.field && said(d));
        if !declared && !told.contains(&error) {
            told.push(error);
        }
    }
    told.extend(declared);
    told
}

/// Whether two details tell of one rule: names and labels count characters of what declared rules count bytes of, and
/// the words before a pattern differ.
fn same_rule(declared: &str, by_hand: &str) -> bool {
    const PATTERN: &str = "regex used for validation is";
    let pattern = |detail: &str| detail.split_once(PATTERN).map(|(_, pattern)| pattern.to_owned());
    let counted = |detail: &str| detail.replace(" characters", " bytes");
    counted(declared) == counted(by_hand) || pattern(declared).is_some() && pattern(declared) == pattern(by_hand)
}

/// A value with what it was; absent is null.
#[derive(Clone, Copy)]
struct Pair<'v> {
    new: &'v Value,
    old: Option<&'v Value>,
}

/// A field or item as the checks see it.
#[derive(Clone, Copy)]
struct Subject<'t> {
    shape: &'t Shape,
    pointer: bool,
    field: Option<&'t Field>,
}

/// What the checks of a field or item look at.
#[derive(Clone, Copy)]
struct Spot<'t, 'a> {
    subject: Subject<'t>,
    pair: Pair<'a>,
    path: &'a Path<'a>,
}

/// A struct's value with what it was.
#[derive(Clone, Copy)]
struct Maps<'a> {
    new: &'a Map<String, Value>,
    old: Option<&'a Map<String, Value>>,
    path: &'a Path<'a>,
}

struct Walk<'t> {
    table: &'t Table,
    options: Options<'t>,
    update: bool,
    errors: Errors,
}

const NULL: &Value = &Value::Null;

impl<'t> Walk<'t> {
    fn object(&mut self, id: TypeId, maps: Maps<'_>) {
        let Maps { new, old, path } = maps;
        let checks = self.table.checks(id);
        let of = self.table.get(id);
        for union in &checks.unions {
            self.union(union, of, maps);
        }
        let places = checks.places(self.options.level);
        let at = |place: &u16| {
            let place = usize::from(*place);
            (&of.fields[place], checks.fields[place].as_slice())
        };
        let mode = checks.mode.map(|place| &of.fields[place]);
        for (field, checks) in places.iter().map(at).filter(|(_, checks)| !checks.is_empty()) {
            self.modes((field, checks), mode, maps);
            self.dependents((field, checks), maps);
        }
        for (field, checks) in places.iter().map(at) {
            let pair = Pair {
                new: new.get(field.name.as_ref()).unwrap_or(NULL),
                old: old.map(|old| old.get(field.name.as_ref()).unwrap_or(NULL)),
            };
            let subject = Subject { shape: &field.shape, pointer: field.pointer, field: Some(field) };
            self.value(Spot { subject, pair, path: &path.child(&field.name) }, checks);
        }
    }

    /// Runs the checks of a field or item and goes on into it.
    fn value(&mut self, spot: Spot<'t, '_>, checks: &'t [Check]) {
        let pair = spot.pair;
        if self.update && pair.old == Some(pair.new) {
            return;
        }
        let mut stop = false;
        for check in checks {
            stop |= self.short_circuit(spot, check);
        }
        if stop {
            return;
        }
        let level = self.options.level;
        for check in checks.iter().filter(|c| level.counts(c.stability)) {
            self.check(spot, check);
        }
        self.uniqueness(spot, checks);
        if self.options.level == Level::All && !checks.iter().any(|c| c.what == What::Enum) {
            self.enumeration(spot);
        }
        if !checks.iter().any(|c| c.what == What::Opaque) {
            self.descend(spot, checks);
        }
    }

    /// The checks after whose failure a field is not looked at further. True: stop.
    fn short_circuit(&mut self, spot: Spot<'t, '_>, check: &'t Check) -> bool {
        let Spot { subject, pair, path } = spot;
        let unset = is_unset(subject, pair.new, self.table);
        let error = match &check.what {
            What::Optional => return unset,
            What::Required if unset => FieldError::required(path, ""),
            What::Forbidden if !unset => FieldError::forbidden(path, ""),
            What::Immutable if self.update => unshown(path, "field is immutable"),
            What::MaxItems(max) if length(pair.new) > *max => FieldError::too_many(path, length(pair.new), *max),
            What::Update(constraint) => {
                let before = self.errors.len();
                if self.options.level.counts(check.stability) {
                    self.update_constraint(spot, constraint);
                }
                return self.errors.len() > before;
            }
            What::IfEnabled(option, inner) | What::IfDisabled(option, inner) => {
                let wanted = matches!(check.what, What::IfEnabled(..));
                return (self.options.enabled)(option) == wanted && self.short_circuit(spot, inner);
            }
            _ => return false,
        };
        if self.options.level.counts(check.stability) {
            self.errors.push(error);
        }
        true
    }

    fn check(&mut self, spot: Spot<'t, '_>, check: &'t Check) {
        let Spot { pair, path, .. } = spot;
        let new = pair.new;
        match &check.what {
            What::Format(format) => {
                if let Some(text) = new.as_str() {
                    format::check(format, text, path, &mut self.errors);
                }
            }
            What::MaxLength(_) | What::MinLength(_) | What::MaxBytes(_) => {
                if let Some(text) = new.as_str() {
                    self.errors.extend(text_length(&check.what, text, path));
                }
            }
            What::MinItems(min) if length(new) < *min => {
                let unit = if *min == 1 { "item" } else { "items" };
                let detail = format!("must have at least {min} {unit}");
                self.errors.push(FieldError::new(ErrorKind::TooFew, path, length(new), detail));
            }
            What::Minimum(min) if new.as_i64().is_some_and(|n| n < *min) => {
                let detail = format!("must be greater than or equal to {min}");
                self.errors.push(FieldError::invalid(path, new.clone(), detail));
            }
            What::Maximum(max) if new.as_i64().is_some_and(|n| n > *max) => {
                let detail = format!("must be less than or equal to {max}");
                self.errors.push(FieldError::invalid(path, new.clone(), detail));
            }
            What::NotEqual(other) if text_of(new) == *other => {
                let quoted = if new.is_string() { format!("\"{other}\"") } else { other.clone() };
                self.errors.push(FieldError::invalid(path, new.clone(), format!("must not be equal to {quoted}")));
            }
            What::Monotonic => self.monotonic(pair, path),
            What::Enum => self.enumeration(spot),
            What::EachValue(inner) => self.each_value(spot, inner),
            What::EachKey(inner) => self.each_key(spot, inner),
            What::Subfield(name, inner) => self.subfield(spot, name, inner),
            What::IfEnabled(option, inner) if (self.options.enabled)(option) => {
                self.check(spot, inner);
            }
            What::IfDisabled(option, inner) if !(self.options.enabled)(option) => {
                self.check(spot, inner);
            }
            _ => {}
        }
    }

    fn monotonic(&mut self, pair: Pair<'_>, path: &Path<'_>) {
        let numbers = pair.new.as_i64().zip(pair.old.and_then(Value::as_i64));
        if let Some((new, old)) = numbers.filter(|(new, old)| new < old) {
            self.errors.push(FieldError::invalid(path, new, format!("may not be decreased from {old}")));
        }
    }

    fn update_constraint(&mut self, spot: Spot<'t, '_>, constraint: &str) {
        let Spot { subject, pair, path } = spot;
        let Some(old) = pair.old.filter(|_| self.update) else { return };
        let (was, is) = (!is_unset(subject, old, self.table), !is_unset(subject, pair.new, self.table));
        let mut refuse = |detail: &str| self.errors.push(unshown(path, detail));
        match constraint {
            "NoSet" if !was && is => refuse("field cannot be set once created"),
            "NoUnset" if was && !is => refuse("field cannot be cleared once set"),
            "NoModify" if was && is && old != pair.new => refuse("field cannot be modified once set"),
            "NoAddItem" => self.moved_items(spot, (pair.new, old), "item may not be added"),
            "NoRemoveItem" => self.moved_items(spot, (old, pair.new), "item may not be removed"),
            _ => {}
        }
    }

    /// Forbids the items of one list, or keys of one map, that the other does not have.
    fn moved_items(&mut self, spot: Spot<'t, '_>, (of, other): (&Value, &Value), detail: &str) {
        let Spot { subject, path, .. } = spot;
        let adding = detail.ends_with("added");
        if let (Value::Object(of), other) = (of, other) {
            for key in of.keys().filter(|key| other.get(key.as_str()).is_none()) {
                self.errors.push(FieldError::forbidden(&path.key(key), detail));
            }
        }
        for (index, item) in of.as_array().into_iter().flatten().enumerate() {
            let kept = other.as_array().into_iter().flatten().any(|o| same_item(subject.shape, item, o));
            if !kept && adding {
                self.errors.push(FieldError::forbidden(&path.index(index), detail));
            } else if !kept {
                self.errors.push(FieldError::forbidden(path, detail));
            }
        }
    }

    fn enumeration(&mut self, spot: Spot<'t, '_>) {
        let Spot { subject, pair, path } = spot;
        let value = pair.new;
        let enums = subject.field.and_then(|f| f.extra.as_deref()).map_or(&[][..], |e| &e.enums);
        let Some(text) = value.as_str().filter(|_| !enums.is_empty()) else { return };
        let unset = text.is_empty() && self.options.level == Level::All && !subject.pointer;
        if !unset && !enums.iter().any(|e| e == text) {
            let mut supported: Vec<&str> = enums.iter().map(AsRef::as_ref).collect();
            supported.sort_unstable();
            self.errors.push(FieldError::not_supported(path, text, &supported));
        }
    }

    fn uniqueness(&mut self, spot: Spot<'t, '_>, checks: &'t [Check]) {
        let Spot { subject, pair, path } = spot;
        let Some(items) = pair.new.as_array() else { return };
        if checks.iter().any(|c| c.what == What::CustomUnique) {
            return;
        }
        let level = self.options.level;
        let unique = |c: &&Check| matches!(c.what, What::UniqueSet | What::UniqueMap) && level.counts(c.stability);
        let Some(check) = checks.iter().find(unique) else { return };
        let keys: Vec<&str> = checks
            .iter()
            .filter_map(|c| if let What::ListMapKey(key) = &c.what { Some(key.as_str()) } else { None })
            .collect();
        let keys = match subject.shape {
            Shape::List(list) if keys.is_empty() => match &list.kind {
                ListKind::Map(keys) => keys.iter().map(AsRef::as_ref).collect(),
                ListKind::Atomic | ListKind::Set => keys,
            },
            _ => keys,
        };
        let by_key = check.what == What::UniqueMap && !keys.is_empty();
        let same = |a: &Value, b: &Value| {
            if by_key { keys.iter().all(|k| a.get(k) == b.get(k)) } else { a == b }
        };
        for (index, item) in items.iter().enumerate() {
            if items[..index].iter().any(|before| same(before, item)) {
                let error = FieldError::duplicate(&path.index(index), item.clone());
                self.errors.push(match subject.shape {
                    Shape::List(list) => self.typed(error, &list.item),
                    _ => error,
                });
            }
        }
    }

    /// An error whose value is written in the order of its type's fields.
    fn typed(&self, error: FieldError, shape: &Shape) -> FieldError {
        let Shape::Struct(id) = shape else { return error };
        let text = json::encode(&error.value, Layout::Typed(self.table, *id));
        error.shown(Shown::Text(String::from_utf8_lossy(&text).into_owned()))
    }

    fn each_value(&mut self, spot: Spot<'t, '_>, check: &'t Check) {
        let Spot { subject, pair, path } = spot;
        let checks = std::slice::from_ref(check);
        match (subject.shape, pair.new) {
            (Shape::List(list), Value::Array(items)) => {
                let item_subject = Subject { shape: &list.item, pointer: false, field: subject.field };
                for (index, item) in items.iter().enumerate() {
                    let old = correlated(subject.shape, item, pair.old);
                    let pair = Pair { new: item, old };
                    self.item(Spot { subject: item_subject, pair, path: &path.index(index) }, checks);
                }
            }
            (Shape::Map(map), Value::Object(entries)) => {
                let item_subject = Subject { shape: &map.value, pointer: false, field: subject.field };
                for (key, value) in entries {
                    let old = pair.old.and_then(|o| o.get(key));
                    let pair = Pair { new: value, old };
                    self.item(Spot { subject: item_subject, pair, path: &path.key(key) }, checks);
                }
            }
            (_, _) => {}
        }
    }

    /// The checks of one item alone; what is inside is walked once, by `descend`.
    fn item(&mut self, spot: Spot<'t, '_>, checks: &'t [Check]) {
        if self.update && spot.pair.old == Some(spot.pair.new) {
            return;
        }
        let level = self.options.level;
        for check in checks.iter().filter(|c| level.counts(c.stability)) {
            if !self.short_circuit(spot, check) {
                self.check(spot, check);
            }
        }
    }

    fn each_key(&mut self, spot: Spot<'t, '_>, check: &'t Check) {
        let Spot { pair, path, .. } = spot;
        let subject = Subject { shape: &Shape::String, pointer: false, field: None };
        for key in pair.new.as_object().into_iter().flatten().map(|(key, _)| key) {
            if self.update && pair.old.is_some_and(|o| o.get(key).is_some()) {
                continue;
            }
            // The path is that of the map, not of the key.
            let key = Value::String(key.clone());
            self.check(Spot { subject, pair: Pair { new: &key, old: None }, path }, check);
        }
    }

    fn subfield(&mut self, spot: Spot<'t, '_>, name: &str, check: &'t Check) {
        let Spot { subject, pair, path } = spot;
        let Shape::Struct(id) = subject.shape else { return };
        let Some(field) = self.table.get(*id).field(name) else { return };
        let inner = Subject { shape: &field.shape, pointer: field.pointer, field: Some(field) };
        let pair = Pair { new: pair.new.get(name).unwrap_or(NULL), old: pair.old.map(|o| o.get(name).unwrap_or(NULL)) };
        if is_unset(inner, pair.new, self.table) && check.what != What::Required {
            return;
        }
        self.item(Spot { subject: inner, pair, path: &path.child(name) }, std::slice::from_ref(check));
    }

    fn descend(&mut self, spot: Spot<'t, '_>, checks: &[Check]) {
        let Spot { subject, pair, path } = spot;
        match (subject.shape, pair.new) {
            (Shape::Struct(id), Value::Object(map)) => {
                self.object(*id, Maps { new: map, old: pair.old.and_then(Value::as_object), path });
            }
            (Shape::List(list), Value::Array(items)) => {
                let opaque = |c: &Check| matches!(&c.what, What::EachValue(inner) if inner.what == What::Opaque);
                let Shape::Struct(id) = list.item else { return };
                if checks.iter().any(opaque) {
                    return;
                }
                for (index, item) in items.iter().enumerate() {
                    let old = correlated(subject.shape, item, pair.old);
                    if self.update && old == Some(item) {
                        continue;
                    }
                    if let Some(map) = item.as_object() {
                        let old = old.and_then(Value::as_object);
                        self.object(id, Maps { new: map, old, path: &path.index(index) });
                    }
                }
            }
            (Shape::Map(of), Value::Object(entries)) => {
                let Shape::Struct(id) = of.value else { return };
                for (key, value) in entries {
                    let old = pair.old.and_then(|o| o.get(key));
                    if let Some(map) = value.as_object().filter(|_| !(self.update && old == Some(value))) {
                        let old = old.and_then(Value::as_object);
                        self.object(id, Maps { new: map, old, path: &path.key(key) });
                    }
                }
            }
            (_, _) => {}
        }
    }

    fn union(&mut self, union: &Union, of: &'t Struct, maps: Maps<'_>) {
        let Maps { new, old, path } = maps;
        let counts = self.options.level.counts(union.stability);
        let table = self.table;
        let is_set = |map: &Map<String, Value>, place: usize| {
            let field = &of.fields[place];
            let subject = Subject { shape: &field.shape, pointer: field.pointer, field: None };
            map.get(field.name.as_ref()).is_some_and(|v| !is_unset(subject, v, table))
        };
        let changed = || old.is_none_or(|old| union.members.iter().any(|m| is_set(new, *m) != is_set(old, *m)));
        if !counts || (self.update && old.is_some() && !changed()) {
            return;
        }
        let name = |place: &usize| of.fields[*place].name.as_ref();
        let set: Vec<&str> = union.members.iter().filter(|m| is_set(new, **m)).map(name).collect();
        if set.len() == 1 || set.is_empty() && union.empty_allowed {
            return;
        }
        let all: Vec<String> = union.members.iter().map(|m| format!("`{}`", name(m))).collect();
        let all = all.join(", ");
        match set.len() {
            0 => {
                self.errors.push(FieldError::invalid(path, "", format!("must specify one of: {all}")));
            }
            _ => {
                let how = if union.empty_allowed { "at most" } else { "exactly" };
                let given = format!("{{{}}}", set.join(", "));
                self.errors.push(FieldError::invalid(path, given, format!("must specify {how} one of: {all}")));
            }
        }
    }

    /// `ifMode`: a field that belongs to some values of the struct's mode and is forbidden with the others.
    fn modes(&mut self, (field, checks): (&'t Field, &'t [Check]), mode_of: Option<&'t Field>, maps: Maps<'_>) {
        let Maps { new, old, path } = maps;
        let level = self.options.level;
        let mut rules = checks.iter().filter_map(|c| match &c.what {
            What::IfMode(mode, inner) if level.counts(c.stability) => Some((mode, inner)),
            _ => None,
        });
        let Some(first) = rules.next() else { return };
        let Some(discriminator) = mode_of else { return };
        let mode = new.get(discriminator.name.as_ref());
        let pair = Pair {
            new: new.get(field.name.as_ref()).unwrap_or(NULL),
            old: old.map(|o| o.get(field.name.as_ref()).unwrap_or(NULL)),
        };
        let same_mode = old.is_some_and(|o| o.get(discriminator.name.as_ref()) == mode);
        if self.update && same_mode && pair.old == Some(pair.new) {
            return;
        }
        let mode = mode.and_then(Value::as_str).unwrap_or_default();
        let applying = std::iter::once(first).chain(rules).find(|(m, _)| *m == mode);
        let subject = Subject { shape: &field.shape, pointer: field.pointer, field: Some(field) };
        let path = path.child(&field.name);
        match applying {
            Some((_, check)) => drop(self.short_circuit(Spot { subject, pair, path: &path }, check)),
            None if !is_unset(subject, pair.new, self.table) => self.errors.push(FieldError::forbidden(&path, "")),
            None => {}
        }
    }

    fn dependents(&mut self, (field, checks): (&'t Field, &'t [Check]), maps: Maps<'_>) {
        let Maps { new, old, path } = maps;
        let level = self.options.level;
        for check in checks.iter().filter(|c| level.counts(c.stability)) {
            let (dependent, wanted) = match &check.what {
                What::DependentRequired(dependent) => (dependent, true),
                What::DependentForbidden(dependent) => (dependent, false),
                _ => continue,
            };
            let set = |map: &Map<String, Value>, name: &str| map.get(name).is_some_and(|v| !v.is_null());
            let unchanged = old.is_some_and(|o| {
                set(o, &field.name) == set(new, &field.name) && set(o, dependent) == set(new, dependent)
            });
            if !set(new, &field.name) || set(new, dependent) == wanted || (self.update && unchanged) {
                continue;
            }
            let path = path.child(dependent);
            self.errors.push(if wanted {
                FieldError::required(&path, format!("must be set when {} is set", field.name))
            } else {
                FieldError::forbidden(&path, format!("may not be set when {} is set", field.name))
            });
        }
    }
}

/// An error of a rule that does not tell the value.
fn unshown(path: &Path<'_>, detail: &str) -> FieldError {
    FieldError::invalid(path, Value::Null, detail).shown(Shown::Text("null".to_owned()))
}

/// Whether Go's field is nil or has its zero value.
fn is_unset(subject: Subject<'_>, value: &Value, table: &Table) -> bool {
    if value.is_null() {
        return true;
    }
    if subject.pointer {
        return false;
    }
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) if !matches!(subject.shape, Shape::Struct(_)) => map.is_empty(),
        Value::Object(_) => subject.field.is_some_and(|f| *value == super::decode::zero(table, f)),
        Value::String(text) => text.is_empty(),
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Null => true,
    }
}

/// The old item that the new one continues: by key in a list of map type, by value in a set, none in an atomic list.
fn correlated<'v>(shape: &Shape, item: &Value, old: Option<&'v Value>) -> Option<&'v Value> {
    old.and_then(Value::as_array)?.iter().find(|o| same_item(shape, item, o))
}

fn same_item(shape: &Shape, a: &Value, b: &Value) -> bool {
    let Shape::List(list) = shape else { return a == b };
    match &list.kind {
        ListKind::Map(keys) => keys.iter().all(|k| a.get(k.as_ref()) == b.get(k.as_ref())),
        ListKind::Set | ListKind::Atomic => a == b,
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text_length(what: &What, text: &str, path: &Path<'_>) -> Option<FieldError> {
    let unit = |n: usize| if n == 1 { "character" } else { "characters" };
    match what {
        What::MaxBytes(max) if text.len() > *max => Some(FieldError::too_long(path, *max)),
        What::MaxLength(max) if text.chars().count() > *max => {
            let detail = format!("may not be more than {max} {}", unit(*max));
            Some(FieldError::new(ErrorKind::TooLong, path, Value::Null, detail))
        }
        What::MinLength(min) if text.chars().count() < *min => {
            let detail = format!("must be at least {min} {}", unit(*min));
            Some(FieldError::new(ErrorKind::TooShort, path, Value::Null, detail))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
