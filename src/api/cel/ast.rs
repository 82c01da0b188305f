//! The tree of a parsed expression. Each node has a number; places, types and references are kept beside the tree by
//! that number.

use std::sync::Arc;

use super::source::Place;

/// The number of a node.
pub(super) type Id = u32;

/// The variable in which a comprehension gathers its result; no user can write it.
pub(super) const ACCUMULATOR: &str = "@result";
/// What the variable was called before; users may not name a variable so.
pub(super) const ACCUMULATOR_LEGACY: &str = "__result__";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) id: Id,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// What could not be parsed.
    Missing,
    Literal(Literal),
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        test_only: bool,
    },
    Call {
        target: Option<Box<Expr>>,
        function: String,
        args: Vec<Expr>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    pub(super) value: Expr,
    pub(super) optional: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Expr,
    pub(super) value: Expr,
    pub(super) optional: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) value: Expr,
    pub(super) optional: bool,
}

/// A comprehension: every macro over lists and maps becomes one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) range: Expr,
    pub(super) variable: String,
    pub(super) second: Option<String>,
    pub(super) accumulator: String,
    pub(super) init: Expr,
    pub(super) condition: Expr,
    pub(super) step: Expr,
    pub(super) result: Expr,
}

impl Expr {
    pub(super) fn literal_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(Literal::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn ident(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    /// Calls `visit` with the direct children, in the order of evaluation.
    pub(super) fn children<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match &self.kind {
            Kind::Missing | Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => visit(operand),
            Kind::Call { target, args, .. } => {
                if let Some(target) = target {
                    visit(target);
                }
                args.iter().for_each(visit);
            }
            Kind::List(elements) => elements.iter().for_each(|element| visit(&element.value)),
            Kind::Map(entries) => {
                for entry in entries {
                    visit(&entry.key);
                    visit(&entry.value);
                }
            }
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
            Kind::Fold(fold) => {
                for part in [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result] {
                    visit(part);
                }
            }
        }
    }
}

/// The places of the nodes of one expression, by number, and how deep the operators and selections in them nest.
#[derive(Default)]
pub(super) struct Places {
    by_id: Vec<Place>,
    nesting: Vec<u32>,
}

impl Places {
    /// A number for a node at a place.
    pub(super) fn add(&mut self, place: Place) -> Id {
        self.by_id.push(place);
        self.nesting.push(0);
        Id::try_from(self.by_id.len() - 1).unwrap_or(Id::MAX)
    }

    pub(super) fn get(&self, id: Id) -> Place {
        self.by_id.get(id as usize).copied().flatten()
    }

    /// The node nests one deeper than its deepest part.
    pub(super) fn nest(&mut self, id: Id, parts: &[Id]) {
        let deepest = parts.iter().map(|part| self.nesting(*part)).max().unwrap_or(0);
        if let Some(own) = self.nesting.get_mut(id as usize) {
            *own = (*own).max(deepest + 1);
        }
    }

    /// The node nests as deep as one of its parts.
    pub(super) fn hold(&mut self, id: Id, part: Id) {
        let deep = self.nesting(part);
        if let Some(own) = self.nesting.get_mut(id as usize) {
            *own = (*own).max(deep);
        }
    }

    pub(super) fn nesting(&self, id: Id) -> u32 {
        self.nesting.get(id as usize).copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
