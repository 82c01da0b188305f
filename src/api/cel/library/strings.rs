//! Texts. Positions count characters.

use super::super::error::Error;
use super::super::value::{List, Value};
use super::{int, string_format};

pub(super) const NAMES: &[&str] =
    &["charAt", "lowerAscii", "upperAscii", "replace", "split", "substring", "trim", "join", "strings.quote", "format"];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    if name == "join" {
        return match args {
            [Value::List(list)] => join(list, ""),
            [Value::List(list), Value::String(separator)] => join(list, separator),
            _ => Err(Error::refused()),
        };
    }
    let [Value::String(text), rest @ ..] = args else { return Err(Error::refused()) };
    match (name, rest) {
        ("lowerAscii", []) => Ok(Value::text(text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Value::text(text.to_ascii_uppercase())),
        ("trim", []) => Ok(Value::text(text.trim_matches(go_space))),
        ("strings.quote", []) => Ok(Value::text(quote(text))),
        ("charAt", [Value::Int(at)]) => char_at(text, *at),
        ("substring", [Value::Int(from)]) => substring(text, *from, None),
        ("substring", [Value::Int(from), Value::Int(to)]) => substring(text, *from, Some(*to)),
        ("indexOf", [Value::String(part)]) => index_of(text, part, 0),
        ("indexOf", [Value::String(part), Value::Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Value::String(part)]) => last_index_of(text, part, None),
        ("lastIndexOf", [Value::String(part), Value::Int(from)]) => last_index_of(text, part, Some(*from)),
        ("replace", [Value::String(old), Value::String(new)]) => Ok(Value::text(text.replace(&**old, new))),
        ("replace", [Value::String(old), Value::String(new), Value::Int(count)]) => {
            Ok(Value::text(match usize::try_from(*count) {
                Ok(count) => text.replacen(&**old, new, count),
                Err(_) => text.replace(&**old, new),
            }))
        }
        ("split", [Value::String(separator)]) => Ok(split(text, separator, -1)),
        ("split", [Value::String(separator), Value::Int(count)]) => Ok(split(text, separator, *count)),
        ("format", [Value::List(list)]) => string_format::format(text, list),
        ("jsonpatch.escapeKey", []) => Ok(Value::text(text.replace('~', "~0").replace('/', "~1"))),
        _ => Err(Error::refused()),
    }
}

fn go_space(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{1c}'..='\u{1f}')
}

fn out_of_range(at: i64) -> Error {
    Error::new(format!("index out of range: {at}"))
}

fn char_at<'a>(text: &str, at: i64) -> Result<Value<'a>, Error> {
    let length = text.chars().count();
    match usize::try_from(at).ok().filter(|at| *at <= length) {
        Some(at) => Ok(Value::text(text.chars().nth(at).map(String::from).unwrap_or_default())),
        None => Err(out_of_range(at)),
    }
}

fn substring<'a>(text: &str, from: i64, to: Option<i64>) -> Result<Value<'a>, Error> {
    let length = text.chars().count();
    let within = |at: i64| usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(|| out_of_range(at));
    if let Some(to) = to.filter(|to| from > *to) {
        return Err(Error::new(format!("invalid substring range. start: {from}, end: {to}")));
    }
    let start = within(from)?;
    let end = to.map_or(Ok(length), within)?;
    Ok(Value::text(text.chars().skip(start).take(end - start).collect::<String>()))
}

/// The byte offset of a character, or the end.
fn offset(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

fn index_of<'a>(text: &str, part: &str, from: i64) -> Result<Value<'a>, Error> {
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let length = text.chars().count();
    if part.is_empty() {
        return Ok(int(start.min(length)));
    }
    if start >= length {
        return Ok(Value::Int(-1));
    }
    let begin = offset(text, start);
    let found = text[begin..].find(part).map(|at| start + text[begin..begin + at].chars().count());
    Ok(found.map_or(Value::Int(-1), int))
}

fn last_index_of<'a>(text: &str, part: &str, from: Option<i64>) -> Result<Value<'a>, Error> {
    let length = text.chars().count();
    let start = match from {
        Some(from) => usize::try_from(from).map_err(|_| out_of_range(from))?,
        None if part.is_empty() => return Ok(int(length)),
        None => length.saturating_sub(1),
    };
    if part.is_empty() {
        return Ok(int(start.min(length)));
    }
    if start >= length {
        return Ok(Value::Int(-1));
    }
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).take(start + 1).collect();
    let found = places.iter().rposition(|at| text[*at..].starts_with(part));
    Ok(found.map_or(Value::Int(-1), int))
}

fn split<'a>(text: &str, separator: &str, count: i64) -> Value<'a> {
    let texts = |parts: Vec<&str>| Value::list(parts.into_iter().map(Value::text).collect());
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    match (limit, separator) {
        (0, _) => Value::list(Vec::new()),
        (_, "") => {
            let mut parts = Vec::new();
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                if parts.len() + 1 == limit {
                    break;
                }
                let (first, after) = rest.split_at(c.len_utf8());
                parts.push(first);
                rest = after;
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
            texts(parts)
        }
        (usize::MAX, _) => texts(text.split(separator).collect()),
        (limit, _) => texts(text.splitn(limit, separator).collect()),
    }
}

fn join<'a>(list: &List<'a>, separator: &str) -> Result<Value<'a>, Error> {
    let mut out = String::new();
    for at in 0..list.len() {
        if at > 0 {
            out.push_str(separator);
        }
        match list.get(at)? {
            Value::String(text) => out.push_str(&text),
            // The first element tells whether it is a list of texts at all.
            _ if at == 0 => return Err(Error::refused()),
            value => return Err(Error::new(format!("join: invalid input: {value}"))),
        }
    }
    Ok(Value::text(out))
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
