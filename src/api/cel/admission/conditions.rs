//! Match conditions: whether a request that rules and selectors chose is meant after all (apiserver
//! `pkg/admission/plugin/webhook/matchconditions`).

use super::super::env::Expressions;
use super::super::program::MATCH_CONDITIONS_COST_BUDGET;
use super::super::value::Value;
use super::compile::{Compiled, Compiler, Declarations, Returns};
use super::evaluation::{Composition, Evaluation, Inputs};

/// What becomes of a request when a condition fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is an error.
    Fail,
    /// The conditions do not match.
    Ignore,
}

impl Failure {
    /// Reads a `failurePolicy`; absent and unknown: fail.
    pub fn of(policy: Option<&str>) -> Self {
        if policy == Some("Ignore") { Self::Ignore } else { Self::Fail }
    }
}

/// The compiled match conditions of a webhook or policy.
#[derive(Debug)]
pub struct MatchConditions {
    conditions: Vec<Compiled>,
    failure: Failure,
}

impl MatchConditions {
    /// Compiles conditions that are stored.
    pub fn new<'s>(
        compiler: &Compiler,
        sources: impl Iterator<Item = &'s str>,
        (declarations, failure): (Declarations, Failure),
    ) -> Self {
        let how = (declarations, Expressions::Stored);
        Self { conditions: sources.map(|source| compiler.compile(source, Returns::Bool, how)).collect(), failure }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether all conditions hold. One that does not decides, whatever else fails.
    ///
    /// # Errors
    /// In upstream's words when conditions fail and the policy is to fail.
    pub fn matches(&self, variables: &Composition, inputs: &Inputs<'_>) -> Result<bool, String> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        // Upstream shows no namespace to match conditions (v1.37).
        let activation = Inputs { namespace: None, ..*inputs }.activation();
        let mut evaluation = Evaluation::new(variables, &activation, MATCH_CONDITIONS_COST_BUDGET);
        let mut values = Vec::with_capacity(self.conditions.len());
        for condition in &self.conditions {
            match evaluation.run(condition) {
                Ok(value) => values.push(value),
                Err(ended) => return self.failed(ended.to_owned()),
            }
        }
        if values.iter().any(|value| matches!(value, Ok(Value::Bool(false)))) {
            return Ok(false);
        }
        let errors: Vec<String> = values.into_iter().filter_map(Result::err).collect();
        if errors.is_empty() { Ok(true) } else { self.failed(aggregate(&errors)) }
    }

    fn failed(&self, message: String) -> Result<bool, String> {
        match self.failure {
            Failure::Fail => Err(message),
            Failure::Ignore => Ok(false),
        }
    }
}

/// Several errors as Go's aggregate prints them: each once.
pub fn aggregate(errors: &[String]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for error in errors {
        if !seen.contains(&error.as_str()) {
            seen.push(error);
        }
    }
    match seen.as_slice() {
        [only] => (*only).to_owned(),
        _ => format!("[{}]", seen.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Object;

    #[track_caller]
    fn check(sources: &[&str], failure: Failure, expected: Result<bool, &str>) {
        let how = (Declarations::default(), failure);
        let conditions = MatchConditions::new(&Compiler::plain(), sources.iter().copied(), how);
        let object = Object::from_value(json!({ "a": 1 })).unwrap();
        let request = json!({});
        let inputs = Inputs {
            object: Some(&object),
            old_object: None,
            params: None,
            request: &request,
            namespace: None,
            authorizer: None,
        };
        let found = conditions.matches(&Composition::new(), &inputs);
        assert_eq!(found, expected.map_err(str::to_owned), "{sources:?}");
    }

    #[test]
    fn all_conditions_must_hold() {
        check(&[], Failure::Fail, Ok(true));
        check(&["object.a == 1", "true"], Failure::Fail, Ok(true));
        check(&["object.a == 1", "false"], Failure::Fail, Ok(false));
    }

    #[test]
    fn a_condition_that_fails_is_an_error_unless_another_says_no() {
        let error = "expression 'object.b == 1' resulted in error: no such key: b";
        check(&["object.b == 1"], Failure::Fail, Err(error));
        check(&["object.b == 1", "object.b == 1"], Failure::Fail, Err(error));
        check(&["object.b == 1", "false"], Failure::Fail, Ok(false));
        check(&["object.b == 1"], Failure::Ignore, Ok(false));
        let second = "expression 'object.c' resulted in error: no such key: c";
        check(
            &["object.b == 1", "bool(object.c)"],
            Failure::Fail,
            Err(&format!("[{error}, {}]", second.replace("'object.c'", "'bool(object.c)'"))),
        );
    }
}
