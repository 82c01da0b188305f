//! What an expression may use: variables, types with fields, and the functions of upstream's libraries, which stand in
//! `functions.txt` as `conformance/upstream/celrecord` writes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use super::macros::Macros;
use super::schema::Declared;
use super::types::{Type, letters};

/// Which release's functions an expression may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expressions {
    /// What is written now: only what the release before understands too.
    New,
    /// What is stored already: everything.
    Stored,
}

/// One signature of a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) id: &'static str,
    pub(super) member: bool,
    pub(super) result: Type,
    pub(super) args: Vec<Type>,
    /// The open types of the signature.
    pub(super) letters: Vec<u32>,
    stored_only: bool,
}

/// A function with all its signatures.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    overloads: Vec<Overload>,
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let mut functions: HashMap<&'static str, Function> = HashMap::new();
    for line in include_str!("functions.txt").lines() {
        let mut columns = line.split('\t');
        let (Some(mark), Some(name), Some(id), Some(style)) =
            (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let mut types = columns.map(|text| Type::parse(text).unwrap_or(Type::Dyn));
        let result = types.next().unwrap_or(Type::Dyn);
        let args: Vec<Type> = types.collect();
        let mut open = Vec::new();
        args.iter().chain([&result]).for_each(|of| letters(of, &mut open));
        let overload =
            Overload { id, member: style == "member", result, args, letters: open, stored_only: mark == "s" };
        functions.entry(name).or_insert_with(|| Function { name, overloads: Vec::new() }).overloads.push(overload);
    }
    functions
});

/// The function of mutations alone.
static ESCAPE_KEY: LazyLock<Function> = LazyLock::new(|| Function {
    name: "jsonpatch.escapeKey",
    overloads: vec![Overload {
        id: "string_jsonpatch_escapeKey_string",
        member: false,
        result: Type::String,
        args: vec![Type::String],
        letters: Vec::new(),
        stored_only: false,
    }],
});

/// The names of types that are values.
const TYPES: [(&str, &str); 15] = [
    ("bool", "bool"),
    ("bytes", "bytes"),
    ("double", "double"),
    ("google.protobuf.Duration", "duration"),
    ("google.protobuf.Timestamp", "timestamp"),
    ("int", "int"),
    ("list", "list(dyn)"),
    ("map", "map(dyn, dyn)"),
    ("null_type", "null"),
    ("string", "string"),
    ("type", "type"),
    ("uint", "uint"),
    ("optional_type", "optional_type(dyn)"),
    ("net.IP", "net.IP"),
    ("net.CIDR", "net.CIDR"),
];

/// The environment of an expression. Cheap to make; a program keeps nothing of it.
#[derive(Clone, Debug)]
pub struct Env {
    expressions: Expressions,
    variables: BTreeMap<String, Type>,
    objects: HashMap<Arc<str>, BTreeMap<String, Type>>,
    pub(super) macros: Macros,
    /// How large the variables' values can be.
    pub(super) sizes: Option<Arc<Declared>>,
}

impl Env {
    /// An environment with functions and no variables.
    pub fn new(expressions: Expressions) -> Self {
        Self { expressions, variables: BTreeMap::new(), objects: HashMap::new(), macros: Macros::Common, sizes: None }
    }

    /// Adds the macro that gives a value a name.
    #[must_use]
    pub(super) fn bindings(self) -> Self {
        Self { macros: Macros::Bindings, ..self }
    }

    /// Adds a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, of: Type) -> Self {
        self.variables.insert(name.to_owned(), of);
        self
    }

    /// Adds a type with fields.
    #[must_use]
    pub fn object(mut self, name: &str, fields: impl IntoIterator<Item = (String, Type)>) -> Self {
        self.objects.insert(name.into(), fields.into_iter().collect());
        self
    }

    /// Adds what mutations construct: `Object{…}` with all types below it, `JSONPatch{…}` and the escaping of its keys.
    #[must_use]
    pub fn mutations(self) -> Self {
        let texts = ["op", "path", "from"].map(|field| (field.to_owned(), Type::String));
        let fields = texts.into_iter().chain([("value".to_owned(), Type::Dyn)]);
        self.object("Object", []).object("JSONPatch", fields)
    }

    /// Adds the types of a schema. The estimate takes the sizes of every variable from it, as upstream does for the
    /// two variables of a rule.
    #[must_use]
    pub fn declared(mut self, declared: &Arc<Declared>) -> Self {
        declared.objects(&mut self.objects);
        self.sizes = Some(Arc::clone(declared));
        self
    }

    pub(super) fn function(&self, name: &str) -> Option<&'static Function> {
        let name = name.strip_prefix('.').unwrap_or(name);
        if name == ESCAPE_KEY.name && self.objects.contains_key("JSONPatch") {
            return Some(&ESCAPE_KEY);
        }
        let function = FUNCTIONS.get(name)?;
        self.overloads(function).next().map(|_| function)
    }

    pub(super) fn overloads(&self, function: &'static Function) -> impl Iterator<Item = &'static Overload> {
        let all = self.expressions == Expressions::Stored;
        function.overloads.iter().filter(move |overload| all || !overload.stored_only)
    }

    /// The type of a variable or of a type's name.
    pub(super) fn global(&self, name: &str) -> Option<Type> {
        if let Some(of) = self.variables.get(name) {
            return Some(of.clone());
        }
        if let Some((_, of)) = TYPES.iter().find(|(known, _)| *known == name) {
            return Type::parse(of).map(|of| Type::Type(Some(Arc::new(of))));
        }
        self.object_type(name).map(|of| Type::Type(Some(Arc::new(of))))
    }

    pub(super) fn is_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The type with fields of that name. Below `Object` every name is a type: the objects that a mutation constructs.
    pub(super) fn object_type(&self, name: &str) -> Option<Type> {
        (self.objects.contains_key(name) || self.constructed(name)).then(|| Type::object(name))
    }

    fn constructed(&self, name: &str) -> bool {
        self.objects.contains_key("Object") && name.strip_prefix("Object").is_some_and(|rest| rest.starts_with('.'))
    }

    /// The type of a field: `Err` when the object's type is unknown, `None` when it has no such field.
    pub(super) fn field(&self, object: &str, field: &str) -> Result<Option<Type>, ()> {
        if object == "Object" && self.objects.contains_key(object) || self.constructed(object) {
            return Ok(Some(Type::Dyn));
        }
        let fields = self.objects.get(object).ok_or(())?;
        let found = fields.get(field).or_else(|| {
            super::escape::KEYWORDS.contains(&field).then(|| fields.get(&format!("__{field}__"))).flatten()
        });
        Ok(found.cloned())
    }
}
