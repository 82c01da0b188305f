//! Room on the stack: expressions that nest deeply are compiled and run on a thread with a large stack, so that no
//! expression overflows one. The parser bounds how deep that can be.

use std::thread;

use super::ast::Expr;

/// The stack for deep expressions: several times what the deepest that the parser accepts takes without optimisation.
const STACK_BYTES: usize = 64 << 20;
/// How many brackets may be open before an expression counts as deep.
const BRACKETS_MAX: usize = 16;
/// How long an expression may be before its chains of operators count as deep.
const SOURCE_BYTES_MAX: usize = 1000;
/// How deep the tree of an expression may be before it counts as deep.
const TREE_MAX: usize = 48;

/// What is said when there is no thread.
pub(super) const NONE: &str = "no memory is left for an expression that nests so deeply";

/// Whether an expression needs more stack than a caller has for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    Shallow,
    Deep,
}

/// Whether the tree of a text could be deep.
pub(super) fn may_nest_deeply(source: &str) -> bool {
    let (mut open, mut most) = (0usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most > BRACKETS_MAX || source.len() > SOURCE_BYTES_MAX
}

/// How deep a tree is.
pub(super) fn depth(expr: &Expr) -> Depth {
    if levels(expr) > TREE_MAX { Depth::Deep } else { Depth::Shallow }
}

fn levels(expr: &Expr) -> usize {
    let mut deepest = 0;
    expr.children(&mut |child| deepest = deepest.max(levels(child)));
    deepest + 1
}

/// Runs something where it has room; `None` when no thread could be made.
pub(super) fn run<T: Send>(depth: Depth, run: impl FnOnce() -> T + Send) -> Option<T> {
    if depth == Depth::Shallow {
        return Some(run());
    }
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("deep expression".to_owned()).stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, run).ok()?.join() {
            Ok(value) => Some(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
