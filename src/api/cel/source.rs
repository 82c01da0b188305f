//! The text of an expression, places in it, and what is found wrong with it, shown as upstream shows it.

use std::fmt;

/// How many issues are kept of one expression.
pub(super) const ISSUES_MAX: usize = 100;
/// The longest line that is shown under a message, in bytes.
const SNIPPET_BYTES_MAX: usize = 16_384;

/// A place in the text: the byte offset, or nowhere.
pub(super) type Place = Option<u32>;

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The line, from 1; -1 when the issue has no place.
    pub line: i64,
    /// The column in characters, from 0; shown from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line of the expression.
    snippet: Option<String>,
    /// The expression has no text at all, and so no first column.
    empty: bool,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = if self.line < 0 || self.empty { 0 } else { self.column + 1 };
        write!(f, "ERROR: <input>:{}:{column}: {}", self.line, self.message)?;
        let Some(snippet) = &self.snippet else { return Ok(()) };
        write!(f, "\n | {snippet}\n | ")?;
        let mut rest = snippet.chars();
        for _ in 0..self.column {
            match rest.next() {
                Some(c) if c.len_utf8() > 1 => f.write_str("\u{ff0e}")?,
                Some(_) => f.write_str(".")?,
                None => break,
            }
        }
        f.write_str(if rest.next().is_some_and(|c| c.len_utf8() > 1) { "\u{ff3e}" } else { "^" })
    }
}

/// All that is wrong with an expression, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    /// At most 100 of them.
    pub found: Vec<Issue>,
    more: usize,
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, issue) in self.found.iter().enumerate() {
            write!(f, "{}{issue}", if at == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 {
            write!(f, "\n{} more errors were truncated", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}

/// Collects what is wrong with one text.
pub(super) struct Reporter<'s> {
    text: &'s str,
    syntax_errors: usize,
    found: Vec<Issue>,
    more: usize,
}

impl<'s> Reporter<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        Self { text, syntax_errors: 0, found: Vec::new(), more: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Reports a syntax error; `Err` when there were so many that parsing ends.
    pub(super) fn syntax(&mut self, place: u32, message: &str) -> Result<(), ()> {
        self.syntax_errors += 1;
        if self.syntax_errors > ISSUES_MAX {
            self.report(Some(place), format!("Syntax error: More than {ISSUES_MAX} syntax errors"));
            return Err(());
        }
        self.report(Some(place), format!("Syntax error: {message}"));
        Ok(())
    }

    pub(super) fn report(&mut self, place: Place, message: impl Into<String>) {
        if self.found.len() >= ISSUES_MAX {
            self.more += 1;
            return;
        }
        let message = message.into();
        let Some(at) = place else {
            self.found.push(Issue { line: -1, column: 0, message, snippet: None, empty: false });
            return;
        };
        let before = &self.text[..(at as usize).min(self.text.len())];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].split('\n').next().unwrap_or("");
        let snippet = (!self.text.is_empty() && line.len() <= SNIPPET_BYTES_MAX).then(|| line.replace('\t', " "));
        self.found.push(Issue {
            line: i64::try_from(before.matches('\n').count()).unwrap_or(i64::MAX) + 1,
            column: before[start..].chars().count(),
            message,
            snippet,
            empty: self.text.is_empty(),
        });
    }

    /// The issues, sorted by place; `None` when there are none.
    pub(super) fn finish(mut self) -> Option<Issues> {
        if self.found.is_empty() {
            return None;
        }
        self.found.sort_by_key(|issue| (issue.line, issue.column));
        Some(Issues { found: self.found, more: self.more })
    }
}
