//! The lines of the generated files: the number of leading tabs says what a line belongs to.

use super::Malformed;

/// One line that says something.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) depth: usize,
    pub(super) text: &'static str,
}

/// The lines of a file without its comments.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = Line> {
    let all = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#') && !line.is_empty());
    all.map(|(number, line)| {
        let text = line.trim_start_matches('\t');
        Line { number, depth: line.len() - text.len(), text }
    })
}

impl Line {
    /// An error about this line.
    pub(super) fn malformed(self, what: impl Into<String>) -> Malformed {
        Malformed { line: self.number, what: what.into() }
    }

    /// The words, exactly this many.
    pub(super) fn words<const N: usize>(self) -> Result<[&'static str; N], Malformed> {
        let words: Vec<_> = self.text.split(' ').collect();
        words.try_into().map_err(|_| self.malformed(format!("{N} words expected: {}", self.text)))
    }

    /// A whole number.
    pub(super) fn number<T: std::str::FromStr>(self, word: &str) -> Result<T, Malformed> {
        word.parse().map_err(|_| self.malformed(format!("no number: {word}")))
    }
}
