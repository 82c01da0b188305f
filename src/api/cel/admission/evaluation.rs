//! Running the expressions of a policy one after another over one request (apiserver
//! `pkg/admission/plugin/cel/activation.go`). Variables are worked out when an expression first names them; what they
//! cost counts against the budget of all expressions and not against the limit of the one that names them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::Value as Json;

use super::super::authorizer::{Authorizer, Check, Request};
use super::super::error::Error;
use super::super::eval::{Activation, Composed};
use super::super::program::PER_CALL_LIMIT;
use super::super::room::{self, Depth};
use super::super::value::{Map, Value};
use super::compile::Compiled;
use crate::api::Object;
use crate::api::field::go_quote;

/// What is said when the expressions of a policy cost too much together.
pub const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// How deep variables may name each other.
const DEPTH_MAX: usize = 256;
/// After how many of them a new stack is begun.
const DEPTH_OF_STACK: usize = 8;

/// The values that the expressions of one request see. What is absent is null; without an authorizer its variables are
/// not there.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub object: Option<&'a Object>,
    pub old_object: Option<&'a Object>,
    pub params: Option<&'a Object>,
    pub request: &'a Json,
    pub namespace: Option<&'a Object>,
    /// Who answers, and the resource of the request.
    pub authorizer: Option<(&'a dyn Authorizer, &'a Request)>,
}

impl<'a> Inputs<'a> {
    /// The variables for an evaluation.
    pub fn activation(&self) -> Activation<'a> {
        let tree = |object: &'a Object| Value::Map(Map::Json { map: object.root(), schema: None });
        let or_null = |object: Option<&'a Object>| object.map_or(Value::Null, tree);
        let activation = Activation::new()
            .with("object", or_null(self.object))
            .with("oldObject", or_null(self.old_object))
            .with("params", or_null(self.params))
            .with("request", Value::from_json(self.request))
            .with("namespaceObject", or_null(self.namespace));
        match self.authorizer {
            Some((authorizer, resource)) => activation
                .with("authorizer", Check::authorizer(authorizer))
                .with("authorizer.requestResource", Check::request_resource(authorizer, resource.clone())),
            None => activation,
        }
    }
}

/// The variables of a policy, in their order.
pub type Composition = Vec<(String, Compiled)>;

/// One series of expressions over one request: variables keep their values during it.
pub struct Evaluation<'a, 'b> {
    variables: &'a Composition,
    base: &'b Activation<'a>,
    /// The values of variables that were asked for. Held for a look-up or an insertion only.
    values: Mutex<BTreeMap<&'a str, Result<Value<'a>, Error>>>,
    /// What variables cost since the last expression.
    cost: AtomicU64,
    depth: AtomicU64,
    /// What is left of the budget.
    budget: u64,
}

impl<'a, 'b> Evaluation<'a, 'b> {
    /// A series with a budget.
    pub fn new(variables: &'a Composition, base: &'b Activation<'a>, budget: u64) -> Self {
        Self { variables, base, values: Mutex::default(), cost: AtomicU64::new(0), depth: AtomicU64::new(0), budget }
    }

    /// What is left of the budget.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// The value of one expression, or in upstream's words why it has none.
    ///
    /// # Errors
    /// With [`OUT_OF_BUDGET`]; nothing more may be run then.
    pub fn run(&mut self, compiled: &'a Compiled) -> Result<Result<Value<'a>, String>, &'static str> {
        let program = match &compiled.program {
            Ok(program) => program,
            Err(error) => return Ok(Err(format!("compilation error: {error}"))),
        };
        let outcome = program.evaluate_with(self.base, Some(&*self), PER_CALL_LIMIT);
        let variables = self.cost.swap(0, Ordering::Relaxed);
        for cost in [variables, outcome.cost] {
            self.budget = self.budget.checked_sub(cost).ok_or(OUT_OF_BUDGET)?;
        }
        Ok(outcome.value.map_err(|error| format!("expression '{}' resulted in error: {error}", compiled.source)))
    }

    fn work_out(&self, name: &str, compiled: &'a Compiled) -> Result<Value<'a>, Error> {
        let quoted = go_quote(name);
        let program = match &compiled.program {
            Ok(program) => program,
            Err(error) => return Err(Error::new(format!("composited variable {quoted} fails to compile: {error}"))),
        };
        let depth = usize::try_from(self.depth.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
        let evaluate = || program.evaluate_with(self.base, Some(self), PER_CALL_LIMIT);
        let outcome = if depth >= DEPTH_MAX {
            None
        } else {
            let deep = depth % DEPTH_OF_STACK == DEPTH_OF_STACK - 1;
            room::run(if deep { Depth::Deep } else { Depth::Shallow }, evaluate)
        };
        self.depth.fetch_sub(1, Ordering::Relaxed);
        let Some(outcome) = outcome else {
            return Err(Error::new(format!("composited variable {quoted} fails to evaluate: {}", room::NONE)));
        };
        self.cost.fetch_add(outcome.cost, Ordering::Relaxed);
        outcome.value.map_err(|error| Error::new(format!("composited variable {quoted} fails to evaluate: {error}")))
    }
}

impl<'a> Composed<'a> for Evaluation<'a, '_> {
    fn find(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        let (name, compiled) = self.variables.iter().find(|(known, _)| known == name)?;
        if let Some(known) = self.values.lock().get(name.as_str()) {
            return Some(known.clone());
        }
        let value = self.work_out(name, compiled);
        self.values.lock().insert(name, value.clone());
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::env::Expressions;
    use super::super::{Compiler, Declarations, Returns};
    use super::*;

    const HOW: (Declarations, Expressions) =
        (Declarations { params: true, authorizer: true, patch_types: false }, Expressions::Stored);

    fn composed(variables: &[(&str, &str)]) -> (Compiler, Composition) {
        let mut compiler = Compiler::composing();
        let define = |(name, source): &(&str, &str)| ((*name).to_owned(), compiler.variable(name, source, HOW));
        let variables = variables.iter().map(define).collect();
        (compiler, variables)
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], source: &str, expected: &str) {
        let (compiler, variables) = composed(variables);
        let compiled = compiler.compile(source, Returns::Anything, HOW);
        let object = Object::from_value(json!({ "a": { "b": 5 }, "list": [1, 2] })).unwrap();
        let request = json!({ "operation": "CREATE" });
        let inputs = Inputs {
            object: Some(&object),
            old_object: None,
            params: None,
            request: &request,
            namespace: None,
            authorizer: None,
        };
        let activation = inputs.activation();
        let mut evaluation = Evaluation::new(&variables, &activation, 1000);
        let shown = match evaluation.run(&compiled) {
            Ok(Ok(value)) => value.to_string(),
            Ok(Err(message)) => message,
            Err(ended) => ended.to_owned(),
        };
        assert_eq!(shown, expected, "{source}");
    }

    #[test]
    fn variables_name_earlier_ones_and_the_request() {
        let variables = [("a", "object.a"), ("b", "variables.a.b + 1"), ("op", "request.operation")];
        check(&variables, "variables.b == 6 && variables.op == 'CREATE' && has(variables.a.b)", "true");
        check(&variables, "variables.a.?c.orValue(7)", "7");
        check(&variables, "[1].map(x, variables.b + x)", "[7]");
    }

    #[test]
    fn a_variable_that_fails_fails_where_it_is_used() {
        let failing = "composited variable \"a\" fails to evaluate: no such key: none";
        let text = format!("expression 'variables.a == 1' resulted in error: {failing}");
        check(&[("a", "object.none")], "variables.a == 1", &text);
        check(&[("a", "object.none")], "true || variables.a == 1", "true");
    }

    #[test]
    fn what_variables_cost_counts_once() {
        let all = "object.list.all(x, x > 0)";
        let (compiler, variables) = composed(&[("a", all)]);
        let compiled = compiler.compile("variables.a", Returns::Anything, HOW);
        let object = Object::from_value(json!({ "list": [1, 2, 3, 4, 5, 6, 7, 8, 9] })).unwrap();
        let request = json!({});
        let inputs = Inputs {
            object: Some(&object),
            old_object: None,
            params: None,
            request: &request,
            namespace: None,
            authorizer: None,
        };
        let activation = inputs.activation();
        let mut evaluation = Evaluation::new(&variables, &activation, 1000);
        evaluation.run(&compiled).unwrap().unwrap();
        let first = 1000 - evaluation.budget();
        evaluation.run(&compiled).unwrap().unwrap();
        let second = 1000 - first - evaluation.budget();
        assert!(first > second && second > 0, "{first} {second}");
        let mut poor = Evaluation::new(&variables, &activation, first - 1);
        assert_eq!(poor.run(&compiled).unwrap_err(), OUT_OF_BUDGET);
    }

    #[test]
    fn variables_that_name_each_other_deeply_end_with_an_error_and_not_with_the_stack() {
        let names: Vec<String> = (0..600).map(|at| format!("v{at}")).collect();
        let sources: Vec<String> =
            (0..600).map(|at| if at == 0 { "1".to_owned() } else { format!("variables.v{} + 1", at - 1) }).collect();
        let all: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(sources.iter().map(String::as_str)).collect();
        let (compiler, variables) = composed(&all);
        let request = json!({});
        let inputs = Inputs {
            object: None,
            old_object: None,
            params: None,
            request: &request,
            namespace: None,
            authorizer: None,
        };
        let activation = inputs.activation();
        for (source, fits) in [("variables.v100", true), ("variables.v599", false)] {
            let compiled = compiler.compile(source, Returns::Anything, HOW);
            let mut evaluation = Evaluation::new(&variables, &activation, 1_000_000);
            assert_eq!(evaluation.run(&compiled).unwrap().is_ok(), fits, "{source}");
        }
    }
}
