//! The tokens of an expression. What is no token is reported and left out, as upstream's generated lexer does it.

use super::source::Reporter;

/// The kinds of tokens; the numbers give the order in which messages name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Token {
    End = 0,
    Equals = 1,
    NotEquals = 2,
    In = 3,
    Less = 4,
    LessEquals = 5,
    GreaterEquals = 6,
    Greater = 7,
    And = 8,
    Or = 9,
    LeftBracket = 10,
    RightBracket = 11,
    LeftBrace = 12,
    RightBrace = 13,
    LeftParen = 14,
    RightParen = 15,
    Dot = 16,
    Comma = 17,
    Minus = 18,
    Exclamation = 19,
    Question = 20,
    Colon = 21,
    Plus = 22,
    Star = 23,
    Slash = 24,
    Percent = 25,
    True = 26,
    False = 27,
    Null = 28,
    Float = 31,
    Int = 32,
    Uint = 33,
    String = 34,
    Bytes = 35,
    Ident = 36,
    EscapedIdent = 37,
}

/// The names of the tokens in messages.
pub(super) const NAMES: [(Token, &str); 36] = [
    (Token::End, "<EOF>"),
    (Token::Equals, "'=='"),
    (Token::NotEquals, "'!='"),
    (Token::In, "'in'"),
    (Token::Less, "'<'"),
    (Token::LessEquals, "'<='"),
    (Token::GreaterEquals, "'>='"),
    (Token::Greater, "'>'"),
    (Token::And, "'&&'"),
    (Token::Or, "'||'"),
    (Token::LeftBracket, "'['"),
    (Token::RightBracket, "']'"),
    (Token::LeftBrace, "'{'"),
    (Token::RightBrace, "'}'"),
    (Token::LeftParen, "'('"),
    (Token::RightParen, "')'"),
    (Token::Dot, "'.'"),
    (Token::Comma, "','"),
    (Token::Minus, "'-'"),
    (Token::Exclamation, "'!'"),
    (Token::Question, "'?'"),
    (Token::Colon, "':'"),
    (Token::Plus, "'+'"),
    (Token::Star, "'*'"),
    (Token::Slash, "'/'"),
    (Token::Percent, "'%'"),
    (Token::True, "'true'"),
    (Token::False, "'false'"),
    (Token::Null, "'null'"),
    (Token::Float, "NUM_FLOAT"),
    (Token::Int, "NUM_INT"),
    (Token::Uint, "NUM_UINT"),
    (Token::String, "STRING"),
    (Token::Bytes, "BYTES"),
    (Token::Ident, "IDENTIFIER"),
    (Token::EscapedIdent, "ESC_IDENTIFIER"),
];

/// A token and the bytes that it stands on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// All tokens of a text, with the end as last; `None` when too much of it is none.
pub(super) fn tokens(text: &str, issues: &mut Reporter<'_>) -> Option<Vec<Lexeme>> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match next(bytes, at) {
            Ok((token, end)) => {
                if let Some(token) = token {
                    out.push(Lexeme { token, start: narrow(at), end: narrow(end) });
                }
                at = end;
            }
            Err(failed) => {
                let end = failed + text[failed..].chars().next().map_or(0, char::len_utf8);
                let message = format!("token recognition error at: '{}'", &text[at..end]);
                issues.syntax(narrow(at), &message).ok()?;
                at = end;
            }
        }
    }
    out.push(Lexeme { token: Token::End, start: narrow(bytes.len()), end: narrow(bytes.len()) });
    Some(out)
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The token at a place, `None` for blanks and comments, and its end; or where it stopped being one.
fn next(bytes: &[u8], at: usize) -> Result<(Option<Token>, usize), usize> {
    let first = bytes[at];
    match first {
        b' ' | b'\t' | b'\r' | b'\n' | 0x0c => {
            let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c);
            Ok((None, at + bytes[at..].iter().take_while(|b| blank(b)).count()))
        }
        b'/' if bytes.get(at + 1) == Some(&b'/') => {
            Ok((None, at + bytes[at..].iter().take_while(|b| **b != b'\n').count()))
        }
        b'0'..=b'9' => Ok(number(bytes, at)),
        b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => Ok(number(bytes, at)),
        b'"' | b'\'' => string(bytes, at).map(|end| (Some(Token::String), end)),
        b'`' => escaped_ident(bytes, at),
        b'_' | b'a'..=b'z' | b'A'..=b'Z' => Ok(word(bytes, at)),
        _ => symbol(bytes, at),
    }
}

fn word(bytes: &[u8], at: usize) -> (Option<Token>, usize) {
    let prefix = match &bytes[at..] {
        [b'b' | b'B', b'r' | b'R', b'"' | b'\'', ..] => Some((Token::Bytes, 2, true)),
        [b'b' | b'B', b'"' | b'\'', ..] => Some((Token::Bytes, 1, false)),
        [b'r' | b'R', b'"' | b'\'', ..] => Some((Token::String, 1, true)),
        _ => None,
    };
    if let Some((token, length, raw)) = prefix {
        let end = if raw { raw_string(bytes, at + length) } else { string(bytes, at + length).ok() };
        if let Some(end) = end {
            return (Some(token), end);
        }
    }
    let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let token = match &bytes[at..end] {
        b"true" => Token::True,
        b"false" => Token::False,
        b"null" => Token::Null,
        b"in" => Token::In,
        _ => Token::Ident,
    };
    (Some(token), end)
}

fn digits(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count()
}

fn number(bytes: &[u8], at: usize) -> (Option<Token>, usize) {
    let unsigned = |end: usize| match bytes.get(end) {
        Some(b'u' | b'U') => (Some(Token::Uint), end + 1),
        _ => (Some(Token::Int), end),
    };
    if bytes[at..].starts_with(b"0x") {
        let end = at + 2 + bytes[at + 2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if end > at + 2 {
            return unsigned(end);
        }
    }
    let mut end = digits(bytes, at);
    let mut float = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(bytes, end + 1);
        float = true;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(bytes, (end + 1 + sign).min(bytes.len()));
        if exponent > end + 1 + sign {
            return (Some(Token::Float), exponent);
        }
    }
    if float { (Some(Token::Float), end) } else { unsigned(end) }
}

fn escaped_ident(bytes: &[u8], at: usize) -> Result<(Option<Token>, usize), usize> {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b' ');
    let end = at + 1 + bytes[at + 1..].iter().take_while(|b| inner(b)).count();
    if end > at + 1 && bytes.get(end) == Some(&b'`') {
        return Ok((Some(Token::EscapedIdent), end + 1));
    }
    Err(end)
}

fn symbol(bytes: &[u8], at: usize) -> Result<(Option<Token>, usize), usize> {
    let second = bytes.get(at + 1).copied().unwrap_or(0);
    let (token, length) = match (bytes[at], second) {
        (b'=', b'=') => (Token::Equals, 2),
        (b'!', b'=') => (Token::NotEquals, 2),
        (b'<', b'=') => (Token::LessEquals, 2),
        (b'>', b'=') => (Token::GreaterEquals, 2),
        (b'&', b'&') => (Token::And, 2),
        (b'|', b'|') => (Token::Or, 2),
        (b'=' | b'&' | b'|', _) => return Err(at + 1),
        (b'<', _) => (Token::Less, 1),
        (b'>', _) => (Token::Greater, 1),
        (b'[', _) => (Token::LeftBracket, 1),
        (b']', _) => (Token::RightBracket, 1),
        (b'{', _) => (Token::LeftBrace, 1),
        (b'}', _) => (Token::RightBrace, 1),
        (b'(', _) => (Token::LeftParen, 1),
        (b')', _) => (Token::RightParen, 1),
        (b'.', _) => (Token::Dot, 1),
        (b',', _) => (Token::Comma, 1),
        (b'-', _) => (Token::Minus, 1),
        (b'!', _) => (Token::Exclamation, 1),
        (b'?', _) => (Token::Question, 1),
        (b':', _) => (Token::Colon, 1),
        (b'+', _) => (Token::Plus, 1),
        (b'*', _) => (Token::Star, 1),
        (b'/', _) => (Token::Slash, 1),
        (b'%', _) => (Token::Percent, 1),
        _ => return Err(at),
    };
    Ok((Some(token), at + length))
}

/// The end of a string that starts with a quote; or where no string can go on.
fn string(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let quote = bytes[at];
    if bytes[at..].starts_with(&[quote, quote, quote]) {
        // Without an end it is the empty string that it begins with.
        return Ok(long_string(bytes, at + 3, quote).unwrap_or(at + 2));
    }
    let mut here = at + 1;
    loop {
        match bytes.get(here) {
            None | Some(b'\n' | b'\r') => return Err(here),
            Some(b) if *b == quote => return Ok(here + 1),
            Some(b'\\') => here = escape(bytes, here)?,
            Some(_) => here += 1,
        }
    }
}

fn long_string(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let mut here = at;
    loop {
        match bytes.get(here)? {
            b'\\' => here = escape(bytes, here).ok()?,
            _ if bytes[here..].starts_with(&[quote, quote, quote]) => return Some(here + 3),
            _ => here += 1,
        }
    }
}

/// The end of an escape sequence; or the byte that does not belong into it.
fn escape(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let run = |from: usize, count: usize, belongs: &dyn Fn(&u8) -> bool| match (from..from + count)
        .find(|here| !bytes.get(*here).is_some_and(belongs))
    {
        Some(here) => Err(here.min(bytes.len())),
        None => Ok(from + count),
    };
    match bytes.get(at + 1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`') => Ok(at + 2),
        Some(b'x' | b'X') => run(at + 2, 2, &u8::is_ascii_hexdigit),
        Some(b'u') => run(at + 2, 4, &u8::is_ascii_hexdigit),
        Some(b'U') => run(at + 2, 8, &u8::is_ascii_hexdigit),
        Some(b'0'..=b'3') => run(at + 2, 2, &|b| matches!(b, b'0'..=b'7')),
        _ => Err((at + 1).min(bytes.len())),
    }
}

fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    if bytes[at..].starts_with(&[quote, quote, quote]) {
        let found = bytes[at + 3..].windows(3).position(|three| three == [quote, quote, quote]);
        return Some(found.map_or(at + 2, |found| at + 6 + found));
    }
    let length = bytes[at + 1..].iter().position(|b| *b == quote || matches!(b, b'\n' | b'\r'))?;
    (bytes[at + 1 + length] == quote).then_some(at + 2 + length)
}
