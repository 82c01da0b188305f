//! The bytes of a YAML text as text: its encoding, and the characters that YAML allows, refused in the words of
//! go-yaml's reader.

use std::borrow::Cow;

use super::Error;

const BOM_UTF8: &[u8] = &[0xEF, 0xBB, 0xBF];
const BOM_UTF16_LE: &[u8] = &[0xFF, 0xFE];
const BOM_UTF16_BE: &[u8] = &[0xFE, 0xFF];

/// The text, without its mark of encoding; UTF-8 where there is none.
///
/// # Errors
/// When the bytes are not of the encoding, or a character is not allowed.
pub(super) fn read(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let text = if let Some(rest) = bytes.strip_prefix(BOM_UTF16_LE) {
        Cow::Owned(utf16(rest, u16::from_le_bytes)?)
    } else if let Some(rest) = bytes.strip_prefix(BOM_UTF16_BE) {
        Cow::Owned(utf16(rest, u16::from_be_bytes)?)
    } else {
        Cow::Borrowed(utf8(bytes.strip_prefix(BOM_UTF8).unwrap_or(bytes))?)
    };
    if text.chars().all(allowed) { Ok(text) } else { Err(refused("control characters are not allowed")) }
}

fn refused(why: &str) -> Error {
    Error::new(format!("yaml: {why}"))
}

fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..)
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| refused(utf8_fault(&bytes[error.valid_up_to()..])))
}

/// What is wrong with the sequence that begins here.
fn utf8_fault(bytes: &[u8]) -> &'static str {
    let first = bytes.first().copied().unwrap_or_default();
    let (width, bits) = match first {
        0xC0..=0xDF => (2, first & 0x1F),
        0xE0..=0xEF => (3, first & 0x0F),
        0xF0..=0xF7 => (4, first & 0x07),
        _ => return "invalid leading UTF-8 octet",
    };
    if bytes.len() < width {
        return "incomplete UTF-8 octet sequence";
    }
    if bytes[1..width].iter().any(|octet| octet & 0xC0 != 0x80) {
        return "invalid trailing UTF-8 octet";
    }
    let value = bytes[1..width].iter().fold(u32::from(bits), |value, octet| value << 6 | u32::from(octet & 0x3F));
    let least = [0x80, 0x800, 0x1_0000][width - 2];
    if value < least { "invalid length of a UTF-8 sequence" } else { "invalid Unicode character" }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len());
    let mut units = units.peekable();
    while let Some(first) = units.next() {
        let value = match (first, units.peek().copied()) {
            (0xDC00..=0xDFFF, _) => return Err(refused("unexpected low surrogate area")),
            (0xD800..=0xDBFF, None) => return Err(refused("incomplete UTF-16 surrogate pair")),
            (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) => {
                units.next();
                0x1_0000 + ((u32::from(first) & 0x3FF) << 10) + (u32::from(second) & 0x3FF)
            }
            (0xD800..=0xDBFF, Some(_)) => return Err(refused("expected low surrogate area")),
            (value, _) => u32::from(value),
        };
        text.extend(char::from_u32(value));
    }
    if bytes.len().is_multiple_of(2) { Ok(text) } else { Err(refused("incomplete UTF-16 character")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let expected = expected.map(str::to_owned).map_err(|why| format!("yaml: {why}"));
        assert_eq!(read(bytes).map(Cow::into_owned).map_err(|error| error.to_string()), expected);
    }

    #[test]
    fn texts_are_read_in_the_encoding_that_they_begin_with() {
        check(b"a: \xC3\xA9", Ok("a: é"));
        check(b"\xEF\xBB\xBFa", Ok("a"));
        check(b"\xFF\xFEa\0\x3D\xD8\x00\xDE", Ok("a😀"));
        check(b"\xFE\xFF\0a", Ok("a"));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        check(b"a\xFF", Err("invalid leading UTF-8 octet"));
        check(b"a\xC3", Err("incomplete UTF-8 octet sequence"));
        check(b"a\xC3a", Err("invalid trailing UTF-8 octet"));
        check(b"a\xC0\x80", Err("invalid length of a UTF-8 sequence"));
        check(b"a\xED\xA0\x80", Err("invalid Unicode character"));
        check(b"a: \x01", Err("control characters are not allowed"));
        check(b"\xFF\xFEa", Err("incomplete UTF-16 character"));
        check(b"\xFF\xFE\x00\xDC", Err("unexpected low surrogate area"));
    }
}
