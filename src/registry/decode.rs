//! From a body to an object of its type, in the stored version: held against the type, defaulted, converted.

use bytes::Bytes;
use serde_json::Value;

use super::ownership::fit;
use super::{Call, Input, PatchKind, Registry};
use crate::api::codec::{self, json, yaml};
use crate::api::field::{FieldError, Path};
use crate::api::request::{FieldValidation, WriteOptions};
use crate::api::schema::{Table, TypeId, decode, default};
use crate::api::{GroupKind, GroupVersionKind, Object, Result, Status, patch};
use crate::resources::Kind;

impl Registry {
    /// The body of a create or update.
    pub(super) fn decode(&self, call: &Call, input: Input, validation: FieldValidation) -> Result<Object> {
        let kind = &call.kind;
        if kind.is_custom() {
            check_custom_kind(kind, &input.value)?;
        }
        check_kind(&kind.gvk, &input.value)?;
        let object = self.fit(call, (&kind.gvk, &|value| kind.behaviour.fit(kind, value)), input, validation)?;
        self.decode_tree(call, object)
    }

    /// The result of a patch.
    pub(super) fn decode_patched(&self, call: &Call, input: Input, validation: FieldValidation) -> Result<Object> {
        self.decode(call, input, validation)
    }

    /// A tree in the served version that already has the shape of its type: defaulted and converted.
    pub(super) fn decode_tree(&self, call: &Call, mut object: Object) -> Result<Object> {
        let kind = &call.kind;
        if !kind.is_custom() {
            default::apply(object.root_mut(), &kind.types, kind.type_id);
        }
        kind.behaviour.default(kind, &mut object);
        if kind.gvk != kind.stored_as {
            kind.behaviour.convert(&mut object, &kind.stored_as);
        }
        object.set_gvk(&kind.stored_as);
        Ok(object)
    }

    /// After the server's own changes: what Go's types would write that the tree does not have yet.
    pub(super) fn complete(&self, kind: &Kind, object: &mut Object) {
        fit(kind, kind.stored_type_id, object);
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
        check_kind(gvk, &input.value)?;
        let type_id = self.payload(gvk)?;
        let types = self.facts.types.clone();
        let fit = |value: &mut Value| decode::normalise(value, &types, type_id);
        let mut object = self.fit(call, (gvk, &fit), input, validation)?;
        default::apply(object.root_mut(), &types, type_id);
        object.set_gvk(gvk);
        super::metadata::settle_namespace(call, &mut object)?;
        Ok(object)
    }

    /// The type of a payload.
    pub(super) fn payload(&self, gvk: &GroupVersionKind) -> Result<TypeId> {
        self.facts.type_of(gvk).ok_or_else(|| Status::internal(format!("{gvk} has no type")))
    }

    /// The configuration of an apply, YAML or JSON.
    pub(super) fn decode_apply(&self, call: &Call, patch: &Bytes, options: &WriteOptions) -> Result<Object> {
        let decoded =
            yaml::decode(patch).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
        let input = Input { value: decoded.value, duplicates: decoded.duplicates };
        check_kind(&call.kind.gvk, &input.value)?;
        let kind = &call.kind;
        // What was not said must not come into being, so that the configuration stays as it came; whether it fits its
        // type is seen on a copy.
        let fitted = match kind.is_custom() {
            // What the schema does not have is refused when the configuration is held against the type.
            true => Ok(Vec::new()),
            false => decode::normalise(&mut input.value.clone(), &kind.types, kind.type_id),
        };
        let unknown = fitted
            .map_err(|error| codec::cannot_be_handled(&kind.gvk.kind, &kind.gvk.version, &kind.gvk.kind, &error))?;
        let doubled = (!input.duplicates.is_empty()).then(|| yaml::strict_error(patch)).flatten();
        match (doubled, options.field_validation) {
            (None, _) | (_, FieldValidation::Ignore) => {}
            (Some(error), FieldValidation::Warn) => call.warnings.add(error),
            (Some(error), FieldValidation::Strict) => {
                return Err(Status::bad_request(format!("error strict decoding YAML: {error}")));
            }
        }
        self.strict(call, &unknown, &[], options.field_validation)?;
        let mut config = Object::from_value(input.value).map_err(|_| Status::bad_request("an object is expected"))?;
        config.set_gvk(&kind.gvk);
        Ok(config)
    }

    fn fit(
        &self,
        call: &Call,
        of: (&GroupVersionKind, &Fit<'_>),
        input: Input,
        validation: FieldValidation,
    ) -> Result<Object> {
        let (gvk, fit) = of;
        let mut value = input.value;
        let unknown =
            fit(&mut value).map_err(|error| codec::cannot_be_handled(&gvk.kind, &gvk.version, &gvk.kind, &error))?;
        self.strict(call, &unknown, &input.duplicates, validation)?;
        let mut object = Object::from_value(value).map_err(|_| Status::bad_request("an object is expected"))?;
        object.set_gvk(gvk);
        Ok(object)
    }

    fn strict(
        &self,
        call: &Call,
        unknown: &[String],
        duplicates: &[String],
        validation: FieldValidation,
    ) -> Result<()> {
        let mut errors = decode::strict_errors(unknown, duplicates);
        if call.kind.is_custom() {
            // Their duplicates are found before anything is held against a schema.
            errors.sort_by_key(|error| !error.starts_with("duplicate"));
        }
        match validation {
            _ if errors.is_empty() => Ok(()),
            FieldValidation::Ignore => Ok(()),
            FieldValidation::Warn => {
                errors.into_iter().for_each(|error| call.warnings.add(error));
                Ok(())
            }
            FieldValidation::Strict => {
                let gvk = &call.kind.gvk;
                let error = decode::strict_message(&errors);
                Err(codec::cannot_be_handled(&gvk.kind, &gvk.version, &gvk.kind, &error))
            }
        }
    }
}

/// Brings a tree into the shape of a type.
type Fit<'a> = dyn Fn(&mut Value) -> std::result::Result<Vec<String>, codec::Error> + 'a;

/// Of custom resources another kind is a fault of the object.
fn check_custom_kind(kind: &Kind, value: &Value) -> Result<()> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let given = text("/kind");
    if given.is_empty() || given == kind.gvk.kind || text("/apiVersion") != kind.gvk.api_version() {
        return Ok(());
    }
    let error = FieldError::invalid(&Path::new("kind"), given, format!("must be {}", kind.gvk.kind));
    let named = GroupKind { group: kind.gvk.group.clone(), kind: given.to_owned().into() };
    Err(Status::invalid(&named, text("/metadata/name"), &[error]))
}

/// The body's kind, where it says one, must be the path's.
fn check_kind(expected: &GroupVersionKind, value: &Value) -> Result<()> {
    let (api_version, kind) = codec::interpret(value)
        .map_err(|error| codec::unrecognized(&expected.kind, &error, value.to_string().as_bytes()))?;
    let version_differs = !api_version.is_empty() && api_version != expected.api_version();
    if kind.is_empty() || kind == expected.kind {
        if version_differs {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                expected.api_version()
            )));
        }
        return Ok(());
    }
    let given = GroupVersionKind::parse(api_version, kind);
    Err(Status::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: converting ({}) to ({}): unknown conversion",
        given.kind,
        given.version,
        expected.kind,
        format_args!("{}.{}", given.version, given.kind),
        format_args!("{}.{}", expected.version, expected.kind)
    )))
}

/// The object as a patch makes it.
pub(super) fn patch(kind: &Kind, live: &Object, patch: PatchKind, document: &Bytes) -> Result<Input> {
    if patch == PatchKind::Strategic && kind.is_custom() {
        return Err(Status::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ]));
    }
    patch_tree(&kind.types, kind.type_id, live, (patch, document))
}

/// The tree as a patch makes it.
pub(super) fn patch_tree(types: &Table, id: TypeId, live: &Object, patch: (PatchKind, &Bytes)) -> Result<Input> {
    let (kind, document) = patch;
    let how = match kind {
        PatchKind::Json => patch::PatchKind::Json,
        PatchKind::Merge => patch::PatchKind::Merge,
        PatchKind::Strategic => patch::PatchKind::StrategicMerge,
        PatchKind::Apply => return Err(Status::unsupported_media_type(&["application/merge-patch+json"])),
    };
    let duplicates = json::decode(document).map(|d| d.duplicates).unwrap_or_default();
    let patched = patch::apply(how, live, document, (types, id))?;
    Ok(Input { value: patched.into_value(), duplicates })
}
