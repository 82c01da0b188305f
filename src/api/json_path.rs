//! JSONPath as far as printed columns and selectable fields use it (client-go `util/jsonpath`): fields, indexes,
//! wildcards and filters over a field. Missing keys give nothing.

use serde_json::Value;

/// A path that was read once.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Vec<Step>,
    /// Absent: the left side must be there.
    right: Option<(Comparison, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`; `None` when it is not understood.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self { steps: parse(text)? })
    }

    /// All values that the path leads to.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        follow(&self.steps, root)
    }
}

fn parse(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text.trim().strip_prefix('$').unwrap_or(text.trim());
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner)?;
            steps.push(bracket(inner[..end].trim())?);
            rest = &inner[end + 1..];
            continue;
        }
        let name = rest.strip_prefix('.').or_else(|| steps.is_empty().then_some(rest))?;
        let (field, after) = field(name);
        match field.as_str() {
            "" if after.is_empty() || after.starts_with('[') => {}
            "" => return None,
            "*" => steps.push(Step::All),
            _ => steps.push(Step::Field(field)),
        }
        rest = after;
    }
    Some(steps)
}

/// A name up to the next step; a backslash takes the special meaning from what follows.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[at..]),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket ends that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return Some(Step::Filter(parse_filter(filter)?));
    }
    if let Some(Value::String(name)) = literal(inner) {
        return Some(Step::Field(name));
    }
    inner.parse().ok().map(Step::Index)
}

fn parse_filter(text: &str) -> Option<Filter> {
    const OPERATORS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let found = OPERATORS.iter().filter_map(|(sign, of)| Some((text.find(sign)?, *sign, *of))).min_by_key(|f| f.0);
    let (left, right) = match found {
        Some((at, sign, of)) => (&text[..at], Some((of, literal(text[at + sign.len()..].trim())?))),
        None => (text, None),
    };
    Some(Filter { left: parse(left.trim().strip_prefix('@')?)?, right })
}

fn literal(text: &str) -> Option<Value> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some(Value::String(inner.replace('\\', "")));
        }
    }
    serde_json::from_str(text).ok().filter(|value: &Value| !value.is_string() && !value.is_object())
}

fn follow<'a>(steps: &[Step], root: &'a Value) -> Vec<&'a Value> {
    let mut at = vec![root];
    for step in steps {
        at = at.into_iter().flat_map(|value| step.from(value)).collect();
    }
    at
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(entries)) => entries.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => {
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let at = if *index < 0 { length + index } else { *index };
                usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(entries)) => entries.values().collect(),
            (Self::Filter(filter), Value::Array(items)) => items.iter().filter(|item| filter.takes(item)).collect(),
            _ => Vec::new(),
        }
    }
}

impl Filter {
    fn takes(&self, item: &Value) -> bool {
        let left = follow(&self.left, item);
        let Some(left) = left.first() else { return false };
        let Some((comparison, right)) = &self.right else { return true };
        let order = match (*left, right) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.as_str().cmp(b.as_str())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        };
        match comparison {
            Comparison::Equal => order.is_some_and(|o| o.is_eq()),
            Comparison::NotEqual => order.is_some_and(|o| o.is_ne()),
            Comparison::Less => order.is_some_and(|o| o.is_lt()),
            Comparison::LessOrEqual => order.is_some_and(|o| o.is_le()),
            Comparison::Greater => order.is_some_and(|o| o.is_gt()),
            Comparison::GreaterOrEqual => order.is_some_and(|o| o.is_ge()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &[Value]) {
        let root = json!({"a": {"b.c": 1, "list": [{"k": "x", "v": 1}, {"k": "y", "v": 2}]}});
        let found: Vec<Value> = JsonPath::parse(path).unwrap().find(&root).into_iter().cloned().collect();
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_lead_where_upstreams_lead() {
        check(".a.list[0].v", &[json!(1)]);
        check(".a.list[-1].v", &[json!(2)]);
        check(".a.list[*].k", &[json!("x"), json!("y")]);
        check(r#".a.list[?(@.k=="y")].v"#, &[json!(2)]);
        check(".a.list[?(@.v>1)].k", &[json!("y")]);
        check(".a['b.c']", &[json!(1)]);
        check(r".a.b\.c", &[json!(1)]);
        check(".a.none.x", &[]);
        assert_eq!(JsonPath::parse(".a[?(x"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_followed_or_refused(path in r#"[.a-c\[\]?@()'"=!<>*:,0-9{} \\-]{0,30}|.{0,20}"#) {
            let root = json!({"a": {"b": [1, {"c": "x"}], "c": null}, "b": [[1, 2], []]});
            if let Some(path) = JsonPath::parse(&path) {
                let _ = path.find(&root);
            }
        }
    }
}
