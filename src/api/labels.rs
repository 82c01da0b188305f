//! Label selectors: the text form of requests, the `LabelSelector` form of objects, and matching. Errors read as
//! apimachinery `pkg/labels` of v1.37 writes them.

use std::fmt;

use serde_json::{Map, Value};

use super::field::{Errors, FieldError, Path, go_quote};
use super::validation::{metadata, names};

/// A conjunction of requirements, or a selector that matches nothing at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on the labels of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

/// How a requirement relates its key and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// Where a selector finds the labels of an object.
pub trait Labels {
    /// The value of a label.
    fn value_of(&self, key: &str) -> Option<&str>;
}

/// In key order.
impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn value_of(&self, key: &str) -> Option<&str> {
        let at = self.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        Some(self[at].1.as_ref())
    }
}

impl Labels for Map<String, Value> {
    fn value_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl<T: AsRef<str>> Labels for std::collections::BTreeMap<String, T> {
    fn value_of(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl Selector {
    /// Matches every object.
    pub const EVERYTHING: Self = Self { requirements: Vec::new(), nothing: false };
    /// Matches no object.
    pub const NOTHING: Self = Self { requirements: Vec::new(), nothing: true };

    /// Reads `a=b,c in (d,e),!f`.
    ///
    /// # Errors
    /// With upstream's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Parser { items: scan(text), position: 0 }.parse()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// From a `LabelSelector` object; absent selects nothing, empty everything.
    ///
    /// # Errors
    /// With upstream's message.
    pub fn from_label_selector(selector: Option<&Value>) -> Result<Self, String> {
        let Some(selector) = selector.filter(|s| !s.is_null()) else { return Ok(Self::NOTHING) };
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::Equals, vec![value])?);
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match expression.get("operator").and_then(Value::as_str).unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", go_quote(other))),
            };
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(|v| v.as_str().map(str::to_owned)).collect();
            let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
            requirements.push(Requirement::new(key, operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// From a plain map of labels (`spec.selector` of services and replication controllers); not validated.
    pub fn from_map(map: &Map<String, Value>) -> Self {
        let mut requirements: Vec<Requirement> = map
            .iter()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: vec![value.as_str().unwrap_or_default().to_owned()],
            })
            .collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// Whether all requirements hold.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether every object matches.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether no object matches, whatever its labels.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The requirements in order of their keys.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The one value that a label must have, where the selector says so.
    pub fn required_value(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl Requirement {
    /// A valid requirement.
    ///
    /// # Errors
    /// With upstream's message, all faults in one.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors = Errors::new();
        key_error(key, &Path::new("key"), &mut errors);
        let path = Path::new("values");
        let count = values.len();
        let complaint = match operator {
            Operator::In | Operator::NotIn if count == 0 => "for 'in', 'notin' operators, values set can't be empty",
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if count != 1 => {
                "exact-match compatibility requires one single value"
            }
            Operator::Exists | Operator::DoesNotExist if count != 0 => {
                "values set must be empty for exists and does not exist"
            }
            Operator::GreaterThan | Operator::LessThan if count != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !complaint.is_empty() {
            errors.push(FieldError::invalid(&path, values.clone(), complaint));
        }
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            for (index, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&path.index(index), value.as_str(), detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                let path = path.index(index);
                errors.push(FieldError::invalid(&path.key(key), value.as_str(), messages.join("; ")));
            }
        }
        if errors.is_empty() { Ok(Self { key: key.to_owned(), operator, values }) } else { Err(aggregate(&errors)) }
    }

    /// Whether the labels satisfy the requirement.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        let value = labels.value_of(&self.key);
        let has = |v: &str| self.values.iter().any(|w| w == v);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(has),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = value.and_then(|v| v.parse::<i64>().ok());
                let bound = self.values.first().and_then(|v| v.parse::<i64>().ok());
                match (number, bound) {
                    (Some(number), Some(bound)) if self.operator == Operator::GreaterThan => number > bound,
                    (Some(number), Some(bound)) => number < bound,
                    (None, _) | (_, None) => false,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

/// Validates a `LabelSelector` that stands in an object.
pub fn validate_label_selector(selector: &Value, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    if let Some(map) = selector.get("matchLabels").and_then(Value::as_object) {
        metadata::labels(map, &path.child("matchLabels"), &mut errors);
    }
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for (index, expression) in expressions.into_iter().flatten().enumerate() {
        let list = path.child("matchExpressions");
        validate_expression(expression, &list.index(index), &mut errors);
    }
    errors
}

fn validate_expression(expression: &Value, path: &Path<'_>, errors: &mut Errors) {
    let none = Vec::new();
    let values = expression.get("values").and_then(Value::as_array).unwrap_or(&none);
    let values_path = path.child("values");
    let operator = expression.get("operator").and_then(Value::as_str).unwrap_or_default();
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values_path, detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values_path, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
    metadata::label_key(key, &path.child("key"), errors);
    for (index, value) in values.iter().enumerate() {
        let value = value.as_str().unwrap_or_default();
        let path = values_path.index(index);
        errors.extend(names::label_value(value).into_iter().map(|m| FieldError::invalid(&path, value, m)));
    }
}

fn key_error(key: &str, path: &Path<'_>, errors: &mut Errors) {
    let messages = names::qualified_name(key);
    if !messages.is_empty() {
        errors.push(FieldError::invalid(path, key, messages.join("; ")));
    }
}

/// As Go's `ErrorList.ToAggregate` prints: one error plain, several in brackets, equal ones once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

type Item<'a> = (Token, &'a str);

fn scan(text: &str) -> Vec<Item<'_>> {
    let special = |b: u8| matches!(b, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<');
    let blank = |b: u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let bytes = text.as_bytes();
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        if blank(b) {
            at += 1;
        } else if b == 0 {
            // Upstream's scanner takes NUL for the end of the text.
            break;
        } else if special(b) {
            let two = bytes.get(at + 1) == Some(&b'=');
            let (token, length) = match b {
                b'=' if two => (Token::DoubleEquals, 2),
                b'!' if two => (Token::NotEquals, 2),
                b'=' => (Token::Equals, 1),
                b'!' => (Token::Not, 1),
                b'(' => (Token::Open, 1),
                b')' => (Token::Close, 1),
                b',' => (Token::Comma, 1),
                b'>' => (Token::Greater, 1),
                _ => (Token::Less, 1),
            };
            items.push((token, &text[at..at + length]));
            at += length;
        } else {
            let length = bytes[at..].iter().take_while(|b| !special(**b) && !blank(**b) && **b != 0).count();
            let word = &text[at..at + length];
            let token = match word {
                "in" => Token::In,
                "notin" => Token::NotIn,
                _ => Token::Identifier,
            };
            items.push((token, word));
            at += length;
        }
    }
    items.push((Token::End, ""));
    items
}

struct Parser<'a> {
    items: Vec<Item<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token; `in` and `notin` are words like others here.
    fn peek(&self) -> Item<'a> {
        let (token, word) = self.items.get(self.position).copied().unwrap_or((Token::End, ""));
        (if matches!(token, Token::In | Token::NotIn) { Token::Identifier } else { token }, word)
    }

    fn next(&mut self) -> Item<'a> {
        let item = self.peek();
        self.position += 1;
        item
    }

    fn next_operator(&mut self) -> Item<'a> {
        let item = self.items.get(self.position).copied().unwrap_or((Token::End, ""));
        self.position += 1;
        item
    }

    fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                (Token::Identifier | Token::Not, _) => {
                    let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    out.push(requirement);
                    match self.next() {
                        (Token::End, _) => return Ok(out),
                        (Token::Comma, _) => {
                            let (token, word) = self.peek();
                            if !matches!(token, Token::Identifier | Token::Not) {
                                return Err(format!("found '{word}', expected: identifier after ','"));
                            }
                        }
                        (_, word) => return Err(format!("found '{word}', expected: ',' or 'end of string'")),
                    }
                }
                (Token::End, _) => return Ok(out),
                (_, word) => return Err(format!("found '{word}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let messages = names::qualified_name(key);
        if !messages.is_empty() {
            // Upstream checks the key here without a path, which prints so.
            return Err(format!("<nil>: Invalid value: {}: {}", go_quote(key), messages.join("; ")));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let (operator, exact) = match self.next_operator() {
            (Token::In, _) => (Operator::In, false),
            (Token::NotIn, _) => (Operator::NotIn, false),
            (Token::Equals, _) => (Operator::Equals, true),
            (Token::DoubleEquals, _) => (Operator::DoubleEquals, true),
            (Token::NotEquals, _) => (Operator::NotEquals, true),
            (Token::Greater, _) => (Operator::GreaterThan, true),
            (Token::Less, _) => (Operator::LessThan, true),
            (_, word) => return Err(format!("found '{word}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let mut values = if exact { vec![self.exact_value()?] } else { self.values()? };
        values.sort_unstable();
        values.dedup();
        Requirement::new(key, operator, values)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Token::Identifier, word) => Ok(word.to_owned()),
            (_, word) => Err(format!("found '{word}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let (token, word) = self.next();
        if token != Token::Open {
            return Err(format!("found '{word}' expected: '('"));
        }
        match self.peek() {
            (Token::Identifier | Token::Comma, _) => {
                let values = self.value_list()?;
                self.position += 1;
                Ok(values)
            }
            (Token::Close, _) => {
                self.position += 1;
                Ok(vec![String::new()])
            }
            (_, word) => Err(format!("found '{word}', expected: ',', ')' or identifier")),
        }
    }

    /// The values up to the closing parenthesis, which stays.
    fn value_list(&mut self) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        loop {
            match self.next() {
                (Token::Identifier, word) => {
                    out.push(word.to_owned());
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(out),
                        (_, word) => return Err(format!("found '{word}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if out.is_empty() {
                        out.push(String::new());
                    }
                    match self.peek().0 {
                        Token::Close => {
                            out.push(String::new());
                            return Ok(out);
                        }
                        Token::Comma => out.push(String::new()),
                        _ => {}
                    }
                }
                (_, word) => return Err(format!("found '{word}', expected: ',', or identifier")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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
        for (text, printed) in [
            ("", ""),
            ("x=a,y=b,z=c", "x=a,y=b,z=c"),
            ("z=c , x == a", "x==a,z=c"),
            ("x!=a", "x!=a"),
            ("x in (b,a,b)", "x in (a,b)"),
            ("x notin (a),y", "x notin (a),y"),
            ("!x", "!x"),
            ("x in ()", "x in ()"),
            ("x in (,a)", "x in (,a)"),
            ("x=", "x="),
            ("x=,y", "x=,y"),
            ("in in (in,notin)", "in in (in,notin)"),
            ("x>1,y<2", "x>1,y<2"),
        ] {
            check_parse(text, printed);
        }
    }

    #[test]
    fn errors_read_as_upstreams() {
        for (text, error) in [
            (
                "x=a||y=b",
                "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be an \
              empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
              alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
              '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ),
            ("x,", "found '', expected: identifier after ','"),
            ("x a", "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt"),
            ("!x=a", "found '=', expected: ',' or 'end of string'"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("x in a", "unable to parse requirement: found 'a' expected: '('"),
            ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            (
                "x>a",
                "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value \
              must be an integer",
            ),
            ("!", "unable to parse requirement: found '', expected: identifier"),
        ] {
            check_parse(text, error);
        }
        assert!(
            Selector::parse("-x=a")
                .unwrap_err()
                .starts_with("unable to parse requirement: <nil>: Invalid value: \"-x\": name part must")
        );
    }

    #[test]
    fn matching_follows_the_operators() {
        let labels = [("a", "1"), ("b", "x")];
        let matches = |text: &str| Selector::parse(text).unwrap().matches(&labels[..]);
        for yes in ["", "a", "a=1", "a in (1,2)", "c!=1", "c notin (1)", "!c", "a>0", "a<2,b=x"] {
            assert!(matches(yes), "{yes}");
        }
        for no in ["c", "a=2", "a!=1", "a notin (1)", "!a", "a>1", "b>1", "a=1,b=y"] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn label_selectors_of_objects_select() {
        let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]});
        let selector = Selector::from_label_selector(Some(&selector)).unwrap();
        assert_eq!(selector.to_string(), "a=1,b");
        assert!(Selector::from_label_selector(None).unwrap().is_nothing());
        assert!(Selector::from_label_selector(Some(&json!({}))).unwrap().is_empty());
        let bad = json!({"matchExpressions": [{"key": "b", "operator": "No"}]});
        assert_eq!(
            Selector::from_label_selector(Some(&bad)).unwrap_err(),
            "\"No\" is not a valid label selector operator"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-c=!(),<> \u{0}in]{0,24}|.{0,20}") {
            if let Ok(selector) = Selector::parse(&text) {
                let printed = selector.to_string();
                prop_assert_eq!(Selector::parse(&printed).map(|s| s.to_string()), Ok(printed));
            }
        }
    }
}
