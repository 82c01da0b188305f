//! The query of a URL, decoded as Go's `net/url` does, with the conversions of upstream's parameter codec
//! (apimachinery `pkg/runtime/conversion.go`).

use std::time::Duration;

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

/// Go's `time.ParseDuration`.
///
/// # Errors
/// The message of Go's error.
pub(super) fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let quoted = crate::api::field::go_quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0f64;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (value, after) = rest.split_at(number);
        let value: f64 = value.parse().map_err(|_| invalid())?;
        let letters = after.bytes().take_while(|b| !(b.is_ascii_digit() || *b == b'.')).count();
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            unit => {
                let unit = crate::api::field::go_quote(unit);
                return Err(format!("time: unknown unit {unit} in duration {quoted}"));
            }
        };
        seconds += value * scale;
        rest = after;
    }
    // A negative time-out counts as none, which is what callers do with zero.
    if negative {
        return Ok(Duration::ZERO);
    }
    // Go counts nanoseconds in 64 bits.
    Duration::try_from_secs_f64(seconds).ok().filter(|d| i64::try_from(d.as_nanos()).is_ok()).ok_or_else(invalid)
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

    #[test]
    fn durations_parse_as_in_go() {
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("5"), Err(r#"time: missing unit in duration "5""#.to_owned()));
        assert_eq!(parse_duration("5x"), Err(r#"time: unknown unit "x" in duration "5x""#.to_owned()));
        assert_eq!(parse_duration("abc"), Err(r#"time: invalid duration "abc""#.to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_read_in_bounded_steps(raw in "[a-z=&%;+0-9f]{0,40}|.{0,40}", text in "[-+0-9.a-zµ]{0,12}") {
            let query = Query::parse(&raw);
            for name in ["", "a", "limit"] {
                let _ = (query.text(name), query.flag(name), query.int(name));
            }
            proptest::prop_assert!(percent_decode(&raw, true).len() <= raw.len() * 3);
            if let Ok(duration) = parse_duration(&text) {
                proptest::prop_assert!(i64::try_from(duration.as_nanos()).is_ok());
            }
        }
    }
}
