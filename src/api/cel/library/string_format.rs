//! `string.format`: the clauses `%s %d %f %e %b %x %X %o`, for values and for the check of literal formats.

use super::super::error::Error;
use super::super::time::duration_seconds;
use super::super::value::{List, Map, Value};
use super::convert;
use crate::api::field::go_quote;

/// How many digits follow the point when the clause does not say.
const PRECISION: usize = 6;
/// Digits after the point beyond which a number is not written; upstream would write them all.
const PRECISION_MAX: usize = 10_000;

/// A part of a format: text as it is, or a clause with its letter and precision.
pub(in super::super) enum Directive {
    Text(String),
    Clause(char, Option<usize>),
}

/// The parts of a format with as many clauses as there are arguments at most.
///
/// # Errors
/// With upstream's message.
pub(in super::super) fn directives(format: &str, args: usize) -> Result<Vec<Directive>, String> {
    let mut out = Vec::new();
    let mut text = String::new();
    let mut clauses = 0;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            text.push('%');
            continue;
        }
        if chars.peek().is_none() {
            return Err("unexpected end of string".to_owned());
        }
        if clauses >= args {
            return Err(format!("index {clauses} out of range"));
        }
        let clause = clause(&mut chars).map_err(|error| format!("could not parse formatting clause: {error}"))?;
        out.push(Directive::Text(std::mem::take(&mut text)));
        out.push(clause);
        clauses += 1;
    }
    out.push(Directive::Text(text));
    Ok(out)
}

fn clause(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Directive, String> {
    let mut precision = None;
    if chars.peek() == Some(&'.') {
        chars.next();
        let mut digits = String::new();
        while let Some(digit) = chars.peek().copied().filter(char::is_ascii_digit) {
            digits.push(digit);
            chars.next();
        }
        if chars.peek().is_none() {
            return Err("error while parsing precision: could not find end of precision specifier".to_owned());
        }
        let parsed = digits.parse().map_err(|_| {
            let reason = if digits.is_empty() { "invalid syntax" } else { "value out of range" };
            format!(
                "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing \
                 {}: {reason}",
                go_quote(&digits)
            )
        })?;
        precision = Some(parsed);
    }
    match chars.next() {
        Some(letter @ ('s' | 'd' | 'f' | 'e' | 'b' | 'x' | 'X' | 'o')) => Ok(Directive::Clause(letter, precision)),
        Some(letter) => {
            let byte = letter.to_string().into_bytes().first().copied().map_or(letter, char::from);
            Err(format!("unrecognized formatting clause \"{byte}\""))
        }
        None => Err("unexpected end of string".to_owned()),
    }
}

pub(super) fn format<'a>(format: &str, list: &List<'a>) -> Result<Value<'a>, Error> {
    let mut out = String::new();
    let mut next = 0;
    for directive in directives(format, list.len()).map_err(Error::new)? {
        match directive {
            Directive::Text(text) => out.push_str(&text),
            Directive::Clause(letter, precision) => {
                let value = list.get(next)?;
                next += 1;
                let formatted = clause_of(letter, precision, &value)
                    .map_err(|error| Error::new(format!("error during formatting: {error}")))?;
                out.push_str(&formatted);
            }
        }
    }
    Ok(Value::text(out))
}

fn clause_of(letter: char, precision: Option<usize>, value: &Value<'_>) -> Result<String, String> {
    match letter {
        's' => shown(value),
        'd' => match value {
            Value::Int(_) | Value::Uint(_) => Ok(value.to_string()),
            _ => Err(refusal(letter, value.type_name())),
        },
        'f' | 'e' => {
            let number = double(value).ok_or_else(|| refusal(letter, value.type_name()))?;
            let precision = precision.unwrap_or(PRECISION).min(PRECISION_MAX);
            Ok(if letter == 'f' { fixed(number, precision) } else { scientific(number, precision) })
        }
        'b' => match value {
            Value::Int(value) => Ok(signed(*value, |magnitude| format!("{magnitude:b}"))),
            Value::Uint(value) => Ok(format!("{value:b}")),
            Value::Bool(value) => Ok(u8::from(*value).to_string()),
            _ => Err(refusal(letter, value.type_name())),
        },
        'o' => match value {
            Value::Int(value) => Ok(signed(*value, |magnitude| format!("{magnitude:o}"))),
            Value::Uint(value) => Ok(format!("{value:o}")),
            _ => Err(refusal(letter, value.type_name())),
        },
        _ => hex(value, letter),
    }
}

fn signed(value: i64, write: impl Fn(u64) -> String) -> String {
    format!("{}{}", if value < 0 { "-" } else { "" }, write(value.unsigned_abs()))
}

fn hex(value: &Value<'_>, letter: char) -> Result<String, String> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lower = match value {
        Value::Int(value) => signed(*value, |magnitude| format!("{magnitude:x}")),
        Value::Uint(value) => format!("{value:x}"),
        Value::String(text) => bytes(text.as_bytes()),
        Value::Bytes(of) => bytes(of),
        _ => return Err(refusal(letter, value.type_name())),
    };
    Ok(if letter == 'X' { lower.to_uppercase() } else { lower })
}

fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        Value::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn special(value: f64) -> Option<String> {
    let name = match value {
        _ if value.is_nan() => "NaN",
        f64::INFINITY => "∞",
        f64::NEG_INFINITY => "-∞",
        _ => return None,
    };
    Some(name.to_owned())
}

/// With points between thousands, as upstream's locale writes it.
fn fixed(value: f64, precision: usize) -> String {
    if let Some(name) = special(value) {
        return name;
    }
    let plain = format!("{value:.precision$}");
    let (sign, rest) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut out = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Upstream takes the precision for the width here: there are always six digits.
fn scientific(value: f64, width: usize) -> String {
    let written = special(value).unwrap_or_else(|| raised(value));
    let missing = width.saturating_sub(written.chars().count());
    format!("{}{written}", " ".repeat(missing))
}

fn raised(value: f64) -> String {
    let plain = format!("{value:.PRECISION$e}");
    let (digits, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let power: String = format!("{:02}", exponent.trim_start_matches('-').parse::<u32>().unwrap_or(0))
        .chars()
        .map(|digit| match digit {
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
        })
        .collect();
    format!("{digits}×10{}{power}", if exponent.starts_with('-') { "⁻" } else { "" })
}

/// `%s` of a value.
fn shown(value: &Value<'_>) -> Result<String, String> {
    match value {
        Value::List(list) => shown_list(list),
        Value::Map(map) => shown_map(map),
        Value::Null => Ok("null".to_owned()),
        Value::Type(name) => Ok(name.to_string()),
        Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::Bool(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::Timestamp(_)
        | Value::Duration(_) => match convert::to_string(value) {
            Ok(text) => Ok(text.to_string()),
            Err(error) => Err(format!("could not convert argument {} to string", go_quote(&error.to_string()))),
        },
        _ => Err(refusal('s', value.type_name())),
    }
}

/// A value inside a list or a map.
fn member(value: &Value<'_>) -> Result<String, String> {
    Ok(match value {
        Value::String(text) => go_quote(text),
        Value::Bytes(_) => format!("b{}", go_quote(&shown(value)?)),
        Value::Timestamp(time) => format!("timestamp({})", go_quote(&time.rfc3339())),
        Value::Duration(nanos) => format!("duration({})", go_quote(&duration_seconds(*nanos))),
        Value::Double(value) if value.is_nan() => "\"NaN\"".to_owned(),
        Value::Double(value) if value.is_infinite() => if *value > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }.to_owned(),
        Value::Double(value) => format!("{value:.PRECISION$}"),
        Value::Int(_)
        | Value::Uint(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Type(_)
        | Value::List(_)
        | Value::Map(_) => shown(value)?,
        _ => return Err(format!("no formatting function for {}", value.type_name())),
    })
}

fn shown_list(list: &List<'_>) -> Result<String, String> {
    let mut parts = Vec::new();
    for value in list.values().map_err(|error| error.to_string())? {
        parts.push(member(&value)?);
    }
    Ok(format!("[{}]", parts.join(", ")))
}

fn shown_map(map: &Map<'_>) -> Result<String, String> {
    let mut parts = Vec::new();
    for key in map.keys() {
        let shown_key = match &key {
            Value::String(text) => go_quote(text),
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) => key.to_string(),
            _ => return Err(format!("no formatting function for map key of type {}", key.type_name())),
        };
        let value = map.find(&key).map_err(|error| error.to_string())?.unwrap_or(Value::Null);
        parts.push((shown_key, member(&value)?));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", parts.join(", ")))
}

/// What is said of a value that a clause does not take.
pub(in super::super) fn refusal(letter: char, type_name: &str) -> String {
    let what = match letter {
        's' => {
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and \
             timestamps"
        }
        'd' => "decimal clause can only be used on integers",
        'f' => "fixed-point clause can only be used on doubles",
        'e' => "scientific clause can only be used on doubles",
        'b' => "only integers and bools can be formatted as binary",
        'o' => "octal clause can only be used on integers",
        _ => "only integers, byte buffers, and strings can be formatted as hex",
    };
    format!("{what}, was given {type_name}")
}
