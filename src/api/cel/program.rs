//! Compiling and running expressions.

use super::check::{self, Reference};
use super::env::Env;
use super::error::Error;
use super::estimate::{self, Range};
use super::eval::{Activation, Composed, Evaluator};
use super::parser;
use super::plan::{self, Node};
use super::room::{self, Depth};
use super::source::{Issues, Reporter};
use super::types::Type;
use super::validate::validate;
use super::value::Value;

/// What one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// What all rules of one custom resource, or all expressions of one policy binding, may cost together.
pub const RUNTIME_COST_BUDGET: u64 = 10_000_000;
/// What all match conditions of one webhook or policy may cost together.
pub const MATCH_CONDITIONS_COST_BUDGET: u64 = 2_500_000;

/// A compiled expression. It needs no environment to run and may be shared between threads.
#[derive(Debug)]
pub struct Program {
    plan: Result<Node, Error>,
    result: Type,
    estimate: Range,
    variables: Vec<String>,
    depth: Depth,
}

/// What came of an evaluation.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub value: Result<Value<'a>, Error>,
    /// What it cost, also when it failed.
    pub cost: u64,
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// With all that is wrong with it, in upstream's words.
    pub fn compile(source: &str, env: &Env) -> Result<Self, Issues> {
        let deep = if room::may_nest_deeply(source) { Depth::Deep } else { Depth::Shallow };
        room::run(deep, || Self::compile_here(source, env)).unwrap_or_else(|| {
            let mut issues = Reporter::new(source);
            issues.report(None, room::NONE);
            Err(issues.finish().expect("an issue was reported"))
        })
    }

    fn compile_here(source: &str, env: &Env) -> Result<Self, Issues> {
        let mut issues = Reporter::new(source);
        let (mut expr, places) = parser::parse(source, env.macros, &mut issues);
        if let Some(issues) = finished(&mut issues, source) {
            return Err(issues);
        }
        let checked = check::check(&mut expr, &places, env, &mut issues);
        if issues.is_empty() {
            validate(&expr, &checked, &places, &mut issues);
        }
        if let Some(issues) = issues.finish() {
            return Err(issues);
        }
        let mut variables: Vec<String> = Vec::new();
        for reference in &checked.references {
            if let Reference::Variable(name) = reference
                && !variables.iter().any(|known| **known == **name)
            {
                variables.push(name.to_string());
            }
        }
        Ok(Self {
            plan: plan::plan(&expr, &checked),
            result: checked.type_of(&expr).clone(),
            estimate: estimate::estimate(&expr, &checked, env.sizes.as_deref()),
            variables,
            depth: room::depth(&expr),
        })
    }

    /// The type of the result.
    pub fn result_type(&self) -> &Type {
        &self.result
    }

    /// The least and the most that an evaluation costs.
    pub fn estimate(&self) -> Range {
        self.estimate
    }

    /// Whether the expression mentions a variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables.iter().any(|known| known == variable)
    }

    /// Why the expression can never run, although its types are right: a constant part fails.
    pub fn instantiation_error(&self) -> Option<&Error> {
        self.plan.as_ref().err()
    }

    /// Runs the expression. It ends with [`Error::BudgetExceeded`] when it costs more than the budget.
    pub fn evaluate<'a>(&'a self, activation: &Activation<'a>, budget: u64) -> Outcome<'a> {
        self.evaluate_with(activation, None, budget)
    }

    /// The same with a variable whose fields are expressions of their own, which cost this one nothing.
    pub(super) fn evaluate_with<'a>(
        &'a self,
        activation: &Activation<'a>,
        composed: Option<&dyn Composed<'a>>,
        budget: u64,
    ) -> Outcome<'a> {
        let plan = match &self.plan {
            Ok(plan) => plan,
            Err(error) => return Outcome { value: Err(error.clone()), cost: 0 },
        };
        let evaluate = || {
            let mut evaluator = Evaluator::new(activation, budget).composed(composed);
            let value = evaluator.eval(plan);
            Outcome { value, cost: evaluator.cost }
        };
        room::run(self.depth, evaluate).unwrap_or_else(|| Outcome { value: Err(Error::new(room::NONE)), cost: 0 })
    }
}

fn finished<'s>(issues: &mut Reporter<'s>, source: &'s str) -> Option<Issues> {
    if issues.is_empty() {
        return None;
    }
    std::mem::replace(issues, Reporter::new(source)).finish()
}
