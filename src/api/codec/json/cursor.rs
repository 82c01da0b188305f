//! A place in a JSON text of our own making: compact, without a fault. What stands there is read or passed over where it
//! lies, so that a stored object needs no tree to become something else. Nothing here recurses.

use std::borrow::Cow;

use super::super::Error;

/// Eight times the same byte.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that is zero; above the lowest such byte others may be marked, too.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(all(0x01)) & !word & all(0x80)
}

/// The place of the first quote or backslash.
#[inline]
fn special(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut at) = (bytes, 0);
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ all(b'"')) | zeros(word ^ all(b'\\'));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        (rest, at) = (behind, at + 8);
    }
    rest.iter().position(|b| matches!(b, b'"' | b'\\')).map(|found| at + found)
}

/// A text as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    pub raw: &'a [u8],
    /// There are escapes in it.
    pub escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The bytes that it means.
    ///
    /// # Errors
    /// When an escape is none.
    #[inline]
    pub fn bytes(self) -> Result<Cow<'a, [u8]>, Error> {
        if self.escaped { unescaped(self.raw).map(Cow::Owned) } else { Ok(Cow::Borrowed(self.raw)) }
    }

    /// The text that it means.
    ///
    /// # Errors
    /// When an escape is none, or the bytes are no UTF-8.
    pub fn text(self) -> Result<Cow<'a, str>, Error> {
        match self.bytes()? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| odd("text")),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| odd("text")),
        }
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte; 0 at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The next eight bytes, zeros behind the end.
    #[inline]
    pub fn word(&self) -> u64 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if let Some(chunk) = rest.first_chunk::<8>() {
            return u64::from_le_bytes(*chunk);
        }
        let mut padded = [0; 8];
        padded[..rest.len()].copy_from_slice(rest);
        u64::from_le_bytes(padded)
    }

    /// What is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes on by so many bytes.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Passes over a byte if it is the next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == byte;
        self.at += usize::from(there);
        there
    }

    /// Passes over a byte that must be the next.
    ///
    /// # Errors
    /// When it is not.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.take(byte) { Ok(()) } else { Err(odd("mark")) }
    }

    /// Passes over a word such as `null` if it is the next.
    #[inline]
    pub fn take_word(&mut self, word: &[u8]) -> bool {
        let there = word.first() == Some(&self.peek()) && self.rest().starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When none stands here.
    #[inline]
    pub fn quoted(&mut self) -> Result<Quoted<'a>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let found = special(self.rest()).ok_or_else(|| odd("text"))?;
            self.at += found;
            if self.peek() == b'"' {
                let raw = &self.bytes[start..self.at];
                self.at += 1;
                return Ok(Quoted { raw, escaped });
            }
            escaped = true;
            self.at += 2;
        }
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// When none stands here, or one that 64 bits do not hold.
    pub fn integer(&mut self) -> Result<i64, Error> {
        let token = self.scalar();
        let (negative, digits) = match token.split_first() {
            Some((b'-', digits)) => (true, digits),
            _ => (false, token),
        };
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(odd("integer"));
        }
        // Nineteen digits fit.
        let size = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let value = if negative { 0i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() };
        value.ok_or_else(|| odd("integer"))
    }

    /// Reads a number.
    ///
    /// # Errors
    /// When none stands here.
    pub fn float(&mut self) -> Result<f64, Error> {
        let text = std::str::from_utf8(self.scalar()).map_err(|_| odd("number"))?;
        text.parse().map_err(|_| odd("number"))
    }

    /// The bytes of a value that is no text, list or object.
    fn scalar(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Passes over a value, and gives its text.
    ///
    /// # Errors
    /// When the text ends before it.
    pub fn value(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        match self.peek() {
            b'"' => drop(self.quoted()?),
            b'{' | b'[' => self.brackets()?,
            _ => drop(self.scalar()),
        }
        if self.at == start { Err(odd("value")) } else { Ok(&self.bytes[start..self.at]) }
    }

    fn brackets(&mut self) -> Result<(), Error> {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                b'"' => drop(self.quoted()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                0 => return Err(odd("end")),
                _ => self.at += 1,
            }
        }
    }
}

/// The text of a member of an object of our own making.
///
/// # Errors
/// When there is none.
pub fn member<'a>(object: &'a [u8], key: &str) -> Result<&'a [u8], Error> {
    let mut cursor = Cursor::new(object);
    cursor.expect(b'{')?;
    loop {
        let found = cursor.quoted()?.raw == key.as_bytes();
        cursor.expect(b':')?;
        let value = cursor.value()?;
        if found {
            return Ok(value);
        }
        cursor.expect(b',')?;
    }
}

/// What is said of a text that is not of our making.
pub(in crate::api::codec) fn odd(what: &str) -> Error {
    Error::new(format!("unexpected {what} in JSON"))
}

fn unescaped(raw: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let escape = *rest.get(at + 1).ok_or_else(|| odd("escape"))?;
        rest = &rest[at + 2..];
        let byte = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (letter, behind) = code_point(rest)?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = behind;
                continue;
            }
            _ => return Err(odd("escape")),
        };
        out.push(byte);
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// The letter of the four digits behind `\u`, or of two such escapes.
fn code_point(rest: &[u8]) -> Result<(char, &[u8]), Error> {
    let unit = |digits: &[u8]| {
        let digits = digits.get(..4)?;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
    };
    let first = unit(rest).ok_or_else(|| odd("escape"))?;
    if let Some(letter) = char::from_u32(first) {
        return Ok((letter, &rest[4..]));
    }
    let second = rest.get(4..).and_then(|behind| unit(behind.strip_prefix(b"\\u")?)).filter(|_| first < 0xdc00);
    let joined = second.and_then(|second| Some(0x10000 + ((first - 0xd800) << 10) + second.checked_sub(0xdc00)?));
    let letter = joined.and_then(char::from_u32).ok_or_else(|| odd("escape"))?;
    Ok((letter, &rest[10..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::codec::json::{Layout, encode};

    #[test]
    fn values_are_passed_over_as_a_whole() {
        for text in [r#"{"a":[1,{"b":"}\"]"}],"c":{}}"#, r#""x\\""#, "-1.5e+21", "null", "[]", r#"[[],["\""]]"#] {
            let framed = format!("{text},1");
            let mut cursor = Cursor::new(framed.as_bytes());
            assert_eq!(cursor.value().unwrap(), text.as_bytes());
            assert_eq!(cursor.rest(), b",1");
        }
        for text in ["", "{", r#""x"#, r#"{"a":"#, "[1,", r#"{"a\"#] {
            assert!(Cursor::new(text.as_bytes()).value().is_err(), "{text}");
        }
    }

    #[test]
    fn integers_are_exact_or_refused() {
        let read = |text: &str| Cursor::new(text.as_bytes()).integer().ok();
        assert_eq!(read("9223372036854775807}"), Some(i64::MAX));
        assert_eq!(read("-9223372036854775808,"), Some(i64::MIN));
        assert_eq!(read("0]"), Some(0));
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1.0", "", "-", "\"1\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        let read = |text: &str| Cursor::new(text.as_bytes()).quoted().unwrap().text().map(Cow::into_owned).ok();
        assert_eq!(read(r#""a\u003cb\u2028\n\"\\\ud83d\ude00é""#).unwrap(), "a<b\u{2028}\n\"\\😀é");
        for text in [r#""\ud83d""#, r#""\ud83dx""#, r#""\ude00\ude00""#, r#""\u12""#, r#""\x""#] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let json = encode(&json!([text.clone(), 1]), Layout::Sorted);
            let mut cursor = Cursor::new(&json);
            cursor.expect(b'[').unwrap();
            prop_assert_eq!(cursor.quoted().unwrap().text().unwrap(), text);
            prop_assert_eq!(cursor.rest(), b",1]");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Cursor::new(&bytes).value();
            let _ = Cursor::new(&bytes).quoted().map(|q| q.text().map(drop));
            let _ = Cursor::new(&bytes).float();
            if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
                let json = encode(&value, Layout::Sorted);
                prop_assert_eq!(Cursor::new(&json).value().unwrap(), json.as_slice());
            }
        }
    }
}
