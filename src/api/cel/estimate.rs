//! The estimated cost of an expression: the least and the most that running it can cost, with the sizes that schemas
//! allow. It decides which rules may be written, so it is upstream's to the unit.

use std::collections::HashMap;

use super::ast::{ACCUMULATOR, ACCUMULATOR_LEGACY, Expr, Fold, Id, Kind, Literal};
use super::check::Checked;
use super::cost::{LIST, MAP, STRUCT};
use super::estimate_call;
use super::schema::Declared;
use super::types::Type;

/// The least and the most of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

impl Range {
    pub(super) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    pub(super) const ZERO: Self = Self::fixed(0);
    /// What nothing has been joined with yet.
    pub(super) const NONE: Self = Self { min: u64::MAX, max: 0 };

    pub(super) const fn fixed(value: u64) -> Self {
        Self { min: value, max: value }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(super) fn scaled(self, factor: f64) -> Self {
        Self { min: super::cost::scaled(self.min, factor), max: super::cost::scaled(self.max, factor) }
    }

    pub(super) fn joined(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// A node as the costs of calls see it.
pub(super) struct Operand<'e> {
    pub(super) path: Vec<String>,
    pub(super) of: Type,
    pub(super) expr: Option<&'e Expr>,
    pub(super) size: Option<Range>,
}

/// The sizes of what a list or a map holds.
#[derive(Clone, Copy)]
struct Entries {
    list: bool,
    key: Range,
    value: Range,
}

impl Entries {
    fn joined(self, other: Self) -> Self {
        Self { list: self.list, key: self.key.joined(other.key), value: self.value.joined(other.value) }
    }
}

struct Local {
    path: Vec<String>,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// Estimates an expression; `sizes` is how large the variables can be.
pub(super) fn estimate(expr: &Expr, checked: &Checked, sizes: Option<&Declared>) -> Range {
    let mut coster = Coster {
        checked,
        sizes,
        paths: HashMap::new(),
        locals: HashMap::new(),
        computed: HashMap::new(),
        entries: HashMap::new(),
    };
    coster.cost(expr)
}

struct Coster<'c> {
    checked: &'c Checked,
    sizes: Option<&'c Declared>,
    paths: HashMap<Id, Vec<String>>,
    locals: HashMap<String, Vec<Local>>,
    computed: HashMap<Id, Range>,
    entries: HashMap<Id, Entries>,
}

/// The size of what stands at a path below the variables, as the schema bounds it.
pub(super) fn declared_size(sizes: Option<&Declared>, path: &[String]) -> Option<Range> {
    let at = sizes?.at(path.get(1..)?)?;
    Some(Range { min: 0, max: at.elements_max })
}

impl Coster<'_> {
    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.kind {
            Kind::Missing | Kind::Literal(_) => Range::ZERO,
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |local| local.path.clone());
                self.paths.insert(expr.id, path);
                Range::fixed(1)
            }
            Kind::Select { operand, test_only: true, .. } => self.cost(operand),
            Kind::Select { operand, field, .. } => {
                let mut sum = self.cost(operand);
                if matches!(self.checked.type_of(operand), Type::Map(_) | Type::Object(_) | Type::Param(_)) {
                    sum = sum.plus(Range::fixed(1));
                }
                let mut path = self.path(operand);
                path.push(field.clone());
                self.paths.insert(expr.id, path);
                sum
            }
            Kind::Call { .. } => self.call(expr),
            Kind::List(elements) => {
                let mut value = if elements.is_empty() { Range::ZERO } else { Range::NONE };
                let mut sum = Range::ZERO;
                for element in elements {
                    sum = sum.plus(self.cost(&element.value));
                    value = value.joined(self.size_or_unknown(&element.value));
                }
                self.entries.insert(expr.id, Entries { list: true, key: Range::fixed(1), value });
                sum.plus(Range::fixed(LIST))
            }
            Kind::Map(entries) => {
                let (mut key, mut value) =
                    if entries.is_empty() { (Range::ZERO, Range::ZERO) } else { (Range::NONE, Range::NONE) };
                let mut sum = Range::ZERO;
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    key = key.joined(self.size_or_unknown(&entry.key));
                    value = value.joined(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, Entries { list: false, key, value });
                sum.plus(Range::fixed(MAP))
            }
            Kind::Struct { fields, .. } => {
                let sum = fields.iter().fold(Range::ZERO, |sum, field| sum.plus(self.cost(&field.value)));
                sum.plus(Range::fixed(STRUCT))
            }
            Kind::Fold(fold) if is_bind(fold) => self.bind(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name)?.last()
    }

    fn push(&mut self, name: &str, local: Local) {
        self.locals.entry(name.to_owned()).or_default().push(local);
    }

    fn pop(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn push_bound(&mut self, name: &str, to: &Expr) {
        let entries = self.entries_of(to);
        let (path, size) = (self.path(to), self.size(to));
        self.push(name, Local { path, size, entries });
    }

    /// A variable that goes through the keys, the indexes or the values of a range.
    fn push_iterated(&mut self, name: &str, range: &Expr, what: What) {
        let entries = self.entries_of(range);
        let list = match entries {
            Some(entries) => entries.list,
            None => matches!(self.checked.type_of(range), Type::List(_)),
        };
        let keys = match what {
            What::Keys => true,
            What::Values => false,
            What::Elements => !list,
        };
        let subpath = match (keys, list) {
            (true, false) => "@keys",
            (true, true) => "@indices",
            (false, false) => "@values",
            (false, true) => "@items",
        };
        let size = entries.map(|entries| if keys { entries.key } else { entries.value });
        let mut path = self.path(range);
        path.push(subpath.to_owned());
        self.push(name, Local { path, size, entries: None });
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_bound(&fold.accumulator, &fold.init);
        match &fold.second {
            Some(second) => {
                self.push_iterated(&fold.variable, &fold.range, What::Keys);
                self.push_iterated(second, &fold.range, What::Values);
            }
            None => self.push_iterated(&fold.variable, &fold.range, What::Elements),
        }
        let round = self.cost(&fold.condition);
        let round = self.cost(&fold.step).plus(round);
        self.pop(&fold.variable);
        if let Some(second) = &fold.second {
            self.pop(second);
        }
        sum = sum.plus(self.cost(&fold.result));
        self.pop(&fold.accumulator);
        let count = self.size_or_unknown(&fold.range);
        sum = sum.plus(count.times(round));
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.set_size(expr, size);
            }
            Kind::List(_) | Kind::Map(_) => {
                self.set_size(expr, Some(count));
                if let Some(entries) = self.entries_of(&fold.step) {
                    self.entries.insert(expr.id, entries);
                }
            }
            _ => {}
        }
        sum
    }

    fn bind(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_bound(&fold.accumulator, &fold.init);
        let sum = sum.plus(self.cost(&fold.result));
        self.pop(&fold.accumulator);
        self.copy_sizes(expr, &fold.result);
        sum
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        let size = self.size(from);
        self.set_size(to, size);
        if let Some(entries) = self.entries_of(from) {
            self.entries.insert(to.id, entries);
        }
    }

    fn call(&mut self, expr: &Expr) -> Range {
        let Kind::Call { target, function, args } = &expr.kind else { return Range::ZERO };
        if let ("dyn", [arg, ..]) = (function.as_str(), &args[..]) {
            let cost = self.cost(arg);
            self.copy_sizes(expr, arg);
            return cost.plus(Range::fixed(1));
        }
        let mut costs = Vec::with_capacity(args.len());
        let mut operands = Vec::with_capacity(args.len());
        for arg in args {
            costs.push(self.cost(arg));
            operands.push(self.operand(arg));
        }
        let checked = self.checked;
        let overloads = checked.overloads(expr.id);
        if overloads.is_empty() {
            return Range::ZERO;
        }
        let mut sum = Range::ZERO;
        let target = target.as_deref().map(|target| {
            sum = self.cost(target);
            self.operand(target)
        });
        let mut cost = Range::NONE;
        let mut size: Option<Range> = None;
        for overload in overloads {
            let call = estimate_call::Call { function, overload, target: target.as_ref(), args: &operands };
            let (own, result) = self.overload(expr, args, &call, &costs);
            cost = cost.joined(own);
            if let Some(result) = result {
                size = Some(size.map_or(result, |size| size.joined(result)));
            }
            let below = match *overload {
                "index_list" => Some("@items"),
                "index_map" => Some("@values"),
                _ => None,
            };
            if let (Some(below), Some(of)) = (below, args.first()) {
                size = self.entries_of(of).map(|entries| entries.value);
                let mut path = self.path(of);
                path.push(below.to_owned());
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        self.set_size(expr, size);
        sum.plus(cost)
    }

    /// The cost of a call under one signature, arguments included, and the size of its result.
    fn overload(
        &mut self,
        expr: &Expr,
        args: &[Expr],
        call: &estimate_call::Call<'_, '_>,
        costs: &[Range],
    ) -> (Range, Option<Range>) {
        let all = costs.iter().fold(Range::ZERO, |sum, cost| sum.plus(*cost));
        if let Some((cost, size)) = estimate_call::of_library(call, self.sizes) {
            return (cost.plus(all), size);
        }
        match (call.overload, args, costs) {
            ("logical_and" | "logical_or", _, [first, ..]) => (Range { min: first.min, max: all.max }, None),
            ("conditional", [_, yes, no], [condition, if_yes, if_no]) => {
                let size = self.size_or_unknown(yes).joined(self.size_or_unknown(no));
                self.join_entries(expr, yes, no);
                (condition.plus(if_yes.joined(*if_no)), Some(size))
            }
            ("add_list" | "add_string" | "add_bytes", [one, other], _) => {
                self.join_entries(expr, one, other);
                let (cost, size) = estimate_call::of_standard(call);
                (cost.plus(all), size)
            }
            _ => {
                let (cost, size) = estimate_call::of_standard(call);
                (cost.plus(all), size)
            }
        }
    }

    fn join_entries(&mut self, expr: &Expr, one: &Expr, other: &Expr) {
        if let (Some(one), Some(other)) = (self.entries_of(one), self.entries_of(other)) {
            self.entries.insert(expr.id, one.joined(other));
        }
    }

    fn operand<'e>(&mut self, expr: &'e Expr) -> Operand<'e> {
        let mut path = self.path(expr);
        if path.first().is_some_and(|first| first == ACCUMULATOR || first == ACCUMULATOR_LEGACY) {
            path.clear();
        }
        Operand { path, of: self.checked.type_of(expr).clone(), expr: Some(expr), size: self.size(expr) }
    }

    fn path(&self, expr: &Expr) -> Vec<String> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn set_size(&mut self, expr: &Expr, size: Option<Range>) {
        if let Some(size) = size {
            self.computed.insert(expr.id, size);
        }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.computed.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(Range::fixed(size));
        }
        if let Some(size) = declared_size(self.sizes, &self.path(expr)) {
            self.computed.insert(expr.id, size);
            return Some(size);
        }
        if self.checked.type_of(expr).is_scalar() {
            return Some(Range::fixed(1));
        }
        self.local(expr.ident()?)?.size
    }

    fn entries_of(&self, expr: &Expr) -> Option<Entries> {
        if let Some(entries) = self.entries.get(&expr.id) {
            return Some(*entries);
        }
        self.local(expr.ident()?)?.entries
    }
}

/// What a variable of a comprehension goes through.
#[derive(Clone, Copy)]
enum What {
    Keys,
    Values,
    /// The elements of a list, the keys of a map.
    Elements,
}

fn is_bind(fold: &Fold) -> bool {
    matches!(&fold.range.kind, Kind::List(elements) if elements.is_empty())
        && matches!(fold.condition.kind, Kind::Literal(Literal::Bool(false)))
        && fold.accumulator != ACCUMULATOR_LEGACY
}

fn literal_size(expr: &Expr) -> Option<u64> {
    let size = match &expr.kind {
        Kind::Literal(Literal::String(text)) => text.chars().count(),
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len(),
        Kind::Literal(_) => 1,
        Kind::List(elements) => elements.len(),
        Kind::Map(entries) => entries.len(),
        _ => return None,
    };
    u64::try_from(size).ok()
}
