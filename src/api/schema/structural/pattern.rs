//! Patterns as Go's `regexp` reads them, matched in linear time. Compiled when first needed, within a bounded size.

use std::fmt;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// The most memory that one compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern of a schema.
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Result<Regex, Box<str>>>,
}

impl Pattern {
    /// Not compiled yet.
    pub fn new(text: &str) -> Self {
        Self { text: Box::from(text), compiled: OnceLock::new() }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern is found in a text.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn matches(&self, text: &str) -> Result<bool, &str> {
        match self.compiled.get_or_init(|| compile(&self.text).map_err(String::into_boxed_str)) {
            Ok(regex) => Ok(regex.is_match(text)),
            Err(error) => Err(error),
        }
    }
}

impl Clone for Pattern {
    fn clone(&self) -> Self {
        Self::new(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// What is wrong with a pattern, in the words of Go.
///
/// # Errors
/// When it is none, or repeats more often than Go lets it.
pub(super) fn check(text: &str) -> Result<(), String> {
    let told = crate::api::cel::check_pattern(text);
    match (compile(text), told) {
        (Err(_), Err(told)) => Err(told),
        (Ok(_), Err(told)) if told.contains("invalid repeat count") => Err(told),
        (compiled, _) => compiled.map(|_| ()),
    }
}

/// Compiles a pattern of Go.
///
/// # Errors
/// What is wrong with it, in words near to those of Go.
pub(super) fn compile(text: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(&translate(text));
    builder.size_limit(COMPILED_BYTES_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "error parsing regexp: expression too large".to_owned(),
        other => {
            let message = other.to_string();
            let what = message.rsplit("error: ").next().unwrap_or_default().trim();
            format!("error parsing regexp: {what}: `{text}`")
        }
    })
}

/// From Go's syntax to the crate's: Perl classes are ASCII, brackets and ampersands inside classes are plain, braces
/// that repeat nothing are plain.
fn translate(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    let mut class_from: Option<usize> = None;
    while let Some(&c) = chars.get(at) {
        match (c, class_from) {
            ('\\', _) => {
                at = escape(&chars, at, class_from.is_some(), &mut out);
                continue;
            }
            ('[', None) => {
                class_from = Some(at);
                out.push('[');
                if chars.get(at + 1) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
                if chars.get(at + 1) == Some(&']') {
                    out.push_str("\\]");
                    at += 1;
                }
            }
            ('[', Some(_)) if chars.get(at + 1) == Some(&':') => out.push('['),
            ('[' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            (']', Some(_)) => {
                // The end of a named class within is not that of the class itself.
                let named = at > 0 && chars[at - 1] == ':' && out.rfind("[:").is_some_and(|i| !out[i..].contains(']'));
                if !named {
                    class_from = None;
                }
                out.push(']');
            }
            ('{', None) if !repeats(&chars[at..]) => out.push_str("\\{"),
            _ => out.push(c),
        }
        at += 1;
    }
    out
}

/// Translates the escape at a place; gives the place behind it.
fn escape(chars: &[char], at: usize, inside: bool, out: &mut String) -> usize {
    let Some(&c) = chars.get(at + 1) else {
        out.push('\\');
        return at + 1;
    };
    let perl = match c {
        'd' => Some("0-9"),
        'w' => Some("0-9A-Za-z_"),
        's' => Some("\\t\\n\\f\\r "),
        'D' => Some("^0-9"),
        'W' => Some("^0-9A-Za-z_"),
        'S' => Some("^\\t\\n\\f\\r "),
        _ => None,
    };
    match (perl, c) {
        (Some(set), _) if inside && !set.starts_with('^') => out.push_str(set),
        (Some(set), _) => {
            out.push('[');
            out.push_str(set);
            out.push(']');
        }
        (None, 'b' | 'B') if !inside => out.push_str(&format!("(?-u:\\{c})")),
        (None, '<' | '>') => out.push(c),
        (None, 'Q') => {
            let mut end = at + 2;
            while end < chars.len() && !(chars[end] == '\\' && chars.get(end + 1) == Some(&'E')) {
                out.push_str(&regex::escape(&chars[end].to_string()));
                end += 1;
            }
            return (end + 2).min(chars.len());
        }
        (None, _) => {
            out.push('\\');
            out.push(c);
        }
    }
    at + 2
}

/// Whether a brace begins `{n}`, `{n,}` or `{n,m}`.
fn repeats(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|c| *c == '}') else { return false };
    let inner: String = rest[1..end].iter().collect();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match inner.split_once(',') {
        None => number(&inner),
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Pattern::new(pattern).matches(text), Ok(expected), "{pattern} {text}");
    }

    #[test]
    fn what_is_no_pattern_is_told_of_as_go_does() {
        let told = |pattern: &str| super::check(pattern).unwrap_err();
        assert_eq!(told("[z-a]"), "error parsing regexp: invalid character class range: `z-a`");
        assert_eq!(told(r"(a)\1"), r"error parsing regexp: invalid escape sequence: `\1`");
        assert_eq!(told("(a{1000}){1000}"), "error parsing regexp: invalid repeat count: `{1000}`");
        assert_eq!(told("a{1001}"), "error parsing regexp: invalid repeat count: `{1001}`");
        assert_eq!(told("(?<=a)b"), "error parsing regexp: invalid named capture: `(?<=a)b`");
        let deep = format!("{}a{}", "(".repeat(1100), ")".repeat(1100));
        assert_eq!(told(&deep), format!("error parsing regexp: expression nests too deeply: `{deep}`"));
        assert_eq!(super::check("^(a+)+$"), Ok(()));
    }

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        check(r"^\d+$", "42", true);
        check(r"^\d+$", "٤٢", false);
        check(r"^[\w.-]+$", "a_b.c-d", true);
        check(r"^[^[]+$", "a]", true);
        check(r"^a{$", "a{", true);
        check(r"^a{2}$", "aa", true);
        check(r"^[[:alpha:]&&]+$", "a&", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^[]a]+$", "]a", true);
        check(r"\bfoo\b", "a foo b", true);
    }

    #[test]
    fn a_pattern_that_is_none_says_so() {
        assert!(Pattern::new("(").matches("").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_is_one_or_refused(text in r"([a-c\[\]\^$(){}|*+?.,0-9:=<>!&~-]|\\[dwsbDWSBAzpPQE0-9x{}]){0,20}|.{0,20}") {
            let _ = Pattern::new(&text).matches("abc-1.2");
        }
    }
}
