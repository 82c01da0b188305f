//! IP addresses and networks, in canonical families only: no zones, no IPv4 in IPv6.

use std::net::IpAddr;

use super::super::error::Error;
use super::super::value::Value;
use crate::api::field::go_quote;
use crate::api::validation::ip::Cidr;

pub(super) const NAMES: &[&str] = &[
    "isIP",
    "ip.isCanonical",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "cidr",
    "isCIDR",
    "containsIP",
    "containsCIDR",
    "prefixLength",
    "masked",
];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match (name, args) {
        ("ip", [Value::String(text)]) => parse_ip(text).map(Value::Ip),
        ("ip", [Value::Cidr(cidr)]) => Ok(Value::Ip(cidr.address)),
        ("isIP", [Value::String(text)]) => Ok(Value::Bool(parse_ip(text).is_ok())),
        ("ip.isCanonical", [Value::String(text)]) => Ok(Value::Bool(parse_ip(text)?.to_string() == **text)),
        ("string", [Value::Ip(ip)]) => Ok(Value::text(ip.to_string())),
        ("string", [Value::Cidr(cidr)]) => Ok(Value::text(format!("{}/{}", cidr.address, cidr.prefix))),
        ("cidr", [Value::String(text)]) => parse_cidr(text).map(Value::Cidr),
        ("isCIDR", [Value::String(text)]) => Ok(Value::Bool(parse_cidr(text).is_ok())),
        ("prefixLength", [Value::Cidr(cidr)]) => Ok(Value::Int(i64::from(cidr.prefix))),
        ("masked", [Value::Cidr(cidr)]) => Ok(Value::Cidr(cidr.network())),
        ("containsIP", [Value::Cidr(cidr), Value::String(text)]) => {
            // Upstream loses the reason here.
            let ip = parse_ip(text).map_err(|_| Error::no_such_overload())?;
            Ok(Value::Bool(contains(*cidr, ip)))
        }
        ("containsIP", [Value::Cidr(cidr), Value::Ip(ip)]) => Ok(Value::Bool(contains(*cidr, *ip))),
        ("containsCIDR", [Value::Cidr(cidr), Value::String(text)]) => {
            Ok(Value::Bool(contains_cidr(*cidr, parse_cidr(text)?)))
        }
        ("containsCIDR", [Value::Cidr(cidr), Value::Cidr(other)]) => Ok(Value::Bool(contains_cidr(*cidr, *other))),
        (_, [Value::Ip(ip)]) => property(name, *ip),
        _ => Err(Error::refused()),
    }
}

fn property<'a>(name: &str, ip: IpAddr) -> Result<Value<'a>, Error> {
    let link_local_multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    let link_local_unicast = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let multicast = ip.is_multicast();
    Ok(match name {
        "family" => Value::Int(if ip.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(ip.is_unspecified()),
        "isLoopback" => Value::Bool(ip.is_loopback()),
        "isLinkLocalMulticast" => Value::Bool(link_local_multicast),
        "isLinkLocalUnicast" => Value::Bool(link_local_unicast),
        "isGlobalUnicast" => {
            let other = ip.is_unspecified() || broadcast || ip.is_loopback() || multicast || link_local_unicast;
            Value::Bool(!other)
        }
        _ => return Err(Error::refused()),
    })
}

/// Reads an address as Go's `netip` does.
///
/// # Errors
/// With upstream's message.
fn parse_ip(text: &str) -> Result<IpAddr, Error> {
    let shown = go_quote(text);
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    if zone.is_some() && address.parse::<std::net::Ipv6Addr>().is_ok() && zone != Some("") {
        return Err(Error::new(format!("IP address {shown} with zone value is not allowed")));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(Error::new(format!("IPv4-mapped IPv6 address {shown} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(Error::new(format!(
            "IP Address {shown} parse error during conversion from string: ParseAddr({shown}): {}",
            reason(text)
        ))),
    }
}

/// Why Go's parser refuses a text that is no address.
fn reason(text: &str) -> String {
    if text.contains(':') {
        return reason_v6(text);
    }
    if !text.contains('.') {
        return "unable to parse IP".to_owned();
    }
    let (mut value, mut fields, mut digits) = (0u32, 0, 0);
    let mut previous = 0u8;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return "IPv4 field has octet with leading zero".to_owned();
                }
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return "IPv4 field has value >255".to_owned();
                }
            }
            b'.' => {
                if at == 0 || at == text.len() - 1 || previous == b'.' {
                    return format!("IPv4 field must have at least one digit (at {})", go_quote(&text[at..]));
                }
                if fields == 3 {
                    return "IPv4 address too long".to_owned();
                }
                fields += 1;
                value = 0;
                digits = 0;
            }
            _ => return format!("unexpected character (at {})", go_quote(&text[at..])),
        }
        previous = byte;
    }
    "IPv4 address too short".to_owned()
}

fn reason_v6(text: &str) -> String {
    let at = |why: &str, rest: &str| format!("{why} (at {})", go_quote(rest));
    let (mut rest, mut ellipsis) = match text.strip_prefix("::") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut groups = 0;
    while groups < 8 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return at("each group must have 4 or less digits", rest);
        }
        if digits == 0 {
            return at("each colon-separated field must have at least one digit", rest);
        }
        if rest[digits..].starts_with('.') {
            return if !ellipsis && groups != 6 {
                at("embedded IPv4 address must replace the final 2 fields of the address", rest)
            } else {
                reason(rest)
            };
        }
        groups += 1;
        rest = &rest[digits..];
        if rest.is_empty() {
            break;
        }
        match rest.strip_prefix(':') {
            None => return at("unexpected character, want colon", rest),
            Some("") => return at("colon must be followed by more characters", rest),
            Some(after) => rest = after,
        }
        if let Some(after) = rest.strip_prefix(':') {
            if ellipsis {
                return at("multiple :: in address", rest);
            }
            ellipsis = true;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return at("trailing garbage after address", rest);
    }
    if groups < 8 { "address string too short" } else { "the :: must expand to at least one field of zeros" }.to_owned()
}

fn parse_cidr(text: &str) -> Result<Cidr, Error> {
    const TWICE: &str = "network address parse error during conversion from string: ";
    let shown = go_quote(text);
    let refuse = |why: &str| Error::new(format!("{TWICE}{TWICE}netip.ParsePrefix({shown}): {why}"));
    let Some(slash) = text.rfind('/') else { return Err(refuse("no '/'")) };
    let (address, bits) = (&text[..slash], &text[slash + 1..]);
    let Ok(ip) = address.parse::<IpAddr>() else {
        if address.contains('%') {
            return Err(refuse("IPv6 zones cannot be present in a prefix"));
        }
        return Err(refuse(&format!("ParseAddr({}): {}", go_quote(address), reason(address))));
    };
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    if !digits || bits.len() > 1 && bits.starts_with('0') {
        return Err(refuse(&format!("bad bits after slash: {}", go_quote(bits))));
    }
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = bits.parse::<u8>().ok().filter(|prefix| *prefix <= max);
    let Some(prefix) = prefix else { return Err(refuse("prefix length out of range")) };
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Error::new(format!("{TWICE}IPv4-mapped IPv6 address {shown} is not allowed")))
        }
        _ => Ok(Cidr { address: ip, prefix }),
    }
}

fn contains(cidr: Cidr, ip: IpAddr) -> bool {
    cidr.address.is_ipv4() == ip.is_ipv4()
        && cidr.network().address == (Cidr { address: ip, prefix: cidr.prefix }).network().address
}

fn contains_cidr(cidr: Cidr, other: Cidr) -> bool {
    cidr.prefix <= other.prefix && contains(cidr, other.address)
}
