//! URLs as Go's `net/url` reads them: absolute ones and paths.

use std::fmt;
use std::sync::Arc;

use super::super::error::Error;
use super::super::value::{Map, Value};
use super::maps;
use crate::api::field::go_quote;

pub(super) const NAMES: &[&str] =
    &["url", "isURL", "getScheme", "getHost", "getHostname", "getPort", "getEscapedPath", "getQuery"];

/// A URL and its parts.
#[derive(Clone, Debug)]
pub struct Url {
    text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Url {
    /// Reads a URL as a request has it: absolute, or a path from the root.
    ///
    /// # Errors
    /// With Go's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("parse {}: {why}", go_quote(text));
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(refuse("net/url: invalid control character in URL"));
        }
        if text.is_empty() {
            return Err(refuse("empty url"));
        }
        let (scheme, rest) = scheme(text).map_err(|why| refuse(&why))?;
        if scheme.is_empty() && !rest.starts_with('/') {
            return Err(refuse("invalid URI for request"));
        }
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, of)| (rest, Some(of)));
        if let Some(fragment) = fragment {
            check_escapes(fragment).map_err(|why| refuse(&why))?;
        }
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        if !rest.starts_with('/') {
            // What follows the scheme has no host.
            return Ok(Self {
                text: text.to_owned(),
                scheme,
                host: String::new(),
                path: String::new(),
                query: query.to_owned(),
            });
        }
        let (mut host, mut path) = (String::new(), rest);
        let authority = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///"));
        if let Some(after) = authority {
            let end = after.find('/').unwrap_or(after.len());
            host = self::host(&after[..end]).map_err(|why| refuse(&why))?;
            path = &after[end..];
        }
        check_escapes(path).map_err(|why| refuse(&why))?;
        Ok(Self { text: text.to_owned(), scheme, host, path: escaped_path(path), query: query.to_owned() })
    }

    fn hostname(&self) -> &str {
        let host = self.host.strip_suffix(&format!(":{}", self.port())).unwrap_or(&self.host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(0, |at| at + 1);
        let port = self.host[after..].rfind(':').map_or("", |at| &self.host[after + at + 1..]);
        if port.bytes().all(|b| b.is_ascii_digit()) { port } else { "" }
    }
}

fn scheme(text: &str) -> Result<(String, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn host(authority: &str) -> Result<String, String> {
    let host = match authority.rfind('@') {
        Some(at) => {
            let user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
            if !authority[..at].chars().all(user) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            &authority[at + 1..]
        }
        None => authority,
    };
    let port = match host.strip_prefix('[') {
        Some(_) => match host.rfind(']') {
            Some(end) => &host[end + 1..],
            None => return Err("missing ']' in host".to_owned()),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let valid =
        port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if !valid {
        return Err(format!("invalid port {} after host", go_quote(port)));
    }
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(c);
    if let Some(bad) = host.chars().find(|c| !allowed(*c)) {
        return Err(format!("invalid character {} in host name", go_quote(&bad.to_string())));
    }
    if let Some(at) = host.find('%') {
        let shown: String = host[at..].chars().take(3).collect();
        return Err(format!("invalid URL escape {}", go_quote(&shown)));
    }
    Ok(host.to_owned())
}

fn check_escapes(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let shown: String = rest.chars().take(3).collect();
        if shown.len() != 3 || !shown.bytes().skip(1).all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", go_quote(&shown)));
        }
        rest = &rest[3..];
    }
    Ok(())
}

/// The path as it came when it is escaped rightly, escaped otherwise.
fn escaped_path(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&b);
    if path.bytes().all(plain) {
        return path.to_owned();
    }
    let unescaped = percent_decoded(path, false);
    let kept = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&b);
    unescaped.iter().map(|b| if kept(*b) { char::from(*b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn percent_decoded(text: &str, plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    out
}

fn query<'a>(text: &str) -> Result<Map<'a>, Error> {
    let mut pairs: Vec<(String, Vec<Value<'a>>)> = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty() && !part.contains(';')) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if check_escapes(key).is_err() || check_escapes(value).is_err() {
            continue;
        }
        let decoded = |text: &str| String::from_utf8_lossy(&percent_decoded(text, true)).into_owned();
        let (key, value) = (decoded(key), Value::text(decoded(value)));
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => pairs.push((key, vec![value])),
        }
    }
    maps::of_pairs(pairs.into_iter().map(|(key, values)| (Value::text(key), Value::list(values))).collect())
}

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match (name, args) {
        ("url", [Value::String(text)]) => match Url::parse(text) {
            Ok(url) => Ok(Value::Url(Arc::new(url))),
            Err(error) => Err(Error::new(format!("URL parse error during conversion from string: {error}"))),
        },
        ("isURL", [Value::String(text)]) => Ok(Value::Bool(Url::parse(text).is_ok())),
        ("getScheme", [Value::Url(url)]) => Ok(Value::text(url.scheme.as_str())),
        ("getHost", [Value::Url(url)]) => Ok(Value::text(url.host.as_str())),
        ("getHostname", [Value::Url(url)]) => Ok(Value::text(url.hostname())),
        ("getPort", [Value::Url(url)]) => Ok(Value::text(url.port())),
        ("getEscapedPath", [Value::Url(url)]) => Ok(Value::text(url.path.as_str())),
        ("getQuery", [Value::Url(url)]) => query(&url.query).map(Value::Map),
        _ => Err(Error::refused()),
    }
}
