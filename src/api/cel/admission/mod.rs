//! The expressions of admission policies and of match conditions: what they may mention ([`Compiler`]), the values that
//! they see ([`Inputs`]), and running them one after another within one budget ([`Evaluation`]). Used by the validation
//! of policies and webhooks, by their plugins, and by the type checking of policies.

mod compile;
mod conditions;
mod construct;
mod declared;
mod evaluation;

pub use compile::{CompileError, Compiled, Compiler, Declarations, Fault, Returns};
pub use conditions::{Failure, MatchConditions, aggregate};
pub use construct::{configuration, patches};
pub use evaluation::{Composition, Evaluation, Inputs, OUT_OF_BUDGET};
