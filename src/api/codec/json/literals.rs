//! Numbers as they were written, which a tree does not keep: for messages that quote them, and for those that no tree
//! can hold.

use std::ops::Range;

/// Stands in a tree for a number that is too large for one; no field takes it.
const HUGE: &str = "1.7976931348623157e308";

/// A message of the decoder with the number in it as the text has it (`1e2`, not `100`).
pub fn with_literal(message: &str, text: &[u8]) -> String {
    let Some((head, rest)) = message.split_once("cannot unmarshal number ") else { return message.to_owned() };
    let Some((shown, tail)) = rest.split_once(" into Go struct field ") else { return message.to_owned() };
    let path = tail.split(" of type ").next().and_then(|place| place.split_once('.')).map(|(_, path)| path);
    let (Some(path), Ok(value)) = (path, shown.parse::<f64>()) else { return message.to_owned() };
    let mut found = None;
    each_number(text, |at, keys| {
        let literal = std::str::from_utf8(&text[at]).unwrap_or_default();
        if found.is_none() && same(literal, value) && keys.join(".") == path {
            found = Some(literal.to_owned());
        }
    });
    match found {
        Some(literal) => format!("{head}cannot unmarshal number {literal} into Go struct field {tail}"),
        None => message.to_owned(),
    }
}

fn same(literal: &str, value: f64) -> bool {
    literal.parse::<f64>().is_ok_and(|float| float.clamp(f64::MIN, f64::MAX).total_cmp(&value).is_eq())
}

/// The text with numbers in place of those that are too large.
pub(super) fn without_huge(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    each_number(text, |at, _| {
        let literal = std::str::from_utf8(&text[at.clone()]).unwrap_or_default();
        if literal.parse::<f64>().is_ok_and(f64::is_infinite) {
            out.extend_from_slice(&text[copied..at.start]);
            out.extend(literal.starts_with('-').then_some(b'-'));
            out.extend_from_slice(HUGE.as_bytes());
            copied = at.end;
        }
    });
    out.extend_from_slice(&text[copied..]);
    out
}

/// Tells of every number of a JSON text where it is and which keys lead there.
fn each_number(text: &[u8], mut tell: impl FnMut(Range<usize>, &[String])) {
    // The open brackets; of objects whether a key has been read, and lies on `keys`.
    let mut open: Vec<(u8, bool)> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = end_of_text(text, at);
                if let Some((b'{', read @ false)) = open.last_mut() {
                    *read = true;
                    keys.push(String::from_utf8_lossy(text.get(at + 1..end).unwrap_or_default()).into_owned());
                }
                at = end;
            }
            b'{' | b'[' => open.push((byte, false)),
            b'}' | b']' => {
                if let Some((b'{', true)) = open.pop() {
                    keys.pop();
                }
            }
            b',' => {
                if let Some((b'{', read @ true)) = open.last_mut() {
                    *read = false;
                    keys.pop();
                }
            }
            b'-' | b'0'..=b'9' => {
                let more = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + text[at..].iter().take_while(|byte| more(byte)).count();
                tell(at..end, &keys);
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// The place of the quote that ends the text that begins here.
fn end_of_text(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_quotes_the_number_as_it_was_written() {
        let message = |number: &str| {
            format!("json: cannot unmarshal number {number} into Go struct field Spec.spec.a.replicas of type int32")
        };
        let text = br#"{"x":"1e2","spec":{"n":1e2,"a":[{"q":"\\\""},{"replicas":1e2}]}}"#;
        assert_eq!(with_literal(&message("100"), text), message("1e2"));
        assert_eq!(with_literal(&message("7"), text), message("7"));
        assert_eq!(with_literal("json: other", text), "json: other");
    }

    #[test]
    fn numbers_that_are_too_large_are_replaced() {
        let text = without_huge(br#"{"a":[1e999,-1e999,1,"1e999"]}"#);
        assert_eq!(String::from_utf8(text).unwrap(), format!(r#"{{"a":[{HUGE},-{HUGE},1,"1e999"]}}"#));
    }
}
