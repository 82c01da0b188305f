//! Writes YAML as go-yaml v2's emitter does for trees of JSON: block style, lines of some eighty columns.

use serde_json::{Map, Number, Value};

use super::resolve::is_text;

/// Lines are broken at the first space beyond this column.
const WIDTH: usize = 80;
const INDENT: usize = 2;
/// From this exponent on Go's `%g` without a precision prints one.
const G_EXPONENT_MAX: i32 = 6;
/// Longer keys are written behind `? `.
const SIMPLE_KEY_BYTES_MAX: usize = 128;

/// The YAML text of a tree, ending with a newline.
pub fn encode(value: &Value) -> String {
    let mut writer = Writer { out: String::new(), column: 0 };
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(map, 0, Start::Here),
        Value::Array(items) if !items.is_empty() => writer.sequence(items, 0, Start::Here),
        other => writer.scalar(other, INDENT),
    }
    writer.out.push('\n');
    writer.out
}

/// Whether the first entry of a block stands on the line that is open, or on a new one.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Here,
    NewLine,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, start: Start) {
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort_by(|a, b| natural_order(a, b));
        for (index, key) in keys.into_iter().enumerate() {
            if index > 0 || start == Start::NewLine {
                self.new_line(indent);
            }
            let style = self.style(key, true);
            if key.len() <= SIMPLE_KEY_BYTES_MAX && !key.contains(is_break) {
                self.text(key, style, usize::MAX);
                self.put(":");
                self.value(&map[key.as_str()], indent);
            } else {
                self.put("? ");
                self.text(key, self.style(key, false), indent + INDENT);
                self.new_line(indent);
                self.put(": ");
                self.node(&map[key.as_str()], indent + INDENT);
            }
        }
    }

    /// What stands after a key and its colon.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, indent + INDENT, Start::NewLine),
            // A list in a mapping is not indented.
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent, Start::NewLine),
            other => {
                self.put(" ");
                self.scalar(other, indent + INDENT);
            }
        }
    }

    fn sequence(&mut self, items: &[Value], indent: usize, start: Start) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || start == Start::NewLine {
                self.new_line(indent);
            }
            self.put("- ");
            self.node(item, indent + INDENT);
        }
    }

    /// A value that begins on the line that is open.
    fn node(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, indent, Start::Here),
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent, Start::Here),
            other => self.scalar(other, indent),
        }
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.put("null"),
            Value::Bool(on) => self.put(if *on { "true" } else { "false" }),
            Value::Number(number) => self.put(&print_number(number)),
            Value::String(text) => self.text(text, self.style(text, false), indent),
            Value::Array(_) => self.put("[]"),
            Value::Object(_) => self.put("{}"),
        }
    }

    fn style(&self, text: &str, key: bool) -> Style {
        let seen = Seen::of(text);
        let wished = if text.contains('\n') {
            Style::Literal
        } else if is_text(text) {
            Style::Plain
        } else {
            Style::Double
        };
        match wished {
            Style::Plain if seen.plain => Style::Plain,
            Style::Plain | Style::Single if seen.single => Style::Single,
            Style::Literal if seen.literal && !key => Style::Literal,
            Style::Plain | Style::Single | Style::Double | Style::Literal => Style::Double,
        }
    }

    /// Writes a text; `indent` is that of lines that continue it, `usize::MAX` when it must not be broken.
    fn text(&mut self, text: &str, style: Style, indent: usize) {
        match style {
            Style::Plain => self.folded(text, indent, Style::Plain),
            Style::Single => {
                self.put("'");
                self.folded(text, indent, Style::Single);
                self.put("'");
            }
            Style::Double => self.double_quoted(text, indent),
            Style::Literal => self.literal(text, indent),
        }
    }

    fn folded(&mut self, text: &str, indent: usize, style: Style) {
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next_is_space = chars.peek().is_some_and(|(_, n)| *n == ' ');
            let inside = style == Style::Plain || (at > 0 && chars.peek().is_some());
            if c == ' ' {
                if indent != usize::MAX && !spaces && self.column > WIDTH && inside && !next_is_space {
                    self.new_line(indent);
                } else {
                    self.push(c);
                }
                spaces = true;
            } else {
                if c == '\'' && style == Style::Single {
                    self.push('\'');
                }
                self.push(c);
                spaces = false;
            }
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize) {
        self.put("\"");
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let inside = at > 0 && chars.peek().is_some();
            if c == ' ' {
                if indent != usize::MAX && !spaces && self.column > WIDTH && inside {
                    self.new_line(indent);
                    if chars.peek().is_some_and(|(_, n)| *n == ' ') {
                        self.push('\\');
                    }
                } else {
                    self.push(c);
                }
                spaces = true;
                continue;
            }
            spaces = false;
            if is_printable(c) && !is_break(c) && !matches!(c, '"' | '\\' | '\u{feff}') {
                self.push(c);
            } else {
                self.put(&escaped(c));
            }
        }
        self.put("\"");
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        let body = text.trim_end_matches('\n');
        if !text.ends_with('\n') {
            self.put("-");
        } else if body.is_empty() || text.len() - body.len() > 1 {
            self.put("+");
        }
        for line in body.split('\n') {
            if line.is_empty() {
                self.out.push('\n');
                self.column = 0;
            } else {
                self.new_line(indent);
                self.put(line);
            }
        }
        // The newline after the last line is written by what follows; those beyond it are content.
        let extra = (text.len() - body.len()).saturating_sub(1);
        self.out.extend(std::iter::repeat_n('\n', extra));
    }

    fn new_line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn push(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }
}

/// Which styles a text may have, by the characters in it.
struct Seen {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Seen {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: true, single: true, literal: false };
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let special = text.chars().any(|c| !is_printable(c));
        let (mut space_then_break, mut break_then_space, mut previous) = (false, false, 'x');
        for c in text.chars() {
            space_then_break |= previous == ' ' && is_break(c);
            break_then_space |= is_break(previous) && c == ' ';
            previous = c;
        }
        let breaks = text.contains(is_break);
        let outer = edge(text.chars().next()) || edge(text.chars().next_back());
        let plain = !(outer || breaks || special || has_indicators(text));
        Self {
            plain,
            single: !(special || space_then_break || break_then_space),
            literal: !(special || space_then_break || text.ends_with(' ')),
        }
    }
}

/// Characters that mean something where they stand in block context.
fn has_indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut preceded_by_blank = true;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let followed_by_blank = chars.peek().is_none_or(|(_, n)| matches!(n, ' ' | '\t'));
        let first = at == 0;
        let indicator = match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                true
            }
            '?' | '-' if first => followed_by_blank,
            ':' => followed_by_blank,
            '#' => preceded_by_blank,
            _ => false,
        };
        if indicator {
            return true;
        }
        preceded_by_blank = c == ' ' || c == '\t' || is_break(c);
    }
    false
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// go-yaml's notion: no tab, and nothing beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn escaped(c: char) -> String {
    let code = u32::from(c);
    match c {
        '\0' => "\\0".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\u{1b}' => "\\e".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        '\u{a0}' => "\\_".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        _ if code <= 0xff => format!("\\x{code:02X}"),
        _ if code <= 0xffff => format!("\\u{code:04X}"),
        _ => format!("\\U{code:08X}"),
    }
}

/// Integers plain, floats as Go's `%g` prints them.
fn print_number(number: &Number) -> String {
    if let Some(integer) = number.as_i64() {
        return integer.to_string();
    }
    if let Some(integer) = number.as_u64() {
        return integer.to_string();
    }
    let float = number.as_f64().unwrap_or_default();
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..G_EXPONENT_MAX).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    format!("{float}")
}

/// go-yaml's order of keys: letters after other characters, runs of digits by their number.
fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero is part of the number before it.
    let continues =
        (x == '0' || y == '0') && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let start = i128::from(continues);
    let run = |text: &[char]| {
        let digits = text[at..].iter().take_while(|c| c.is_ascii_digit());
        let (mut number, mut length) = (start, 0usize);
        for digit in digits {
            number = number.saturating_mul(10).saturating_add(i128::from(u32::from(*digit) - u32::from('0')));
            length += 1;
        }
        (number, length)
    };
    run(&a).cmp(&run(&b)).then(x.cmp(&y))
}
