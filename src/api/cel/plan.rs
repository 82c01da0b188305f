//! From the checked tree to what is evaluated: names become slots, constant parts become values, chains of selections
//! become one attribute. What counts as one step is what upstream counts as one, since costs are part of the interface.

use std::sync::Arc;

use super::ast::{Expr, Fold, Kind, Literal};
use super::check::{Checked, Reference};
use super::error::Error;
use super::library::{self, Implementation};
use super::number;
use super::value::{Text, Value};

/// A step of an evaluation.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Value<'static>),
    Attribute(Box<Attribute>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Call(Box<Call>),
    /// Whether a value is among constants.
    Among(Box<(Node, Value<'static>)>),
    List(Vec<(Node, Entry)>),
    Map(Vec<(Node, Node, Entry)>),
    Struct {
        name: Arc<str>,
        fields: Vec<(String, Node, Entry)>,
    },
    Fold(Box<FoldNode>),
    /// The first optional that has a value.
    OptionalOr(Box<(Node, Node)>),
    /// The value of the optional, or the other value.
    OptionalOrValue(Box<(Node, Node)>),
}

/// Whether an entry stands for an optional value and may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Plain,
    Optional,
}

impl Entry {
    fn of(optional: bool) -> Self {
        if optional { Self::Optional } else { Self::Plain }
    }
}

/// A call of a function.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: String,
    /// The signature, when the checker left only one.
    pub(super) overload: &'static str,
    pub(super) args: Vec<Node>,
    pub(super) implementation: Implementation,
    /// The pattern, when it is constant.
    pub(super) pattern: Option<regex::Regex>,
}

impl Call {
    pub(super) fn run<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
        match &self.pattern {
            Some(pattern) => library::regex::run_compiled(&self.function, pattern, args)
                .map_err(|error| if error == Error::refused() { Error::no_such_overload() } else { error }),
            None => self.implementation.call(&self.function, args),
        }
    }
}

/// A value and a chain of selections from it.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) root: Root,
    pub(super) qualifiers: Vec<Arc<Qualifier>>,
    /// Whether only the presence of the last selection is asked for.
    pub(super) presence: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Root {
    Variable(Arc<str>),
    Slot(usize),
    Node(Arc<Node>),
    Conditional(Arc<(Node, Attribute, Attribute)>),
}

/// One selection: by a constant, or by what is worked out.
#[derive(Debug)]
pub(super) struct Qualifier {
    pub(super) by: By,
    pub(super) optional: bool,
}

#[derive(Debug)]
pub(super) enum By {
    Constant(Value<'static>),
    Attribute(Attribute),
    Node(Node),
}

/// A comprehension. Its accumulator has the slot `base`, its variables the slots after it.
#[derive(Debug)]
pub(super) struct FoldNode {
    pub(super) base: usize,
    pub(super) two: bool,
    pub(super) range: Node,
    pub(super) init: Node,
    pub(super) condition: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}

/// Makes the plan of a checked expression.
///
/// # Errors
/// When a constant part cannot be worked out.
pub(super) fn plan(expr: &Expr, checked: &Checked) -> Result<Node, Error> {
    Planner { checked, scope: Vec::new() }.plan(expr)
}

struct Planner<'c> {
    checked: &'c Checked,
    scope: Vec<String>,
}

type Planned<T = Node> = Result<T, Error>;

impl Planner<'_> {
    fn plan(&mut self, expr: &Expr) -> Planned {
        match &expr.kind {
            Kind::Missing => Err(Error::new("the expression was not parsed")),
            Kind::Literal(literal) => Ok(Node::Constant(constant(literal))),
            Kind::Ident(name) => Ok(self.ident(expr, name)),
            Kind::Select { operand, field, test_only } => {
                let operand = self.plan(operand)?;
                let by = By::Constant(Value::text(field.as_str()));
                Ok(select(operand, Qualifier { by, optional: false }, *test_only))
            }
            Kind::Call { target, function, args } => self.call(expr, (target.as_deref(), function), args),
            Kind::List(elements) => {
                let mut planned = Vec::new();
                for element in elements {
                    planned.push((self.plan(&element.value)?, Entry::of(element.optional)));
                }
                Ok(fold_list(planned))
            }
            Kind::Map(entries) => {
                let mut planned = Vec::new();
                for entry in entries {
                    planned.push((self.plan(&entry.key)?, self.plan(&entry.value)?, Entry::of(entry.optional)));
                }
                fold_map(planned)
            }
            Kind::Struct { name, fields } => {
                let mut planned = Vec::new();
                for field in fields {
                    planned.push((field.name.clone(), self.plan(&field.value)?, Entry::of(field.optional)));
                }
                Ok(Node::Struct { name: name.strip_prefix('.').unwrap_or(name).into(), fields: planned })
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&self, expr: &Expr, name: &str) -> Node {
        let root = match self.checked.reference(expr.id) {
            Reference::Type(name) => return Node::Constant(Value::Type(name.clone())),
            Reference::Variable(name) => Root::Variable(name.clone()),
            Reference::Local | Reference::None | Reference::Overloads(_) => {
                match self.scope.iter().rposition(|local| local == name) {
                    Some(slot) => Root::Slot(slot),
                    None => Root::Variable(name.into()),
                }
            }
        };
        Node::Attribute(Box::new(Attribute { root, qualifiers: Vec::new(), presence: false }))
    }

    fn fold(&mut self, fold: &Fold) -> Planned {
        let init = self.plan(&fold.init)?;
        let range = self.plan(&fold.range)?;
        let base = self.scope.len();
        self.scope.push(fold.accumulator.clone());
        self.scope.push(fold.variable.clone());
        self.scope.extend(fold.second.clone());
        let condition = self.plan(&fold.condition)?;
        let step = self.plan(&fold.step)?;
        self.scope.truncate(base + 1);
        let result = self.plan(&fold.result)?;
        self.scope.truncate(base);
        let two = fold.second.is_some();
        Ok(Node::Fold(Box::new(FoldNode { base, two, range, init, condition, step, result })))
    }

    fn call(&mut self, expr: &Expr, (target, function): (Option<&Expr>, &str), args: &[Expr]) -> Planned {
        let mut planned = Vec::new();
        for arg in target.into_iter().chain(args) {
            planned.push(self.plan(arg)?);
        }
        let overload = match self.checked.overloads(expr.id) {
            [only] => *only,
            _ => "",
        };
        match function {
            "_&&_" => return Ok(Node::And(planned)),
            "_||_" => return Ok(Node::Or(planned)),
            _ => {}
        }
        if planned.len() == 3 && function == "_?_:_" {
            let mut next = planned.into_iter();
            let (Some(condition), Some(yes), Some(no)) = (next.next(), next.next(), next.next()) else {
                return Err(Error::no_such_overload());
            };
            let root = Root::Conditional(Arc::new((condition, attribute(yes), attribute(no))));
            return Ok(Node::Attribute(Box::new(Attribute { root, qualifiers: Vec::new(), presence: false })));
        }
        if planned.len() == 2
            && matches!(function, "_[_]" | "_[?_]" | "_?._" | "or" | "orValue" | "@in" | "in" | "_in_")
        {
            let (Some(second), Some(first)) = (planned.pop(), planned.pop()) else {
                return Err(Error::no_such_overload());
            };
            match (function, second) {
                ("_[_]", index) => return Ok(select(first, qualifier(index, false)?, false)),
                ("_[?_]" | "_?._", index) => return Ok(select(first, qualifier(index, true)?, false)),
                ("or", other) => return Ok(Node::OptionalOr(Box::new((first, other)))),
                ("orValue", other) => return Ok(Node::OptionalOrValue(Box::new((first, other)))),
                (_, Node::Constant(list)) if overload == "in_list" && is_set(&list) => {
                    return Ok(match list.size() {
                        Some(0) => Node::Constant(Value::Bool(false)),
                        _ => Node::Among(Box::new((first, list))),
                    });
                }
                (_, second) => planned.extend([first, second]),
            }
        }
        let implementation =
            library::find(function).ok_or_else(|| Error::new(format!("no such overload: {function}")))?;
        let pattern = match (function, planned.get(1)) {
            ("matches" | "find" | "findAll", Some(Node::Constant(Value::String(pattern)))) => {
                Some(library::regex::compile(pattern)?)
            }
            _ => None,
        };
        fold_conversion(Call { function: function.to_owned(), overload, args: planned, implementation, pattern })
    }
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

fn qualifier(index: Node, optional: bool) -> Planned<Qualifier> {
    let by = match index {
        Node::Constant(value) => {
            super::eval::check_key(&value)?;
            By::Constant(value)
        }
        Node::Attribute(attribute) => By::Attribute(*attribute),
        node => By::Node(node),
    };
    Ok(Qualifier { by, optional })
}

fn select(operand: Node, qualifier: Qualifier, presence: bool) -> Node {
    let mut attribute = match operand {
        // A selection from a test of presence is one from its value.
        Node::Attribute(attribute) if !attribute.presence => *attribute,
        node => Attribute { root: Root::Node(Arc::new(node)), qualifiers: Vec::new(), presence: false },
    };
    add(&mut attribute, &Arc::new(qualifier), presence);
    Node::Attribute(Box::new(attribute))
}

/// A selection from a conditional is one from both of its branches.
fn add(attribute: &mut Attribute, qualifier: &Arc<Qualifier>, presence: bool) {
    if let Root::Conditional(branches) = &mut attribute.root
        && let Some((_, yes, no)) = Arc::get_mut(branches)
    {
        add(yes, qualifier, presence);
        add(no, qualifier, presence);
        return;
    }
    attribute.qualifiers.push(Arc::clone(qualifier));
    attribute.presence = presence;
}

fn attribute(node: Node) -> Attribute {
    match node {
        Node::Attribute(attribute) => *attribute,
        node => Attribute { root: Root::Node(Arc::new(node)), qualifiers: Vec::new(), presence: false },
    }
}

fn fold_list(elements: Vec<(Node, Entry)>) -> Node {
    let constants: Option<Vec<Value<'static>>> = elements
        .iter()
        .map(|(node, entry)| match node {
            Node::Constant(value) if *entry == Entry::Plain => Some(value.clone()),
            _ => None,
        })
        .collect();
    match constants {
        Some(values) => Node::Constant(Value::list(values)),
        None => Node::List(elements),
    }
}

fn fold_map(entries: Vec<(Node, Node, Entry)>) -> Planned {
    let constants: Option<Vec<_>> = entries
        .iter()
        .map(|(key, value, entry)| match (key, value) {
            (Node::Constant(key), Node::Constant(value)) if *entry == Entry::Plain => {
                Some((key.clone(), value.clone()))
            }
            _ => None,
        })
        .collect();
    match constants {
        Some(pairs) => library::maps::of_pairs(pairs).map(|map| Node::Constant(Value::Map(map))),
        None => Ok(Node::Map(entries)),
    }
}

/// Conversions of constants are constants.
fn fold_conversion(call: Call) -> Planned {
    let conversion = matches!(
        call.function.as_str(),
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    );
    if let (true, [Node::Constant(value)]) = (conversion, &call.args[..]) {
        return call.implementation.call(&call.function, std::slice::from_ref(value)).map(Node::Constant);
    }
    Ok(Node::Call(Box::new(call)))
}

fn is_set(list: &Value<'static>) -> bool {
    let Value::List(list) = list else { return false };
    let simple = |value: &Value<'_>| {
        matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_))
    };
    list.values().is_ok_and(|values| values.iter().all(simple))
}

/// Whether a value is among the constants of a set.
pub(super) fn is_among<'a>(value: &Value<'a>, list: &Value<'a>) -> bool {
    number::contains(value, list).unwrap_or(false)
}
