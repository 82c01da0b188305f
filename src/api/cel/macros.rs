//! The macros: calls that the parser turns into comprehensions, presence tests and conditionals.

use super::ast::{ACCUMULATOR, ACCUMULATOR_LEGACY, Element, Expr, Fold, Id, Kind, Literal, Places};
use super::source::Place;

/// The variable of a comprehension that is entered once and never steps.
const UNUSED: &str = "#unused";
/// The list that `sortBy` sorts.
const SORTED: &str = "@__sortBy_input__";

/// Which macros an expression may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Macros {
    /// Those of every expression.
    Common,
    /// `cel.bind(name, value, result)` as well.
    Bindings,
}

/// What a macro makes of its arguments; an error has the node that it is about.
type Expanded = Result<Expr, (Id, String)>;

/// Makes the nodes of one expansion; all of them stand at the place of the call.
pub(super) struct Maker<'p> {
    pub(super) places: &'p mut Places,
    pub(super) place: Place,
    pub(super) macros: Macros,
}

impl Maker<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        Expr { id: self.places.add(self.place), kind }
    }

    fn literal(&mut self, value: Literal) -> Expr {
        self.node(Kind::Literal(value))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.to_owned()))
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call { target: None, function: function.to_owned(), args })
    }

    fn member_call(&mut self, function: &str, target: Expr) -> Expr {
        self.node(Kind::Call { target: Some(Box::new(target)), function: function.to_owned(), args: Vec::new() })
    }

    fn list(&mut self, of: Vec<Expr>) -> Expr {
        let elements = of.into_iter().map(|value| Element { value, optional: false }).collect();
        self.node(Kind::List(elements))
    }

    /// A copy with numbers of its own.
    fn copy(&mut self, of: &Expr) -> Expr {
        let mut copy = of.clone();
        self.renumber(&mut copy);
        copy
    }

    fn renumber(&mut self, expr: &mut Expr) {
        expr.id = self.places.add(self.places.get(expr.id));
        match &mut expr.kind {
            Kind::Missing | Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => self.renumber(operand),
            Kind::Call { target, args, .. } => {
                target.iter_mut().for_each(|target| self.renumber(target));
                args.iter_mut().for_each(|arg| self.renumber(arg));
            }
            Kind::List(elements) => elements.iter_mut().for_each(|element| self.renumber(&mut element.value)),
            Kind::Map(entries) => {
                for entry in entries {
                    self.renumber(&mut entry.key);
                    self.renumber(&mut entry.value);
                }
            }
            Kind::Struct { fields, .. } => {
                for field in fields {
                    field.id = self.places.add(self.places.get(field.id));
                    self.renumber(&mut field.value);
                }
            }
            Kind::Fold(fold) => {
                for part in [&mut fold.range, &mut fold.init, &mut fold.condition, &mut fold.step, &mut fold.result] {
                    self.renumber(part);
                }
            }
        }
    }

    /// The node of a macro's call, or the call as it came when it is no macro.
    pub(super) fn expand(&mut self, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Result<Expanded, Call> {
        let Some(target) = target else {
            return match (function, args.len()) {
                ("has", 1) => Ok(self.has(args)),
                _ => Err(Call { target: None, args }),
            };
        };
        match (function, args.len()) {
            ("all" | "exists" | "exists_one", 2 | 3) | ("existsOne", 3) => Ok(self.quantifier(function, target, args)),
            ("map", 2 | 3) | ("filter", 2) => Ok(self.map_or_filter(function, target, args)),
            ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
                Ok(self.transform(function, target, args))
            }
            ("optMap" | "optFlatMap", 2) => Ok(self.on_optional(function, target, args)),
            ("sortBy", 2) => Ok(self.sort_by(target, args)),
            ("bind", 3) if self.macros == Macros::Bindings && target.ident() == Some("cel") => Ok(self.binding(args)),
            _ => Err(Call { target: Some(target), args }),
        }
    }

    fn has(&mut self, mut args: Vec<Expr>) -> Expanded {
        let arg = args.remove(0);
        match arg.kind {
            Kind::Select { operand, field, .. } => Ok(self.node(Kind::Select { operand, field, test_only: true })),
            _ => Err((arg.id, "invalid argument to has() macro".to_owned())),
        }
    }

    fn quantifier(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let predicate = args.pop().expect("the caller counted the arguments");
        let (variable, second) = variables(&args, "argument must be a simple name")?;
        let (init, condition, step, result);
        match function {
            "all" => {
                init = self.literal(Literal::Bool(true));
                let accumulator = self.accumulator();
                condition = self.call("@not_strictly_false", vec![accumulator]);
                let accumulator = self.accumulator();
                step = self.call("_&&_", vec![accumulator, predicate]);
                result = self.accumulator();
            }
            "exists" => {
                init = self.literal(Literal::Bool(false));
                let accumulator = self.accumulator();
                let not = self.call("!_", vec![accumulator]);
                condition = self.call("@not_strictly_false", vec![not]);
                let accumulator = self.accumulator();
                step = self.call("_||_", vec![accumulator, predicate]);
                result = self.accumulator();
            }
            _ => {
                init = self.literal(Literal::Int(0));
                condition = self.literal(Literal::Bool(true));
                let (accumulator, one) = (self.accumulator(), self.literal(Literal::Int(1)));
                let more = self.call("_+_", vec![accumulator, one]);
                let accumulator = self.accumulator();
                step = self.call("_?_:_", vec![predicate, more, accumulator]);
                let (accumulator, one) = (self.accumulator(), self.literal(Literal::Int(1)));
                result = self.call("_==_", vec![accumulator, one]);
            }
        }
        let accumulator = ACCUMULATOR.to_owned();
        Ok(self.fold(Fold { range: target, variable, second, accumulator, init, condition, step, result }))
    }

    fn map_or_filter(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let last = args.pop().expect("the caller counted the arguments");
        let filter = if function == "filter" { Some(last.clone()) } else { args.drain(1..).next() };
        let element = args.remove(0);
        let message = "argument is not an identifier";
        let (variable, _) = variables(std::slice::from_ref(&element), message)?;
        let init = self.list(Vec::new());
        let added = if function == "filter" { element } else { last };
        let step = self.append(added, filter);
        Ok(self.gather(target, (variable, None), init, step))
    }

    fn transform(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let value = args.pop().expect("the caller counted the arguments");
        let filter = if args.len() == 3 { args.pop() } else { None };
        let (variable, second) = variables(&args, "argument must be a simple name")?;
        let (init, step);
        if function == "transformList" {
            step = self.append(value, filter);
            init = self.list(Vec::new());
        } else {
            let mut parts = vec![self.accumulator()];
            if function == "transformMap" {
                parts.push(self.ident(&variable));
            }
            parts.push(value);
            let insert = self.call("cel.@mapInsert", parts);
            step = self.when(filter, insert);
            init = self.node(Kind::Map(Vec::new()));
        }
        Ok(self.gather(target, (variable, second), init, step))
    }

    fn append(&mut self, element: Expr, filter: Option<Expr>) -> Expr {
        let (accumulator, list) = (self.accumulator(), self.list(vec![element]));
        let step = self.call("_+_", vec![accumulator, list]);
        self.when(filter, step)
    }

    fn when(&mut self, filter: Option<Expr>, step: Expr) -> Expr {
        let Some(filter) = filter else { return step };
        let accumulator = self.accumulator();
        self.call("_?_:_", vec![filter, step, accumulator])
    }

    fn gather(&mut self, range: Expr, names: (String, Option<String>), init: Expr, step: Expr) -> Expr {
        let condition = self.literal(Literal::Bool(true));
        let result = self.accumulator();
        let (variable, second) = names;
        self.fold(Fold { range, variable, second, accumulator: ACCUMULATOR.to_owned(), init, condition, step, result })
    }

    fn on_optional(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let Some(variable) = args[0].ident().map(str::to_owned) else {
            return Err((args[0].id, format!("{function}() variable name must be a simple identifier")));
        };
        let result = args.remove(1);
        let copy = self.copy(&target);
        let has_value = self.member_call("hasValue", target);
        let init = self.member_call("value", copy);
        let mut mapped = self.bind((variable, init), result);
        if function == "optMap" {
            mapped = self.call("optional.of", vec![mapped]);
        }
        let none = self.call("optional.none", Vec::new());
        Ok(self.call("_?_:_", vec![has_value, mapped, none]))
    }

    fn binding(&mut self, mut args: Vec<Expr>) -> Expanded {
        let Some(variable) = args[0].ident().map(str::to_owned) else {
            return Err((args[0].id, "cel.bind() variable names must be simple identifiers".to_owned()));
        };
        let result = args.remove(2);
        let init = args.remove(1);
        Ok(self.bind((variable, init), result))
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Expanded {
        if matches!(target.kind, Kind::Missing | Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
            let message = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err((target.id, message.to_owned()));
        }
        let (range, sorted) = (self.ident(SORTED), self.ident(SORTED));
        let keys = self.map_or_filter("map", range, args)?;
        let kind = Kind::Call {
            target: Some(Box::new(sorted)),
            function: "@sortByAssociatedKeys".to_owned(),
            args: vec![keys],
        };
        let result = self.node(kind);
        Ok(self.bind((SORTED.to_owned(), target), result))
    }

    /// A comprehension that never steps: its result sees the variable.
    fn bind(&mut self, (variable, init): (String, Expr), result: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(false));
        let step = self.ident(&variable);
        let unused = UNUSED.to_owned();
        self.fold(Fold { range, variable: unused, second: None, accumulator: variable, init, condition, step, result })
    }

    fn fold(&mut self, fold: Fold) -> Expr {
        self.node(Kind::Fold(Box::new(fold)))
    }
}

/// A call that is no macro.
pub(super) struct Call {
    pub(super) target: Option<Expr>,
    pub(super) args: Vec<Expr>,
}

/// The names of one or two variables of a comprehension.
fn variables(args: &[Expr], no_name: &str) -> Result<(String, Option<String>), (Id, String)> {
    let mut names = Vec::new();
    for arg in args {
        names.push((arg.id, arg.ident().ok_or_else(|| (arg.id, no_name.to_owned()))?));
    }
    if let [(_, first), (id, second)] = names[..]
        && first == second
    {
        return Err((id, format!("duplicate variable name: {first}")));
    }
    for (id, name) in &names {
        if *name == ACCUMULATOR || *name == ACCUMULATOR_LEGACY {
            return Err((*id, "iteration variable overwrites accumulator variable".to_owned()));
        }
    }
    let mut names = names.into_iter().map(|(_, name)| name.to_owned());
    Ok((names.next().unwrap_or_default(), names.next()))
}
