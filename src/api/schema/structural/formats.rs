//! The formats that schemas of custom resources may name (apiextensions-apiserver `validation/formats.go`, kube-openapi
//! `validation/strfmt`). Formats that are not known are not enforced.

use std::sync::LazyLock;

use regex::Regex;

use crate::api::time::GoDuration;
use crate::api::validation::names;

/// Formats of texts, without dashes.
const TEXTS: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// Whether values of a type are held against a format.
pub(super) fn enforced(type_name: &str, format: &str) -> bool {
    match type_name {
        "" | "string" => TEXTS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a definition is warned of a format.
pub fn unrecognised(type_name: &str, format: &str) -> bool {
    !format.is_empty() && !enforced(type_name, format)
}

/// Whether a text is held against a format at all.
pub(super) fn known(format: &str) -> bool {
    TEXTS.contains(&format.replace('-', "").as_str())
}

/// Whether a text has a format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "byte" => is(&BASE64, text),
        "cidr" => cidr(text),
        "creditcard" => credit_card(text),
        "date" => date(text),
        "datetime" => date_time(text),
        "duration" => GoDuration::parse(text).is_ok() || duration_in_words(text),
        "email" => email(text),
        "hexcolor" => is(&HEX_COLOR, text),
        "hostname" => is(&HOSTNAME, text) && text.len() <= 255 && text.split('.').all(|part| part.len() <= 63),
        "ipv4" => text.contains('.') && sloppy_address(text),
        "ipv6" => text.contains(':') && text.parse::<std::net::Ipv6Addr>().is_ok(),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "mac" => mac(text),
        "rgbcolor" => is(&RGB_COLOR, text),
        "ssn" => is(&SSN, text),
        "uri" => uri(text),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some(b'3')),
        "uuid4" => uuid(text, Some(b'4')),
        "uuid5" => uuid(text, Some(b'5')),
        _ => true,
    }
}

static BASE64: LazyLock<Option<Regex>> =
    LazyLock::new(|| make(r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"));
static HEX_COLOR: LazyLock<Option<Regex>> = LazyLock::new(|| make(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static HOSTNAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    make(
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$",
    )
});
static RGB_COLOR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const PART: &str = r"\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*";
    make(&format!(r"^rgb\({PART},{PART},{PART}\)$"))
});
static SSN: LazyLock<Option<Regex>> = LazyLock::new(|| make(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static CREDIT_CARD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    make(
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    )
});
static TIME: LazyLock<Option<Regex>> =
    LazyLock::new(|| make(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"));
static DURATION: LazyLock<Option<Regex>> = LazyLock::new(|| make(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)"));
static EMAIL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    make(r#"^(?:[^<>@]*<)?(?:[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\x{80}-\x{10ffff}-]+|"[^"]+")@[^\s@<>,;:]+>?$"#)
});

/// A pattern of ours; `None` could only be if it were malformed, which a test excludes.
fn make(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

fn is(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

fn digits(text: &str, aside: &[char]) -> String {
    text.chars().filter(|c| !aside.contains(c)).collect()
}

fn credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !is(&CREDIT_CARD, &digits) {
        return false;
    }
    let value = |(place, c): (usize, char)| {
        let digit = c.to_digit(10).unwrap_or(0);
        let doubled = digit * (1 + u32::from(place % 2 == 1));
        doubled / 10 + doubled % 10
    };
    digits.chars().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

fn isbn10(text: &str) -> bool {
    let digits = digits(text, &['-', ' ']);
    if digits.len() != 10 || !digits[..9].bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let last = match digits.as_bytes()[9] {
        b'X' => 10,
        b if b.is_ascii_digit() => u32::from(b - b'0'),
        _ => return false,
    };
    let first: u32 = (1..).zip(digits[..9].bytes()).map(|(weight, b)| weight * u32::from(b - b'0')).sum();
    (first + 10 * last).is_multiple_of(11)
}

fn isbn13(text: &str) -> bool {
    let digits = digits(text, &['-', ' ']);
    if digits.len() != 13 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum: u32 =
        digits.bytes().enumerate().map(|(at, b)| u32::from(b - b'0') * if at % 2 == 0 { 1 } else { 3 }).sum();
    sum.is_multiple_of(10)
}

fn mac(text: &str) -> bool {
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    [':', '-'].into_iter().any(|between| {
        let parts: Vec<&str> = text.split(between).collect();
        matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| hex(part, 2))
    }) || {
        let parts: Vec<&str> = text.split('.').collect();
        matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|part| hex(part, 4))
    }
}

fn uuid(text: &str, version: Option<u8>) -> bool {
    let sizes = [8, 4, 4, 4, 12];
    let bytes = text.as_bytes();
    let (mut at, mut starts) = (0, Vec::new());
    for (index, size) in sizes.into_iter().enumerate() {
        if index > 0 && bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        starts.push(at);
        let part = bytes.get(at..at + size);
        if !part.is_some_and(|part| part.iter().all(u8::is_ascii_hexdigit)) {
            return false;
        }
        at += size;
    }
    let variant = bytes[starts[3]].to_ascii_lowercase();
    let fits = match version {
        None => true,
        Some(b'3') => bytes[starts[2]] == b'3',
        Some(version) => bytes[starts[2]] == version && matches!(variant, b'8' | b'9' | b'a' | b'b'),
    };
    at == bytes.len() && fits
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((day, time)) = lower.split_once('t') else { return false };
    date(day) && is(&TIME, time) && time[..2] <= *"23" && time[3..5] <= *"59" && time[6..8] <= *"59"
}

fn duration_in_words(text: &str) -> bool {
    const UNITS: [&[&str]; 8] = [
        &["ns", "nano"],
        &["us", "µs", "micro"],
        &["ms", "milli"],
        &["s", "sec"],
        &["m", "min"],
        &["h", "hr", "hour"],
        &["d", "day"],
        &["w", "wk", "week"],
    ];
    let Some(pattern) = DURATION.as_ref() else { return false };
    pattern.captures_iter(text).any(|found| {
        let unit = found[2].to_lowercase();
        UNITS.iter().any(|names| names.contains(&unit.as_str()) || unit.starts_with(names[names.len() - 1]))
    })
}

fn email(text: &str) -> bool {
    is(&EMAIL, text.trim())
}

/// An address whose parts may have leading zeros.
fn sloppy_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok_and(|n| n <= 255)
    };
    if text.contains(':') {
        return text.parse::<std::net::Ipv6Addr>().is_ok();
    }
    parts.len() == 4 && parts.into_iter().all(number)
}

fn cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let (fits, max) = if address.contains(':') {
        (address.parse::<std::net::Ipv6Addr>().is_ok(), 128)
    } else {
        (sloppy_address(address), 32)
    };
    fits && !prefix.is_empty()
        && prefix.bytes().all(|b| b.is_ascii_digit())
        && prefix.parse::<u32>().is_ok_and(|bits| bits <= max)
}

/// What Go's `url.ParseRequestURI` takes.
fn uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b.is_ascii_control()) {
        return false;
    }
    if text.starts_with('/') || text == "*" {
        return !malformed_escape(text);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    let scheme_fits = letters.next().is_some_and(|b| b.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let host = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    let host_fits = host.is_none_or(|host| !host.contains([' ', '<', '>', '"']));
    scheme_fits && host_fits && !malformed_escape(text)
}

fn malformed_escape(text: &str) -> bool {
    let path = text.split('?').next().unwrap_or_default();
    path.match_indices('%').any(|(at, _)| {
        let hex = path.as_bytes().get(at + 1..at + 3);
        !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_tell_right_from_wrong() {
        let cases = [
            ("date", "2024-02-29", "2023-02-29"),
            ("date-time", "2024-01-01T00:00:00Z", "2024-01-01"),
            ("duration", "1h30m", "soon"),
            ("email", "a@b.c", "a.b.c"),
            ("hostname", "a.example.com", "-a"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            ("uuid", "12345678-1234-1234-1234-123456789abc", "1234"),
            ("uuid4", "12345678-1234-4234-9234-123456789abc", "12345678-1234-1234-1234-123456789abc"),
            ("isbn10", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "978-0321751042"),
            ("creditcard", "4111-1111-1111-1111", "4111-1111-1111-1112"),
            ("hexcolor", "#FFF", "#FF"),
            ("rgbcolor", "rgb(255,255,0)", "rgb(256,0,0)"),
            ("byte", "YQ==", "YQ"),
            ("uri", "https://example.com/x", "example"),
            ("ssn", "123-45-6789", "12"),
            ("k8s-short-name", "a-b", "a.b"),
        ];
        for (format, right, wrong) in cases {
            assert!(fits(format, right), "{format} {right}");
            assert!(!fits(format, wrong), "{format} {wrong}");
        }
    }
}
