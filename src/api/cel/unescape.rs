//! The values of string and bytes literals.

/// The value of a literal with its quotes and prefix `r`.
///
/// # Errors
/// With upstream's message when an escape stands for nothing.
pub(super) fn unescape(literal: &str, of: Kind) -> Result<Vec<u8>, &'static str> {
    let text = literal.replace("\r\n", "\n").replace('\r', "\n");
    let (raw, text) = match text.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let quotes = if text.len() >= 6 && (text.starts_with("'''") || text.starts_with("\"\"\"")) { 3 } else { 1 };
    let inner = text.get(quotes..text.len().saturating_sub(quotes)).ok_or("unable to unescape string")?;
    if raw || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = one(&rest[at + 1..], of, &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// What kind of literal it is: in bytes an escape is a byte, in text a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bytes,
}

/// Adds what the escape after a backslash stands for; returns what follows it.
fn one<'t>(rest: &'t str, of: Kind, out: &mut Vec<u8>) -> Result<&'t str, &'static str> {
    let mut chars = rest.chars();
    let letter = chars.next().ok_or("unable to unescape string, found '\\' as last character")?;
    let simple = match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => letter as u8,
        'x' | 'X' => return code(chars.as_str(), (2, 16), of, out),
        'u' | 'U' if of == Kind::Bytes => return Err("unable to unescape string"),
        'u' => return code(chars.as_str(), (4, 16), of, out),
        'U' => return code(chars.as_str(), (8, 16), of, out),
        '0'..='3' => return code(rest, (3, 8), of, out),
        _ => return Err("unable to unescape string"),
    };
    out.push(simple);
    Ok(chars.as_str())
}

fn code<'t>(
    rest: &'t str,
    (length, radix): (usize, u32),
    of: Kind,
    out: &mut Vec<u8>,
) -> Result<&'t str, &'static str> {
    let text = rest.get(..length).ok_or("unable to unescape string")?;
    let value = u32::from_str_radix(text, radix).map_err(|_| "unable to unescape string")?;
    match of {
        Kind::Bytes => out.push(u8::try_from(value).map_err(|_| "unable to unescape string")?),
        Kind::Text => {
            let c = char::from_u32(value).ok_or("invalid unicode code point")?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(&rest[length..])
}
