//! Validation of match conditions and of other expressions of webhooks and policies, in upstream's order and words.

use std::collections::HashSet;

use crate::api::cel::Expressions;
use crate::api::cel::admission::{CompileError, Compiler, Declarations, Fault, Returns};
use crate::api::field::{ErrorKind, Errors, FieldError, Path};
use crate::api::validation::names::qualified_name;
use crate::resources::check::messages;
use crate::resources::tree::{Tree, count, items, text};

const CONDITIONS_MAX: usize = 64;

/// Expressions that were stored before, and may go on to use what only stored ones may.
pub(super) type Before<'a> = HashSet<&'a str>;

/// Which environment an expression is compiled in.
pub(super) fn age(before: &Before<'_>, expression: &str) -> Expressions {
    if before.contains(expression) { Expressions::Stored } else { Expressions::New }
}

/// The expressions of the match conditions of webhooks or of a policy.
pub(super) fn expressions<'a>(holders: impl Iterator<Item = &'a Tree>) -> Before<'a> {
    holders.flat_map(|holder| items(holder, "matchConditions")).map(|of| text(of, "expression")).collect()
}

/// The match conditions of a webhook or policy; `params` says whether they can name parameters.
pub(super) fn validate_conditions(
    errors: &mut Errors,
    holder: &Tree,
    (params, before): (bool, &Before<'_>),
    path: &Path<'_>,
) {
    if count(holder, "matchConditions") > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, count(holder, "matchConditions"), CONDITIONS_MAX));
    }
    let compiler = Compiler::plain();
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in items(holder, "matchConditions").enumerate() {
        let at = path.index(i);
        let expression = text(condition, "expression").trim();
        let field = at.child("expression");
        if expression.is_empty() {
            errors.push(FieldError::required(&field, ""));
        } else {
            let declarations = Declarations { params, authorizer: true, patch_types: false };
            let compiled = compiler.compile(expression, Returns::Bool, (declarations, age(before, expression)));
            errors.extend(compiled.program.err().map(|error| fault(&field, expression, error)));
        }
        let (name, field) = (text(condition, "name"), at.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&field, ""));
            continue;
        }
        messages(errors, &field, name, qualified_name(name));
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&field, name));
        }
        seen.push(name);
    }
}

/// What is wrong with an expression.
pub(super) fn fault(path: &Path<'_>, expression: &str, error: CompileError) -> FieldError {
    match error.fault {
        Fault::Invalid => FieldError::invalid(path, expression, error.detail),
        Fault::Internal => FieldError::without_value(ErrorKind::Internal, path, error.detail),
    }
}
