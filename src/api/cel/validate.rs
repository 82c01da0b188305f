//! What upstream checks of a correct expression besides its types: literals of durations, timestamps and patterns, the
//! elements of literal lists and maps, and the clauses of literal formats.

use super::ast::{Expr, Kind, Literal};
use super::check::Checked;
use super::library::{Directive, directives, find, regex, string_format_refusal};
use super::source::Reporter;
use super::types::Type;
use super::value::Value;

/// Checks an expression that the checker found no fault with.
pub(super) fn validate(expr: &Expr, checked: &Checked, places: &super::ast::Places, issues: &mut Reporter<'_>) {
    let mut found = Vec::new();
    visit(expr, checked, Inside::Plain, &mut found);
    for (id, message) in found {
        issues.report(places.get(id), message);
    }
}

/// Whether a node stands in the arguments of `format`, which may have any types.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Plain,
    Format,
}

type Found = Vec<(super::ast::Id, String)>;

fn visit(expr: &Expr, checked: &Checked, inside: Inside, found: &mut Found) {
    let mut below = inside;
    match &expr.kind {
        Kind::Call { target, function, args } => {
            if let Some(first) = args.first() {
                literal_argument(function, first, found);
            }
            if function == "format" {
                below = Inside::Format;
                if let (Some(target), [Expr { kind: Kind::List(_), .. }]) = (target, &args[..]) {
                    format_call(expr, (target, &args[0]), checked, found);
                }
            }
        }
        Kind::List(elements) if inside == Inside::Plain => {
            let types = elements.iter().map(|element| (&element.value, element.optional));
            let mut first = None;
            for (value, optional) in types {
                if !same_type(&mut first, value, (checked, optional), found) {
                    break;
                }
            }
        }
        Kind::Map(entries) if inside == Inside::Plain => {
            let (mut keys, mut values) = (None, None);
            for entry in entries {
                same_type(&mut keys, &entry.key, (checked, false), found);
                same_type(&mut values, &entry.value, (checked, entry.optional), found);
            }
        }
        _ => {}
    }
    expr.children(&mut |child| visit(child, checked, below, found));
}

fn same_type<'c>(first: &mut Option<&'c Type>, value: &Expr, of: (&'c Checked, bool), found: &mut Found) -> bool {
    let (checked, optional) = of;
    let mut own = checked.type_of(value);
    if optional {
        own = own.unwrapped().unwrap_or(own);
    }
    let first = *first.get_or_insert(own);
    if first != own {
        found.push((value.id, format!("expected type '{first}' but found '{own}'")));
    }
    first == own
}

fn literal_argument(function: &str, arg: &Expr, found: &mut Found) {
    let Kind::Literal(literal) = &arg.kind else { return };
    let wrong = match (function, literal) {
        ("matches", Literal::String(pattern)) => regex::check(pattern).is_err(),
        ("duration" | "timestamp", literal) => {
            let value = match literal {
                Literal::String(text) => Value::text(text.clone()),
                Literal::Int(value) => Value::Int(*value),
                _ => return,
            };
            find(function).is_some_and(|conversion| conversion.call(function, &[value]).is_err())
        }
        _ => false,
    };
    if wrong {
        found.push((arg.id, format!("invalid {function} argument")));
    }
}

fn format_call(call: &Expr, (target, args): (&Expr, &Expr), checked: &Checked, found: &mut Found) {
    let (Some(format), Kind::List(args)) = (target.literal_text(), &args.kind) else { return };
    let parts = match directives(format, args.len()) {
        Ok(parts) => parts,
        Err(message) => return found.push((call.id, message)),
    };
    let mut seen = 0;
    for part in parts {
        let Directive::Clause(letter, _) = part else { continue };
        let arg = &args[seen].value;
        seen += 1;
        if let Err(bad) = takes(letter, arg, checked) {
            let refusal = string_format_refusal(letter, checked.type_of(bad).name());
            return found.push((bad.id, format!("error during formatting: {refusal}")));
        }
    }
    if args.len() > seen {
        let given = args.len();
        found.push((call.id, format!("too many arguments supplied to string.format (expected {seen}, got {given})")));
    }
}

/// Whether a clause takes an argument of that type; otherwise the part that it does not take.
fn takes<'e>(letter: char, arg: &'e Expr, checked: &Checked) -> Result<(), &'e Expr> {
    let of = checked.type_of(arg);
    let takes_type = *of == Type::Dyn
        || match letter {
            's' => !matches!(of, Type::Object(_) | Type::Opaque(..) | Type::Any | Type::Error | Type::Param(_)),
            'd' | 'o' => matches!(of, Type::Int | Type::Uint),
            'f' | 'e' => matches!(of, Type::Double | Type::String),
            'b' => matches!(of, Type::Int | Type::Uint | Type::Bool),
            _ => matches!(of, Type::Int | Type::Uint | Type::String | Type::Bytes),
        };
    if !takes_type {
        return Err(arg);
    }
    match (letter, &arg.kind) {
        ('s', Kind::List(elements)) => elements.iter().try_for_each(|element| takes('s', &element.value, checked)),
        ('s', Kind::Map(entries)) => entries
            .iter()
            .try_for_each(|entry| takes('s', &entry.key, checked).and_then(|()| takes('s', &entry.value, checked))),
        _ => Ok(()),
    }
}
