//! The type checker: gives every node its type, every name what it means and every call the signatures that it can
//! have. Rewrites names with a namespace.

use std::sync::Arc;

use super::ast::{Entry, Expr, Field, Fold, Id, Kind, Literal, Places};
use super::env::{Env, Function};
use super::source::Reporter;
use super::types::{Mapping, Open, Type, instantiate, less_specific};

/// What the checker found out, by the nodes' numbers.
pub(super) struct Checked {
    pub(super) types: Vec<Type>,
    pub(super) references: Vec<Reference>,
}

/// What a name or a call refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Reference {
    #[default]
    None,
    /// A variable of a comprehension.
    Local,
    /// A variable of the environment, by its whole name.
    Variable(Arc<str>),
    /// A type's name.
    Type(Arc<str>),
    /// The signatures that a call can have.
    Overloads(Vec<&'static str>),
}

impl Checked {
    pub(super) fn type_of(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id as usize).unwrap_or(&Type::Dyn)
    }

    pub(super) fn reference(&self, id: Id) -> &Reference {
        self.references.get(id as usize).unwrap_or(&Reference::None)
    }

    pub(super) fn overloads(&self, id: Id) -> &[&'static str] {
        match self.reference(id) {
            Reference::Overloads(ids) => ids,
            _ => &[],
        }
    }
}

/// Checks an expression; what is wrong goes to the issues.
pub(super) fn check(expr: &mut Expr, places: &Places, env: &Env, issues: &mut Reporter<'_>) -> Checked {
    let mut checker = Checker {
        env,
        places,
        issues,
        mapping: Mapping::default(),
        locals: Vec::new(),
        types: vec![Type::Error; places.len()],
        references: vec![Reference::None; places.len()],
    };
    checker.check(expr);
    let types = checker.types.iter().map(|of| checker.mapping.substitute(of, Open::BecomesDyn)).collect();
    Checked { types, references: checker.references }
}

struct Checker<'c, 's> {
    env: &'c Env,
    places: &'c Places,
    issues: &'c mut Reporter<'s>,
    mapping: Mapping,
    locals: Vec<(String, Type)>,
    types: Vec<Type>,
    references: Vec<Reference>,
}

impl Checker<'_, '_> {
    fn report(&mut self, id: Id, message: impl Into<String>) {
        self.issues.report(self.places.get(id), message);
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
        self.set(id, Type::Error);
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn set(&mut self, id: Id, of: Type) {
        if let Some(slot) = self.types.get_mut(id as usize) {
            *slot = of;
        }
    }

    fn refer(&mut self, id: Id, to: Reference) {
        if let Some(slot) = self.references.get_mut(id as usize) {
            *slot = to;
        }
    }

    fn type_of(&self, expr: &Expr) -> Type {
        self.types.get(expr.id as usize).cloned().unwrap_or(Type::Error)
    }

    fn substituted(&self, of: &Type) -> Type {
        self.mapping.substitute(of, Open::Stays)
    }

    fn check(&mut self, expr: &mut Expr) {
        let id = expr.id;
        match &mut expr.kind {
            Kind::Missing => {}
            Kind::Literal(literal) => {
                let of = literal_type(literal);
                self.set(id, of);
            }
            Kind::Ident(name) => {
                let name = name.clone();
                self.check_ident(expr, &name);
            }
            Kind::Select { .. } => self.check_select(expr),
            Kind::Call { .. } => self.check_call(expr),
            Kind::List(elements) => {
                let mut of = None;
                for element in elements {
                    self.check(&mut element.value);
                    of = Some(self.joined(of, &element.value, element.optional));
                }
                let of = of.unwrap_or_else(|| self.mapping.fresh());
                self.set(id, Type::list(of));
            }
            Kind::Map(entries) => self.check_map(id, entries),
            Kind::Struct { name, fields } => {
                let name = name.clone();
                self.check_struct(id, &name, fields);
            }
            Kind::Fold(fold) => self.check_fold(id, fold),
        }
    }

    fn check_ident(&mut self, expr: &mut Expr, name: &str) {
        let local = self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, of)| of.clone());
        if let Some(of) = local {
            self.set(expr.id, of);
            self.refer(expr.id, Reference::Local);
            return;
        }
        let global = name.strip_prefix('.').unwrap_or(name);
        if !self.resolve_global(expr, global) {
            self.undeclared(expr.id, name);
        }
    }

    fn resolve_global(&mut self, expr: &mut Expr, name: &str) -> bool {
        let Some(of) = self.env.global(name) else { return false };
        self.set(expr.id, of);
        let reference =
            if self.env.is_variable(name) { Reference::Variable(name.into()) } else { Reference::Type(name.into()) };
        self.refer(expr.id, reference);
        expr.kind = Kind::Ident(name.to_owned());
        true
    }

    fn check_select(&mut self, expr: &mut Expr) {
        if let Some(name) = qualified_name(expr) {
            let first = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
            let local = !name.starts_with('.') && self.locals.iter().any(|(local, _)| local == first);
            if !local && self.resolve_global(expr, name.strip_prefix('.').unwrap_or(&name)) {
                return;
            }
        }
        let id = expr.id;
        let Kind::Select { operand, field, test_only } = &mut expr.kind else { return };
        let (field, test_only) = (field.clone(), *test_only);
        let mut of = self.check_field(id, operand, &field, Selection::Plain);
        if test_only {
            of = Type::Bool;
        }
        let of = self.substituted(&of);
        self.set(id, of);
    }

    fn check_field(&mut self, id: Id, operand: &mut Expr, field: &str, selection: Selection) -> Type {
        self.check(operand);
        let operand_type = self.substituted(&self.type_of(operand));
        let (target, optional) = match operand_type.unwrapped() {
            Some(inner) => (inner.clone(), true),
            None => (operand_type, false),
        };
        let of = match &target {
            Type::Map(of) => of.1.clone(),
            Type::Object(name) => self.field_type(id, name, field).unwrap_or(Type::Error),
            Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            _ => {
                if !target.is_dyn_or_error() {
                    self.report(id, format!("type '{target}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if optional || selection == Selection::Optional { Type::optional(of) } else { of }
    }

    fn field_type(&mut self, id: Id, object: &str, field: &str) -> Option<Type> {
        match self.env.field(object, field) {
            Ok(Some(of)) => Some(of),
            Ok(None) => {
                self.report(id, format!("undefined field '{field}'"));
                None
            }
            Err(()) => {
                // Types of the libraries have no fields; upstream knows the type and misses the field.
                self.report(id, format!("unexpected failed resolution of '{object}'"));
                None
            }
        }
    }

    fn check_call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call { target, function, args } = &mut expr.kind else { return };
        if function == "_?._" {
            let Some(field) = args.get(1).and_then(Expr::literal_text).map(str::to_owned) else { return };
            let of = self.check_field(id, &mut args[0], &field, Selection::Optional);
            let of = self.substituted(&of);
            self.set(id, of);
            self.refer(id, Reference::Overloads(vec!["select_optional_field"]));
            return;
        }
        for arg in args.iter_mut() {
            self.check(arg);
        }
        if let Some(of) = target {
            let qualified = qualified_name(of).map(|prefix| format!("{prefix}.{function}"));
            if let Some(found) = qualified.and_then(|name| self.env.function(&name)) {
                *target = None;
                found.name.clone_into(function);
                let types = args.iter().map(|arg| self.type_of(arg)).collect();
                return self.resolve(id, found, types, Style::Global);
            }
            self.check(of);
        }
        let Some(found) = self.env.function(function) else {
            let name = function.clone();
            return self.undeclared(id, &name);
        };
        found.name.clone_into(function);
        let style = if target.is_some() { Style::Member } else { Style::Global };
        let types: Vec<Type> = target.as_deref().into_iter().chain(args.iter()).map(|arg| self.type_of(arg)).collect();
        if matches!(found.name, "_&&_" | "_||_") {
            return self.resolve_logical(id, found.name, &types, args);
        }
        self.resolve(id, found, types, style);
    }

    fn resolve(&mut self, id: Id, function: &'static Function, mut types: Vec<Type>, style: Style) {
        let mut found: Option<(Vec<&'static str>, Type)> = None;
        for overload in self.env.overloads(function) {
            if overload.member != (style == Style::Member) {
                continue;
            }
            let fresh: Vec<(u32, Type)> =
                overload.letters.iter().map(|letter| (*letter, self.mapping.fresh())).collect();
            let wanted: Vec<Type> = overload.args.iter().map(|of| instantiate(of, &fresh)).collect();
            if !self.mapping.all_assignable(&types, &wanted) {
                continue;
            }
            let result = self.substituted(&instantiate(&overload.result, &fresh));
            match &mut found {
                None => found = Some((vec![overload.id], result)),
                Some((ids, of)) => {
                    ids.push(overload.id);
                    if !of.is_dyn() && *of != result {
                        *of = Type::Dyn;
                    }
                }
            }
        }
        if let Some((ids, of)) = found {
            self.set(id, of);
            self.refer(id, Reference::Overloads(ids));
            return;
        }
        for of in &mut types {
            *of = self.mapping.substitute(of, Open::BecomesDyn);
        }
        let shown = signature(&types, style);
        self.report(id, format!("found no matching overload for '{}' applied to '{shown}'", function.name));
        self.set(id, Type::Error);
    }

    fn resolve_logical(&mut self, id: Id, function: &str, types: &[Type], args: &[Expr]) {
        let mut of = Type::Bool;
        for (found, arg) in types.iter().zip(args) {
            if !self.mapping.assignable(found, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, found);
                of = Type::Error;
            }
        }
        if of == Type::Bool {
            let overload = if function == "_&&_" { "logical_and" } else { "logical_or" };
            self.refer(id, Reference::Overloads(vec![overload]));
        }
        self.set(id, of);
    }

    /// The type of an optional entry's value without the optional.
    fn entry_type(&mut self, value: &Expr, optional: bool) -> Type {
        let of = self.type_of(value);
        if !optional {
            return of;
        }
        match of.unwrapped() {
            Some(inner) => inner.clone(),
            None => {
                if !of.is_dyn() {
                    self.mismatch(value.id, &Type::optional(of.clone()), &of);
                }
                of
            }
        }
    }

    /// The common type of the elements so far and one more.
    fn joined(&mut self, before: Option<Type>, value: &Expr, optional: bool) -> Type {
        let of = self.entry_type(value, optional);
        let Some(before) = before else { return of };
        if self.mapping.assignable(&before, &of) {
            return if less_specific(&before, &of) { before } else { of };
        }
        // Whether elements may differ is looked at when all types are right.
        Type::Dyn
    }

    fn check_map(&mut self, id: Id, entries: &mut [Entry]) {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            keys = Some(self.joined(keys, &entry.key, false));
            self.check(&mut entry.value);
            values = Some(self.joined(values, &entry.value, entry.optional));
        }
        let keys = keys.unwrap_or_else(|| self.mapping.fresh());
        let values = values.unwrap_or_else(|| self.mapping.fresh());
        self.set(id, Type::map(keys, values));
    }

    fn check_struct(&mut self, id: Id, name: &str, fields: &mut [Field]) {
        let plain = name.strip_prefix('.').unwrap_or(name);
        let object = match self.env.global(plain) {
            Some(Type::Type(Some(of))) if matches!(*of, Type::Object(_)) => {
                self.refer(id, Reference::Type(plain.into()));
                Some((*of).clone())
            }
            Some(Type::Type(Some(of))) => {
                self.report(id, format!("'{}' is not a message type", of.name()));
                None
            }
            Some(of) => {
                self.report(id, format!("'{}' is not a type", of.name()));
                None
            }
            None => return self.undeclared(id, name),
        };
        self.set(id, object.clone().unwrap_or(Type::Error));
        for field in fields {
            self.check(&mut field.value);
            let wanted = match &object {
                Some(Type::Object(object)) => self.field_type(field.id, object, &field.name),
                _ => None,
            };
            let found = self.entry_type(&field.value, field.optional);
            let wanted = wanted.unwrap_or(Type::Error);
            if !self.mapping.assignable(&wanted, &found) {
                let name = &field.name;
                let message = format!("expected type of field '{name}' is '{wanted}' but provided type is '{found}'");
                self.report(field.id, message);
            }
        }
    }

    fn check_fold(&mut self, id: Id, fold: &mut Fold) {
        self.check(&mut fold.range);
        self.check(&mut fold.init);
        let range = self.substituted(&self.type_of(&fold.range));
        let accumulator = self.type_of(&fold.init);
        self.locals.push((fold.accumulator.clone(), accumulator.clone()));
        let (first, second) = match &range {
            Type::List(of) if fold.second.is_some() => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Error),
            Type::Map(of) => (of.0.clone(), of.1.clone()),
            Type::Dyn | Type::Any | Type::Error | Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let message = format!(
                    "expression of type '{range}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        let outside = self.locals.len();
        self.locals.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.locals.push((name.clone(), second));
        }
        self.check(&mut fold.condition);
        self.assert_type(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.assert_type(&fold.step, &accumulator);
        self.locals.truncate(outside);
        self.check(&mut fold.result);
        self.locals.pop();
        let of = self.substituted(&self.type_of(&fold.result));
        self.set(id, of);
    }

    fn assert_type(&mut self, expr: &Expr, wanted: &Type) {
        let found = self.type_of(expr);
        if !self.mapping.assignable(wanted, &found) {
            self.mismatch(expr.id, wanted, &found);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Selection {
    Plain,
    Optional,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Member,
    Global,
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// `a.b.c` when the expression is nothing but names and dots.
fn qualified_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, test_only: false } => Some(format!("{}.{field}", qualified_name(operand)?)),
        _ => None,
    }
}

fn signature(types: &[Type], style: Style) -> String {
    let (target, args) = match (style, types) {
        (Style::Member, [target, args @ ..]) => (format!("{target}."), args),
        _ => (String::new(), types),
    };
    let args: Vec<String> = args.iter().map(Type::to_string).collect();
    format!("{target}({})", args.join(", "))
}
