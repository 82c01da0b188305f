//! The shape of API types: structs, fields, list and map semantics, defaults, declared rules.
//! One `Table` holds the built-in types (made from the generated facts), one more is made for each custom resource;
//! codecs, defaulting, validation, patches and apply read it and never ask which of the two it is.

pub mod decode;
pub mod default;
pub mod emptiness;
pub mod structural;
pub mod validate;
pub mod wire;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

/// Text that is borrowed from the generated facts or owned by a type made at run time.
pub type Str = Cow<'static, str>;

/// The place of a struct in its `Table`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A closed set of struct types; every `TypeId` inside refers to this table.
#[derive(Debug, Default)]
pub struct Table {
    structs: Vec<Struct>,
    by_name: HashMap<Str, TypeId>,
    /// For each struct, how it is written on the protobuf wire; made when first asked for.
    plans: OnceLock<wire::Plans>,
    /// For each struct, the places of the fields that have a static default or hold something that has one; made when
    /// first asked for.
    defaulted: OnceLock<Vec<Box<[u16]>>>,
    /// For each struct, the same of lists and maps that are written although they are empty.
    emptied: OnceLock<Vec<Box<[u16]>>>,
    /// For each struct, its declared rules in a form that can be run; made when first asked for.
    checks: OnceLock<Vec<validate::rules::Checks>>,
}

/// A struct type, its embedded Go structs flattened as they are in JSON.
#[derive(Debug, Default)]
pub struct Struct {
    /// The OpenAPI definition name, such as `io.k8s.api.core.v1.PodSpec`.
    pub name: Str,
    /// In the order of the Go type, which is the order in which upstream writes JSON.
    pub fields: Vec<Field>,
    /// `x-kubernetes-map-type: atomic`: ownership and apply treat the struct as one value.
    pub atomic: bool,
    /// `x-kubernetes-preserve-unknown-fields`: fields that are not listed stay.
    pub preserve_unknown: bool,
    /// Rules declared on the type as a whole (`+k8s:` tags of the upstream Go type, such as unions).
    pub rules: Vec<Rule>,
    /// `x-kubernetes-unions` as JSON.
    pub unions: Option<Str>,
}

/// One field of a struct.
#[derive(Debug)]
pub struct Field {
    /// The JSON name.
    pub name: Str,
    pub shape: Shape,
    /// The Go field is a pointer: absent and zero differ on the protobuf wire.
    pub pointer: bool,
    /// Zero values are left out of JSON (`omitempty` or `omitzero`).
    pub omit_empty: bool,
    /// The OpenAPI schema lists the field as required.
    pub required: bool,
    pub proto: Proto,
    pub patch: Patch,
    /// What few fields have; boxed so that a plain field stays small.
    pub extra: Option<Box<Extra>>,
}

#[cfg(test)]
impl Field {
    /// A field of a small type in tests: no pointer, left out when empty, with nothing special.
    pub(crate) fn plain(name: &'static str, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            pointer: false,
            omit_empty: true,
            required: false,
            proto: Proto::default(),
            patch: Patch::default(),
            extra: None,
        }
    }
}

/// Where the field stands on the protobuf wire; `tag` 0: nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proto {
    pub tag: u32,
    /// The tag of the embedded Go struct that holds the field as a nested message on the wire, or 0.
    pub via: u32,
    /// The tag, inside that message, of a second embedded struct that holds the field, or 0.
    pub via_inner: u32,
}

/// Strategic merge patch: what `patchStrategy` and `patchMergeKey` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// `patchStrategy` contains `merge`.
    pub merge: bool,
    /// `patchStrategy` contains `replace`.
    pub replace: bool,
    /// `patchStrategy` contains `retainKeys`.
    pub retain_keys: bool,
    pub merge_key: Option<Str>,
}

/// Facts that only some fields have.
#[derive(Debug, Default)]
pub struct Extra {
    /// The static default of the OpenAPI schema. Upstream's schemas also give every field that is no pointer and is
    /// written when empty its zero value (`{}`, `""`, 0, false) as default; those are not repeated here.
    pub default: Option<Value>,
    /// The values an enum type may have, in upstream's order (sorted); of a list or map, those of its items.
    pub enums: Vec<Str>,
    /// OpenAPI `format` where the shape does not imply it.
    pub format: Option<Str>,
    /// Declarative validation tags on the field or on its Go type (on the type of items: as `eachVal`, `eachKey`).
    pub rules: Vec<Rule>,
    /// What Go calls the type of the field, where it is not what follows from the shape.
    pub go_type: Option<Str>,
    /// The embedded Go structs in which the field stands, joined by dots.
    pub embedded_in: Option<Str>,
    /// The struct is owned by its fields here, although its type is atomic.
    pub granular: bool,
    /// The feature gate that must be on for the field to be kept; several are joined by commas.
    pub gate: Option<Str>,
}

/// One declarative validation tag, `name` without the `+k8s:` prefix. `args`: the value after `=` without quotes
/// (`maxItems`: `8`), or what follows the name from its bracket on (`beta`: `(since: "1.37")=+k8s:maxItems=8`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub name: Str,
    pub args: Str,
}

/// What a value looks like in JSON and on the protobuf wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    String,
    Bool,
    Int32,
    Int64,
    Float64,
    /// base64 in JSON.
    Bytes,
    IntOrString,
    Quantity,
    /// RFC 3339, seconds; null when zero.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// Go duration text such as `1m30s`.
    Duration,
    /// Any JSON value: `RawExtension`, `apiextensions.JSON`.
    Json,
    /// `metav1.FieldsV1`: a JSON object, carried as raw bytes on the wire.
    FieldsV1,
    Struct(TypeId),
    List(Box<List>),
    /// String keys; the semantics of the map as a whole.
    Map(Box<Map>),
    /// `JSONSchemaPropsOrArray`, `…OrBool`, `…OrStringArray` of apiextensions.
    SchemaOrArray(TypeId),
    SchemaOrBool(TypeId),
    SchemaOrStrings(TypeId),
}

/// A list and how its items are told apart.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub item: Shape,
    pub kind: ListKind,
    /// The list is a message `{items = 1}` of its own on the wire (`ExtraValue`, `Verbs`).
    pub wrapped: bool,
}

/// `x-kubernetes-list-type`; absent means atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    Map(Vec<Str>),
}

/// A map with string keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub value: Shape,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic: bool,
}

impl Table {
    /// Adds a struct. A second one of the same name replaces the first in look-ups by name.
    pub fn add(&mut self, of: Struct) -> TypeId {
        self.forget();
        let id = TypeId(u32::try_from(self.structs.len()).expect("fewer than 2^32 types"));
        self.by_name.insert(of.name.clone(), id);
        self.structs.push(of);
        id
    }

    /// The struct of an id that this table gave out.
    pub fn get(&self, id: TypeId) -> &Struct {
        &self.structs[id.0 as usize]
    }

    /// The same for filling in a struct whose id had to be known first (recursive types).
    pub fn get_mut(&mut self, id: TypeId) -> &mut Struct {
        self.forget();
        &mut self.structs[id.0 as usize]
    }

    /// The struct with an OpenAPI definition name.
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// How the struct is written on the protobuf wire.
    pub fn plan(&self, id: TypeId) -> &wire::Plan {
        self.plans.get_or_init(|| wire::Plans::of(self.structs.len())).get(self, id)
    }

    /// The fields of a struct that have a static default, or hold something that has one.
    fn with_defaults(&self, id: TypeId) -> impl Iterator<Item = &Field> {
        let places = self.defaulted.get_or_init(|| self.leading_to(|field| field.default().is_some()));
        self.at(id, &places[id.0 as usize])
    }

    /// The fields of a struct that are a list or map that is written although it is empty, or hold one.
    fn keeping_empty(&self, id: TypeId) -> impl Iterator<Item = &Field> {
        let places = self.emptied.get_or_init(|| self.leading_to(emptiness::is_forgotten));
        self.at(id, &places[id.0 as usize])
    }

    fn at<'t>(&'t self, id: TypeId, places: &'t [u16]) -> impl Iterator<Item = &'t Field> {
        let fields = &self.get(id).fields;
        places.iter().map(|place| &fields[usize::from(*place)])
    }

    /// For each struct, the places of the fields that are wanted or hold, at any depth, one that is.
    fn leading_to(&self, wanted: impl Fn(&Field) -> bool) -> Vec<Box<[u16]>> {
        let holding = self.reaching(self.structs.iter().map(|of| of.fields.iter().any(&wanted)).collect());
        let inside = |field: &Field| field.shape.struct_inside().is_some_and(|id| holding[id.0 as usize]);
        let places = |of: &Struct| {
            let fields = (0u16..).zip(&of.fields).filter(|(_, field)| wanted(field) || inside(field));
            fields.map(|(place, _)| place).collect()
        };
        self.structs.iter().map(places).collect()
    }

    fn checks(&self, id: TypeId) -> &validate::rules::Checks {
        &self.checks.get_or_init(|| validate::rules::compile(self))[id.0 as usize]
    }

    /// Marks every struct that holds, at any depth, a marked one.
    fn reaching(&self, mut marks: Vec<bool>) -> Vec<bool> {
        loop {
            let holds = |of: &Struct| {
                of.fields.iter().any(|f| f.shape.struct_inside().is_some_and(|inner| marks[inner.0 as usize]))
            };
            let next: Vec<bool> = self.structs.iter().zip(&marks).map(|(of, mark)| *mark || holds(of)).collect();
            if next == marks {
                return marks;
            }
            marks = next;
        }
    }

    fn forget(&mut self) {
        self.plans.take();
        self.defaulted.take();
        self.emptied.take();
        self.checks.take();
    }

    /// All structs with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Struct)> {
        (0u32..).map(TypeId).zip(&self.structs)
    }
}

impl Struct {
    /// The field with a JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

impl Shape {
    /// The struct that a value of the shape is made of, through lists and maps.
    pub fn struct_inside(&self) -> Option<TypeId> {
        match self {
            Self::Struct(id) | Self::SchemaOrArray(id) | Self::SchemaOrBool(id) | Self::SchemaOrStrings(id) => {
                Some(*id)
            }
            Self::List(list) => list.item.struct_inside(),
            Self::Map(map) => map.value.struct_inside(),
            Self::String
            | Self::Bool
            | Self::Int32
            | Self::Int64
            | Self::Float64
            | Self::Bytes
            | Self::IntOrString
            | Self::Quantity
            | Self::Time
            | Self::MicroTime
            | Self::Duration
            | Self::Json
            | Self::FieldsV1 => None,
        }
    }
}

impl Proto {
    /// The tags from the outermost message to the field, with zeros at the end.
    pub fn path(self) -> [u32; 3] {
        match (self.via, self.via_inner) {
            (0, _) => [self.tag, 0, 0],
            (via, 0) => [via, self.tag, 0],
            (via, inner) => [via, inner, self.tag],
        }
    }
}

impl Field {
    /// The declared rules of the field.
    pub fn rules(&self) -> &[Rule] {
        self.extra.as_deref().map_or(&[], |e| &e.rules)
    }

    /// The static default.
    pub fn default(&self) -> Option<&Value> {
        self.extra.as_deref().and_then(|e| e.default.as_ref())
    }
}
