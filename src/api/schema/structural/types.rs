//! The types that ownership and apply walk, made from a schema: lists and maps with their semantics, everything else
//! as what it holds (upstream's `typed` schema of a definition's OpenAPI).

use super::{Additional, JsonType, ListType, MetaType, Schema};
use crate::api::schema::{Field, List, ListKind, Map, Patch, Proto, Shape, Struct, Table, TypeId};

/// Types of one version of a custom resource.
#[derive(Debug)]
pub struct Built {
    pub table: Table,
    /// The whole object.
    pub id: TypeId,
}

/// Makes the types of a whole object.
pub fn build(schema: &Schema, meta: MetaType<'_>) -> Built {
    let mut builder = Builder { table: Table::default(), meta: None, source: meta };
    let of = Schema { json_type: Some(JsonType::Object), embedded: true, ..schema.clone() };
    let id = builder.object(&of);
    Built { table: builder.table, id }
}

struct Builder<'a> {
    table: Table,
    /// `metadata`, once for the whole object and all that are embedded.
    meta: Option<TypeId>,
    source: MetaType<'a>,
}

impl Builder<'_> {
    fn shape(&mut self, schema: &Schema) -> Shape {
        if schema.int_or_string {
            return Shape::IntOrString;
        }
        match schema.json_type {
            Some(JsonType::String) => Shape::String,
            Some(JsonType::Boolean) => Shape::Bool,
            Some(JsonType::Integer) => Shape::Int64,
            Some(JsonType::Number) => Shape::Float64,
            Some(JsonType::Array) => self.list(schema),
            Some(JsonType::Object) => match &schema.additional {
                Additional::Of(of) => {
                    let value = self.shape(of);
                    Shape::Map(Box::new(Map { value, atomic: schema.map_atomic }))
                }
                Additional::Allowed(true) if schema.properties.is_empty() => {
                    Shape::Map(Box::new(Map { value: Shape::Json, atomic: schema.map_atomic }))
                }
                Additional::Absent | Additional::Allowed(_) => Shape::Struct(self.object(schema)),
            },
            None => Shape::Json,
        }
    }

    fn list(&mut self, schema: &Schema) -> Shape {
        let item = schema.items.as_deref().map_or(Shape::Json, |of| self.shape(of));
        let kind = match &schema.list {
            Some(ListType::Set) => ListKind::Set,
            Some(ListType::Map(keys)) => ListKind::Map(keys.iter().map(|key| key.to_string().into()).collect()),
            Some(ListType::Atomic) | None => ListKind::Atomic,
        };
        Shape::List(Box::new(List { item, kind, wrapped: false }))
    }

    fn object(&mut self, schema: &Schema) -> TypeId {
        let mut fields: Vec<Field> = Vec::with_capacity(schema.properties.len() + 3);
        for (name, of) in &schema.properties {
            if schema.embedded && matches!(&**name, "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let shape = self.shape(of);
            fields.push(field(name.to_string(), shape, of));
        }
        if schema.embedded {
            let meta = self.metadata();
            let plain = Schema::default();
            fields.push(field("apiVersion".to_owned(), Shape::String, &plain));
            fields.push(field("kind".to_owned(), Shape::String, &plain));
            fields.push(field("metadata".to_owned(), Shape::Struct(meta), &plain));
        }
        self.table.add(Struct {
            fields,
            atomic: schema.map_atomic,
            preserve_unknown: schema.preserve_unknown,
            ..Struct::default()
        })
    }

    fn metadata(&mut self) -> TypeId {
        if let Some(id) = self.meta {
            return id;
        }
        let id = self.copy(self.source.id);
        self.meta = Some(id);
        id
    }

    /// Copies a built-in type with what it holds; `metadata` is not recursive.
    fn copy(&mut self, from: TypeId) -> TypeId {
        let of = self.source.table.get(from);
        let mut fields = Vec::with_capacity(of.fields.len());
        for known in &of.fields {
            let shape = self.copy_shape(&known.shape);
            fields.push(Field {
                name: known.name.clone(),
                shape,
                pointer: known.pointer,
                omit_empty: known.omit_empty,
                required: known.required,
                proto: known.proto,
                patch: known.patch.clone(),
                extra: None,
            });
        }
        let (name, atomic) = (of.name.clone(), of.atomic);
        self.table.add(Struct { name, fields, atomic, ..Struct::default() })
    }

    fn copy_shape(&mut self, shape: &Shape) -> Shape {
        match shape {
            Shape::Struct(id) => Shape::Struct(self.copy(*id)),
            Shape::List(list) => {
                let item = self.copy_shape(&list.item);
                Shape::List(Box::new(List { item, kind: list.kind.clone(), wrapped: false }))
            }
            Shape::Map(map) => {
                let value = self.copy_shape(&map.value);
                Shape::Map(Box::new(Map { value, atomic: map.atomic }))
            }
            other => other.clone(),
        }
    }
}

fn field(name: String, shape: Shape, of: &Schema) -> Field {
    let extra = of.default.as_ref().map(|default| {
        Box::new(crate::api::schema::Extra { default: Some((**default).clone()), ..Default::default() })
    });
    Field {
        name: name.into(),
        shape,
        pointer: true,
        omit_empty: true,
        required: false,
        proto: Proto::default(),
        patch: Patch::default(),
        extra,
    }
}
