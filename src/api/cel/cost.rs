//! What an evaluation costs, in upstream's units: the costs decide which expressions are stopped, so they are equal to
//! those of cel-go and of the API server's estimator.

use super::value::{List, Map, Value};

/// A variable or a selection.
pub(super) const SELECT: u64 = 1;
/// Making a list, a map, an object.
pub(super) const LIST: u64 = 10;
pub(super) const MAP: u64 = 30;
pub(super) const STRUCT: u64 = 40;
/// What going through a text costs for each character.
pub(super) const TRAVERSAL: f64 = 0.1;
/// What matching costs for each character of the pattern.
pub(super) const REGEX: f64 = 0.25;
/// Asking the authorizer: an expression can do so twice.
pub(super) const AUTHORIZE: u64 = 350_000;

/// A size times a factor, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "casts to u64 saturate, as upstream's arithmetic does"
)]
pub(super) fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// The cost of one call with these arguments. `overload` is empty when the checker left several.
pub(super) fn of_call(function: &str, overload: &str, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    of_library(function, overload, args, result).unwrap_or_else(|| of_standard(overload, args, result))
}

fn size(args: &[Value<'_>], at: usize) -> u64 {
    args.get(at).map_or(1, Value::cost_size)
}

/// The size as the API server's estimator sees it: an optional has none.
fn plain_size(args: &[Value<'_>], at: usize) -> u64 {
    match args.get(at) {
        Some(Value::Optional(_)) | None => 1,
        Some(value) => value.cost_size(),
    }
}

fn pattern_cost(text: u64, pattern: u64) -> u64 {
    scaled(text + 1, TRAVERSAL).saturating_mul(scaled(pattern, REGEX))
}

fn of_library(function: &str, overload: &str, args: &[Value<'_>], result: Option<&Value<'_>>) -> Option<u64> {
    Some(match function {
        "check" => AUTHORIZE,
        "fieldSelector" | "labelSelector" if args.len() >= 2 => selector(plain_size(args, 1)),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => {
            args.first().map_or(0, traversal)
        }
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
            if !args.is_empty() =>
        {
            scaled(plain_size(args, 0), TRAVERSAL)
        }
        "ip" if overload == "cidr_ip" => 1,
        "ip" if !args.is_empty() => scaled(plain_size(args, 0), TRAVERSAL),
        "replace" | "split" | "ip.isCanonical" if !args.is_empty() => scaled(plain_size(args, 0), 2.0 * TRAVERSAL),
        "join" if !args.is_empty() => {
            scaled(result.map_or(1, |result| plain_size(std::slice::from_ref(result), 0)), 2.0 * TRAVERSAL)
        }
        "find" | "findAll" if args.len() >= 2 => pattern_cost(plain_size(args, 0), plain_size(args, 1)),
        "containsIP" if args.len() >= 2 => {
            let text = if overload == "cidr_contains_ip_string" { scaled(plain_size(args, 1), TRAVERSAL) } else { 0 };
            scaled(2 * plain_size(args, 0), TRAVERSAL) + text
        }
        "containsCIDR" if args.len() >= 2 => {
            let text = if overload == "cidr_contains_cidr_string" { scaled(plain_size(args, 1), TRAVERSAL) } else { 0 };
            let own = plain_size(args, 0);
            scaled(2 * own, TRAVERSAL) + scaled(own, TRAVERSAL) + 1 + text
        }
        "validate" => match args {
            [Value::Format(format), text] => {
                pattern_cost(plain_size(std::slice::from_ref(text), 0), format.regex_chars_max)
            }
            _ => return None,
        },
        "_==_" => match args {
            [
                Value::Quantity(_)
                | Value::Ip(_)
                | Value::Cidr(_)
                | Value::Format(_)
                | Value::Url(_)
                | Value::Semver(_)
                | Value::Authorization(_),
                _,
            ] => 1,
            _ => return None,
        },
        _ if NOMINAL.contains(&function) => 1,
        _ => return None,
    })
}

/// Functions of the libraries that cost one unit.
pub(super) const NOMINAL: [&str; 38] = [
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];

/// Parsing a selector: a list of requirements, each of which takes two characters at least.
pub(super) fn selector(length: u64) -> u64 {
    let requirements = scaled(length, 0.5);
    #[expect(clippy::cast_precision_loss, reason = "both are small constants")]
    let each = (LIST + STRUCT) as f64;
    LIST.saturating_add(scaled(length, TRAVERSAL)).saturating_add(scaled(requirements, each))
}

fn of_standard(overload: &str, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    match overload {
        "starts_with_string" | "ends_with_string" => scaled(size(args, 1), TRAVERSAL),
        "string_to_bytes" | "bytes_to_string" | "strings_quote" | "string_format" => scaled(size(args, 0), TRAVERSAL),
        "in_list" => size(args, 1),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => scaled(size(args, 0).min(size(args, 1)), TRAVERSAL),
        "add_string" | "add_bytes" => scaled(size(args, 0) + size(args, 1), TRAVERSAL),
        "matches" | "matches_string" => pattern_cost(size(args, 0), size(args, 1)),
        "contains_string" => scaled(size(args, 0), TRAVERSAL).saturating_mul(scaled(size(args, 1), TRAVERSAL)),
        _ => of_sets_and_lists(overload, args, result),
    }
}

/// The functions whose cost the libraries themselves track.
fn of_sets_and_lists(overload: &str, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    let pairs = || size(args, 0).saturating_mul(size(args, 1));
    match overload {
        "list_sets_contains_list" | "list_sets_intersects_list" => pairs().saturating_add(1),
        "list_sets_equivalent_list" => pairs().saturating_mul(2).saturating_add(1),
        "list_slice" | "lists_range" | "list_reverse" => allocating(result.map_or(1, Value::cost_size), 1.0),
        "list_flatten" => allocating(size(args, 0), 1.0),
        "list_flatten_int" => match args.get(1) {
            Some(Value::Int(depth)) => allocating(size(args, 0), super::number::double_of_int(*depth)),
            _ => 1,
        },
        "list_distinct" => compared_with_itself(args.first()),
        _ if overload.starts_with("list_") && overload.ends_with("_sort") => compared_with_itself(args.first()),
        _ if overload.ends_with("_sortByAssociatedKeys") => compared_with_itself(args.get(1)),
        _ => 1,
    }
}

/// Each element with each: the worst that sorting takes.
fn compared_with_itself(list: Option<&Value<'_>>) -> u64 {
    let Some(Value::List(list)) = list else { return 1 };
    let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
    let texts = count > 0 && matches!(list.get(0), Ok(Value::String(_) | Value::Bytes(_)));
    allocating(count.saturating_mul(count), if texts { 2.0 + TRAVERSAL } else { 2.0 })
}

/// A call that makes a list.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "upstream truncates here where it rounds up elsewhere"
)]
fn allocating(size: u64, factor: f64) -> u64 {
    let factor = if factor < 0.0 { 1.0 } else { factor };
    ((size as f64 * factor) as u64).saturating_add(1 + LIST)
}

/// What going through a value costs.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "upstream truncates here where it rounds up elsewhere"
)]
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => of_elements(list),
        Value::Map(map) => of_entries(map),
        _ => 1,
    }
}

fn of_elements(list: &List<'_>) -> u64 {
    (0..list.len()).fold(0u64, |sum, at| sum.saturating_add(list.get(at).as_ref().map_or(1, traversal)))
}

fn of_entries(map: &Map<'_>) -> u64 {
    map.keys().iter().fold(0u64, |sum, key| {
        let value = map.find(key).ok().flatten();
        sum.saturating_add(traversal(key)).saturating_add(value.as_ref().map_or(1, traversal))
    })
}
