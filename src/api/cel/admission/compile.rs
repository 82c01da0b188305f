//! Compiling the expressions of a policy: variables one after another, each with the type that it turned out to have,
//! then what uses them (apiserver `pkg/admission/plugin/cel/{compile,composition}.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::env::{Env, Expressions};
use super::super::eval::VARIABLES;
use super::super::program::Program;
use super::super::schema::Declared;
use super::super::types::Type;
use super::declared;

/// The name of the type whose fields are the variables.
const VARIABLES_TYPE: &str = "kubernetes.variables";

/// Which variables and types there are beside those that every expression has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declarations {
    pub params: bool,
    /// `authorizer` and `authorizer.requestResource`.
    pub authorizer: bool,
    /// `Object{…}`, `JSONPatch{…}` and `jsonpatch.escapeKey`.
    pub patch_types: bool,
}

/// What an expression must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    Anything,
    Bool,
    String,
    StringOrNull,
    /// A list of `JSONPatch`.
    Patches,
    /// An `Object`.
    Configuration,
}

/// Whose fault it is that an expression cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The expression is not valid.
    Invalid,
    /// It is valid and cannot run.
    Internal,
}

/// Why an expression cannot be used, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CompileError {
    pub fault: Fault,
    pub detail: String,
}

/// An expression as it stands in a policy, and what became of compiling it.
#[derive(Debug)]
pub struct Compiled {
    pub source: String,
    pub program: Result<Program, CompileError>,
}

/// Compiles expressions of one policy or webhook.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    /// The types of the variables so far; `None` where expressions cannot name any.
    variables: Option<BTreeMap<String, Type>>,
    /// What the type checking of policies knows of `object` and `oldObject`.
    object: Option<Arc<Declared>>,
    params: Option<Arc<Declared>>,
    /// What `authorizer.requestResource` is to type checking: nothing.
    without_request_resource: bool,
}

impl Compiler {
    /// For expressions that know no `variables`.
    pub fn plain() -> Self {
        Self::default()
    }

    /// For the expressions of a policy.
    pub fn composing() -> Self {
        Self { variables: Some(BTreeMap::new()), ..Self::default() }
    }

    /// For the type checking of a policy: `object`, `oldObject` and `params` have the types of schemas.
    pub fn typed(object: Option<Arc<Declared>>, params: Option<Arc<Declared>>) -> Self {
        Self { object, params, without_request_resource: true, ..Self::composing() }
    }

    /// Compiles a variable, which later expressions can name even if it is not valid.
    pub fn variable(&mut self, name: &str, source: &str, how: (Declarations, Expressions)) -> Compiled {
        let compiled = self.compile(source, Returns::Anything, how);
        let of = compiled.program.as_ref().map_or(Type::Dyn, |program| visible(program.result_type()));
        if let Some(variables) = &mut self.variables {
            variables.insert(name.to_owned(), of);
        }
        compiled
    }

    /// Compiles an expression that must give something.
    pub fn compile(&self, source: &str, returns: Returns, how: (Declarations, Expressions)) -> Compiled {
        let compile = || {
            let program = Program::compile(source, &self.environment(how))
                .map_err(|issues| invalid(format!("compilation failed: {issues}")))?;
            returns.check(program.result_type())?;
            match program.instantiation_error() {
                Some(error) => Err(CompileError {
                    fault: Fault::Internal,
                    detail: format!("program instantiation failed: {error}"),
                }),
                None => Ok(program),
            }
        };
        Compiled { source: source.to_owned(), program: compile() }
    }

    fn environment(&self, (declarations, expressions): (Declarations, Expressions)) -> Env {
        let mut env = declared::declare(Env::new(expressions));
        let typed = |declared: &Option<Arc<Declared>>| declared.as_ref().map_or(Type::Dyn, |of| of.type_of().clone());
        for declared in [&self.object, &self.params].into_iter().flatten() {
            env = env.declared(declared);
        }
        let object = typed(&self.object);
        env = env.variable("object", object.clone()).variable("oldObject", object);
        if declarations.params {
            env = env.variable("params", typed(&self.params));
        }
        if declarations.authorizer {
            env = env.variable("authorizer", Type::object("kubernetes.authorization.Authorizer"));
            if !self.without_request_resource {
                let check = Type::object("kubernetes.authorization.ResourceCheck");
                env = env.variable("authorizer.requestResource", check);
            }
        }
        if let Some(variables) = &self.variables {
            let fields = variables.iter().map(|(name, of)| (name.clone(), of.clone()));
            env = env.object(VARIABLES_TYPE, fields).variable(VARIABLES, Type::object(VARIABLES_TYPE));
        }
        if declarations.patch_types { env.mutations() } else { env }
    }
}

impl Returns {
    fn check(self, found: &Type) -> Result<(), CompileError> {
        let wanted = match self {
            Self::Anything => return Ok(()),
            Self::Bool => vec![Type::Bool],
            Self::String => vec![Type::String],
            Self::StringOrNull => vec![Type::String, Type::Null],
            Self::Patches => vec![Type::list(Type::object("JSONPatch"))],
            Self::Configuration => vec![Type::object("Object")],
        };
        if wanted.contains(found) {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(Type::declared).collect();
        let found = found.declared();
        Err(invalid(match names.as_slice() {
            [only] => format!("must evaluate to {only} but got {found}"),
            _ => format!("must evaluate to one of [{}] but got {found}", names.join(" ")),
        }))
    }
}

fn invalid(detail: String) -> CompileError {
    CompileError { fault: Fault::Invalid, detail }
}

/// What is known of a variable's type where it is used: nothing of types with fields and of types of libraries.
fn visible(of: &Type) -> Type {
    match of {
        Type::List(of) => Type::list(visible(of)),
        Type::Map(of) => Type::map(visible(&of.0), visible(&of.1)),
        Type::Bool
        | Type::Int
        | Type::Uint
        | Type::Double
        | Type::String
        | Type::Bytes
        | Type::Null
        | Type::Timestamp
        | Type::Duration
        | Type::Any => of.clone(),
        Type::Dyn | Type::Error | Type::Param(_) | Type::Object(_) | Type::Opaque(..) | Type::Type(_) => Type::Dyn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Declarations = Declarations { params: true, authorizer: true, patch_types: false };

    fn detail(compiler: &Compiler, source: &str, returns: Returns, declarations: Declarations) -> String {
        let compiled = compiler.compile(source, returns, (declarations, Expressions::New));
        compiled.program.map_or_else(|error| error.detail, |program| program.result_type().to_string())
    }

    #[test]
    fn an_expression_that_gives_something_else_is_refused_in_upstreams_words() {
        let plain = Compiler::plain();
        let of = |source, returns| detail(&plain, source, returns, ALL);
        assert_eq!(of("1", Returns::Bool), "must evaluate to bool but got int");
        assert_eq!(of("object.a", Returns::Bool), "must evaluate to bool but got dyn");
        assert_eq!(of("[1]", Returns::StringOrNull), "must evaluate to one of [string null_type] but got list(int)");
        assert_eq!(of("null", Returns::StringOrNull), "null");
    }

    #[test]
    fn a_variable_has_the_type_of_its_expression_and_must_be_defined_before() {
        let mut compiler = Compiler::composing();
        compiler.variable("a", "1 + 1", (ALL, Expressions::New));
        assert_eq!(detail(&compiler, "variables.a", Returns::Anything, ALL), "int");
        let missing = detail(&compiler, "variables.b", Returns::Anything, ALL);
        assert!(missing.contains("undefined field 'b'"), "{missing}");
        let plain = detail(&Compiler::plain(), "variables.a", Returns::Anything, ALL);
        assert!(plain.contains("undeclared reference to 'variables'"), "{plain}");
    }

    #[test]
    fn what_is_not_declared_cannot_be_named() {
        let plain = Compiler::plain();
        for source in ["params.x", "authorizer.requestResource.check('get').allowed()", "Object{}"] {
            let without = detail(&plain, source, Returns::Anything, Declarations::default());
            assert!(without.starts_with("compilation failed: ERROR: "), "{source}: {without}");
            let with = detail(&plain, source, Returns::Anything, Declarations { patch_types: true, ..ALL });
            assert!(!with.contains("ERROR"), "{source}: {with}");
        }
    }
}
