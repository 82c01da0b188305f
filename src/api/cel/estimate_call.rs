//! The estimated cost of calls: of the standard functions, and of the libraries by function or by signature.

use super::ast::{Kind, Literal};
use super::cost::{AUTHORIZE, LIST, NOMINAL, REGEX, STRUCT, TRAVERSAL, scaled};
use super::estimate::{Operand, Range, declared_size};
use super::schema::Declared;
use super::types::Type;

/// A call under one of its signatures.
pub(super) struct Call<'c, 'e> {
    pub(super) function: &'c str,
    pub(super) overload: &'c str,
    pub(super) target: Option<&'c Operand<'e>>,
    pub(super) args: &'c [Operand<'e>],
}

/// A cost and the size of the result, where it is known.
type Estimated = (Range, Option<Range>);

const ONE: Range = Range::fixed(1);

fn only(cost: Range) -> Option<Estimated> {
    Some((cost, None))
}

impl<'e> Call<'_, 'e> {
    fn known(&self, operand: Option<&Operand<'e>>) -> Range {
        operand.and_then(|operand| operand.size).unwrap_or(Range::UNKNOWN)
    }
}

/// The size of an operand with what the schema says of its path.
fn size_of(operand: &Operand<'_>, sizes: Option<&Declared>) -> Range {
    let declared = || if operand.path.is_empty() { None } else { declared_size(sizes, &operand.path) };
    operand.size.or_else(declared).unwrap_or(Range::UNKNOWN)
}

fn pattern_cost(text: Range, pattern: Range) -> Range {
    text.plus(ONE).scaled(TRAVERSAL).times(pattern.scaled(REGEX))
}

/// The cost of a standard function, without its arguments.
pub(super) fn of_standard(call: &Call<'_, '_>) -> Estimated {
    let first = call.known(call.args.first());
    let second = call.known(call.args.get(1));
    let target = call.known(call.target);
    match call.overload {
        "string_format" if call.target.is_some() => (target.scaled(TRAVERSAL), None),
        "string_to_bytes" => {
            let size = Range { min: first.min, max: first.max.wrapping_mul(4) };
            (first.scaled(TRAVERSAL), Some(size))
        }
        "bytes_to_string" => (first.scaled(TRAVERSAL), Some(Range { min: first.min / 4, max: first.max })),
        "strings_quote" => {
            let size = Range { min: first.min.wrapping_add(2), max: first.max.wrapping_mul(2).wrapping_add(2) };
            (first.scaled(TRAVERSAL), Some(size))
        }
        "starts_with_string" | "ends_with_string" => (first.scaled(TRAVERSAL), None),
        "in_list" => (second.scaled(1.0), None),
        "matches_string" => (pattern_cost(target, first), None),
        "matches" => (pattern_cost(first, second), None),
        "contains_string" => (target.scaled(TRAVERSAL).times(first.scaled(TRAVERSAL)), None),
        "add_list" => (ONE, Some(first.plus(second))),
        "add_string" | "add_bytes" => {
            let size = first.plus(second);
            (size.scaled(TRAVERSAL), Some(size))
        }
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => {
            let max = first.max.min(second.max);
            (Range { min: u64::from(max > 0), max }.scaled(TRAVERSAL), None)
        }
        _ => (ONE, None),
    }
}

/// The cost of a library's function, when it has one of its own.
pub(super) fn of_library(call: &Call<'_, '_>, sizes: Option<&Declared>) -> Option<Estimated> {
    of_overload(call, sizes).or_else(|| of_function(call, sizes)).or_else(|| of_equality(call))
}

fn literal_int(operand: &Operand<'_>, default: u64) -> u64 {
    match operand.expr.map(|expr| &expr.kind) {
        Some(Kind::Literal(Literal::Int(value))) => u64::try_from(*value).unwrap_or(0),
        _ => default,
    }
}

/// A call that makes a list as large as given.
fn allocating(factor: f64, size: Range) -> Option<Estimated> {
    Some((size.scaled(factor).plus(ONE).plus(Range::fixed(LIST)), Some(size)))
}

/// The functions of the list and set libraries, whose costs go by signature.
fn of_overload(call: &Call<'_, '_>, sizes: Option<&Declared>) -> Option<Estimated> {
    let arg = |at: usize| call.args.get(at).map(|arg| size_of(arg, sizes));
    let target = || call.target.map(|target| size_of(target, sizes));
    match call.overload {
        "list_sets_contains_list" | "list_sets_intersects_list" => only(arg(0)?.times(arg(1)?).scaled(1.0).plus(ONE)),
        "list_sets_equivalent_list" => only(arg(0)?.times(arg(1)?).scaled(2.0).plus(ONE)),
        "list_slice" => {
            let [from, to] = call.args else { return None };
            let size = literal_int(to, target()?.max).wrapping_sub(literal_int(from, 0));
            allocating(1.0, Range::fixed(size))
        }
        "lists_range" => allocating(1.0, Range::fixed(literal_int(call.args.first()?, u64::MAX))),
        "list_reverse" => allocating(1.0, target()?),
        "list_flatten" => allocating(1.0, target()?),
        "list_flatten_int" => {
            #[expect(clippy::cast_precision_loss, reason = "upstream converts so")]
            let depth = literal_int(call.args.first()?, u64::MAX) as f64;
            allocating(depth, target()?)
        }
        "list_distinct" => {
            let size = target()?;
            allocating(2.0, size.times(size))
        }
        overload if overload.ends_with("_sort") && overload.starts_with("list_") => sort(overload, target()?),
        overload if overload.ends_with("_sortByAssociatedKeys") => sort(overload, arg(0)?),
        _ => None,
    }
}

fn sort(overload: &str, size: Range) -> Option<Estimated> {
    let texts = overload.starts_with("list_string_") || overload.starts_with("list_bytes_");
    allocating(if texts { 2.0 + TRAVERSAL } else { 2.0 }, size.times(size))
}

/// The element of a list as an operand.
fn element<'e>(list: &Operand<'_>) -> Option<Operand<'e>> {
    let of = match &list.of {
        Type::List(of) => (**of).clone(),
        Type::Map(of) => of.0.clone(),
        Type::Opaque(_, params) => params.first()?.clone(),
        Type::Type(Some(of)) => (**of).clone(),
        _ => return None,
    };
    let mut path = list.path.clone();
    if !path.is_empty() {
        path.push("@items".to_owned());
    }
    Some(Operand { path, of, expr: None, size: None })
}

fn of_function(call: &Call<'_, '_>, sizes: Option<&Declared>) -> Option<Estimated> {
    let arg = |at: usize| call.args.get(at).map(|arg| size_of(arg, sizes));
    let target = || call.target.map(|target| size_of(target, sizes));
    let traversed = |size: Range, factor: f64| size.scaled(factor * TRAVERSAL);
    match call.function {
        "check" => only(Range::fixed(AUTHORIZE)),
        "fieldSelector" | "labelSelector" => match call.args {
            [selector] => only(selector_cost(size_of(selector, sizes))),
            _ => None,
        },
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => search(call, sizes),
        "url" | "jsonpatch.escapeKey" if call.args.len() == 1 => Some((traversed(arg(0)?, 1.0), arg(0))),
        "lowerAscii" | "upperAscii" | "substring" | "trim" => Some((traversed(target()?, 1.0), target())),
        "replace" => replace(target()?, arg(0)?, arg(1)?),
        "split" => {
            let size = target()?;
            let max = match call.args.get(1).and_then(|arg| arg.expr).map(|expr| &expr.kind) {
                Some(Kind::Literal(Literal::Int(count))) => u64::from_ne_bytes(count.to_ne_bytes()),
                _ => size.max,
            };
            Some((traversed(size, 2.0), Some(Range { min: 0, max })))
        }
        "join" => join(call, sizes),
        "find" | "findAll" => {
            let size = target()?;
            Some((pattern_cost(size, arg(0)?), Some(Range { min: 0, max: size.max })))
        }
        "ip" if call.overload == "cidr_ip" => only(ONE),
        "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            only(traversed(arg(0)?, 1.0))
        }
        "ip.isCanonical" => only(traversed(arg(0)?, 2.0)),
        "containsIP" | "containsCIDR" => contains(call, arg(0)?),
        "validate" => only(arg(0)?.scaled(TRAVERSAL).scaled(128.0 * REGEX)),
        function if NOMINAL.contains(&function) => only(ONE),
        _ => None,
    }
}

fn selector_cost(length: Range) -> Range {
    #[expect(clippy::cast_precision_loss, reason = "both are small constants")]
    let each = (LIST + STRUCT) as f64;
    Range::fixed(LIST).plus(length.scaled(TRAVERSAL)).plus(length.scaled(0.5).scaled(each))
}

fn search(call: &Call<'_, '_>, sizes: Option<&Declared>) -> Option<Estimated> {
    let target = call.target?;
    let size = size_of(target, sizes);
    match element(target) {
        Some(element) => {
            let mut each = ONE;
            if matches!(element.of, Type::String | Type::Bytes) {
                each = each.plus(size_of(&element, sizes).scaled(TRAVERSAL));
            }
            only(size.times(each))
        }
        None if call.function == "includes" => only(size),
        None => only(size.scaled(TRAVERSAL)),
    }
}

fn replace(size: Range, old: Range, new: Range) -> Option<Estimated> {
    let (mut count, mut kept) = (Range::ZERO, Range::ZERO);
    let times = |whole: u64, part: u64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "upstream divides as doubles"
        )]
        let times = (whole as f64 / part as f64).ceil() as u64;
        times
    };
    if old.min == 0 {
        count.max = size.max.saturating_add(1);
        kept.max = size.max;
    } else if new.max <= old.min {
        kept.max = size.max;
    } else {
        count.max = times(size.max, old.min);
    }
    if old.max == 0 {
        count.min = size.min.saturating_add(1);
        kept.min = size.min;
    } else if old.max <= new.min {
        kept.min = size.min;
    } else {
        count.min = times(size.min, old.max);
    }
    Some((size.scaled(2.0 * TRAVERSAL), Some(count.times(new).plus(kept))))
}

fn join(call: &Call<'_, '_>, sizes: Option<&Declared>) -> Option<Estimated> {
    let target = call.target?;
    let length = size_of(target, sizes);
    let mut size = element(target).map_or(Range::ZERO, |element| length.times(size_of(&element, sizes)));
    if let Some(separator) = call.args.first() {
        let between = Range { min: length.min.saturating_sub(1), max: length.max.saturating_sub(1) };
        size = size.plus(size_of(separator, sizes).times(between));
    }
    Some((size.scaled(TRAVERSAL), Some(size)))
}

fn contains(call: &Call<'_, '_>, text: Range) -> Option<Estimated> {
    let bytes = Range { min: 4, max: 16 };
    let mut cost = bytes.plus(bytes).scaled(TRAVERSAL);
    if call.function == "containsCIDR" {
        cost = cost.plus(bytes.scaled(TRAVERSAL)).plus(ONE);
    }
    if matches!(call.overload, "cidr_contains_ip_string" | "cidr_contains_cidr_string") {
        cost = cost.plus(text.scaled(TRAVERSAL));
    }
    only(cost)
}

/// Equality of the libraries' own types.
fn of_equality(call: &Call<'_, '_>) -> Option<Estimated> {
    let ("_==_", [one, other]) = (call.function, call.args) else { return None };
    if one.of != other.of {
        return None;
    }
    match &one.of {
        Type::Opaque(name, _) if matches!(&**name, "net.IP" | "net.CIDR") => only(ONE),
        Type::Object(name) => match &**name {
            "kubernetes.NamedFormat" => only(Range { min: 1, max: 64 }.scaled(TRAVERSAL)),
            "kubernetes.URL" => {
                let max = other.size.map_or(1, |size| size.max);
                only(Range { min: scaled(1, TRAVERSAL), max: scaled(max, TRAVERSAL) })
            }
            name if name.starts_with("kubernetes.authorization.") => only(ONE),
            "kubernetes.Quantity" | "kubernetes.Semver" => only(ONE),
            _ => None,
        },
        _ => None,
    }
}
