//! The evaluator: walks a plan over the data and counts what it costs. It ends when the budget does, and its depth is
//! that of the expression, which the parser bounds.

use std::sync::Arc;

use super::cost;
use super::error::Error;
use super::library;
use super::number;
use super::plan::{Attribute, By, Call, Entry, FoldNode, Node, Qualifier, Root, is_among};
use super::value::{List, Map, Struct, Value};

/// The values of the variables of one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Activation<'a> {
    values: Vec<(&'a str, Result<Value<'a>, Error>)>,
}

impl<'a> Activation<'a> {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable's value.
    #[must_use]
    pub fn with(self, name: &'a str, value: Value<'a>) -> Self {
        self.with_result(name, Ok(value))
    }

    /// Adds a variable that may have failed; it fails again where it is used.
    #[must_use]
    pub fn with_result(mut self, name: &'a str, value: Result<Value<'a>, Error>) -> Self {
        self.values.push((name, value));
        self
    }

    fn find(&self, name: &str) -> Option<&Result<Value<'a>, Error>> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The name of the variable whose fields are further expressions.
pub(super) const VARIABLES: &str = "variables";

/// The fields of [`VARIABLES`]; each is worked out when it is first asked for.
pub(super) trait Composed<'a>: Sync {
    /// The value of a field; `None` when there is no such field.
    fn find(&self, name: &str) -> Option<Result<Value<'a>, Error>>;
}

/// The value of a variable of a comprehension.
#[derive(Clone)]
enum Slot<'a> {
    /// It has not been asked for.
    Lazy(&'a Node),
    Ready(Result<Value<'a>, Error>),
}

pub(super) struct Evaluator<'a, 'v> {
    variables: &'v Activation<'a>,
    composed: Option<&'v dyn Composed<'a>>,
    slots: Vec<Slot<'a>>,
    pub(super) cost: u64,
    limit: u64,
}

/// How a chain of selections ends, and what came before it.
#[derive(Clone, Copy)]
struct Selection {
    /// Only the presence of the last is asked for.
    presence: bool,
    /// A selection before was one that may be absent.
    optional: bool,
}

type Evaluated<'a> = Result<Value<'a>, Error>;

impl<'a, 'v> Evaluator<'a, 'v> {
    pub(super) fn new(variables: &'v Activation<'a>, limit: u64) -> Self {
        Self { variables, composed: None, slots: Vec::new(), cost: 0, limit }
    }

    pub(super) fn composed(self, composed: Option<&'v dyn Composed<'a>>) -> Self {
        Self { composed, ..self }
    }

    fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Error::BudgetExceeded) } else { Ok(()) }
    }

    pub(super) fn eval(&mut self, node: &'a Node) -> Evaluated<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Attribute(attribute) => {
                let value = self.attribute(attribute);
                if !attribute.presence && !matches!(attribute.root, Root::Conditional(_)) {
                    self.charge(cost::SELECT)?;
                }
                value
            }
            Node::And(terms) => self.logical(terms, false),
            Node::Or(terms) => self.logical(terms, true),
            Node::Call(call) => self.call(call),
            Node::Among(of) => {
                let value = self.eval(&of.0)?;
                Ok(Value::Bool(is_among(&value, &of.1)))
            }
            Node::List(elements) => {
                let list = self.list(elements);
                self.constructed(list, cost::LIST)
            }
            Node::Map(entries) => {
                let map = self.map(entries);
                self.constructed(map, cost::MAP)
            }
            Node::Struct { name, fields } => {
                let of = self.construct(name, fields);
                self.constructed(of, cost::STRUCT)
            }
            Node::Fold(fold) => self.fold(fold),
            Node::OptionalOr(of) => match self.eval(&of.0)? {
                Value::Optional(None) => self.eval(&of.1),
                value @ Value::Optional(Some(_)) => Ok(value),
                _ => Err(Error::no_such_overload()),
            },
            Node::OptionalOrValue(of) => match self.eval(&of.0)? {
                Value::Optional(None) => self.eval(&of.1),
                Value::Optional(Some(value)) => Ok((*value).clone()),
                _ => Err(Error::no_such_overload()),
            },
        }
    }

    fn constructed(&mut self, value: Evaluated<'a>, cost: u64) -> Evaluated<'a> {
        if matches!(value, Err(Error::BudgetExceeded)) {
            return value;
        }
        self.charge(cost)?;
        value
    }

    /// `&&` and `||`: one operand that decides makes up for errors in the others.
    fn logical(&mut self, terms: &'a [Node], decides: bool) -> Evaluated<'a> {
        let mut failed = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or(Some(Error::no_such_overload())),
                Err(Error::BudgetExceeded) => return Err(Error::BudgetExceeded),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn list(&mut self, elements: &'a [(Node, Entry)]) -> Evaluated<'a> {
        let mut values = Vec::with_capacity(elements.len());
        for (node, entry) in elements {
            let value = self.eval(node)?;
            match (entry, value) {
                (Entry::Plain, value) => values.push(value),
                (Entry::Optional, Value::Optional(Some(value))) => values.push((*value).clone()),
                (Entry::Optional, Value::Optional(None)) => {}
                (Entry::Optional, value) => {
                    let message = format!("cannot initialize optional list element from non-optional value {value}");
                    return Err(Error::new(message));
                }
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'a [(Node, Node, Entry)]) -> Evaluated<'a> {
        let mut pairs = Vec::with_capacity(entries.len());
        for (key, value, entry) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            if let Some(value) = present(&key, value, *entry)? {
                pairs.push((key, value));
            }
        }
        library::maps::of_pairs(pairs).map(Value::Map)
    }

    fn construct(&mut self, name: &Arc<str>, fields: &'a [(String, Node, Entry)]) -> Evaluated<'a> {
        let mut values = std::collections::BTreeMap::new();
        for (field, node, entry) in fields {
            let value = self.eval(node)?;
            if let Some(value) = present(&Value::text(field.as_str()), value, *entry)? {
                values.insert(field.clone(), value);
            }
        }
        if !matches!(name.split('.').next(), Some("Object" | "JSONPatch")) {
            return Err(Error::new(format!("unknown type '{name}'")));
        }
        Ok(Value::Struct(Arc::new(Struct { type_name: Arc::clone(name), fields: values })))
    }

    fn call(&mut self, call: &'a Call) -> Evaluated<'a> {
        if let Some(result) = self.append(call) {
            return result;
        }
        let lenient = call.function == "@not_strictly_false";
        let mut args = Vec::with_capacity(call.args.len());
        let mut failed = None;
        for node in &call.args {
            match self.eval(node) {
                Ok(value) => args.push(value),
                Err(Error::BudgetExceeded) => return Err(Error::BudgetExceeded),
                Err(error) => {
                    // With three arguments and more the first error ends the call before it costs anything.
                    if call.args.len() > 2 {
                        return Err(error);
                    }
                    args.push(Value::Null);
                    failed = failed.or(Some(error));
                }
            }
        }
        let result = match failed {
            Some(_) if lenient => Ok(Value::Bool(true)),
            Some(error) => Err(error),
            None => call.run(&args),
        };
        self.charge(cost::of_call(&call.function, call.overload, &args, result.as_ref().ok()))?;
        result
    }

    /// `accumulator + [element]` of a comprehension, without copying the list.
    fn append(&mut self, call: &'a Call) -> Option<Evaluated<'a>> {
        if call.function != "_+_" {
            return None;
        }
        let [Node::Attribute(attribute), element @ Node::List(_)] = &call.args[..] else { return None };
        let Attribute { root: Root::Slot(slot), qualifiers, .. } = &**attribute else { return None };
        if !qualifiers.is_empty() {
            return None;
        }
        let accumulator = match self.eval(&call.args[0]) {
            Ok(Value::List(List::Values(_))) => None,
            other => Some(other),
        };
        let added = self.eval(element);
        for result in [accumulator.as_ref(), Some(&added)].into_iter().flatten() {
            if matches!(result, Err(Error::BudgetExceeded)) {
                return Some(Err(Error::BudgetExceeded));
            }
        }
        if let Err(error) = self.charge(1) {
            return Some(Err(error));
        }
        Some(match (accumulator, added) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(added)) => number::arithmetic('+', &value, &added),
            (None, Ok(added)) => self.push(*slot, &added),
        })
    }

    fn push(&mut self, slot: usize, added: &Value<'a>) -> Evaluated<'a> {
        let taken = self.slots.get_mut(slot).map(|slot| std::mem::replace(slot, Slot::Ready(Ok(Value::Null))));
        let (Some(Slot::Ready(Ok(Value::List(List::Values(mut values))))), Value::List(added)) = (taken, added) else {
            return Err(Error::no_such_overload());
        };
        Arc::make_mut(&mut values).extend(added.values()?);
        Ok(Value::List(List::Values(values)))
    }

    fn slot(&mut self, at: usize) -> Evaluated<'a> {
        match self.slots.get(at) {
            Some(Slot::Ready(value)) => value.clone(),
            Some(Slot::Lazy(init)) => {
                // The initial value sees only what stands outside the comprehension.
                let init = *init;
                let inside = self.slots.split_off(at);
                let value = self.eval(init);
                self.slots.truncate(at);
                self.slots.extend(inside);
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = Slot::Ready(value.clone());
                }
                value
            }
            None => Err(Error::new("no such attribute(s)")),
        }
    }

    /// The value of an attribute; only its selections cost something here.
    fn attribute(&mut self, attribute: &'a Attribute) -> Evaluated<'a> {
        if let Some(value) = self.field_of_variables(attribute) {
            return value;
        }
        let value = match &attribute.root {
            Root::Slot(at) => self.slot(*at)?,
            Root::Node(node) => self.eval(node)?,
            Root::Variable(name) => match self.variables.find(name) {
                Some(value) => value.clone()?,
                None => return Err(Error::new(format!("no such attribute(s): {name}"))),
            },
            Root::Conditional(of) => {
                let (condition, yes, no) = &**of;
                return match self.eval(condition)? {
                    Value::Bool(true) => self.attribute(yes),
                    Value::Bool(false) => self.attribute(no),
                    _ => Err(Error::no_such_overload()),
                };
            }
        };
        if attribute.qualifiers.is_empty() {
            return Ok(value);
        }
        self.qualified(value, &attribute.qualifiers, Selection { presence: attribute.presence, optional: false })
    }

    /// What is selected from [`VARIABLES`], when the attribute is that.
    fn field_of_variables(&mut self, attribute: &'a Attribute) -> Option<Evaluated<'a>> {
        let composed = self.composed?;
        let Root::Variable(name) = &attribute.root else { return None };
        let [first, rest @ ..] = &attribute.qualifiers[..] else { return None };
        let By::Constant(Value::String(field)) = &first.by else { return None };
        if **name != *VARIABLES {
            return None;
        }
        let selection = Selection { presence: attribute.presence, optional: first.optional };
        Some(self.charge(cost::SELECT).and_then(|()| match composed.find(field) {
            Some(value) if rest.is_empty() => match (value?, selection) {
                (_, Selection { presence: true, .. }) => Ok(Value::Bool(true)),
                (value, Selection { optional: true, .. }) => Ok(Value::some(value)),
                (value, _) => Ok(value),
            },
            Some(value) => self.qualified(value?, rest, selection),
            None => Err(Error::new(format!("no such key: {}", &**field))),
        }))
    }

    fn qualified(&mut self, value: Value<'a>, qualifiers: &'a [Arc<Qualifier>], selection: Selection) -> Evaluated<'a> {
        let absent = if selection.presence { Value::Bool(false) } else { Value::Optional(None) };
        let (mut value, mut optional) = match value {
            Value::Optional(None) => return Ok(absent),
            Value::Optional(Some(value)) => ((*value).clone(), true),
            value => (value, selection.optional),
        };
        let last = qualifiers.len() - 1;
        for (at, qualifier) in qualifiers.iter().enumerate() {
            let asks = selection.presence && at == last;
            optional |= qualifier.optional;
            let key = match &qualifier.by {
                By::Constant(key) => Ok(key.clone()),
                By::Attribute(attribute) => self.attribute(attribute),
                By::Node(node) => self.eval(node),
            };
            let key = match key {
                Ok(key) => key,
                Err(error) => return self.charge(cost::SELECT).and(Err(error)),
            };
            let found = select(&value, &key);
            let charged = !optional || matches!(found, Ok(Some(_)));
            if charged {
                self.charge(cost::SELECT)?;
            }
            match found? {
                Some(_) if asks => return Ok(Value::Bool(true)),
                Some(found) => value = found,
                None if asks || optional => return Ok(absent),
                None => return Err(missing(&value, &key)),
            }
        }
        Ok(if optional { Value::some(value) } else { value })
    }

    fn fold(&mut self, fold: &'a FoldNode) -> Evaluated<'a> {
        let range = self.eval(&fold.range)?;
        // Slots of folds that were left early are no longer valid.
        self.slots.truncate(fold.base);
        self.slots.push(Slot::Lazy(&fold.init));
        for _ in 0..=usize::from(fold.two) {
            self.slots.push(Slot::Ready(Ok(Value::Null)));
        }
        let ended = self.iterate(fold, &range);
        self.slots.truncate(fold.base + 1);
        ended?;
        let result = self.eval(&fold.result);
        self.slots.truncate(fold.base);
        result
    }

    fn iterate(&mut self, fold: &'a FoldNode, range: &Value<'a>) -> Result<(), Error> {
        match range {
            Value::List(list) => {
                for at in 0..list.len() {
                    let index = Ok(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)));
                    let element = list.get(at);
                    let (first, second) = if fold.two { (index, element) } else { (element, Ok(Value::Null)) };
                    if !self.step(fold, first, second)? {
                        break;
                    }
                }
                Ok(())
            }
            Value::Map(map) => {
                for key in map.keys() {
                    let value = if fold.two { map.find(&key) } else { Ok(None) };
                    let value = value.map(|value| value.unwrap_or(Value::Null));
                    if !self.step(fold, Ok(key), value)? {
                        break;
                    }
                }
                Ok(())
            }
            _ if fold.two => Err(Error::new(format!("unsupported comprehension range type: {}", go_type(range)))),
            _ => Err(Error::new(format!("got '{}', expected iterable type", go_type(range)))),
        }
    }

    /// One round; whether there may be another.
    fn step(&mut self, fold: &'a FoldNode, first: Evaluated<'a>, second: Evaluated<'a>) -> Result<bool, Error> {
        self.slots.truncate(fold.base + 2 + usize::from(fold.two));
        self.set(fold.base + 1, first);
        if fold.two {
            self.set(fold.base + 2, second);
        }
        match self.eval(&fold.condition) {
            Ok(Value::Bool(false)) => return Ok(false),
            Err(Error::BudgetExceeded) => return Err(Error::BudgetExceeded),
            Ok(_) | Err(_) => {}
        }
        let value = self.eval(&fold.step);
        if matches!(value, Err(Error::BudgetExceeded)) {
            return Err(Error::BudgetExceeded);
        }
        self.set(fold.base, value);
        Ok(true)
    }

    fn set(&mut self, slot: usize, value: Evaluated<'a>) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Slot::Ready(value);
        }
    }
}

/// The value of an entry; `None` when it is optional and absent.
fn present<'a>(key: &Value<'a>, value: Value<'a>, entry: Entry) -> Result<Option<Value<'a>>, Error> {
    match (entry, value) {
        (Entry::Plain, value) => Ok(Some(value)),
        (Entry::Optional, Value::Optional(value)) => Ok(value.map(|value| (*value).clone())),
        (Entry::Optional, value) => {
            Err(Error::new(format!("cannot initialize optional entry '{key}' from non-optional value {value}")))
        }
    }
}

/// A field, an element or an entry; `None` when there is none.
fn select<'a>(of: &Value<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, Error> {
    check_key(key)?;
    match of {
        Value::Map(map) => map.find(key),
        Value::List(list) => match library::lists::index(key)?.filter(|at| *at < list.len()) {
            Some(at) => list.get(at).map(Some),
            None => Ok(None),
        },
        Value::Struct(of) => match key {
            Value::String(field) => Ok(of.fields.get(&**field).cloned()),
            _ => Err(Error::no_such_overload()),
        },
        _ => Ok(None),
    }
}

/// Only some types can select.
pub(super) fn check_key(key: &Value<'_>) -> Result<(), Error> {
    match key {
        Value::String(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Bool(_) => Ok(()),
        _ => Err(Error::new(format!("invalid qualifier type: {}", go_type(key)))),
    }
}

fn missing(of: &Value<'_>, key: &Value<'_>) -> Error {
    match of {
        Value::List(_) => Error::new(format!("index out of bounds: {key}")),
        _ => Error::new(format!("no such key: {key}")),
    }
}

/// The name of the type in upstream's own program, which some messages show.
fn go_type(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Duration(_) => "types.Duration",
        Value::List(_) => "*types.baseList",
        Value::Map(Map::Values(_) | Map::Json { .. }) => "*types.baseMap",
        Value::Type(_) => "*types.Type",
        Value::Optional(_) => "*types.Optional",
        _ => "cel.Value",
    }
}
