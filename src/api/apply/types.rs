//! How a value of the type table is walked for ownership: as a scalar, a list or a map, whole or by parts.

use serde_json::Value;

use super::element::{Element, Scalar};
use super::managed;
use crate::api::object::Object;
use crate::api::schema::decode::zero_struct;
use crate::api::schema::{List, ListKind, Shape, Str, Struct, Table, TypeId};

/// Whether the types are the built-in ones or made from a custom resource definition: free-form values of custom
/// resources are owned by parts, those of built-in types (`RawExtension`) as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    BuiltIn,
    Custom,
}

/// The type of a whole object.
#[derive(Clone, Copy, Debug)]
pub struct Root<'t> {
    table: &'t Table,
    origin: Origin,
    /// `None`: no schema, all is deduced from the values.
    id: Option<TypeId>,
}

/// The type of a value inside.
#[derive(Clone, Copy)]
pub(super) struct Type<'t> {
    root: Root<'t>,
    of: Of<'t>,
}

#[derive(Clone, Copy)]
enum Of<'t> {
    Shape(&'t Shape),
    Struct(TypeId),
    /// A struct that is owned by its fields, whatever its type says.
    Granular(TypeId),
    /// Any value; maps by parts, lists whole.
    Deduced,
    /// Any value, whole.
    Untyped,
}

/// What a value is treated as.
#[derive(Clone, Copy)]
pub(super) enum Form<'t> {
    Scalar(Kind),
    List(ListType<'t>),
    Map(MapType<'t>),
}

/// What a scalar may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Numeric,
    Text,
    Boolean,
    Any,
}

#[derive(Clone, Copy)]
pub(super) struct ListType<'t> {
    pub item: Type<'t>,
    pub kind: &'t ListKind,
}

#[derive(Clone, Copy)]
pub(super) struct MapType<'t> {
    root: Root<'t>,
    pub atomic: bool,
    /// The declared fields.
    fields: Option<&'t Struct>,
    /// The type of entries that are not declared; `None`: there may be none.
    rest: Option<Of<'t>>,
}

impl<'t> Root<'t> {
    /// A built-in type.
    pub fn built_in(table: &'t Table, id: TypeId) -> Self {
        Self { table, origin: Origin::BuiltIn, id: Some(id) }
    }

    /// A custom resource's type.
    pub fn custom(table: &'t Table, id: TypeId) -> Self {
        Self { table, origin: Origin::Custom, id: Some(id) }
    }

    /// A type without a schema; the table is not read.
    pub fn deduced(table: &'t Table) -> Self {
        Self { table, origin: Origin::Custom, id: None }
    }

    /// How sets stand in the trees of objects of the type. The JSON of custom resources knows no types.
    pub(super) fn owners_form(self) -> managed::Form {
        match self.origin {
            Origin::BuiltIn => managed::Form::Text,
            Origin::Custom => managed::Form::Tree,
        }
    }

    pub(super) fn top(self) -> Type<'t> {
        Type { root: self, of: self.id.map_or(Of::Deduced, Of::Struct) }
    }

    /// What stands for the object before it is created: of a built-in type the zero value of its Go struct, of a
    /// custom resource nothing but its kind.
    pub(super) fn unborn(self) -> Object {
        match (self.origin, self.id) {
            (Origin::BuiltIn, Some(id)) => Object::from_value(zero_struct(self.table, id)).unwrap_or_default(),
            (Origin::BuiltIn | Origin::Custom, _) => Object::default(),
        }
    }
}

impl<'t> Type<'t> {
    fn with(self, of: Of<'t>) -> Self {
        Self { root: self.root, of }
    }

    /// The form for a value; a null of an open type is a map.
    pub(super) fn form(self, value: &Value) -> Form<'t> {
        match self.of {
            Of::Struct(id) => Form::Map(self.map_of(id)),
            Of::Granular(id) => Form::Map(MapType { atomic: false, ..self.map_of(id) }),
            Of::Deduced => self.open(value, false),
            Of::Untyped => self.open(value, true),
            Of::Shape(shape) => self.shape_form(shape, value),
        }
    }

    fn shape_form(self, shape: &'t Shape, value: &Value) -> Form<'t> {
        match shape {
            Shape::String | Shape::Bytes => Form::Scalar(Kind::Text),
            Shape::Bool => Form::Scalar(Kind::Boolean),
            Shape::Int32 | Shape::Int64 | Shape::Float64 => Form::Scalar(Kind::Numeric),
            Shape::IntOrString | Shape::Quantity | Shape::Time | Shape::MicroTime | Shape::Duration => {
                Form::Scalar(Kind::Any)
            }
            Shape::Json => self.open(value, self.root.origin == Origin::BuiltIn),
            Shape::SchemaOrArray(_) | Shape::SchemaOrBool(_) | Shape::SchemaOrStrings(_) => self.open(value, false),
            Shape::FieldsV1 => Form::Map(self.map_with_rest(false, Some(Of::Deduced))),
            Shape::Struct(id) => Form::Map(self.map_of(*id)),
            Shape::List(list) => Form::List(self.list_of(list)),
            Shape::Map(map) => Form::Map(self.map_with_rest(map.atomic, Some(Of::Shape(&map.value)))),
        }
    }

    fn list_of(self, list: &'t List) -> ListType<'t> {
        ListType { item: self.with(Of::Shape(&list.item)), kind: &list.kind }
    }

    fn map_of(self, id: TypeId) -> MapType<'t> {
        let fields = self.root.table.get(id);
        let free = fields.preserve_unknown || fields.fields.is_empty();
        MapType { root: self.root, atomic: fields.atomic, fields: Some(fields), rest: free.then_some(Of::Deduced) }
    }

    fn map_with_rest(self, atomic: bool, rest: Option<Of<'t>>) -> MapType<'t> {
        MapType { root: self.root, atomic, fields: None, rest }
    }

    fn open(self, value: &Value, whole: bool) -> Form<'t> {
        match value {
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Form::Scalar(Kind::Any),
            Value::Array(_) => Form::List(ListType { item: self.with(Of::Untyped), kind: &ListKind::Atomic }),
            Value::Object(_) | Value::Null => {
                Form::Map(self.map_with_rest(whole, Some(if whole { Of::Untyped } else { Of::Deduced })))
            }
        }
    }

    /// Whether the value is a set of fields.
    pub(super) fn is_fields(self) -> bool {
        matches!(self.of, Of::Shape(Shape::FieldsV1))
    }

    /// Whether nothing is known of the type but that maps are owned by parts.
    pub(super) fn is_deduced_map(self) -> bool {
        match self.of {
            Of::Deduced => true,
            Of::Shape(Shape::FieldsV1) => true,
            Of::Shape(Shape::Json) => self.root.origin == Origin::Custom,
            Of::Shape(Shape::Struct(id)) => self.root.table.get(*id).fields.is_empty(),
            Of::Struct(id) | Of::Granular(id) => self.root.table.get(id).fields.is_empty(),
            Of::Shape(_) | Of::Untyped => false,
        }
    }
}

impl<'t> MapType<'t> {
    /// The type of an entry; `None` when the schema does not have it.
    pub(super) fn entry(&self, name: &str) -> Option<Type<'t>> {
        let of = match self.fields.and_then(|fields| fields.field(name)) {
            Some(field) => match &field.shape {
                Shape::Struct(id) if field.extra.as_deref().is_some_and(|extra| extra.granular) => Of::Granular(*id),
                shape => Of::Shape(shape),
            },
            None => self.rest?,
        };
        Some(Type { root: self.root, of })
    }

    /// The type of an entry for walks that do not mind what the schema does not have.
    pub(super) fn entry_or_any(&self, name: &str) -> Type<'t> {
        self.entry(name).unwrap_or(Type { root: self.root, of: Of::Deduced })
    }

    /// Whether the entry is a declared field, not one of a map.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.fields.is_some_and(|fields| fields.field(name).is_some())
    }
}

impl<'t> ListType<'t> {
    /// Whether the list is one value.
    pub(super) fn is_atomic(&self) -> bool {
        matches!(self.kind, ListKind::Atomic)
    }

    /// The step that leads to an item.
    ///
    /// # Errors
    /// Upstream's words for an item that has no place in such a list.
    pub(super) fn element(&self, item: &'t Value) -> Result<Element<'t>, String> {
        match self.kind {
            ListKind::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            ListKind::Set => set_element(item),
            ListKind::Map(keys) => self.keyed_element(keys, item),
        }
    }

    fn keyed_element(&self, names: &'t [Str], item: &'t Value) -> Result<Element<'t>, String> {
        let Value::Object(entries) = item else {
            let what = if item.is_null() { "a null element" } else { "non-map elements" };
            return Err(format!("associative list with keys may not have {what}"));
        };
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            let given = entries.get(name.as_ref()).map(Scalar::of);
            if let Some(value) = given.or_else(|| self.key_default(name)) {
                keys.push((name.as_ref().into(), value));
            }
        }
        if keys.is_empty() && !names.is_empty() {
            let quoted: Vec<String> = names.iter().map(|name| crate::api::field::go_quote(name)).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                quoted.join(" ")
            ));
        }
        if keys.len() > 1 {
            keys.sort_by(|(a, _): &(std::borrow::Cow<'_, str>, _), (b, _)| a.cmp(b));
        }
        Ok(Element::Key(keys))
    }

    /// The default of a key. Fields that Go always writes default to their zero value.
    fn key_default(&self, name: &str) -> Option<Scalar<'t>> {
        let id = match self.item.of {
            Of::Shape(Shape::Struct(id)) => *id,
            Of::Struct(id) | Of::Granular(id) => id,
            Of::Shape(_) | Of::Deduced | Of::Untyped => return None,
        };
        let root = self.item.root;
        let field = root.table.get(id).field(name)?;
        if let Some(default) = field.default() {
            return Some(Scalar::of(default));
        }
        if root.origin == Origin::Custom || field.omit_empty || field.pointer {
            return None;
        }
        match field.shape {
            Shape::String => Some(Scalar::Text("".into())),
            Shape::Bool => Some(Scalar::Bool(false)),
            Shape::Int32 | Shape::Int64 | Shape::Float64 => Some(Scalar::Int(0)),
            _ => None,
        }
    }
}

fn set_element(item: &Value) -> Result<Element<'_>, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Element::Value(Scalar::of(item))),
    }
}
