//! Structural schemas as CEL sees them: what a value of the schema looks like and which type it has for the checker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;

use super::escape::escape;
use super::types::Type;

/// The largest request that is reckoned with.
pub(super) const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// The longest name of an object.
const NAME_BYTES_MAX: u64 = 253;

/// A node of a structural schema, as far as expressions depend on it.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub(super) kind: String,
    pub(super) format: String,
    pub(super) items: Option<Box<Schema>>,
    pub(super) properties: Option<BTreeMap<String, Schema>>,
    pub(super) additional: Option<Box<Schema>>,
    pub(super) nullable: bool,
    pub(super) int_or_string: bool,
    pub(super) preserve_unknown: bool,
    pub(super) embedded: bool,
    pub(super) list_type: String,
    pub(super) list_keys: Vec<String>,
    pub(super) required: Vec<String>,
    pub(super) has_default: bool,
    enum_bytes_max: Option<u64>,
    length_max: Option<u64>,
    items_max: Option<u64>,
    properties_max: Option<u64>,
    /// The rules that stand at this node.
    pub(super) rules: Vec<Json>,
}

impl Schema {
    /// Reads an `OpenAPI` v3 schema.
    pub fn new(json: &Json) -> Self {
        let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let flag = |key: &str| json.get(key).and_then(Json::as_bool).unwrap_or(false);
        let bound = |key: &str| json.get(key).and_then(Json::as_i64).map(|max| u64::try_from(max).unwrap_or(0));
        let texts = |key: &str| -> Vec<String> {
            let list = json.get(key).and_then(Json::as_array).into_iter().flatten();
            list.filter_map(Json::as_str).map(str::to_owned).collect()
        };
        let list = |key: &str| json.get(key).and_then(Json::as_array).cloned().unwrap_or_default();
        let object = |key: &str| json.get(key).filter(|of| of.is_object());
        let enums = list("enum");
        let longest = enums.iter().filter_map(Json::as_str).map(str::len).max().unwrap_or(0);
        Self {
            kind: text("type"),
            format: text("format"),
            items: object("items").map(|of| Box::new(Self::new(of))),
            properties: object("properties")
                .and_then(Json::as_object)
                .map(|of| of.iter().map(|(name, schema)| (name.clone(), Self::new(schema))).collect()),
            additional: object("additionalProperties").map(|of| Box::new(Self::new(of))),
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            list_type: text("x-kubernetes-list-type"),
            list_keys: texts("x-kubernetes-list-map-keys"),
            required: texts("required"),
            has_default: json.get("default").is_some_and(|of| !of.is_null()),
            enum_bytes_max: (!enums.is_empty()).then(|| u64::try_from(longest).unwrap_or(0)),
            length_max: bound("maxLength"),
            items_max: bound("maxItems"),
            properties_max: bound("maxProperties"),
            rules: list("x-kubernetes-validations"),
        }
    }

    fn text(length_max: Option<u64>) -> Self {
        Self { kind: "string".to_owned(), length_max, ..Self::default() }
    }

    /// The schema with the fields that the root of every resource has.
    pub fn with_type_and_metadata(&self) -> Self {
        let is = |schema: Option<&Self>, kind: &str| schema.is_some_and(|of| of.kind == kind);
        let own = |name: &str| self.properties.as_ref().and_then(|of| of.get(name));
        let metadata = own("metadata").and_then(|of| of.properties.as_ref());
        let of_metadata = |name: &str| metadata.and_then(|of| of.get(name));
        if is(own("kind"), "string")
            && is(own("apiVersion"), "string")
            && is(own("metadata"), "object")
            && is(of_metadata("name"), "string")
            && is(of_metadata("generateName"), "string")
        {
            return self.clone();
        }
        let capped = |name: &str, max: u64| {
            Self::text(Some(of_metadata(name).and_then(|of| of.length_max).map_or(max, |own| own.min(max))))
        };
        let metadata = Self {
            kind: "object".to_owned(),
            properties: Some(BTreeMap::from([
                ("name".to_owned(), capped("name", NAME_BYTES_MAX)),
                ("generateName".to_owned(), capped("generateName", NAME_BYTES_MAX - 1)),
            ])),
            ..Self::default()
        };
        let mut whole = self.clone();
        let properties = whole.properties.get_or_insert_default();
        properties.insert("kind".to_owned(), Self::text(None));
        properties.insert("apiVersion".to_owned(), Self::text(None));
        properties.insert("metadata".to_owned(), metadata);
        whole
    }

    fn string_max(&self) -> u64 {
        if self.int_or_string {
            return REQUEST_BYTES_MAX - 2;
        }
        match self.format.as_str() {
            "duration" | "date-time" => 32,
            "date" => 12,
            _ => REQUEST_BYTES_MAX - 2,
        }
    }
}

/// The type that a schema gives its values, with how large they can become.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    pub(super) of: Type,
    pub(super) fields: Option<BTreeMap<String, Declared>>,
    pub(super) key: Option<Box<Declared>>,
    pub(super) element: Option<Box<Declared>>,
    pub(super) elements_max: u64,
    /// The fewest bytes of such a value as JSON.
    pub(super) bytes_min: u64,
}

impl Declared {
    fn simple(of: Type, elements_max: u64, bytes_min: u64) -> Self {
        Self { of, fields: None, key: None, element: None, elements_max, bytes_min }
    }

    /// The type of a schema's values; `None` when expressions cannot see them. `root` is whether it is the root of a
    /// resource. Types of objects are called after `name` and where they stand.
    pub fn new(schema: &Schema, root: Root, name: &str) -> Option<Self> {
        if schema.int_or_string {
            let max = schema.length_max.map_or_else(|| schema.string_max(), |max| max.saturating_mul(4));
            return Some(Self::simple(Type::Dyn, max, 1));
        }
        let whole;
        let schema = if root == Root::Yes {
            whole = schema.with_type_and_metadata();
            &whole
        } else {
            schema
        };
        match schema.kind.as_str() {
            "array" => Self::array(schema, name),
            "object" => Self::object(schema, name),
            "string" => Some(Self::string(schema)),
            "boolean" => Some(Self::simple(Type::Bool, 0, 4)),
            "number" => Some(Self::simple(Type::Double, 0, 1)),
            "integer" => Some(Self::simple(Type::Int, 0, 1)),
            _ => None,
        }
    }

    fn nested(schema: &Schema, name: &str) -> Option<Self> {
        Self::new(schema, if schema.embedded { Root::Yes } else { Root::No }, name)
    }

    fn array(schema: &Schema, name: &str) -> Option<Self> {
        let element = Self::nested(schema.items.as_deref()?, &format!("{name}.@idx"))?;
        let most = (REQUEST_BYTES_MAX - 2) / (element.bytes_min + 1);
        Some(Self {
            of: Type::list(element.of.clone()),
            fields: None,
            key: None,
            elements_max: schema.items_max.unwrap_or(most),
            bytes_min: 2,
            element: Some(Box::new(element)),
        })
    }

    fn object(schema: &Schema, name: &str) -> Option<Self> {
        if let Some(additional) = &schema.additional {
            let element = Self::nested(additional, &format!("{name}.@elem"))?;
            let most = (REQUEST_BYTES_MAX - 2) / (element.bytes_min + 6);
            return Some(Self {
                of: Type::map(Type::String, element.of.clone()),
                fields: None,
                key: Some(Box::new(Self::simple(Type::String, 0, 2))),
                elements_max: schema.properties_max.unwrap_or(most),
                bytes_min: 2,
                element: Some(Box::new(element)),
            });
        }
        let mut fields = BTreeMap::new();
        let mut bytes_min = 2;
        for (field, schema_of) in schema.properties.iter().flatten() {
            let escaped = escape(field);
            let path = format!("{name}.{}", escaped.as_deref().unwrap_or(field));
            let Some(declared) = Self::nested(schema_of, &path) else { continue };
            if schema.required.contains(field) && !schema_of.has_default {
                bytes_min += field.len() as u64 + declared.bytes_min + 4;
            }
            if let Some(escaped) = escaped {
                fields.insert(escaped, declared);
            }
        }
        Some(Self {
            of: Type::object(name),
            fields: Some(fields),
            key: None,
            element: None,
            elements_max: 0,
            bytes_min,
        })
    }

    fn string(schema: &Schema) -> Self {
        let longest = schema.string_max();
        match schema.format.as_str() {
            "byte" => Self::simple(Type::Bytes, schema.length_max.unwrap_or(longest), 2),
            "duration" => Self::simple(Type::Duration, longest, 3),
            "date" => Self::simple(Type::Timestamp, longest, 12),
            "date-time" => Self::simple(Type::Timestamp, longest, 21),
            _ => {
                let max = match (schema.length_max, schema.enum_bytes_max) {
                    (Some(max), _) => max.saturating_mul(4),
                    (None, Some(max)) => max,
                    (None, None) => longest,
                };
                Self::simple(Type::String, max, 2)
            }
        }
    }

    /// The type for the checker.
    pub fn type_of(&self) -> &Type {
        &self.of
    }

    /// How often a value of the type could stand in one request.
    pub fn cardinality_max(&self) -> u64 {
        REQUEST_BYTES_MAX / (self.bytes_min + 1)
    }

    /// Adds the fields of all object types inside to a table by name.
    pub(super) fn objects(&self, into: &mut HashMap<Arc<str>, BTreeMap<String, Type>>) {
        if let (Some(fields), Type::Object(name)) = (&self.fields, &self.of) {
            let types = fields.iter().map(|(field, declared)| (field.clone(), declared.of.clone()));
            into.insert(name.clone(), types.collect());
            fields.values().for_each(|field| field.objects(into));
        }
        if let Some(element) = &self.element {
            element.objects(into);
        }
    }

    /// The type at a path below the variable: field names, `@items`, `@values` and `@keys`.
    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |at, name| match name.as_str() {
            "@items" | "@values" => at.element.as_deref(),
            "@keys" => at.key.as_deref(),
            // Attributes of a device are all of one size, whatever their names.
            _ => match &at.fields {
                Some(fields) => fields.get(name),
                None => at.element.as_deref().filter(|element| element.of == Type::Any),
            },
        })
    }
}

/// Whether a schema is that of a whole resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Yes,
    No,
}
