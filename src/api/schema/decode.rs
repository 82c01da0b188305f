//! “Decode into the Go struct and marshal again”, by table: a tree of any shape becomes the tree that upstream would
//! store, or the error that upstream's decoder would give. Used on every request body and on the result of patches.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value};

use super::{Field, Shape, Struct, Table, TypeId};
use crate::api::codec::json::{kind_of, write_number};
use crate::api::codec::{Error, STRICT_ERRORS_MAX};
use crate::api::quantity::Quantity;
use crate::api::time::{GoDuration, Precision, Time};

/// Makes a tree what Go's struct of the type would marshal to: unknown fields are dropped, null and zero values are
/// dropped or written as the Go fields say, texts with a canonical form get it. Gives the paths of unknown fields.
///
/// # Errors
/// When a value does not fit its field, with the message of upstream's decoder.
pub fn normalise(value: &mut Value, table: &Table, id: TypeId) -> Result<Vec<String>, Error> {
    let top = Shape::Struct(id);
    let mut walk = Walk { table, unknown: Vec::new(), saved: None, fatal: None };
    let root = Place { parent: None, step: Step::Root };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    walk.shape(value, &top, &root);
    match walk.fatal.or(walk.saved) {
        Some(message) => Err(Error::new(message)),
        None => Ok(walk.unknown),
    }
}

/// Whether a path, as strict errors print it, leads into a field that may hold anything; what is in there is nobody's
/// fault.
pub fn is_opaque(path: &str, table: &Table, id: TypeId) -> bool {
    let top = Shape::Struct(id);
    let mut shape = &top;
    for part in path.split('.') {
        let name = part.split('[').next().unwrap_or(part);
        shape = match shape {
            Shape::Struct(id) => match table.get(*id).field(name) {
                Some(field) => &field.shape,
                None => return false,
            },
            Shape::Map(of) => &of.value,
            Shape::Json | Shape::FieldsV1 => return true,
            _ => return false,
        };
        while let (Shape::List(list), true) = (shape, part.contains('[')) {
            shape = &list.item;
        }
    }
    false
}

/// The value that a Go field of the shape has before anything is decoded into it, as it is marshalled.
pub fn zero(table: &Table, field: &Field) -> Value {
    if field.pointer { Value::Null } else { zero_of(table, &field.shape) }
}

/// The JSON of a Go struct that nobody has filled in: only what is not left out when empty.
pub fn zero_struct(table: &Table, id: TypeId) -> Value {
    let fields = table.get(id).fields.iter().filter(|field| !field.omit_empty);
    Value::Object(fields.map(|field| (field.name.clone().into_owned(), zero(table, field))).collect())
}

fn zero_of(table: &Table, shape: &Shape) -> Value {
    match shape {
        Shape::String => Value::String(String::new()),
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => Value::Number(0.into()),
        Shape::Quantity => Value::String("0".to_owned()),
        Shape::Duration => Value::String("0s".to_owned()),
        Shape::Struct(id) => zero_struct(table, *id),
        Shape::Bytes
        | Shape::Time
        | Shape::MicroTime
        | Shape::Json
        | Shape::FieldsV1
        | Shape::List(_)
        | Shape::Map(_)
        | Shape::SchemaOrArray(_)
        | Shape::SchemaOrBool(_)
        | Shape::SchemaOrStrings(_) => Value::Null,
    }
}

/// Whether `omitempty` or `omitzero` leaves a field with this canonical value out.
pub fn is_omitted(table: &Table, field: &Field, value: &Value) -> bool {
    field.omit_empty && if field.pointer { value.is_null() } else { is_empty(table, &field.shape, value) }
}

fn is_empty(table: &Table, shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (_, Value::Null) => true,
        (Shape::Struct(id), Value::Object(map)) => map.iter().all(|(key, value)| {
            let field = table.get(*id).field(key);
            field.is_some_and(|f| if f.pointer { value.is_null() } else { is_zero(table, &f.shape, value) })
        }),
        (_, Value::Array(items)) => items.is_empty(),
        (_, Value::Object(map)) => map.is_empty(),
        (shape, value) => is_zero(table, shape, value),
    }
}

fn is_zero(table: &Table, shape: &Shape, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => match shape {
            Shape::Quantity => text == "0",
            Shape::Duration => text == "0s",
            _ => text.is_empty(),
        },
        Value::Array(_) => false,
        Value::Object(_) => matches!(shape, Shape::Struct(_)) && is_empty(table, shape, value),
    }
}

/// Lists and maps that defaults or other rules are about only when they are not there; empty ones are refused later.
const TOLD_APART: [(&str, &str); 2] = [
    ("io.k8s.api.autoscaling.v2.HPAScalingRules", "policies"),
    ("io.k8s.api.core.v1.VolumeResourceRequirements", "requests"),
];

fn keeps_empty(of: &Struct, field: &Field, value: &Value) -> bool {
    (value.is_array() || value.is_object()) && TOLD_APART.contains(&(&*of.name, &*field.name))
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    /// A field of a struct.
    Field(&'a Struct, &'a Field),
    Key(&'a str),
    Index(usize),
}

/// Where the walk is; printed only on error.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

impl<'a> Place<'a> {
    fn then(&'a self, step: Step<'a>) -> Place<'a> {
        Place { parent: Some(self), step }
    }

    /// As strict errors print it: `spec.containers[0].x`.
    fn path(&self) -> String {
        let mut out = self.parent.map(Place::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::Field(_, Field { name, .. }) => put_name(&mut out, name),
            Step::Key(name) => put_name(&mut out, name),
        }
        out
    }

    /// What Go calls the type of the value here, where the table says more than its shape does: the text of the field
    /// that it stands in, without what leads to lists and maps on the way.
    fn go_type(&self) -> Option<&'a str> {
        match self.step {
            Step::Root => None,
            Step::Field(_, field) => field.extra.as_deref()?.go_type.as_deref(),
            Step::Index(_) => self.parent?.go_type()?.strip_prefix("[]"),
            Step::Key(_) => self.parent?.go_type()?.strip_prefix("map[")?.split_once(']').map(|(_, value)| value),
        }
    }

    /// Whether the field says what an object inside another one is.
    fn of_type_meta(&self, of: &Struct, field: &Field) -> bool {
        let inside = self.parent.is_some_and(|parent| !matches!(parent.step, Step::Root));
        inside && matches!(&*field.name, "kind" | "apiVersion") && of.field("metadata").is_some()
    }

    /// As type errors print it: the innermost struct and the names of all fields on the way.
    fn context(&self) -> Option<(String, String)> {
        let mut names = Vec::new();
        let mut innermost = None;
        let mut at = Some(self);
        while let Some(place) = at {
            if let Step::Field(of, field) = place.step {
                innermost.get_or_insert(of);
                names.push(&*field.name);
                names.extend(field.extra.as_deref().and_then(|extra| extra.embedded_in.as_deref()));
                names.extend(place.of_type_meta(of, field).then_some("TypeMeta"));
            }
            at = place.parent;
        }
        names.reverse();
        let of = innermost?;
        let short = of.name.rsplit('.').next().unwrap_or_default();
        Some((short.to_owned(), names.join(".")))
    }
}

fn put_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

struct Walk<'t> {
    table: &'t Table,
    unknown: Vec<String>,
    /// The first value that did not fit; upstream goes on and tells it at the end.
    saved: Option<String>,
    /// A failure of a type's own decoder, at which upstream stops.
    fatal: Option<String>,
}

impl<'t> Walk<'t> {
    /// Brings a value into the canonical form of its shape.
    fn shape(&mut self, value: &mut Value, shape: &'t Shape, place: &Place<'_>) {
        match (shape, &mut *value) {
            (_, Value::Null) => *value = zero_of(self.table, shape),
            (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) | (Shape::Json, _) => {}
            (Shape::FieldsV1, _) => {}
            (Shape::Int32 | Shape::Int64, Value::Number(number)) => {
                let fits = number.as_i64().is_some_and(|n| *shape == Shape::Int64 || i32::try_from(n).is_ok());
                if !fits {
                    let what = format!("number {}", literal(number));
                    self.save(&what, shape, place);
                }
            }
            (Shape::Float64, Value::Number(number)) => {
                if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                    *number = integral(&float).map_or(float, Number::from);
                }
            }
            (Shape::Struct(id), Value::Object(map)) => self.object(map, self.table.get(*id), place),
            (Shape::List(list), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.shape(item, &list.item, &place.then(Step::Index(index)));
                }
            }
            (Shape::Map(of), Value::Object(map)) => {
                for (key, value) in map.iter_mut() {
                    self.shape(value, &of.value, &place.then(Step::Key(key)));
                }
            }
            (Shape::Bytes, Value::String(text)) => match canonical_base64(text) {
                Ok(Some(canonical)) => *text = canonical,
                Ok(None) => {}
                Err(at) => {
                    self.saved.get_or_insert_with(|| format!("illegal base64 data at input byte {at}"));
                }
            },
            (Shape::IntOrString | Shape::Quantity | Shape::Time | Shape::MicroTime | Shape::Duration, other) => {
                match canonical(shape, other) {
                    Ok(Some(canonical)) => *value = canonical,
                    Ok(None) => {}
                    Err(fault) => {
                        self.fatal.get_or_insert_with(|| match fault {
                            Fault::Text(message) => message,
                            Fault::Type(what, go_type) => cannot_unmarshal(&what, place, go_type),
                        });
                    }
                }
            }
            (Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_), _) => {
                self.schema_or(value, shape, place);
            }
            (_, other) => {
                let what = kind_of(other);
                self.save(what, shape, place);
            }
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, of: &'t Struct, place: &Place<'_>) {
        map.retain(|key, value| {
            let Some(field) = of.fields.iter().find(|f| f.name.len() == key.len() && f.name == *key) else {
                if !of.preserve_unknown && self.unknown.len() < STRICT_ERRORS_MAX {
                    self.unknown.push(place.then(Step::Key(key)).path());
                }
                return of.preserve_unknown;
            };
            if field.pointer && value.is_null() {
                return !field.omit_empty;
            }
            self.shape(value, &field.shape, &place.then(Step::Field(of, field)));
            !is_omitted(self.table, field, value) || keeps_empty(of, field, value)
        });
        for field in of.fields.iter().filter(|f| !f.omit_empty) {
            if !map.contains_key(field.name.as_ref()) {
                map.insert(field.name.clone().into_owned(), zero(self.table, field));
            }
        }
    }

    /// The three types of JSON schema that are a schema or something else.
    fn schema_or(&mut self, value: &mut Value, shape: &'t Shape, place: &Place<'_>) {
        match (shape, &mut *value) {
            (Shape::SchemaOrArray(id) | Shape::SchemaOrBool(id) | Shape::SchemaOrStrings(id), Value::Object(map)) => {
                self.object(map, self.table.get(*id), place)
            }
            (Shape::SchemaOrBool(_), Value::Bool(_)) => {}
            (Shape::SchemaOrArray(id), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    match item {
                        Value::Object(map) => {
                            self.object(map, self.table.get(*id), &place.then(Step::Index(index)));
                        }
                        other => self.stop(kind_of(other), "v1.JSONSchemaProps"),
                    }
                }
            }
            (Shape::SchemaOrStrings(_), Value::Array(items)) => {
                if let Some(other) = items.iter().find(|i| !i.is_string()) {
                    self.stop(kind_of(other), "string");
                }
            }
            // Upstream looks at nothing but the first letter of these two and takes the rest for nothing.
            (Shape::SchemaOrArray(_) | Shape::SchemaOrStrings(_), other) => *other = Value::Null,
            (Shape::SchemaOrBool(_), _) => {
                self.fatal.get_or_insert_with(|| "boolean or JSON schema expected".to_owned());
            }
            (_, other) => self.stop(kind_of(other), "v1.JSONSchemaProps"),
        }
    }

    fn save(&mut self, what: &str, shape: &Shape, place: &Place<'_>) {
        if self.saved.is_some() {
            return;
        }
        let go_type = place.go_type().map_or_else(|| self.go_type(shape), str::to_owned);
        self.saved = Some(cannot_unmarshal(what, place, &go_type));
    }

    fn stop(&mut self, what: &str, go_type: &str) {
        self.fatal.get_or_insert_with(|| format!("json: cannot unmarshal {what} into Go value of type {go_type}"));
    }

    /// The name of the Go type as it follows from the shape.
    fn go_type(&self, shape: &Shape) -> String {
        match shape {
            Shape::String => "string".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Int32 => "int32".to_owned(),
            Shape::Int64 => "int64".to_owned(),
            Shape::Float64 => "float64".to_owned(),
            Shape::Bytes => "[]uint8".to_owned(),
            Shape::IntOrString => "intstr.IntOrString".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::Time => "v1.Time".to_owned(),
            Shape::MicroTime => "v1.MicroTime".to_owned(),
            Shape::Duration => "v1.Duration".to_owned(),
            Shape::Json => "runtime.RawExtension".to_owned(),
            Shape::FieldsV1 => "v1.FieldsV1".to_owned(),
            Shape::Struct(id) | Shape::SchemaOrArray(id) | Shape::SchemaOrBool(id) | Shape::SchemaOrStrings(id) => {
                let name = &self.table.get(*id).name;
                let from = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
                name[from..].to_owned()
            }
            Shape::List(list) => format!("[]{}", self.go_type(&list.item)),
            Shape::Map(map) => format!("map[string]{}", self.go_type(&map.value)),
        }
    }
}

fn cannot_unmarshal(what: &str, place: &Place<'_>, go_type: &str) -> String {
    match place.context() {
        Some((of, field)) => {
            format!("json: cannot unmarshal {what} into Go struct field {of}.{field} of type {go_type}")
        }
        None => format!("json: cannot unmarshal {what} into Go value of type {go_type}"),
    }
}

/// Why a value is refused by a type that decodes itself.
enum Fault {
    Text(String),
    /// What was given, and the Go type that the type's own decoder wanted.
    Type(String, &'static str),
}

/// The canonical form of a value whose Go type decodes itself; `None` when it has it already.
fn canonical(shape: &Shape, value: &Value) -> Result<Option<Value>, Fault> {
    let quantity = |text: &str| Quantity::parse(text).map_err(|e| Fault::Text(e.to_string()));
    let text = match (shape, value) {
        (Shape::IntOrString, Value::String(_)) => return Ok(None),
        (Shape::IntOrString, Value::Number(number)) => {
            let fits = number.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
            return if fits { Ok(None) } else { Err(Fault::Type(format!("number {}", literal(number)), "int32")) };
        }
        (Shape::Quantity, Value::Number(number)) => {
            return quantity(&literal(number)).map(|q| Some(Value::String(q.to_string())));
        }
        (_, Value::String(text)) => text,
        (Shape::IntOrString, other) => return Err(Fault::Type(kind_of(other).to_owned(), "int32")),
        (Shape::Quantity, _) => return Err(Fault::Text(crate::api::quantity::ParseError::Format.to_string())),
        (_, other) => return Err(Fault::Type(kind_of(other).to_owned(), "string")),
    };
    let canonical = match shape {
        Shape::Quantity => quantity(text.trim())?.to_string(),
        Shape::Time | Shape::MicroTime => {
            let precision = if *shape == Shape::Time { Precision::Seconds } else { Precision::Micros };
            let time = Time::parse(text, precision).map_err(Fault::Text)?;
            if time == Time::ZERO {
                return Ok(Some(Value::Null));
            }
            time.format(precision)
        }
        Shape::Duration => GoDuration::parse(text).map_err(Fault::Text)?.to_string(),
        _ => return Ok(None),
    };
    Ok((canonical != *text).then_some(Value::String(canonical)))
}

/// The canonical base64 of a text (`None`: it is that), or the place of the first fault as Go counts it.
fn canonical_base64(text: &str) -> Result<Option<String>, usize> {
    if BASE64.decode(text).is_ok() {
        return Ok(None);
    }
    if let Some(at) = base64_fault(text.as_bytes()) {
        return Err(at);
    }
    // Go does not mind line ends, nor bits that are set beyond the last byte.
    let clean = text.replace(['\r', '\n'], "");
    let config = base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    engine.decode(clean).map(|bytes| Some(BASE64.encode(bytes))).map_err(|_| text.len())
}

/// Where Go's decoder (`encoding/base64`, `decodeQuantum`) finds the first fault, if it finds one.
fn base64_fault(source: &[u8]) -> Option<usize> {
    let line_end = |at: usize| matches!(source.get(at), Some(b'\n' | b'\r'));
    let (mut at, mut of_four) = (0, 0);
    while let Some(byte) = source.get(at) {
        at += 1;
        match byte {
            b'\n' | b'\r' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => of_four = (of_four + 1) % 4,
            b'=' if of_four >= 2 => {
                while line_end(at) {
                    at += 1;
                }
                if of_four == 2 {
                    match source.get(at) {
                        None => return Some(source.len()),
                        Some(b'=') => at += 1,
                        Some(_) => return Some(at - 1),
                    }
                }
                while line_end(at) {
                    at += 1;
                }
                return (at < source.len()).then_some(at);
            }
            _ => return Some(at - 1),
        }
    }
    (of_four != 0).then(|| at - of_four)
}

/// A float with a whole value as the integer that Go prints it as.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the range of exact integers")]
fn integral(number: &Number) -> Option<i64> {
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() < 9e15 && !(float == 0.0 && float.is_sign_negative())).then_some(float as i64)
}

fn literal(number: &Number) -> String {
    if number.is_f64() && number.as_f64().is_some_and(|f| f.fract() == 0.0 && f.abs() < 1e15) {
        return number.to_string();
    }
    if number.is_u64() {
        return number.to_string();
    }
    let mut out = Vec::new();
    write_number(&mut out, number);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::schema::{List, ListKind, Map as MapShape};

    fn written(name: &'static str, shape: Shape) -> Field {
        Field { omit_empty: false, ..Field::plain(name, shape) }
    }

    fn pointer(name: &'static str, shape: Shape) -> Field {
        Field { pointer: true, ..Field::plain(name, shape) }
    }

    fn list(item: Shape) -> Shape {
        Shape::List(Box::new(List { item, kind: ListKind::Atomic, wrapped: false }))
    }

    fn pod() -> (Table, TypeId) {
        let mut table = Table::default();
        let add = |table: &mut Table, name: &'static str, fields| {
            table.add(Struct { name: name.into(), fields, ..Struct::default() })
        };
        let amounts = Shape::Map(Box::new(MapShape { value: Shape::Quantity, atomic: false }));
        let container = add(
            &mut table,
            "io.k8s.api.core.v1.Container",
            vec![
                written("name", Shape::String),
                Field::plain("stdin", Shape::Bool),
                Field::plain("limits", amounts),
                pointer("privileged", Shape::Bool),
                Field::plain("port", Shape::Int32),
                written("target", Shape::IntOrString),
            ],
        );
        let spec = add(
            &mut table,
            "io.k8s.api.core.v1.PodSpec",
            vec![
                written("containers", list(Shape::Struct(container))),
                pointer("grace", Shape::Int64),
                Field::plain("data", Shape::Bytes),
                Field::plain("since", Shape::Time),
                written("until", Shape::Time),
                Field::plain("every", Shape::Float64),
            ],
        );
        let status = add(&mut table, "io.k8s.api.core.v1.PodStatus", vec![Field::plain("phase", Shape::String)]);
        let id = add(
            &mut table,
            "io.k8s.api.core.v1.Pod",
            vec![
                Field::plain("kind", Shape::String),
                Field::plain("apiVersion", Shape::String),
                written("spec", Shape::Struct(spec)),
                written("status", Shape::Struct(status)),
            ],
        );
        (table, id)
    }

    #[track_caller]
    fn check(mut value: Value, expected: Result<(Value, &[&str]), &str>) {
        let (table, id) = pod();
        match (normalise(&mut value, &table, id), expected) {
            (Ok(unknown), Ok((tree, paths))) => {
                assert_eq!(value, tree);
                assert_eq!(unknown, paths);
            }
            (Err(error), Err(message)) => assert_eq!(error.to_string(), message),
            (outcome, expected) => panic!("{outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn what_go_always_writes_is_written_and_zero_values_are_dropped() {
        let empty = json!({"spec": {"containers": null, "until": null}, "status": {}});
        check(json!({}), Ok((empty.clone(), &[])));
        check(json!({"spec": null, "status": {"phase": ""}}), Ok((empty, &[])));
        check(
            json!({"spec": {"containers": [{"stdin": false, "privileged": false, "port": 0}, null], "grace": 0}}),
            Ok((
                json!({"spec": {"containers": [{"name": "", "privileged": false, "target": 0}, {"name": "", "target": 0}],
                    "grace": 0, "until": null}, "status": {}}),
                &[],
            )),
        );
    }

    #[test]
    fn texts_get_their_canonical_form() {
        check(
            json!({"spec": {"containers": [{"name": "a", "limits": {"cpu": 0.5, "memory": "1024Mi", "x": null}, "target": "80"}],
                "data": "YQ\n==", "since": "2024-01-01T00:00:00+01:00", "until": "0001-01-01T00:00:00Z", "every": 2.0}}),
            Ok((
                json!({"spec": {"containers": [{"name": "a", "limits": {"cpu": "500m", "memory": "1Gi", "x": "0"}, "target": "80"}],
                    "data": "YQ==", "since": "2023-12-31T23:00:00Z", "until": null, "every": 2}, "status": {}}),
                &[],
            )),
        );
    }

    #[test]
    fn unknown_fields_are_dropped_and_told_by_path() {
        check(
            json!({"x": 1, "spec": {"containers": [{"name": "a", "foo": {"bar": 1}}]}}),
            Ok((
                json!({"spec": {"containers": [{"name": "a", "target": 0}], "until": null}, "status": {}}),
                &["spec.containers[0].foo", "x"],
            )),
        );
    }

    #[test]
    fn values_that_do_not_fit_give_the_error_of_upstreams_decoder() {
        let cases = [
            (
                json!({"spec": {"containers": "x"}}),
                "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                json!({"spec": {"containers": [{"port": 3000000000i64}]}}),
                "json: cannot unmarshal number 3000000000 into Go struct field Container.spec.containers.port of type int32",
            ),
            (
                json!({"spec": {"grace": 1.5}}),
                "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.grace of type int64",
            ),
            (json!({"spec": []}), "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
            (json!([]), "json: cannot unmarshal array into Go value of type v1.Pod"),
            (
                json!({"spec": {"containers": [{"limits": {"cpu": "1x"}}], "grace": "a"}}),
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                json!({"spec": {"containers": [{"target": true}]}}),
                "json: cannot unmarshal bool into Go struct field Container.spec.containers.target of type int32",
            ),
            (
                json!({"spec": {"since": "x"}}),
                "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
            ),
            (json!({"spec": {"data": "!"}}), "illegal base64 data at input byte 0"),
        ];
        for (value, message) in cases {
            check(value, Err(message));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z0-9=]{0,6}".prop_map(Value::from),
        ];
        let keys =
            "kind|spec|status|containers|name|stdin|limits|privileged|port|target|grace|data|since|until|every|x";
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map(keys, inner, 0..5).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn faults_of_base64_stand_where_go_finds_them() {
        let cases = [("1", 0), ("YWJj=", 4), ("YQ=", 3), ("YQ", 0), ("YWJjYQ", 4), ("Y Q=", 1), ("YQ==x", 4), ("=", 0)];
        for (text, at) in cases {
            assert_eq!(canonical_base64(text), Err(at), "{text}");
        }
        assert_eq!(canonical_base64("YQ\n=="), Ok(Some("YQ==".to_owned())));
        assert_eq!(canonical_base64("YR=="), Ok(Some("YQ==".to_owned())));
    }

    proptest! {
        #[test]
        fn what_was_normalised_stays_as_it_is(mut value in any_json()) {
            let (table, id) = pod();
            if normalise(&mut value, &table, id).is_ok() {
                let once = value.clone();
                prop_assert_eq!(normalise(&mut value, &table, id), Ok(Vec::new()));
                prop_assert_eq!(value, once);
            }
        }
    }
}
