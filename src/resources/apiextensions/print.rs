//! Versions and schemas of definitions as Go prints upstream's internal types of them: every field by the name of its
//! Go field, in its order, and nothing left out.

use serde_json::Value;

use crate::api::codec::json::{self, Layout};
use crate::api::schema::structural::check::Props;

/// What a field holds, which decides what is written of it.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Bool,
    Int,
    /// Anything that is null when it is not set.
    Plain,
    Schema,
    Schemas,
    Named,
    SchemaOrArray,
    SchemaOrBool,
    NamedOrTexts,
    Fields(&'static [Field]),
    List(&'static [Field]),
}

/// The name of the Go field, its key in JSON, what it holds.
type Field = (&'static str, &'static str, Holds);

const VERSION: &[Field] = &[
    ("Name", "name", Holds::Text),
    ("Served", "served", Holds::Bool),
    ("Storage", "storage", Holds::Bool),
    ("Deprecated", "deprecated", Holds::Bool),
    ("DeprecationWarning", "deprecationWarning", Holds::Plain),
    ("Schema", "schema", Holds::Fields(&[("OpenAPIV3Schema", "openAPIV3Schema", Holds::Schema)])),
    ("Subresources", "subresources", Holds::Fields(SUBRESOURCES)),
    ("AdditionalPrinterColumns", "additionalPrinterColumns", Holds::List(COLUMN)),
    ("SelectableFields", "selectableFields", Holds::List(&[("JSONPath", "jsonPath", Holds::Text)])),
];

const SUBRESOURCES: &[Field] = &[
    ("Status", "status", Holds::Fields(&[])),
    (
        "Scale",
        "scale",
        Holds::Fields(&[
            ("SpecReplicasPath", "specReplicasPath", Holds::Text),
            ("StatusReplicasPath", "statusReplicasPath", Holds::Text),
            ("LabelSelectorPath", "labelSelectorPath", Holds::Plain),
        ]),
    ),
];

const COLUMN: &[Field] = &[
    ("Name", "name", Holds::Text),
    ("Type", "type", Holds::Text),
    ("Format", "format", Holds::Text),
    ("Description", "description", Holds::Text),
    ("Priority", "priority", Holds::Int),
    ("JSONPath", "jsonPath", Holds::Text),
];

const RULE: &[Field] = &[
    ("Rule", "rule", Holds::Text),
    ("Message", "message", Holds::Text),
    ("MessageExpression", "messageExpression", Holds::Text),
    ("Reason", "reason", Holds::Plain),
    ("FieldPath", "fieldPath", Holds::Text),
    ("OptionalOldSelf", "optionalOldSelf", Holds::Plain),
];

const SCHEMA: &[Field] = &[
    ("ID", "id", Holds::Text),
    ("Schema", "$schema", Holds::Text),
    ("Ref", "$ref", Holds::Plain),
    ("Description", "description", Holds::Text),
    ("Type", "type", Holds::Text),
    ("Nullable", "nullable", Holds::Bool),
    ("Format", "format", Holds::Text),
    ("Title", "title", Holds::Text),
    ("Default", "default", Holds::Plain),
    ("Maximum", "maximum", Holds::Plain),
    ("ExclusiveMaximum", "exclusiveMaximum", Holds::Bool),
    ("Minimum", "minimum", Holds::Plain),
    ("ExclusiveMinimum", "exclusiveMinimum", Holds::Bool),
    ("MaxLength", "maxLength", Holds::Plain),
    ("MinLength", "minLength", Holds::Plain),
    ("Pattern", "pattern", Holds::Text),
    ("MaxItems", "maxItems", Holds::Plain),
    ("MinItems", "minItems", Holds::Plain),
    ("UniqueItems", "uniqueItems", Holds::Bool),
    ("MultipleOf", "multipleOf", Holds::Plain),
    ("Enum", "enum", Holds::Plain),
    ("MaxProperties", "maxProperties", Holds::Plain),
    ("MinProperties", "minProperties", Holds::Plain),
    ("Required", "required", Holds::Plain),
    ("Items", "items", Holds::SchemaOrArray),
    ("AllOf", "allOf", Holds::Schemas),
    ("OneOf", "oneOf", Holds::Schemas),
    ("AnyOf", "anyOf", Holds::Schemas),
    ("Not", "not", Holds::Schema),
    ("Properties", "properties", Holds::Named),
    ("AdditionalProperties", "additionalProperties", Holds::SchemaOrBool),
    ("PatternProperties", "patternProperties", Holds::Named),
    ("Dependencies", "dependencies", Holds::NamedOrTexts),
    ("AdditionalItems", "additionalItems", Holds::SchemaOrBool),
    ("Definitions", "definitions", Holds::Named),
    (
        "ExternalDocs",
        "externalDocs",
        Holds::Fields(&[("Description", "description", Holds::Text), ("URL", "url", Holds::Text)]),
    ),
    ("Example", "example", Holds::Plain),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", Holds::Plain),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", Holds::Bool),
    ("XIntOrString", "x-kubernetes-int-or-string", Holds::Bool),
    ("XListMapKeys", "x-kubernetes-list-map-keys", Holds::Plain),
    ("XListType", "x-kubernetes-list-type", Holds::Plain),
    ("XMapType", "x-kubernetes-map-type", Holds::Plain),
    ("XValidations", "x-kubernetes-validations", Holds::List(RULE)),
];

/// The versions of a definition.
pub(super) fn versions(versions: &[Props]) -> String {
    joined('[', versions.iter().map(|version| fields(version, VERSION)), ']')
}

/// A schema.
pub(super) fn schema(props: &Props) -> String {
    fields(props, SCHEMA)
}

/// A rule.
pub(super) fn rule(props: &Props) -> String {
    fields(props, RULE)
}

fn fields(of: &Props, table: &[Field]) -> String {
    let texts = table.iter().map(|(name, key, holds)| format!("\"{name}\":{}", field(of.get(*key), *holds)));
    joined('{', texts, '}')
}

fn field(value: Option<&Value>, holds: Holds) -> String {
    let none = match holds {
        Holds::Text => "\"\"",
        Holds::Bool => "false",
        Holds::Int => "0",
        Holds::Plain
        | Holds::Schema
        | Holds::Schemas
        | Holds::Named
        | Holds::SchemaOrArray
        | Holds::SchemaOrBool
        | Holds::NamedOrTexts
        | Holds::Fields(_)
        | Holds::List(_) => "null",
    };
    match value.filter(|value| !value.is_null()) {
        Some(value) => set(value, holds),
        None => none.to_owned(),
    }
}

fn set(value: &Value, holds: Holds) -> String {
    match (holds, value) {
        (Holds::Schema, Value::Object(props)) => schema(props),
        (Holds::Schemas, Value::Array(items)) => joined('[', items.iter().map(|item| set(item, Holds::Schema)), ']'),
        (Holds::Named, Value::Object(map)) => named(map, |of| set(of, Holds::Schema)),
        (Holds::SchemaOrArray, Value::Array(_)) => {
            format!("{{\"Schema\":null,\"JSONSchemas\":{}}}", set(value, Holds::Schemas))
        }
        (Holds::SchemaOrArray, _) => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", set(value, Holds::Schema)),
        (Holds::SchemaOrBool, Value::Bool(allows)) => format!("{{\"Allows\":{allows},\"Schema\":null}}"),
        (Holds::SchemaOrBool, _) => format!("{{\"Allows\":true,\"Schema\":{}}}", set(value, Holds::Schema)),
        (Holds::NamedOrTexts, Value::Object(map)) => named(map, |of| match of {
            Value::Array(_) => format!("{{\"Schema\":null,\"Property\":{}}}", plain(of)),
            of => format!("{{\"Schema\":{},\"Property\":null}}", set(of, Holds::Schema)),
        }),
        (Holds::Fields(table), Value::Object(map)) => fields(map, table),
        (Holds::List(table), Value::Array(items)) => {
            joined('[', items.iter().map(|item| set(item, Holds::Fields(table))), ']')
        }
        (_, value) => plain(value),
    }
}

fn named(map: &Props, print: impl Fn(&Value) -> String) -> String {
    joined('{', map.iter().map(|(key, of)| format!("{}:{}", plain(&Value::from(key.as_str())), print(of))), '}')
}

fn plain(value: &Value) -> String {
    String::from_utf8(json::encode(value, Layout::Sorted)).unwrap_or_default()
}

fn joined(open: char, items: impl Iterator<Item = String>, close: char) -> String {
    format!("{open}{}{close}", items.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_print_with_all_their_go_fields() {
        let version = json!({"name": "v1", "served": true, "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}]});
        let expected = r#"[{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":{"Status":{},"Scale":null},"AdditionalPrinterColumns":[{"Name":"A","Type":"string","Format":"","Description":"","Priority":0,"JSONPath":".a"}],"SelectableFields":null}]"#;
        assert_eq!(versions(&[version.as_object().unwrap().clone()]), expected);
    }

    #[test]
    fn schemas_print_what_may_be_several_things_with_each_of_them() {
        let props = json!({"items": {"type": "string"}, "additionalProperties": false,
            "dependencies": {"a": ["b"]}, "maximum": 1.5, "enum": ["<"]});
        let text = schema(props.as_object().unwrap());
        for part in [
            r#""Items":{"Schema":{"ID":"","#,
            r#""JSONSchemas":null}"#,
            r#""AdditionalProperties":{"Allows":false,"Schema":null}"#,
            r#""Dependencies":{"a":{"Schema":null,"Property":["b"]}}"#,
            r#""Maximum":1.5"#,
            r#""Enum":["\u003c"]"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
