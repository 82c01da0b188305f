//! Field selectors: `metadata.name=a,status.phase!=Running`, with escapes and errors as apimachinery `pkg/fields`.

use std::fmt;

/// A conjunction of terms.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    terms: Vec<Term>,
}

/// One comparison of a field with a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    pub field: String,
    pub comparison: Comparison,
    pub value: String,
}

/// How a term compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Equals,
    NotEquals,
}

impl Selector {
    /// Reads `a=b,c!=d`.
    ///
    /// # Errors
    /// With upstream's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::with_capacity(parts.len());
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let Some((field, comparison, value)) = split_term(part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            let value = unescape(value)?;
            // As upstream: nothing compared with nothing is everything.
            if !(field.is_empty() && value.is_empty()) {
                terms.push(Term { field: field.to_owned(), comparison, value });
            }
        }
        Ok(Self { terms })
    }

    /// A selector of one term `field=value`.
    pub fn equal(field: &str, value: &str) -> Self {
        let term = Term { field: field.to_owned(), comparison: Comparison::Equals, value: value.to_owned() };
        Self { terms: vec![term] }
    }

    /// The terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether every object matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether all terms hold; `read` gives a field's text, empty when the object has none.
    pub fn matches<'a>(&self, read: impl Fn(&str) -> &'a str) -> bool {
        self.terms.iter().all(|t| (read(&t.field) == t.value) == (t.comparison == Comparison::Equals))
    }

    /// The one value that a field must have, where the selector says so.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        let exact = |t: &&Term| t.field == field && t.comparison == Comparison::Equals;
        self.terms.iter().find(exact).map(|t| t.value.as_str())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let sign = match term.comparison {
                Comparison::Equals => "=",
                Comparison::NotEquals => "!=",
            };
            write!(f, "{}{sign}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// A text as it must be written as a value in a field selector.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, Comparison, &str)> {
    let at = term.find(['!', '=']).map(|first| {
        // A lone '!' is part of the field's name.
        term[first..].char_indices().map(|(i, _)| first + i).find(|i| {
            let rest = &term[*i..];
            rest.starts_with("!=") || rest.starts_with('=')
        })
    })??;
    let (field, rest) = term.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, Comparison::NotEquals, value));
    }
    let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
    Some((field, Comparison::Equals, value))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' | ',' | '=' if escaped => {
                out.push(c);
                escaped = false;
            }
            c if escaped => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
            '\\' => escaped = true,
            // Upstream prints the number of the character.
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    if escaped {
        return Err("invalid field selector: invalid escape sequence: \\".to_owned());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_parse(text: &str, expected: &str) {
        match Selector::parse(text) {
            Ok(selector) => assert_eq!(selector.to_string(), expected, "{text}"),
            Err(error) => assert_eq!(error, expected, "{text}"),
        }
    }

    #[test]
    fn selectors_parse_and_print_as_upstream() {
        check_parse("", "");
        check_parse("b==1,a=2", "a=2,b=1");
        check_parse("a!=", "a!=");
        check_parse("a!b!=c", "a!b!=c");
        check_parse(r"a=x\,y\=z\\", r"a=x\,y\=z\\");
        check_parse("a", "invalid selector: 'a'; can't understand 'a'");
        check_parse("a=b=c", "invalid field selector: unescaped character in value: 61");
        check_parse(r"a=\b", r"invalid field selector: invalid escape sequence: \b");
        check_parse(r"a=\", r"invalid field selector: invalid escape sequence: \");
    }

    #[test]
    fn matching_compares_texts() {
        let selector = Selector::parse("a=1,b!=2").unwrap();
        assert!(selector.matches(|f| if f == "a" { "1" } else { "" }));
        assert!(!selector.matches(|f| if f == "a" { "1" } else { "2" }));
        assert_eq!((selector.required_value("a"), selector.required_value("b")), (Some("1"), None));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in r"[ab=!,\\]{0,16}|.{0,16}") {
            if let Ok(selector) = Selector::parse(&text) {
                // Terms are in the order of their text, in which `==` and `=` differ.
                let sorted = |selector: &Selector| {
                    let mut texts: Vec<String> = selector.terms.iter().map(|term| format!("{term:?}")).collect();
                    texts.sort();
                    texts
                };
                let again = Selector::parse(&selector.to_string());
                prop_assert_eq!(again.as_ref().map(sorted), Ok(sorted(&selector)));
            }
        }
    }
}
