//! The difference of two values as upstream prints it in errors (apimachinery `pkg/util/diff` of v1.37): a unified diff
//! of their internal forms as JSON, with three lines of context. Which lines count as equal is decided as Python's
//! `difflib` does, whose Go port upstream uses: the longest block first, and lines that are frequent start none.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;

use super::go_print::Printer;
use crate::api::emptied::Emptied;
use crate::api::field::{Difference, Path};
use crate::api::schema::Shape;

const CONTEXT: usize = 3;
/// In a text of at least so many lines a line is frequent that is more than a hundredth of it.
const FREQUENT_FROM: usize = 200;

/// What turns the first value of a type, as it is stored, into the second, as a client sent it.
pub(super) fn unified(between: &Difference, printer: &Printer<'_>, at: &Path<'_>) -> String {
    let nothing = Emptied::default();
    let stored = Printer { table: printer.table, emptied: &nothing };
    let text = |value: &Value, printer: &Printer<'_>| {
        let (found, outer) = (printer.table.find(between.of), between.of.strip_suffix("/embedded"));
        indented(&match (found, outer) {
            (Some(id), _) => printer.print(value, &Shape::Struct(id), at),
            (None, Some(outer)) => printer.print_embedded(value, outer, at),
            (None, None) => value.to_string(),
        })
    };
    unified_texts(&text(&between.from, &stored), &text(&between.to, printer))
}

/// JSON on many lines, each level one blank further in, as `json.MarshalIndent` lays it out.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0, false, false);
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&" ".repeat(depth));
    };
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if quoted {
            out.push(letter);
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            continue;
        }
        match letter {
            '{' | '[' => {
                out.push(letter);
                if letters.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    out.extend(letters.next());
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                newline(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(',');
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = letter == '"';
                out.push(letter);
            }
        }
    }
    out
}

fn unified_texts(from: &str, to: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (from.split('\n').collect(), to.split('\n').collect());
    let mut out = String::new();
    for hunk in hunks(&steps(&a, &b)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let (old, new) = (first.a.start..last.a.end, first.b.start..last.b.end);
        out.push_str(&format!("@@ -{} +{} @@\n", range(&old), range(&new)));
        for step in &hunk {
            if step.equal {
                lines(&mut out, ' ', &a[step.a.clone()]);
            } else {
                lines(&mut out, '-', &a[step.a.clone()]);
                lines(&mut out, '+', &b[step.b.clone()]);
            }
        }
    }
    out
}

fn lines(out: &mut String, sign: char, lines: &[&str]) {
    lines.iter().for_each(|line| out.push_str(&format!("{sign}{line}\n")));
}

fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        count => format!("{},{count}", lines.start + 1),
    }
}

/// A part of both texts, equal or replaced.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    equal: bool,
    a: Range<usize>,
    b: Range<usize>,
}

/// A block of equal lines.
#[derive(Clone, Copy)]
struct Block {
    a: usize,
    b: usize,
    size: usize,
}

fn steps(a: &[&str], b: &[&str]) -> Vec<Step> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(place);
    }
    if b.len() >= FREQUENT_FROM {
        let most = b.len() / 100 + 1;
        places.retain(|_, found| found.len() <= most);
    }
    let mut blocks = Vec::new();
    let mut left = vec![(0..a.len(), 0..b.len())];
    while let Some((of_a, of_b)) = left.pop() {
        let block = longest((a, b), &places, (&of_a, &of_b));
        if block.size > 0 {
            left.push((of_a.start..block.a, of_b.start..block.b));
            left.push((block.a + block.size..of_a.end, block.b + block.size..of_b.end));
            blocks.push(block);
        }
    }
    blocks.sort_by_key(|block| block.a);
    blocks.push(Block { a: a.len(), b: b.len(), size: 0 });
    let mut steps: Vec<Step> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for block in blocks {
        if i < block.a || j < block.b {
            steps.push(Step { equal: false, a: i..block.a, b: j..block.b });
        }
        (i, j) = (block.a + block.size, block.b + block.size);
        match steps.last_mut().filter(|step| step.equal && step.a.end == block.a && step.b.end == block.b) {
            Some(step) => (step.a.end, step.b.end) = (i, j),
            None if block.size > 0 => steps.push(Step { equal: true, a: block.a..i, b: block.b..j }),
            None => {}
        }
    }
    steps
}

/// The longest block of equal lines within ranges, the first of several.
fn longest(
    (a, b): (&[&str], &[&str]),
    places: &HashMap<&str, Vec<usize>>,
    (of_a, of_b): (&Range<usize>, &Range<usize>),
) -> Block {
    let mut best = Block { a: of_a.start, b: of_b.start, size: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for i in of_a.clone() {
        let mut next = HashMap::new();
        for j in places.get(a[i]).into_iter().flatten().copied().filter(|j| of_b.contains(j)) {
            let size = j.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or(0) + 1;
            next.insert(j, size);
            if size > best.size {
                best = Block { a: i + 1 - size, b: j + 1 - size, size };
            }
        }
        lengths = next;
    }
    while best.a > of_a.start && best.b > of_b.start && a[best.a - 1] == b[best.b - 1] {
        best = Block { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
    }
    while best.a + best.size < of_a.end
        && best.b + best.size < of_b.end
        && a[best.a + best.size] == b[best.b + best.size]
    {
        best.size += 1;
    }
    best
}

/// Changes with their context, those that are near each other in one hunk.
fn hunks(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut hunks = Vec::new();
    let mut hunk: Vec<Step> = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let mut step = step.clone();
        if !step.equal {
            hunk.push(step);
            continue;
        }
        if place == 0 {
            step = tail(&step);
        } else if place + 1 == steps.len() {
            step = head(&step);
        } else if step.a.len() > 2 * CONTEXT {
            hunk.push(head(&step));
            hunks.push(std::mem::take(&mut hunk));
            step = tail(&step);
        }
        hunk.push(step);
    }
    if hunk.iter().any(|step| !step.equal) {
        hunks.push(hunk);
    }
    hunks
}

fn head(step: &Step) -> Step {
    let size = step.a.len().min(CONTEXT);
    Step { equal: true, a: step.a.start..step.a.start + size, b: step.b.start..step.b.start + size }
}

fn tail(step: &Step) -> Step {
    let size = step.a.len().min(CONTEXT);
    Step { equal: true, a: step.a.end - size..step.a.end, b: step.b.end - size..step.b.end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stand_in_their_context() {
        let from = indented(r#"{"a":1,"b":[],"c":[1,2],"d":"x,{","e":5,"f":6,"g":7}"#);
        let to = indented(r#"{"a":1,"b":[],"c":[1,3],"d":"x,{","e":5,"f":6,"g":8}"#);
        let expected = "@@ -3,10 +3,10 @@\n  \"b\": [],\n  \"c\": [\n   1,\n-  2\n+  3\n  ],\n  \"d\": \"x,{\",\n  \
                        \"e\": 5,\n  \"f\": 6,\n- \"g\": 7\n+ \"g\": 8\n }\n";
        assert_eq!(unified_texts(&from, &to), expected);
    }

    #[test]
    fn equal_texts_differ_in_nothing() {
        assert_eq!(unified_texts("a\nb", "a\nb"), "");
    }
}
