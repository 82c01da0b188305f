//! What names may look like. Each function gives the messages of what is wrong with a text, none when it is right;
//! the texts are those of apimachinery `pkg/util/validation` and `pkg/api/validate/content` of v1.37, which differ in
//! the unit they count lengths in (characters in the former, bytes in the latter).

use std::borrow::Cow;

/// What is wrong with a text; empty when nothing is.
pub type Messages = Vec<String>;

/// The longest DNS-1123 or DNS-1035 label.
pub const LABEL_BYTES_MAX: usize = 63;
/// The longest DNS-1123 subdomain.
pub const SUBDOMAIN_BYTES_MAX: usize = 253;

const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
    is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
    and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation \
    is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
    with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used \
    for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const KEY_NAME_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const WILDCARD_MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
    subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
    character (e.g. '*.example.com', regex used for validation is \
    '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const UNDERSCORE_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
    validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const CASELESS_MESSAGE: &str = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must \
    start and end with an alphanumeric character (e.g. 'Example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const C_IDENTIFIER_MESSAGE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a \
    string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation \
    is '[A-Za-z_][A-Za-z0-9_]*')";
const ENV_NAME_MESSAGE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', \
    '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used \
    for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
    'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// A DNS-1123 label: namespaces, ports' names, containers.
pub fn dns1123_label(value: &str) -> Messages {
    let mut out = longer_than(value, LABEL_BYTES_MAX, "characters");
    if !is_label(value.as_bytes()) {
        let dots = is_subdomain(value);
        out.push(if dots { "must not contain dots".into() } else { LABEL_MESSAGE.into() });
    }
    out
}

/// A DNS-1123 subdomain: most objects' names.
pub fn dns1123_subdomain(value: &str) -> Messages {
    let mut out = longer_than(value, SUBDOMAIN_BYTES_MAX, "characters");
    if !is_subdomain(value) {
        out.push(SUBDOMAIN_MESSAGE.into());
    }
    out
}

/// A DNS-1123 subdomain in which labels may contain underscores.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Messages {
    let mut out = longer_than(value, SUBDOMAIN_BYTES_MAX, "characters");
    if !value.split('.').all(|l| is_underscore_label(l.as_bytes())) {
        out.push(UNDERSCORE_MESSAGE.into());
    }
    out
}

/// The declarative format `k8s-short-name`: a label whose length is counted in bytes.
pub fn short_name(value: &str) -> Messages {
    in_bytes(dns1123_label(value))
}

/// The declarative format `k8s-long-name`: a subdomain whose length is counted in bytes.
pub fn long_name(value: &str) -> Messages {
    in_bytes(dns1123_subdomain(value))
}

/// The declarative format `k8s-long-name-caseless`.
pub fn long_name_caseless(value: &str) -> Messages {
    let mut out = longer_than(value, SUBDOMAIN_BYTES_MAX, "bytes");
    if !is_subdomain(&value.to_ascii_lowercase()) {
        out.push(CASELESS_MESSAGE.into());
    }
    out
}

/// A DNS-1035 label: services.
pub fn dns1035_label(value: &str) -> Messages {
    let mut out = longer_than(value, LABEL_BYTES_MAX, "characters");
    if !is_label(value.as_bytes()) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        out.push(DNS1035_MESSAGE.into());
    }
    out
}

/// A DNS-1123 subdomain behind `*.`.
pub fn wildcard_dns1123_subdomain(value: &str) -> Messages {
    let mut out = longer_than(value, SUBDOMAIN_BYTES_MAX, "characters");
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        out.push(WILDCARD_MESSAGE.into());
    }
    out
}

/// A label key, annotation key, finalizer, taint key, resource name: `[prefix/]name`.
pub fn qualified_name(value: &str) -> Messages {
    let mut out = Messages::new();
    let mut parts = value.split('/');
    let first = parts.next().unwrap_or_default();
    let name = match (parts.next(), parts.next()) {
        (None, _) => first,
        (Some(name), None) => {
            if first.is_empty() {
                out.push("prefix part must be non-empty".into());
            } else {
                out.extend(in_bytes(dns1123_subdomain(first)).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
        (Some(_), Some(_)) => {
            return vec![format!(
                "a valid label key {KEY_NAME_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".into());
    } else if name.len() > LABEL_BYTES_MAX {
        out.push("name part must be no more than 63 bytes".into());
    }
    if !is_key_name(name.as_bytes()) {
        out.push(format!("name part {KEY_NAME_MESSAGE}"));
    }
    out
}

/// A label key that must have a prefix.
pub fn prefixed_label_key(value: &str) -> Messages {
    let out = qualified_name(value);
    if out.is_empty() && !value.contains('/') {
        return vec!["must include a prefix (e.g. 'example.com/key')".into()];
    }
    out
}

/// A label's value.
pub fn label_value(value: &str) -> Messages {
    let mut out = longer_than(value, LABEL_BYTES_MAX, "bytes");
    if !value.is_empty() && !is_key_name(value.as_bytes()) {
        out.push(VALUE_MESSAGE.into());
    }
    out
}

/// A name that may stand in a URL path as one segment: RBAC objects.
pub fn path_segment_name(value: &str) -> Messages {
    match value {
        "." => vec!["may not be '.'".into()],
        ".." => vec!["may not be '..'".into()],
        _ => path_segment_prefix(value),
    }
}

/// The first part of a path segment name (`generateName`).
pub fn path_segment_prefix(value: &str) -> Messages {
    let mut out = Messages::new();
    if value.contains('/') {
        out.push("may not contain '/'".into());
    }
    if value.contains('%') {
        out.push("may not contain '%'".into());
    }
    out
}

/// A path after a domain, such as `acme.io/foo`; each message with the part that it is about.
pub fn domain_prefixed_path(value: &str) -> Vec<(&str, String)> {
    let parts = value.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty());
    let Some((host, path)) = parts else {
        return vec![(value, "must be a domain-prefixed path (such as \"acme.io/foo\")".into())];
    };
    let mut out: Vec<_> = dns1123_subdomain(host).into_iter().map(|message| (host, message)).collect();
    let known = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !path.chars().all(known) {
        let message = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        out.push((path, message.into()));
    }
    out
}

/// A C identifier.
pub fn c_identifier(value: &str) -> Messages {
    let starts = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let right = starts && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if right { Messages::new() } else { vec![C_IDENTIFIER_MESSAGE.into()] }
}

/// The name of a container port or a service's target port (IANA service name).
pub fn port_name(value: &str) -> Messages {
    let mut out = longer_than(value, 15, "characters");
    if value.is_empty() || !value.bytes().all(|b| is_lower_alphanumeric(b) || b == b'-') {
        out.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        out.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        out.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        out.push("must not begin or end with a hyphen".into());
    }
    out
}

/// A port number.
pub fn port_number(value: i64) -> Messages {
    in_range(value, 1, 65535)
}

/// A user or group id.
pub fn user_or_group_id(value: i64) -> Messages {
    in_range(value, 0, i64::from(i32::MAX))
}

/// A number between two others, inclusive.
pub fn in_range(value: i64, low: i64, high: i64) -> Messages {
    if (low..=high).contains(&value) {
        Messages::new()
    } else {
        vec![format!("must be between {low} and {high}, inclusive")]
    }
}

/// A percentage such as `25%`.
pub fn percent(value: &str) -> Messages {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Messages::new();
    }
    vec![
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
         for validation is '[0-9]+%')"
            .into(),
    ]
}

/// The name of an HTTP header.
pub fn http_header_name(value: &str) -> Messages {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Messages::new();
    }
    vec![
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
         validation is '[-A-Za-z0-9]+')"
            .into(),
    ]
}

/// The name of an environment variable, as it was before relaxed names.
pub fn env_var_name(value: &str) -> Messages {
    let mut out = Messages::new();
    let digit_first = value.starts_with(|c: char| c.is_ascii_digit());
    if digit_first || !is_config_key(value) {
        out.push(ENV_NAME_MESSAGE.into());
    }
    out.extend(parent_directory(value));
    out
}

/// The name of an environment variable (`RelaxedEnvironmentVariableValidation`, on since v1.34).
pub fn relaxed_env_var_name(value: &str) -> Messages {
    let mut out = Messages::new();
    if value.is_empty() {
        out.push("environment variable name must be non-empty".into());
    }
    if !value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        out.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    out
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Messages {
    let mut out = longer_than(value, SUBDOMAIN_BYTES_MAX, "characters");
    if !is_config_key(value) {
        out.push(CONFIG_KEY_MESSAGE.into());
    }
    out.extend(parent_directory(value));
    out
}

/// A decimal integer without leading zeros.
pub fn decimal_integer(value: &str) -> Messages {
    if value.is_empty() {
        return vec!["must be non-empty".into()];
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let right = value == "0"
        || (digits.starts_with(|c: char| ('1'..='9').contains(&c)) && digits.bytes().all(|b| b.is_ascii_digit()));
    if right { Messages::new() } else { vec!["must be a valid decimal integer in canonical form".into()] }
}

/// The declarative format `k8s-uuid`: a UUID in lower case with hyphens.
pub fn uuid(value: &str) -> Messages {
    let hyphen_at = |i: usize| matches!(i, 8 | 13 | 18 | 23);
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let right =
        value.len() == 36 && value.bytes().enumerate().all(|(i, b)| if hyphen_at(i) { b == b'-' } else { hex(b) });
    if right {
        return Messages::new();
    }
    vec!["must be a lowercase UUID in 8-4-4-4-12 format".into()]
}

/// `NameIsDNSSubdomain`: most kinds. `prefix`: the text is a `generateName`.
pub fn subdomain_name(name: &str, prefix: bool) -> Messages {
    dns1123_subdomain(&masked(name, prefix))
}

/// `NameIsDNSLabel`: namespaces and what becomes a DNS label. `prefix`: the text is a `generateName`.
pub fn label_name(name: &str, prefix: bool) -> Messages {
    dns1123_label(&masked(name, prefix))
}

/// `NameIsDNS1035Label`: services. `prefix`: the text is a `generateName`.
pub fn dns1035_label_name(name: &str, prefix: bool) -> Messages {
    dns1035_label(&masked(name, prefix))
}

/// Path segment names: RBAC kinds. `prefix`: the text is a `generateName`.
pub fn path_segment_object_name(name: &str, prefix: bool) -> Messages {
    if prefix { path_segment_prefix(name) } else { path_segment_name(name) }
}

/// A prefix may end with a dash; upstream checks it with the last two bytes replaced by one letter.
fn masked(name: &str, prefix: bool) -> Cow<'_, str> {
    match name.len().checked_sub(2).and_then(|end| name.get(..end)) {
        Some(head) if prefix && name.ends_with('-') => Cow::Owned(format!("{head}a")),
        Some(_) | None => Cow::Borrowed(name),
    }
}

fn longer_than(value: &str, max: usize, unit: &str) -> Messages {
    if value.len() > max { vec![format!("must be no more than {max} {unit}")] } else { Messages::new() }
}

/// The same messages with lengths counted in bytes, as `pkg/api/validate/content` words them.
fn in_bytes(messages: Messages) -> Messages {
    let reword = |m: String| {
        if m.starts_with("must be no more than ") { m.replace(" characters", " bytes") } else { m }
    };
    messages.into_iter().map(reword).collect()
}

fn parent_directory(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".into()),
        ".." => Some("must not be '..'".into()),
        _ if value.starts_with("..") => Some("must not start with '..'".into()),
        _ => None,
    }
}

fn is_lower_alphanumeric(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_label(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return false };
    is_lower_alphanumeric(*first)
        && is_lower_alphanumeric(*last)
        && value.iter().all(|b| is_lower_alphanumeric(*b) || *b == b'-')
}

fn is_underscore_label(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"_").unwrap_or(value);
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return false };
    is_lower_alphanumeric(*first)
        && is_lower_alphanumeric(*last)
        && value.iter().all(|b| is_lower_alphanumeric(*b) || *b == b'-' || *b == b'_')
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(|label| is_label(label.as_bytes()))
}

fn is_key_name(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_config_key(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_names(rule: fn(&str) -> Messages, right: &[&str], wrong: &[&str]) {
        for value in right {
            assert_eq!(rule(value), Messages::new(), "{value:?} is right");
        }
        for value in wrong {
            assert!(!rule(value).is_empty(), "{value:?} is wrong");
        }
    }

    #[test]
    fn names_are_told_right_from_wrong() {
        let long = "a".repeat(64);
        check_names(dns1123_label, &["a", "a-b", "1", "a--1"], &["", "-a", "a-", "A", "a.b", "ä", &long]);
        check_names(dns1123_subdomain, &["a", "a.b-c", "1.2"], &["", ".", "a.", "a..b", "a.-b", "A.b", "a_b"]);
        check_names(dns1035_label, &["a", "a1-b"], &["", "1a", "-a", "a-", "A"]);
        check_names(wildcard_dns1123_subdomain, &["*.a", "*.a.b"], &["*", "*.", "a.b", "*.*.a"]);
        check_names(qualified_name, &["a", "A_b.c", "a.b/C", "1/1"], &["", "/a", "a/", "a/b/c", "A/b", "-a", &long]);
        check_names(label_value, &["", "a", "A_1.b"], &["-", "a-", "a b", &long]);
        check_names(path_segment_name, &["", "a:b", "..."], &[".", "..", "a/b", "a%"]);
        check_names(port_name, &["a", "a-1"], &["", "1", "-a", "a-", "a--b", "A", "abcdefghijklmnop"]);
        check_names(env_var_name, &["A", "_a.b-c", "-1"], &["", "1a", "a=b", ".", "..", "..a"]);
        check_names(relaxed_env_var_name, &["1 a!"], &["", "a=b", "ä", "\n"]);
        check_names(config_map_key, &["a", ".a", "1"], &["", ".", "..", "..a", "a/b"]);
        check_names(decimal_integer, &["0", "-1", "10"], &["", "-", "-0", "01", "+1", "1a"]);
        check_names(percent, &["0%", "101%"], &["", "%", "1", "-1%", "1%%"]);
        check_names(uuid, &["123e4567-e89b-12d3-a456-426614174000"], &["", "123E4567-e89b-12d3-a456-426614174000"]);
        check_names(c_identifier, &["a", "_1"], &["", "1a", "a-b"]);
    }

    #[test]
    fn messages_are_upstreams() {
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_label("A"),
            ["a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
              and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert_eq!(short_name(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(
            qualified_name("a/"),
            [
                "name part must be non-empty",
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                 '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged_by_every_rule(text in "[a-zA-Z0-9./_%-]{0,20}|.{0,20}|[a-z0-9.]{60,70}|[a-z.]{250,260}") {
            let rules: [fn(&str) -> Messages; 20] = [
                dns1123_label,
                dns1123_subdomain,
                dns1123_subdomain_with_underscore,
                short_name,
                long_name,
                long_name_caseless,
                dns1035_label,
                wildcard_dns1123_subdomain,
                qualified_name,
                prefixed_label_key,
                label_value,
                path_segment_name,
                path_segment_prefix,
                c_identifier,
                port_name,
                percent,
                http_header_name,
                env_var_name,
                config_map_key,
                uuid,
            ];
            for rule in rules {
                proptest::prop_assert!(rule(&text).iter().all(|message| !message.is_empty()));
            }
            // A label is a subdomain, and a name may stand in a path.
            if dns1123_label(&text).is_empty() {
                proptest::prop_assert!(dns1123_subdomain(&text).is_empty() && path_segment_name(&text).is_empty());
            }
        }
    }
}
