//! Regular expressions. The matcher takes time linear in the text, as upstream's does; patterns are translated where
//! the two syntaxes differ.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use super::super::error::Error;
use super::super::value::Value;

pub(super) const NAMES: &[&str] = &["matches", "find", "findAll"];

/// The most memory that a compiled pattern may take, and that its matching may take.
const PATTERN_BYTES_MAX: usize = 10 << 20;
/// How often something can be repeated by a count.
const REPEATED_MAX: u32 = 1000;

/// Whether a pattern is one.
pub(in super::super) fn check(pattern: &str) -> Result<(), Error> {
    compile(pattern).map(|_| ())
}

/// What is wrong with a pattern, in the words of Go.
///
/// # Errors
/// When it is none.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    check(pattern).map_err(|error| error.to_string())
}

/// Compiles a pattern.
///
/// # Errors
/// With Go's message.
pub(in super::super) fn compile(pattern: &str) -> Result<Regex, Error> {
    let translated = translated(pattern).map_err(|reason| Error::new(format!("error parsing regexp: {reason}")))?;
    RegexBuilder::new(&translated)
        .unicode(true)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| Error::new(go_message(pattern, &error)))
}

/// The pattern in the matcher's syntax. In upstream's the classes `\d`, `\w`, `\s` and `\b` are those of ASCII, braces
/// that repeat nothing stand for themselves, and repetitions neither nest nor exceed 1,000.
fn translated(pattern: &str) -> Result<Cow<'_, str>, String> {
    if !pattern.contains(['\\', '[', '{', '*', '+', '?']) {
        return Ok(Cow::Borrowed(pattern));
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    // Where the repetition before this place began.
    let mut repeated: Option<usize> = None;
    while let Some(c) = chars.next() {
        let rest: &str = &pattern[pattern.len() - remaining(&chars)..];
        let repetition = match c {
            '*' | '+' | '?' => Some(0),
            '{' => counted(rest)?,
            _ => None,
        };
        let Some(length) = repetition else {
            repeated = None;
            match c {
                '\\' => escape(&mut chars, Place::Outside, &mut out)?,
                '[' => class(&mut chars, &mut out)?,
                '{' => out.push_str("\\{"),
                '(' if rest.starts_with('?') => {
                    out.push_str("(?");
                    chars.next();
                }
                c => out.push(c),
            }
            continue;
        };
        let begin = pattern.len() - rest.len() - 1;
        if let Some(before) = repeated {
            let end = begin + 1 + length;
            return Err(format!("invalid nested repetition operator: `{}`", &pattern[before..end]));
        }
        repeated = Some(begin);
        out.push(c);
        for _ in 0..length {
            out.extend(chars.next());
        }
        if chars.peek() == Some(&'?') {
            out.extend(chars.next());
        }
    }
    Ok(Cow::Owned(out))
}

fn remaining(chars: &std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    chars.clone().map(char::len_utf8).sum()
}

/// The length of `2,3}` after a brace; `None` when the brace repeats nothing.
fn counted(rest: &str) -> Result<Option<usize>, String> {
    let Some((inner, _)) = rest.split_once('}') else { return Ok(None) };
    let (from, to) = inner.split_once(',').map_or((inner, None), |(from, to)| (from, Some(to)));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !number(from) || to.is_some_and(|to| !to.is_empty() && !number(to)) {
        return Ok(None);
    }
    let value = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
    let most = to.filter(|to| !to.is_empty()).map_or(value(from), value);
    if value(from) > REPEATED_MAX || most > REPEATED_MAX || most < value(from) {
        return Err(format!("invalid repeat count: `{{{inner}}}`"));
    }
    Ok(Some(inner.len() + 1))
}

type Chars<'p> = std::iter::Peekable<std::str::Chars<'p>>;

fn class(chars: &mut Chars<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.peek() == Some(&'^') {
        out.extend(chars.next());
    }
    if chars.peek() == Some(&']') {
        chars.next();
        out.push_str("\\]");
    }
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(chars, Place::Class, out)?,
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' => out.extend(['\\', c]),
            '-' if first || chars.peek() == Some(&'-') => out.push_str("\\-"),
            ']' => {
                out.push(']');
                return Ok(());
            }
            c => out.push(c),
        }
        first = false;
    }
    Ok(())
}

/// Whether an escape stands inside brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Class,
}

fn escape(chars: &mut Chars<'_>, place: Place, out: &mut String) -> Result<(), String> {
    let Some(c) = chars.next() else { return Err("trailing backslash at end of expression: ``".to_owned()) };
    let class = match c {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\x0C\\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => "^\\t\\n\\x0C\\r ",
        'b' | 'B' => {
            out.push_str(&format!("(?-u:\\{c})"));
            return Ok(());
        }
        'Q' => {
            let rest: String = chars.clone().collect();
            let length = rest.find("\\E").unwrap_or(rest.len());
            out.push_str(&regex::escape(&rest[..length]));
            let skipped = rest[..length].chars().count() + 2;
            chars.by_ref().take(skipped).for_each(drop);
            return Ok(());
        }
        'C' => {
            out.push_str("(?s:.)");
            return Ok(());
        }
        c => {
            out.extend(['\\', c]);
            return Ok(());
        }
    };
    if place == Place::Class && !class.starts_with('^') {
        out.push_str(class);
    } else {
        out.push_str(&format!("[{class}]"));
    }
    Ok(())
}

/// The error as Go words it, where the two parsers see the same mistake.
fn go_message(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    let reason = if last.contains("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if last.contains("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if last.contains("unclosed character class") {
        format!("missing closing ]: `{}`", &pattern[pattern.rfind('[').unwrap_or(0)..])
    } else if last.contains("repetition operator missing expression") {
        let at = pattern.find(['*', '+', '?']).unwrap_or(0);
        format!("missing argument to repetition operator: `{}`", &pattern[at..=at])
    } else if last.contains("look-around")
        && let Some(at) = pattern.find("(?<")
    {
        format!("invalid named capture: `{}`", &pattern[at..])
    } else if last.contains("look-around") {
        let at = pattern.find("(?").unwrap_or(0);
        format!("invalid or unsupported Perl syntax: `{}`", pattern[at..].chars().take(3).collect::<String>())
    } else if last.contains("invalid character class range") {
        format!("invalid character class range: `{}`", reversed_range(pattern))
    } else if last.contains("backreferences") {
        let at = pattern.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
        format!("invalid escape sequence: `\\{}`", pattern[at..].chars().take(1).collect::<String>())
    } else if last.contains("nested parentheses") {
        format!("expression nests too deeply: `{pattern}`")
    } else if matches!(error, regex::Error::CompiledTooBig(_)) {
        match pattern.rfind('{').and_then(|at| Some(&pattern[at..at + pattern[at..].find('}')? + 1])) {
            Some(count) if matches!(counted(&count[1..]), Ok(Some(_))) => format!("invalid repeat count: `{count}`"),
            _ => "expression too large".to_owned(),
        }
    } else {
        format!("{last}: `{pattern}`")
    };
    format!("error parsing regexp: {reason}")
}

/// The first range of a pattern that ends before it begins.
fn reversed_range(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let reversed = chars.windows(3).find(|three| three[1] == '-' && three[0] > three[2]);
    reversed.map(|three| three.iter().collect()).unwrap_or_default()
}

/// Runs a function with its pattern compiled.
pub(in super::super) fn run_compiled<'a>(name: &str, pattern: &Regex, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(text), _, rest @ ..] = args else { return Err(Error::refused()) };
    match (name, rest) {
        ("matches", []) => Ok(Value::Bool(pattern.is_match(text))),
        ("find", []) => Ok(Value::text(pattern.find(text).map_or("", |found| found.as_str()))),
        ("findAll", _) => {
            let count = match rest {
                [] => usize::MAX,
                [Value::Int(count)] => usize::try_from(*count).unwrap_or(usize::MAX),
                _ => return Err(Error::refused()),
            };
            Ok(Value::list(pattern.find_iter(text).take(count).map(|found| Value::text(found.as_str())).collect()))
        }
        _ => Err(Error::refused()),
    }
}

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(_), Value::String(pattern), ..] = args else { return Err(Error::refused()) };
    let compiled = match name {
        "matches" => compile(pattern)?,
        _ => compile(pattern).map_err(|error| Error::new(format!("Illegal regex: {error}")))?,
    };
    run_compiled(name, &compiled, args)
}
