//! The values of literals.

use std::sync::Arc;

use super::ast::Literal;
use super::lexer::Token;
use super::unescape::{Kind, unescape};

/// The value of a literal.
///
/// # Errors
/// With upstream's message when the text has none.
pub(super) fn value(token: Token, text: &str, negative: bool) -> Result<Literal, &'static str> {
    match token {
        Token::Int => int(text, negative).map(Literal::Int).ok_or("invalid int literal"),
        Token::Uint => uint(text).map(Literal::Uint).ok_or("invalid uint literal"),
        Token::Float => float(text, negative).map(Literal::Double).ok_or("invalid double literal"),
        Token::Bytes => unescape(&text[1..], Kind::Bytes).map(|bytes| Literal::Bytes(Arc::from(bytes))),
        Token::String => unescape(text, Kind::Text)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "invalid unicode code point"))
            .map(|text| Literal::String(text.into())),
        Token::True | Token::False => Ok(Literal::Bool(token == Token::True)),
        _ => Ok(Literal::Null),
    }
}

fn int(text: &str, negative: bool) -> Option<i64> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
    i64::from_str_radix(&format!("{}{digits}", if negative { "-" } else { "" }), radix).ok()
}

fn uint(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['u', 'U']);
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
    u64::from_str_radix(digits, radix).ok()
}

fn float(text: &str, negative: bool) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(if negative { -value } else { value })
}
