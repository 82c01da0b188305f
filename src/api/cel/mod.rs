//! The Common Expression Language as Kubernetes speaks it: [`Program::compile`] parses and checks an expression in an
//! [`Env`], [`Program::evaluate`] runs it over JSON within a budget. Messages, types and costs are those of upstream's
//! cel-go with the libraries of the API server; `conformance/cel` holds what upstream answered. Used by custom
//! resources, admission policies, webhooks and authentication. Pure.

pub mod admission;
mod ast;
mod authorizer;
mod check;
mod collections;
mod cost;
mod device;
mod env;
mod error;
mod escape;
mod estimate;
mod estimate_call;
mod eval;
mod lexer;
mod library;
mod literal;
mod macros;
mod number;
mod parser;
mod plan;
mod program;
#[cfg(test)]
mod recorded;
mod room;
pub mod rules;
mod schema;
mod source;
mod structural;
mod syntax;
mod time;
mod types;
mod unescape;
mod validate;
mod value;

pub use authorizer::{Authorizer, Check, Decision, Request};
pub use device::device;
pub use env::{Env, Expressions};
pub use error::Error;
pub use escape::{KEYWORDS, escape, unescape};
pub use estimate::Range;
pub use eval::Activation;
pub use library::check_pattern;
pub use program::{MATCH_CONDITIONS_COST_BUDGET, Outcome, PER_CALL_LIMIT, Program, RUNTIME_COST_BUDGET};
pub use schema::{Declared, Root, Schema};
pub use source::{Issue, Issues};
pub use types::Type;
pub use value::{Key, List, Map, Struct, Text, Value};
