//! Reads `columns.txt`: what a printed row of each kind shows.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::api::schema::Str;
use crate::resources::Column;

use super::Malformed;
use super::line::{Line, lines};

/// Columns by group and kind.
pub(super) type Columns = HashMap<(&'static str, &'static str), Vec<Column>>;

pub(super) fn parse(text: &'static str) -> Result<Columns, Malformed> {
    let mut shared = HashMap::new();
    let mut columns = Columns::new();
    let mut of = None;
    for line in lines(text) {
        if line.depth > 0 {
            let of = of.ok_or_else(|| line.malformed("a column of nothing"))?;
            columns.entry(of).or_default().push(parse_column(line, &shared)?);
        } else if let Some((label, description)) = line.text.split_once('\t') {
            shared.insert(label, text_of(description));
        } else {
            of = Some(line.text.split_once('/').ok_or_else(|| line.malformed("no group and kind"))?);
        }
    }
    Ok(columns)
}

fn parse_column(line: Line, shared: &HashMap<&str, Str>) -> Result<Column, Malformed> {
    let words: Vec<_> = line.text.split('\t').collect();
    let &[name, kind, format, priority, description] = words.as_slice() else {
        return Err(line.malformed("a column has five parts"));
    };
    let description = if description.starts_with('@') {
        shared.get(description).cloned().ok_or_else(|| line.malformed(format!("nothing is called {description}")))?
    } else {
        text_of(description)
    };
    Ok(Column {
        name: Cow::Borrowed(name),
        kind: Cow::Borrowed(kind),
        format: Cow::Borrowed(if format == "-" { "" } else { format }),
        description,
        priority: line.number(priority)?,
    })
}

/// Takes the escapes for new line, tab and backslash back.
fn text_of(escaped: &'static str) -> Str {
    if !escaped.contains('\\') {
        return Cow::Borrowed(escaped);
    }
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped.chars();
    while let Some(next) = rest.next() {
        text.push(match next {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    #[test]
    fn a_pod_has_the_columns_of_kubectl_get() {
        let facts = Facts::load();
        let pod = facts.kind("", "v1", "pods").unwrap();
        let shown: Vec<_> = pod.columns.iter().filter(|c| c.priority == 0).map(|c| &*c.name).collect();
        assert_eq!(shown, ["Name", "Ready", "Status", "Restarts", "Age"]);
        assert_eq!((&*pod.columns[0].format, &*pod.columns[0].kind), ("name", "string"));
        assert!(pod.columns[0].description.starts_with("Name must be unique within a namespace."));
    }

    #[test]
    fn escapes_are_taken_back() {
        assert_eq!(text_of(r"a\nb\tc\\d"), "a\nb\tc\\d");
    }

    #[test]
    fn all_versions_of_a_kind_have_the_same_columns() {
        let facts = Facts::load();
        let count = |version| facts.kind("autoscaling", version, "horizontalpodautoscalers").unwrap().columns.len();
        assert!(count("v1") > 2);
        assert_eq!(count("v1"), count("v2"));
    }
}
