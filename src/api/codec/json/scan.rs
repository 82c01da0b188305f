//! What is wrong with a JSON text, in Go's words. Only walked when a text did not parse, so it may be slow; it must be
//! total and must not recurse.

use crate::api::field::go_quote;

/// Go's message for the first fault, or `None` when Go would take the text.
pub(super) fn syntax_error(bytes: &[u8], depth_max: usize) -> Option<String> {
    Scanner { bytes, at: 0, open: Vec::new(), depth_max }.document().err()
}

/// The text with what Go replaces by U+FFFD replaced: invalid UTF-8 and surrogate escapes that stand alone.
pub(super) fn replace_invalid_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let unit = |t: &str| t.strip_prefix("\\u").and_then(|h| u32::from_str_radix(h.get(..4)?, 16).ok());
        let length = match unit(rest) {
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            Some(0xd800..=0xdbff) if matches!(rest.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The brackets that are open.
    open: Vec<u8>,
    depth_max: usize,
}

type Outcome = Result<(), String>;

impl Scanner<'_> {
    fn document(mut self) -> Outcome {
        self.begin_value()?;
        while let Some(&bracket) = self.open.last() {
            self.blank();
            match (bracket, self.peek()?) {
                (b'{', b',') => {
                    self.at += 1;
                    self.blank();
                    self.key("looking for beginning of object key string")?;
                    self.begin_value()?;
                }
                (b'[', b',') => {
                    self.at += 1;
                    self.begin_value()?;
                }
                (b'{', b'}') | (b'[', b']') => {
                    self.at += 1;
                    self.open.pop();
                }
                (b'{', _) => return Err(self.invalid("after object key:value pair")),
                (_, _) => return Err(self.invalid("after array element")),
            }
        }
        self.blank();
        if self.at < self.bytes.len() { Err(self.invalid("after top-level value")) } else { Ok(()) }
    }

    /// Reads a value; of an object or list only as far as its first element is begun.
    fn begin_value(&mut self) -> Outcome {
        loop {
            self.blank();
            match self.peek()? {
                b'{' => {
                    self.push(b'{')?;
                    self.blank();
                    if self.peek()? == b'}' {
                        self.at += 1;
                        self.open.pop();
                        return Ok(());
                    }
                    self.key("looking for beginning of object key string")?;
                }
                b'[' => {
                    self.push(b'[')?;
                    self.blank();
                    if self.peek()? == b']' {
                        self.at += 1;
                        self.open.pop();
                        return Ok(());
                    }
                }
                b'"' => return self.string(),
                b'-' | b'0'..=b'9' => return self.number(),
                b't' => return self.literal("true"),
                b'f' => return self.literal("false"),
                b'n' => return self.literal("null"),
                _ => return Err(self.invalid("looking for beginning of value")),
            }
        }
    }

    fn push(&mut self, bracket: u8) -> Outcome {
        if self.open.len() >= self.depth_max {
            return Err(self.invalid("exceeded max depth"));
        }
        self.open.push(bracket);
        self.at += 1;
        Ok(())
    }

    fn key(&mut self, context: &str) -> Outcome {
        if self.peek()? != b'"' {
            return Err(self.invalid(context));
        }
        self.string()?;
        self.blank();
        if self.peek()? != b':' {
            return Err(self.invalid("after object key"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Outcome {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
                        b'u' => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek()?.is_ascii_hexdigit() {
                                    return Err(self.invalid("in \\u hexadecimal character escape"));
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.invalid("in string escape code")),
                    }
                }
                0..0x20 => return Err(self.invalid("in string literal")),
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Outcome {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.invalid("in numeric literal")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !self.peek()?.is_ascii_digit() {
                return Err(self.invalid("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            if !self.peek()?.is_ascii_digit() {
                return Err(self.invalid("in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Outcome {
        for expected in word.bytes() {
            if self.peek()? != expected {
                return Err(self.invalid(&format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn blank(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, String> {
        self.bytes.get(self.at).copied().ok_or_else(|| "unexpected end of JSON input".to_owned())
    }

    fn invalid(&self, context: &str) -> String {
        // Go takes the byte for a code point.
        let c = self.bytes.get(self.at).copied().map_or('\0', char::from);
        let quoted = match c {
            '\'' => "\\'".to_owned(),
            '"' => "\"".to_owned(),
            c if (0x80..0xa0).contains(&u32::from(c)) => format!("\\u{:04x}", u32::from(c)),
            c => go_quote(&c.to_string()).trim_matches('"').to_owned(),
        };
        format!("invalid character '{quoted}' {context}")
    }
}
