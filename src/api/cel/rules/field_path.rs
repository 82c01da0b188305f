//! The `fieldPath` of a rule: a path of fields and map keys below the rule's node.

use super::super::schema::Schema;

/// The path as field errors print it, when it leads to a place that the schema has.
pub(super) fn normalized(path: &str, schema: &Schema) -> Option<String> {
    let mut at = schema;
    let mut out = String::new();
    let mut tokens = Tokens { rest: path };
    while let Some(token) = tokens.next() {
        let name = match token {
            "[" => {
                let quoted = tokens.next()?;
                let inner = quoted.strip_prefix('\'')?.strip_suffix('\'').filter(|_| quoted.len() >= 2)?;
                let name = unescaped(inner)?;
                (tokens.next()? == "]").then_some(name)?
            }
            "." => tokens.next()?.to_owned(),
            _ => return None,
        };
        if let Some(properties) = &at.properties {
            at = properties.get(&name)?;
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&name);
        } else {
            at = at.additional.as_deref()?;
            out.push_str(&format!("[{name}]"));
        }
    }
    Some(out)
}

struct Tokens<'p> {
    rest: &'p str,
}

impl<'p> Tokens<'p> {
    fn next(&mut self) -> Option<&'p str> {
        let length = match self.rest.bytes().next()? {
            b'.' | b'[' | b']' => 1,
            b'\'' => {
                let bytes = self.rest.as_bytes();
                let end = (1..bytes.len()).find(|at| bytes[*at] == b'\'' && bytes[at - 1] != b'\\');
                end.map_or(bytes.len(), |end| end + 1)
            }
            _ => self.rest.find(['.', '[', ']']).unwrap_or(self.rest.len()),
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(token)
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\'' => '\'',
            '\\' => '\\',
            _ => return None,
        });
    }
    Some(out)
}
