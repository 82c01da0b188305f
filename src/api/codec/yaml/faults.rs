//! What go-yaml says of a text that is no YAML, from what our own parser says of it: the words are its own, and of the
//! line its scanner tells the number, its parser the one before, and both nothing of the first.

use serde_saphyr::Error;

/// Which part of go-yaml finds a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Scanner,
    Parser,
}

/// The message for an error of a text.
pub(super) fn message(text: &str, error: &Error) -> String {
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default();
    let words = said.split(" at line ").next().unwrap_or(said);
    let line = error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1)).max(1);
    match error {
        Error::NonFiniteFloat { .. } => return format!("json: unsupported value: {}", go_float(words)),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            return "yaml: document contains excessive aliasing".to_owned();
        }
        _ if words.starts_with("budget breached") => return "yaml: document contains excessive aliasing".to_owned(),
        _ if words.ends_with("unknown anchor") => {
            return format!("yaml: unknown anchor '{}' referenced", alias_at(text, error));
        }
        _ => {}
    }
    let (problem, by, line) = problem(text, words, line);
    let told = match by {
        By::Scanner => line,
        By::Parser => line - 1,
    };
    if line > 1 { format!("yaml: line {told}: {problem}") } else { format!("yaml: {problem}") }
}

/// The words of go-yaml, which part of it says them, and the line that it means.
fn problem(text: &str, words: &str, line: usize) -> (String, By, usize) {
    const NO_TOKEN: &str = "found character that cannot start any token";
    const END: &str = "found unexpected end of stream";
    let scanned = |problem: &str, line| (problem.to_owned(), By::Scanner, line);
    let parsed = |problem: &str, line| (problem.to_owned(), By::Parser, line);
    let last = text.matches('\n').count() + 1;
    let quoted = words.split('\'').nth(1).unwrap_or_default();
    if words == "while scanning a plain scalar, found a tab" {
        return scanned("found a tab character that violates indentation", tab_after(text, line));
    }
    if words.starts_with("unexpected character") || words.starts_with("tab") {
        return scanned(NO_TOKEN, line);
    }
    if words.starts_with("mismatched bracket") || words.starts_with("unclosed bracket") {
        let wanted =
            if quoted == "{" { "did not find expected ',' or '}'" } else { "did not find expected ',' or ']'" };
        let at = if words.starts_with("unclosed") { last } else { mismatch_after(text, line) };
        return parsed(wanted, at);
    }
    if words.starts_with("unexpected EOF while parsing a flow mapping") {
        return parsed("did not find expected ',' or '}'", last);
    }
    if words.starts_with("unexpected EOF while parsing a flow sequence") {
        return parsed("did not find expected ',' or ']'", last);
    }
    match words {
        "unclosed quote" | "invalid indentation in multiline quoted scalar" | "unexpected eof" => scanned(END, last),
        "misplaced bracket" => parsed("did not find expected node content", line),
        "simple key expected ':'" | "simple key is no longer valid" => {
            scanned("could not find expected ':'", (line + 1).min(last))
        }
        "invalid indentation"
        | "invalid trailing content after double-quoted scalar"
        | "invalid trailing content after single-quoted scalar" => parsed("did not find expected key", line),
        "while parsing a flow sequence, expected ',' or ']'" => parsed("did not find expected ',' or ']'", line),
        _ => {
            // go-yaml keeps what it was doing to itself.
            let problem =
                words.strip_prefix("while ").and_then(|rest| rest.split_once(", ")).map_or(words, |(_, it)| it);
            let of_parser =
                ["expected key", "'-' indicator", "',' or '}'", "',' or ']'", "node content", "<document start>"];
            let by = if of_parser.iter().any(|end| problem.ends_with(end)) { By::Parser } else { By::Scanner };
            (problem.to_owned(), by, line)
        }
    }
}

/// The first line from one on that a tab indents.
fn tab_after(text: &str, line: usize) -> usize {
    let indents = |line: &str| line[..line.len() - line.trim_start().len()].contains('\t');
    let found = text.lines().enumerate().skip(line - 1).find(|(_, text)| indents(text));
    found.map_or(line, |(index, _)| index + 1)
}

/// The line of the first bracket, from the beginning of a line on, that closes another kind of bracket.
fn mismatch_after(text: &str, line: usize) -> usize {
    let mut open = Vec::new();
    let mut quote = None;
    for (index, text) in text.lines().enumerate().skip(line - 1) {
        for c in text.chars() {
            match (quote, c) {
                (Some(begun), c) if begun == c => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '[' | '{') => open.push(c),
                (None, ']' | '}') => {
                    let fits = open.pop() == Some(if c == ']' { '[' } else { '{' });
                    if !fits {
                        return index + 1;
                    }
                }
                (None, _) => {}
            }
        }
    }
    line
}

/// The name of the alias where an error is.
fn alias_at<'t>(text: &'t str, error: &Error) -> &'t str {
    let place = |number: u64| usize::try_from(number).unwrap_or(1).max(1) - 1;
    let (line, column) = error.location().map_or((0, 0), |at| (place(at.line()), place(at.column())));
    let line = text.lines().nth(line).unwrap_or_default();
    let from = line.char_indices().nth(column).map_or(line, |(at, _)| &line[at..]);
    let name = from.split_once('*').map_or(from, |(_, name)| name);
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(name.len());
    &name[..end]
}

/// As Go prints the number that YAML writes so.
fn go_float(words: &str) -> &'static str {
    let written = words.split('`').nth(1).unwrap_or_default();
    match written.strip_prefix('-') {
        Some(_) => "-Inf",
        None if written.to_ascii_lowercase().contains("nan") => "NaN",
        None => "+Inf",
    }
}

/// The line on which go-yaml says that the value of a key begins: its own, unless the value is a block below it.
pub(super) fn value_line(text: &str, key_line: u64) -> u64 {
    let at = usize::try_from(key_line).unwrap_or(1).max(1) - 1;
    let bare = |line: &str| line.split(" #").next().unwrap_or(line).trim_end().to_owned();
    let content = |line: &str| line.find(|c: char| c != ' ' && c != '-').unwrap_or(line.len());
    let Some(line) = text.lines().nth(at).map(bare).filter(|line| line.ends_with(':')) else { return key_line };
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let next = text.lines().enumerate().skip(at + 1).find(|(_, line)| !blank(line));
    let below = next.filter(|(_, next)| {
        let spaces = next.len() - next.trim_start_matches(' ').len();
        spaces > content(&line) || (spaces == content(&line) && next[spaces..].starts_with("- "))
    });
    below.map_or(key_line, |(index, _)| index as u64 + 1)
}
