//! From a body to an object of its type, in the stored version: held against the type, defaulted, converted.

use bytes::Bytes;
use serde_json::Value;

use super::stated::{self, Stated};
use super::{Call, Input, PatchKind, Registry, Twice};
use crate::api::codec::json::Layout;
use crate::api::codec::{self, json, yaml};
use crate::api::emptied::Emptied;
use crate::api::field::{FieldError, Path, go_quote};
use crate::api::request::{FieldValidation, WriteOptions};
use crate::api::schema::{Table, TypeId, decode, default};
use crate::api::{GroupKind, GroupVersionKind, Object, Result, Status, apply, patch};
use crate::resources::Kind;

impl Registry {
    /// The body of a create or update.
    pub(super) fn decode(&self, call: &Call, input: Input, validation: FieldValidation) -> Result<Object> {
        let kind = &call.kind;
        if kind.is_custom() {
            stated::check_custom_body(kind, &input.value)?;
        }
        let object = self.fit(call, &Wanted::of_kind(kind), (input, Origin::Body), validation)?;
        self.decode_tree(call, object)
    }

    /// The result of a patch.
    pub(super) fn decode_patched(&self, call: &Call, patched: Patched<'_>, how: FieldValidation) -> Result<Object> {
        let kind = &call.kind;
        let Patched { input, shown } = patched;
        let origin = Origin::Patch(&*shown);
        if kind.is_custom() {
            stated::check_custom_patched(call, &input.value, &origin)?;
        }
        let other = self.other_version(kind, &input.value);
        let stated = other.as_ref().unwrap_or(kind);
        let object = self.fit(call, &Wanted::of_kind(stated), (input, origin), how)?;
        Ok(stated.stored(object))
    }

    /// The result of a patch of a subresource with a type of its own.
    pub(super) fn decode_patched_as(
        &self,
        call: &Call,
        gvk: &GroupVersionKind,
        patched: Patched<'_>,
        validation: FieldValidation,
    ) -> Result<Object> {
        let Patched { input, shown } = patched;
        self.decode_payload(call, gvk, (input, Origin::Patch(&*shown)), validation)
    }

    /// A tree in the served version that already has the shape of its type: defaulted and converted.
    pub(super) fn decode_tree(&self, call: &Call, object: Object) -> Result<Object> {
        Ok(call.kind.stored(object))
    }

    /// After the server's own changes: what Go's types would write that the tree does not have yet.
    pub(super) fn complete(&self, kind: &Kind, object: &mut Object) {
        kind.fit(kind.stored_type_id, object);
    }

    /// The payload of a subresource or an action.
    ///
    /// # Errors
    /// 400 for a body that is not of the type.
    pub fn decode_as(
        &self,
        call: &Call,
        gvk: &GroupVersionKind,
        input: Input,
        validation: FieldValidation,
    ) -> Result<Object> {
        self.decode_payload(call, gvk, (input, Origin::Body), validation)
    }

    fn decode_payload(
        &self,
        call: &Call,
        gvk: &GroupVersionKind,
        from: (Input, Origin<'_>),
        validation: FieldValidation,
    ) -> Result<Object> {
        let type_id = self.payload(gvk)?;
        let types = self.facts.types.clone();
        let fit = |value: &mut Value| decode::normalise(value, &types, type_id);
        let opaque = |path: &str| decode::is_opaque(path, &types, type_id);
        let wanted = Wanted { gvk, fit: Box::new(fit), opaque: Box::new(opaque), custom: false };
        let mut object = self.fit(call, &wanted, from, validation)?;
        default::apply(object.root_mut(), &types, type_id);
        object.set_gvk(gvk);
        super::metadata::settle_namespace(call, &mut object)?;
        Ok(object)
    }

    /// The type of a payload.
    pub(super) fn payload(&self, gvk: &GroupVersionKind) -> Result<TypeId> {
        self.facts.type_of(gvk).ok_or_else(|| Status::internal(format!("{gvk} has no type")))
    }

    /// The configuration of an apply, YAML or JSON: as it came. Whether it fits its type is seen when it is merged.
    pub(super) fn decode_apply(&self, call: &Call, patch: &Bytes, options: &WriteOptions) -> Result<Object> {
        let failed = |error: codec::Error| Status::bad_request(format!("error encoding patch: {error}"));
        let decoded = plain_json(patch).map_or_else(|| yaml::decode(patch), Ok).map_err(failed)?;
        if !decoded.duplicates.is_empty() {
            match options.field_validation {
                FieldValidation::Ignore => {}
                FieldValidation::Warn => decoded.duplicates.into_iter().for_each(|line| call.warnings.add(line)),
                FieldValidation::Strict => {
                    let why = unmarshal_errors(&decoded.duplicates);
                    let message = format!("error strict decoding patch: error converting YAML to JSON: {why}");
                    return Err(Status::bad_request(message));
                }
            }
        }
        match decoded.value {
            Value::Null => Ok(Object::default()),
            value => Object::from_value(value).map_err(|other| {
                let kind = json::kind_of(&other);
                Status::bad_request(format!(
                    "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} \
                     into Go value of type map[string]interface {{}}"
                ))
            }),
        }
    }

    fn fit(
        &self,
        call: &Call,
        wanted: &Wanted<'_>,
        (input, origin): (Input, Origin<'_>),
        validation: FieldValidation,
    ) -> Result<Object> {
        let gvk = wanted.gvk;
        let Input { mut value, twice } = input;
        if matches!(origin, Origin::Body) {
            apply::refuse_texts(&mut value);
        }
        let unread = match self.check_kind(wanted, &value, &origin)? {
            Stated::Expected => Vec::new(),
            Stated::NoVersion => stated::take_fields(&mut value),
        };
        // An empty list of owners asks for a new beginning, which no list does not.
        let forgets_owners =
            value.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(Vec::is_empty);
        if !wanted.custom {
            *call.emptied.lock() = Emptied::of(&value);
        }
        if wanted.custom && holds_too_large(&value) {
            return Err(codec::unrecognized(&gvk.kind, &json::too_large(), value.to_string().as_bytes()));
        }
        let mut unknown = (wanted.fit)(&mut value).map_err(|error| {
            let message = error.to_string();
            let message = match &twice {
                Twice::Fields(_, text) => json::with_literal(&message, text),
                Twice::Lines(_) | Twice::InPatch(_) => message,
            };
            origin.refusal(gvk, &gvk.kind, &message)
        })?;
        unknown.extend(unread);
        let twice = match twice {
            // Of custom resources they are found before anything is held against a schema.
            Twice::Fields(paths, _) if wanted.custom => Twice::InPatch(duplicate_fields("", &paths)),
            Twice::Fields(mut paths, text) => {
                paths.retain(|path| !(wanted.opaque)(path));
                Twice::Fields(paths, text)
            }
            other => other,
        };
        let errors = StrictErrors::new(&unknown, twice);
        match validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => errors.warnings().for_each(|error| call.warnings.add(error)),
            FieldValidation::Strict => {
                if let Some(message) = errors.message() {
                    return Err(origin.refusal(gvk, &gvk.kind, &message));
                }
            }
        }
        let mut object = Object::from_value(value).map_err(|_| Status::bad_request("an object is expected"))?;
        if forgets_owners {
            object.set(&["metadata", "managedFields"], Value::Array(Vec::new()));
        }
        object.set_gvk(gvk);
        Ok(object)
    }
}

/// A JSON text that reads the same as YAML, only sooner; `None` where there might be a difference.
fn plain_json(text: &[u8]) -> Option<codec::Decoded> {
    /// Longer ones are no keys in YAML.
    const KEY_BYTES_MAX: usize = 1000;
    /// A key that merges another map into its own.
    const MERGE: &str = "<<";
    fn alike(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_i64(),
            Value::Array(items) => items.iter().all(alike),
            Value::Object(map) => {
                map.iter().all(|(key, value)| key.len() <= KEY_BYTES_MAX && key != MERGE && alike(value))
            }
            Value::Null | Value::Bool(_) | Value::String(_) => true,
        }
    }
    let odd = |pair: &[u8]| pair == br"\u" || pair == br"\/";
    let plain = text.first() == Some(&b'{')
        && text.iter().all(|byte| (b' '..0x7f).contains(byte) || *byte == b'\n')
        && !text.windows(2).any(odd);
    let decoded = plain.then(|| json::decode(text).ok()).flatten()?;
    (decoded.duplicates.is_empty() && alike(&decoded.value)).then_some(decoded)
}

/// Whether anything in a tree stands for a number that no tree can hold.
fn holds_too_large(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|float| float.abs() >= f64::MAX),
        Value::Array(items) => items.iter().any(holds_too_large),
        Value::Object(map) => map.values().any(holds_too_large),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn duplicate_fields(prefix: &str, paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| format!("{prefix}duplicate field {}", go_quote(path))).collect()
}

/// What a tree is held against.
pub(super) struct Wanted<'a> {
    pub(super) gvk: &'a GroupVersionKind,
    /// Brings it into the shape of the type; gives the paths of unknown fields.
    fit: Box<Fit<'a>>,
    /// Whether a path leads into a field that may hold anything.
    opaque: Box<dyn Fn(&str) -> bool + 'a>,
    pub(super) custom: bool,
}

type Fit<'a> = dyn Fn(&mut Value) -> std::result::Result<Vec<String>, codec::Error> + 'a;

impl<'a> Wanted<'a> {
    fn of_kind(kind: &'a Kind) -> Self {
        Self {
            gvk: &kind.gvk,
            fit: Box::new(|value| kind.behaviour.fit(kind, value)),
            opaque: Box::new(|path| decode::is_opaque(path, &kind.types, kind.type_id)),
            custom: kind.is_custom(),
        }
    }
}

/// What strict callers complain about.
struct StrictErrors {
    lines: Vec<String>,
    fields: Vec<String>,
}

impl StrictErrors {
    fn new(unknown: &[String], twice: Twice) -> Self {
        let told = |text: &[u8], duplicates: &[String]| json::strict_errors(text, unknown, duplicates);
        let (lines, mut fields) = match twice {
            Twice::Lines(lines) => (lines, told(b"", &[])),
            Twice::InPatch(mut texts) => {
                texts.extend(told(b"", &[]));
                (Vec::new(), texts)
            }
            Twice::Fields(duplicates, text) => (Vec::new(), told(&text, &duplicates)),
        };
        fields.truncate(codec::STRICT_ERRORS_MAX);
        Self { lines, fields }
    }

    fn warnings(self) -> impl Iterator<Item = String> {
        self.lines.into_iter().chain(self.fields)
    }

    /// All of them in one sentence, if there are any.
    fn message(&self) -> Option<String> {
        let lines = (!self.lines.is_empty()).then(|| unmarshal_errors(&self.lines));
        let all: Vec<String> = lines.into_iter().chain(self.fields.iter().cloned()).collect();
        (!all.is_empty()).then(|| format!("strict decoding error: {}", all.join(", ")))
    }
}

/// What go-yaml says of a text with faults in several lines.
fn unmarshal_errors(lines: &[String]) -> String {
    format!("yaml: unmarshal errors:\n  {}", lines.join("\n  "))
}

/// Where a tree comes from, which decides how it is refused.
pub(super) enum Origin<'a> {
    Body,
    /// With what shows the patched object.
    Patch(&'a Shown<'a>),
}

impl Origin<'_> {
    pub(super) fn refusal(&self, given: &GroupVersionKind, expected: &str, why: &str) -> Status {
        match self {
            Self::Body => codec::cannot_be_handled(&given.kind, &given.version, expected, &why),
            Self::Patch(shown) => {
                let error = FieldError::invalid(&Path::new("patch"), shown(), why);
                Status::invalid(&GroupKind { group: "".into(), kind: "".into() }, "", &[error])
            }
        }
    }
}

/// What a patch makes of an object.
pub(super) struct Patched<'a> {
    pub input: Input,
    /// How an error shows it.
    shown: Box<Shown<'a>>,
}

/// Makes the patched object once more, because few patches are refused.
pub(super) type Shown<'a> = dyn Fn() -> String + Send + Sync + 'a;

/// The object as a patch makes it.
pub(super) fn patch<'a>(
    kind: &'a Kind,
    live: &'a Object,
    patch: PatchKind,
    document: &'a Bytes,
) -> Result<Patched<'a>> {
    if patch == PatchKind::Strategic && kind.is_custom() {
        return Err(Status::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ]));
    }
    let mut patched = patch_tree(&kind.types, kind.type_id, live, (patch, document))?;
    if kind.is_custom() {
        let of = (&*kind.types, kind.type_id);
        patched.shown = Box::new(move || {
            let value = patched_value(live, (how_of(patch), document), of).unwrap_or_default();
            String::from_utf8(json::encode(&value, Layout::Sorted)).unwrap_or_default()
        });
    }
    Ok(patched)
}

/// The tree as a patch makes it.
pub(super) fn patch_tree<'a>(
    types: &'a Table,
    id: TypeId,
    live: &'a Object,
    (kind, document): (PatchKind, &'a Bytes),
) -> Result<Patched<'a>> {
    if kind == PatchKind::Apply {
        return Err(Status::unsupported_media_type(&["application/merge-patch+json"]));
    }
    let how = how_of(kind);
    let (duplicates, unknown) = match json::decode(document) {
        Ok(decoded) if how == patch::PatchKind::Json => (decoded.duplicates, unknown_in_operations(&decoded.value)),
        Ok(decoded) => (decoded.duplicates, Vec::new()),
        Err(_) => (Vec::new(), Vec::new()),
    };
    let value = patched_value(live, (how, document), (types, id))?;
    let shown = Box::new(move || {
        let value = patched_value(live, (how, document), (types, id)).unwrap_or_default();
        patch::shown(how, &value, document, (types, id))
    });
    let prefix = if how == patch::PatchKind::Json { "json patch " } else { "" };
    let mut told = duplicate_fields(prefix, &duplicates);
    told.extend(unknown);
    let twice = Twice::InPatch(told);
    Ok(Patched { input: Input { value, twice }, shown })
}

/// What a JSON patch says that no operation has.
fn unknown_in_operations(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().filter_map(Value::as_object).enumerate();
    let unknown = operations.flat_map(|(at, operation)| {
        let names = operation.keys().filter(|name| !["op", "path", "from", "value"].contains(&name.as_str()));
        names.map(move |name| format!("json patch unknown field {}", go_quote(&format!("[{at}].{name}"))))
    });
    unknown.collect()
}

/// The patches that change the object as it stands.
fn how_of(kind: PatchKind) -> patch::PatchKind {
    match kind {
        PatchKind::Json => patch::PatchKind::Json,
        PatchKind::Merge | PatchKind::Apply => patch::PatchKind::Merge,
        PatchKind::Strategic => patch::PatchKind::StrategicMerge,
    }
}

fn patched_value(live: &Object, (how, document): (patch::PatchKind, &Bytes), of: (&Table, TypeId)) -> Result<Value> {
    let mut patched = patch::apply(how, live, document, of)?;
    if how == patch::PatchKind::StrategicMerge {
        // Upstream merges into a Go struct, which stays what it is.
        patched.set_gvk(&live.gvk());
    }
    Ok(patched.into_value())
}
