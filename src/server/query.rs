//! The query of a URL, decoded as Go's `net/url` does, with the conversions of upstream's parameter codec
//! (apimachinery `pkg/runtime/conversion.go`).

use crate::api::{Result, Status};

/// The parameters of a query in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a raw query. Pairs that do not decode are left out, as Go does.
    pub(super) fn parse(raw: &str) -> Self {
        let pair = |pair: &str| {
            // Go refuses pairs with a semicolon since 1.17.
            if pair.is_empty() || pair.contains(';') {
                return None;
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((strict_decode(key)?, strict_decode(value)?))
        };
        Self(raw.split('&').filter_map(pair).collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a parameter, `""` without one.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A boolean: everything but `0` and `false` is true, the empty text too.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !(value == "0" || value.eq_ignore_ascii_case("false")))
    }

    /// An integer.
    ///
    /// # Errors
    /// 400 with the message of Go's `strconv.ParseInt`.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        self.get(name).map(parse_int).transpose()
    }
}

/// Go's `strconv.ParseInt(text, 10, 64)`.
fn parse_int(text: &str) -> Result<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let quoted = crate::api::field::go_quote(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Status::bad_request(format!("strconv.ParseInt: parsing {quoted}: invalid syntax")));
    }
    let out_of_range = |_| Status::bad_request(format!("strconv.ParseInt: parsing {quoted}: value out of range"));
    text.parse().map_err(out_of_range)
}

/// Percent-decodes leniently: what is no escape stays as it is. `plus`: `+` is a space.
pub(super) fn percent_decode(text: &str, plus: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten().and_then(hex);
        match escape {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(if plus && byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-decodes a part of a query; `None` when there is a bad escape.
fn strict_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let bad = bytes.iter().enumerate().any(|(i, b)| *b == b'%' && bytes.get(i + 1..i + 3).and_then(hex).is_none());
    (!bad).then(|| percent_decode(text, true))
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode_as_in_go() {
        let query = Query::parse("a=1&a=2&b=x%20y+z&watch&bad=%zz&c;d=1&e=");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("b"), Some("x y z"));
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.get("bad"), None);
        assert_eq!(query.get("c"), None);
        assert_eq!(query.get("e"), Some(""));
        assert_eq!(query.flag("missing"), None);
    }

    #[test]
    fn integers_fail_with_the_words_of_go() {
        let text = |raw: &str| Query::parse(raw).int("limit").unwrap_err().message().to_owned();
        assert_eq!(text("limit=x"), r#"strconv.ParseInt: parsing "x": invalid syntax"#);
        assert_eq!(
            text("limit=99999999999999999999"),
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range"#
        );
        assert_eq!(Query::parse("limit=-5").int("limit").unwrap(), Some(-5));
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_read_in_bounded_steps(raw in "[a-z=&%;+0-9f]{0,40}|.{0,40}") {
            let query = Query::parse(&raw);
            for name in ["", "a", "limit"] {
                let _ = (query.text(name), query.flag(name), query.int(name));
            }
            proptest::prop_assert!(percent_decode(&raw, true).len() <= raw.len() * 3);
        }
    }
}
