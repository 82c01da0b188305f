//! Values against a schema, with the messages of kube-openapi's validators and their choice of which alternative of
//! `anyOf` and `oneOf` to tell of. What an update leaves as it was is not held against the schema again (ratcheting).

use serde_json::{Map, Number, Value};

use super::{Additional, Checks, JsonType, ListType, Schema, formats};
use crate::api::field::{ErrorKind, Errors, FieldError};

/// What is held against a schema, and where it stands.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub value: &'a Value,
    /// Before the update; `None` for a create and where nothing can be compared.
    pub old: Option<&'a Value>,
    /// In front of the fields of errors; empty for a whole object.
    pub prefix: &'a str,
}

/// All that is wrong with a value.
pub fn validate(place: Place<'_>, schema: &Schema) -> Errors {
    let found = ratcheted(schema, At { value: place.value, old: place.old, path: "" });
    found.faults.into_iter().map(|fault| fault.into_error(place.prefix)).collect()
}

#[derive(Clone, Copy)]
struct At<'a> {
    value: &'a Value,
    old: Option<&'a Value>,
    path: &'a str,
}

/// What one validator found. `matches` counts the checks that were passed; the alternative with the most is told of.
#[derive(Default)]
struct Found {
    faults: Vec<Fault>,
    matches: usize,
}

#[derive(Clone)]
struct Fault {
    /// Empty and `.` stand for the value itself.
    path: String,
    kind: FaultKind,
    message: String,
}

#[derive(Clone)]
enum FaultKind {
    Required,
    Enum {
        value: Value,
        supported: Vec<String>,
    },
    TooLong {
        max: i64,
    },
    TooMany {
        actual: usize,
        max: i64,
    },
    Type {
        given: String,
    },
    Other {
        value: Value,
    },
    /// An error without a place of its own.
    Loose,
}

impl Fault {
    fn into_error(self, prefix: &str) -> FieldError {
        let path = self.path.strip_prefix('.').unwrap_or(&self.path);
        let field = match (prefix, path, &self.kind) {
            ("", "", _) | ("", _, FaultKind::Loose) => "<nil>".to_owned(),
            (prefix, _, FaultKind::Loose) | (prefix, "", _) => prefix.to_owned(),
            ("", path, _) => path.to_owned(),
            (prefix, path, _) => format!("{prefix}.{path}"),
        };
        let (kind, value, detail) = match self.kind {
            FaultKind::Required => (ErrorKind::Required, Value::Null, String::new()),
            FaultKind::Enum { value, supported } => {
                let quoted: Vec<String> = supported.iter().map(|s| crate::api::field::go_quote(s)).collect();
                let detail =
                    if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
                (ErrorKind::NotSupported, value, detail)
            }
            FaultKind::TooLong { max } => {
                let unit = if max == 1 { "byte" } else { "bytes" };
                (ErrorKind::TooLong, Value::Null, format!("may not be more than {max} {unit}"))
            }
            FaultKind::TooMany { actual, max } => {
                let unit = if max == 1 { "item" } else { "items" };
                (ErrorKind::TooMany, Value::from(actual), format!("must have at most {max} {unit}"))
            }
            FaultKind::Type { given } => (ErrorKind::TypeInvalid, Value::String(given), self.message),
            FaultKind::Other { value } => (ErrorKind::Invalid, value, self.message),
            FaultKind::Loose => (ErrorKind::Invalid, Value::String(String::new()), self.message),
        };
        FieldError::printed(kind, field, (value, detail))
    }
}

impl Found {
    fn add(&mut self, fault: Fault) {
        if !self.faults.iter().any(|known| known.message == fault.message) {
            self.faults.push(fault);
        }
    }

    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        other.faults.into_iter().for_each(|fault| self.add(fault));
    }

    fn fault(&mut self, path: &str, kind: FaultKind, message: String) {
        self.add(Fault { path: path.to_owned(), kind, message });
    }

    fn other(&mut self, at: At<'_>, message: String) {
        self.fault(at.path, FaultKind::Other { value: at.value.clone() }, message);
    }

    fn valid(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A node whose faults count only if its value changed.
fn ratcheted(schema: &Schema, at: At<'_>) -> Found {
    let mut found = node(schema, at);
    if !found.valid() && at.old == Some(at.value) {
        found.faults.clear();
    }
    found
}

fn node(schema: &Schema, at: At<'_>) -> Found {
    let mut found = Found::default();
    let checks = schema.checks.as_deref();
    let typed = schema.json_type.is_some() || schema.int_or_string;
    let format = checks.and_then(|checks| checks.format.as_deref());
    if at.value.is_null() {
        if typed && !schema.nullable {
            wrong_type(&mut found, at, (&type_names(schema), "null"));
        } else {
            found.matches += 1;
        }
        enums(&mut found, checks, at);
        return found;
    }
    if typed || format.is_some() {
        check_type(&mut found, schema, (at, format));
        found.matches += 1;
    }
    if let Some(checks) = checks {
        found.merge(alternatives(checks, at));
    } else {
        found.matches += 1;
    }
    found.matches += 1;
    match at.value {
        Value::String(text) => texts(&mut found, checks, (at, text)),
        Value::Number(number) => numbers(&mut found, schema, (at, number)),
        Value::Array(items) => lists(&mut found, schema, (at, items)),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    enums(&mut found, checks, at);
    found.matches += 1;
    if let Value::Object(entries) = at.value {
        objects(&mut found, schema, (at, entries));
        found.matches += 1;
    }
    found.matches += 1;
    found
}

fn type_names(schema: &Schema) -> String {
    if schema.int_or_string {
        return "integer,string".to_owned();
    }
    schema.json_type.map_or("", JsonType::as_str).to_owned()
}

fn wrong_type(found: &mut Found, at: At<'_>, (wanted, given): (&str, &str)) {
    let path = at.path;
    let message = format!("{path} in body must be of type {wanted}: {}", crate::api::field::go_quote(given));
    found.fault(path, FaultKind::Type { given: given.to_owned() }, message);
}

/// The type of a value, and of numbers the format that Go has them in.
fn type_of(value: &Value) -> (JsonType, &'static str) {
    match value {
        Value::Bool(_) | Value::Null => (JsonType::Boolean, ""),
        Value::Number(number) if number.is_i64() => (JsonType::Integer, "int64"),
        Value::Number(_) => (JsonType::Number, "float64"),
        Value::String(_) => (JsonType::String, ""),
        Value::Array(_) => (JsonType::Array, ""),
        Value::Object(_) => (JsonType::Object, ""),
    }
}

fn check_type(found: &mut Found, schema: &Schema, (at, format): (At<'_>, Option<&str>)) {
    let (given, given_format) = type_of(at.value);
    let wants = |of: JsonType| {
        if schema.int_or_string {
            matches!(of, JsonType::Integer | JsonType::String)
        } else {
            schema.json_type == Some(of)
        }
    };
    let whole = at.value.as_f64().is_some_and(is_integer);
    let as_integer = given == JsonType::Number && whole && wants(JsonType::Integer);
    let as_number = given == JsonType::Integer && wants(JsonType::Number);
    let sequence = matches!(at.value, Value::String(_) | Value::Array(_));
    if let Some(format) = format {
        if !(sequence || wants(given) || given_format == format || as_integer || as_number) {
            wrong_type(found, at, (format, given_format));
            return;
        }
        if sequence && !wants(JsonType::Number) && !wants(JsonType::Integer) {
            found.matches += 1;
            return;
        }
    }
    if wants(given) || as_integer || as_number {
        found.matches += 1;
    } else {
        wrong_type(found, at, (&type_names(schema), given.as_str()));
    }
}

/// Whether a float counts as an integer, with the tolerance of the library that upstream uses.
fn is_integer(float: f64) -> bool {
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    if !float.is_finite() || float.abs() > EXACT_MAX {
        return false;
    }
    let (whole, diff) = (float.trunc(), float.fract().abs());
    float == whole || diff < f64::EPSILON * (float.abs() + whole.abs())
}

fn alternatives(checks: &Checks, at: At<'_>) -> Found {
    let mut found = Found::default();
    any_of(&mut found, &checks.any_of, at);
    one_of(&mut found, &checks.one_of, at);
    all_of(&mut found, &checks.all_of, at);
    if let Some(not) = &checks.not
        && node(not, at).valid()
    {
        found.fault(at.path, FaultKind::Loose, format!("\"{}\" must not validate the schema (not)", at.path));
    }
    found.matches += 1;
    found
}

fn better(best: Option<Found>, next: Found) -> Option<Found> {
    match best {
        Some(best) if next.matches <= best.matches => Some(best),
        _ => Some(next),
    }
}

fn any_of(found: &mut Found, schemas: &[Schema], at: At<'_>) {
    let mut best = None;
    for schema in schemas {
        let result = node(schema, at);
        if result.valid() {
            found.merge(result);
            return;
        }
        best = better(best, result);
    }
    if let Some(best) = best {
        let message = format!("\"{}\" must validate at least one schema (anyOf)", at.path);
        found.fault(at.path, FaultKind::Loose, message);
        found.merge(best);
    }
}

fn one_of(found: &mut Found, schemas: &[Schema], at: At<'_>) {
    if schemas.is_empty() {
        return;
    }
    let (mut best, mut first, mut count) = (None, None, 0);
    for schema in schemas {
        let result = node(schema, at);
        if result.valid() {
            count += 1;
            best = None;
            first.get_or_insert(result);
        } else if count == 0 {
            best = better(best, result);
        }
    }
    match (count, first) {
        (1, Some(first)) => found.merge(first),
        _ => {
            let why = match count {
                0 => "Found none valid".to_owned(),
                count => format!("Found {count} valid alternatives"),
            };
            let message = format!("\"{}\" must validate one and only one schema (oneOf). {why}", at.path);
            found.fault(at.path, FaultKind::Loose, message);
            if let Some(best) = best {
                found.merge(best);
            }
        }
    }
}

fn all_of(found: &mut Found, schemas: &[Schema], at: At<'_>) {
    let mut count = 0;
    for schema in schemas {
        let result = node(schema, at);
        count += usize::from(result.valid());
        found.merge(result);
    }
    if count != schemas.len() {
        let none = if count == 0 { ". None validated" } else { "" };
        let message = format!("\"{}\" must validate all the schemas (allOf){none}", at.path);
        found.fault(at.path, FaultKind::Loose, message);
    }
}

fn texts(found: &mut Found, checks: Option<&Checks>, (at, text): (At<'_>, &str)) {
    if let Some(checks) = checks {
        string_rules(found, checks, (at, text));
    }
    found.matches += 1;
    let Some(format) = checks.and_then(|checks| checks.format.as_deref()).filter(|f| formats::known(f)) else { return };
    found.matches += 1;
    if !formats::fits(format, text) {
        wrong_type(found, at, (format, text));
    }
}

fn string_rules(found: &mut Found, checks: &Checks, (at, text): (At<'_>, &str)) {
    let path = at.path;
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = checks.max_length.filter(|max| length > *max) {
        let message = format!("{path} in body should be at most {max} chars long");
        found.fault(path, FaultKind::TooLong { max }, message);
        return;
    }
    if let Some(min) = checks.min_length.filter(|min| length < *min) {
        found.other(at, format!("{path} in body should be at least {min} chars long"));
        return;
    }
    let Some(pattern) = &checks.pattern else { return };
    match pattern.matches(text) {
        Ok(true) => {}
        Ok(false) => found.other(at, format!("{path} in body should match '{}'", pattern.as_str())),
        Err(error) => {
            let pattern = pattern.as_str();
            found.other(at, format!("{path} in body should match '{pattern}, but pattern is invalid: {error}'"));
        }
    }
}

/// A number as Go's `%v` prints it: the shortest digits, with an exponent from the sixth power of ten on.
fn go_number(float: f64) -> String {
    let text = format!("{float:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(power) if !(-4..6).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", power.abs())
        }
        Ok(_) | Err(_) => float.to_string(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "upstream compares integers with the bound cut to an integer")]
fn cut(bound: f64) -> i64 {
    bound as i64
}

fn numbers(found: &mut Found, schema: &Schema, (at, number): (At<'_>, &Number)) {
    let checks = schema.checks.as_deref();
    let format = checks.and_then(|checks| checks.format.as_deref());
    let out_of_range = match (schema.json_type, format) {
        (Some(JsonType::Integer), Some("int32")) if !schema.int_or_string => {
            let fits = |n: f64| n.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&n);
            !number.as_f64().is_some_and(fits)
        }
        (Some(JsonType::Integer), _) if !schema.int_or_string => {
            !number.is_i64() && !number.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() < 9.2e18)
        }
        (Some(JsonType::Number), Some("float")) => number.as_f64().is_none_or(|n| n.abs() > f64::from(f32::MAX)),
        _ => false,
    };
    if out_of_range {
        let name = schema.json_type.map_or("", JsonType::as_str);
        let format = format.map_or_else(|| "(default format)".to_owned(), |format| format!("with format {format}"));
        let message = format!("Checked value must be of type {name} {format} in {}", at.path);
        found.fault(at.path, FaultKind::Loose, message);
    }
    if let Some(checks) = checks {
        bounds(found, checks, (at, number));
    }
    found.matches += 2;
}

fn bounds(found: &mut Found, checks: &Checks, (at, number): (At<'_>, &Number)) {
    let path = at.path;
    let (float, int) = (number.as_f64().unwrap_or_default(), number.as_i64());
    if let Some(factor) = checks.multiple_of {
        // An integer is held against the factor cut to an integer.
        let whole = int.map_or(factor, |_| factor.trunc());
        let fits = match int {
            _ if whole <= 0.0 => {
                let factor = go_number(whole);
                found.other(at, format!("factor MultipleOf declared for {path} must be positive: {factor}"));
                true
            }
            Some(int) => int % cut(factor) == 0,
            None => is_integer(if factor < 1.0 { 1.0 / factor * float } else { float / factor }),
        };
        if !fits {
            found.other(at, format!("{path} in body should be a multiple of {}", go_number(factor)));
        }
    }
    if let Some(max) = checks.maximum {
        let exclusive = checks.exclusive_maximum;
        let (over, at_bound) = match int {
            Some(int) => (int > cut(max), int == cut(max)),
            None => (float > max, float == max),
        };
        if over || exclusive && at_bound {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            found.other(at, format!("{path} in body should be {words} {}", bound(max, int)));
        }
    }
    if let Some(min) = checks.minimum {
        let exclusive = checks.exclusive_minimum;
        let (under, at_bound) = match int {
            Some(int) => (int < cut(min), int == cut(min)),
            None => (float < min, float == min),
        };
        if under || exclusive && at_bound {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            found.other(at, format!("{path} in body should be {words} {}", bound(min, int)));
        }
    }
}

fn bound(bound: f64, int: Option<i64>) -> String {
    if int.is_some() { cut(bound).to_string() } else { go_number(bound) }
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

fn lists(found: &mut Found, schema: &Schema, (at, items): (At<'_>, &[Value])) {
    if let Some(of) = schema.items.as_deref() {
        for (index, value) in items.iter().enumerate() {
            let path = format!("{}[{index}]", at.path);
            let old = old_item(schema, at.old, value);
            found.merge(ratcheted(of, At { value, old, path: &path }));
        }
    }
    let size = count(items.len());
    if let Some(checks) = schema.checks.as_deref() {
        if let Some(min) = checks.min_items.filter(|min| size < *min) {
            let message = format!("{} in body should have at least {min} items", at.path);
            found.fault(at.path, FaultKind::Other { value: size.into() }, message);
        }
        if let Some(max) = checks.max_items.filter(|max| size > *max) {
            let message = format!("{} in body should have at most {max} items", at.path);
            found.fault(at.path, FaultKind::TooMany { actual: items.len(), max }, message);
        }
    }
    found.matches += 2;
}

/// The item of a list with keys that had the same keys before.
fn old_item<'a>(schema: &Schema, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
    let Some(ListType::Map(keys)) = &schema.list else { return None };
    let same = |candidate: &&Value| keys.iter().all(|key| candidate.get(&**key) == item.get(&**key));
    old?.as_array()?.iter().find(same)
}

fn enums(found: &mut Found, checks: Option<&Checks>, at: At<'_>) {
    let Some(checks) = checks.filter(|checks| !checks.enums.is_empty()) else { return };
    let equal = |one: &&Value| match (*one, at.value) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => !a.is_null() && a == b,
    };
    if checks.enums.iter().any(|one| equal(&one)) {
        return;
    }
    let supported = checks.enums.iter().map(|one| match one {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let supported: Vec<String> = supported.collect();
    let message = format!("{} in body should be one of [{}]", at.path, supported.join(" "));
    found.fault(at.path, FaultKind::Enum { value: at.value.clone(), supported }, message);
}

fn objects(found: &mut Found, schema: &Schema, (at, entries): (At<'_>, &Map<String, Value>)) {
    let path = at.path;
    if let Some(checks) = schema.checks.as_deref() {
        let size = count(entries.len());
        if let Some(min) = checks.min_properties.filter(|min| size < *min) {
            let message = format!("{path} in body should have at least {min} properties");
            found.fault(path, FaultKind::Other { value: size.into() }, message);
        }
        if let Some(max) = checks.max_properties.filter(|max| size > *max) {
            let message = format!("{path} in body should have at most {max} properties");
            found.fault(path, FaultKind::TooMany { actual: entries.len(), max }, message);
        }
    }
    let old_of = |name: &str| at.old.and_then(|old| old.get(name));
    match &schema.additional {
        Additional::Allowed(false) => {
            for name in entries.keys().filter(|name| schema.property(name).is_none()) {
                let message = format!("{path}.{name} in body is a forbidden property");
                found.fault(path, FaultKind::Other { value: name.as_str().into() }, message);
            }
        }
        Additional::Of(of) => {
            for (name, value) in entries.iter().filter(|(name, _)| schema.property(name).is_none()) {
                let path = format!("{path}.{name}");
                found.merge(ratcheted(of, At { value, old: old_of(name), path: &path }));
            }
        }
        Additional::Absent | Additional::Allowed(true) => {}
    }
    for (name, of) in &schema.properties {
        let Some(value) = entries.get(&**name) else { continue };
        let below = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        // The type of an object is the same before and after, since both are in one version.
        let own_type = path.is_empty() && matches!(&**name, "kind" | "apiVersion");
        let old = old_of(name).filter(|_| !own_type);
        found.merge(ratcheted(of, At { value, old, path: &below }));
    }
    for name in schema.checks.iter().flat_map(|checks| &checks.required) {
        if !entries.contains_key(&**name) {
            let path = format!("{path}.{name}");
            let message = format!("{path} in body is required");
            found.fault(&path, FaultKind::Required, message);
        }
    }
}
