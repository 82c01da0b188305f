//! IP addresses and CIDRs as apimachinery `pkg/util/validation/ip.go` of v1.37 reads them. The older API fields accept
//! what Go's parsers once accepted (leading zeros, IPv4 in IPv6 form), the newer ones only canonical text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::api::field::{Errors, FieldError, Path};

/// A network as Go's `net.IPNet`: the address as given and the length of the prefix within its family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

/// How strictly a field that predates strict validation reads its text (feature `StrictIPCIDRValidation`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    Sloppy,
    Strict,
}

/// Reads an address with leading zeros allowed in IPv4 octets; IPv4-mapped IPv6 comes out as IPv4, as Go prints it.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        let address = parse_ipv6(text)?;
        return Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4));
    }
    parse_ipv4(text).map(IpAddr::V4)
}

/// Reads a CIDR with leading zeros allowed.
pub fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, prefix) = text.split_once('/')?;
    if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let prefix: u32 = prefix.parse().ok()?;
    if address.contains(':') {
        let v6 = parse_ipv6(address)?;
        if prefix > 128 {
            return None;
        }
        return Some(match v6.to_ipv4_mapped() {
            Some(v4) if prefix >= 96 => Cidr { address: IpAddr::V4(v4), prefix: u8::try_from(prefix - 96).ok()? },
            Some(_) | None => Cidr { address: IpAddr::V6(v6), prefix: u8::try_from(prefix).ok()? },
        });
    }
    let v4 = parse_ipv4(address)?;
    (prefix <= 32).then_some(Cidr { address: IpAddr::V4(v4), prefix: u8::try_from(prefix).ok()? })
}

/// An address field made after v1.33: canonical text only.
pub fn ip(text: &str, path: &Path<'_>) -> Errors {
    let errors = legacy_ip(text, Strictness::Strict, path);
    if !errors.is_empty() {
        return errors;
    }
    match parse_ip(text).map(|a| a.to_string()) {
        Some(canonical) if canonical != text => {
            vec![FieldError::invalid(path, text, format!("must be in canonical form (\"{canonical}\")"))]
        }
        Some(_) | None => Errors::new(),
    }
}

/// An address field that predates strict validation. Values that the old object had already are the caller's to skip.
pub fn legacy_ip(text: &str, strictness: Strictness, path: &Path<'_>) -> Errors {
    if parse_ip(text).is_none() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return vec![FieldError::invalid(path, text, detail)];
    }
    if strictness == Strictness::Sloppy {
        return Errors::new();
    }
    match text.parse::<IpAddr>() {
        Err(_) => vec![FieldError::invalid(path, text, "must not have leading 0s")],
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            vec![FieldError::invalid(path, text, "must not be an IPv4-mapped IPv6 address")]
        }
        Ok(_) => Errors::new(),
    }
}

/// A CIDR field made after v1.33: canonical text only.
pub fn cidr(text: &str, path: &Path<'_>) -> Errors {
    let errors = legacy_cidr(text, Strictness::Strict, path);
    if !errors.is_empty() {
        return errors;
    }
    match parse_cidr(text).map(|c| c.network().to_string()) {
        Some(canonical) if canonical != text => {
            vec![FieldError::invalid(path, text, format!("must be in canonical form (\"{canonical}\")"))]
        }
        Some(_) | None => Errors::new(),
    }
}

/// An address with the length of its network's prefix, in canonical text only.
pub fn interface_address(text: &str, path: &Path<'_>) -> Errors {
    let detail = match parse_cidr(text) {
        None => "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)".to_owned(),
        Some(parsed) if parsed.to_string() != text => format!("must be in canonical form (\"{parsed}\")"),
        Some(_) => return Errors::new(),
    };
    vec![FieldError::invalid(path, text, detail)]
}

/// A CIDR field that predates strict validation.
pub fn legacy_cidr(text: &str, strictness: Strictness, path: &Path<'_>) -> Errors {
    let Some(parsed) = parse_cidr(text) else {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        return vec![FieldError::invalid(path, text, detail)];
    };
    if strictness == Strictness::Sloppy {
        return Errors::new();
    }
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let detail = match address.parse::<IpAddr>() {
        Err(_) => "must not have leading 0s in IP or prefix length",
        Ok(_) if prefix.len() > 1 && prefix.starts_with('0') => "must not have leading 0s in IP or prefix length",
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => "must not have an IPv4-mapped IPv6 address",
        Ok(_) if parsed.network() != parsed => "must not have bits set beyond the prefix length",
        Ok(_) => return Errors::new(),
    };
    vec![FieldError::invalid(path, text, detail)]
}

/// The warnings for an address in a form that is not standard; the text was validated before.
pub fn ip_warnings(text: &str, path: &Path<'_>) -> Vec<String> {
    let Some(sloppy) = parse_ip(text) else { return Vec::new() };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let canonical = v6.to_string();
            if canonical == text {
                return Vec::new();
            }
            vec![format!("{path}: IPv6 address \"{text}\" should be in RFC 5952 canonical format (\"{canonical}\")")]
        }
        Ok(IpAddr::V4(_)) => Vec::new(),
        Ok(IpAddr::V6(_)) | Err(_) => {
            vec![format!("{path}: non-standard IP address \"{text}\" is invalid: use \"{sloppy}\"")]
        }
    }
}

/// The warnings for a CIDR in a form that is not standard; the text was validated before.
pub fn cidr_warnings(text: &str, path: &Path<'_>) -> Vec<String> {
    let Some(parsed) = parse_cidr(text) else { return Vec::new() };
    let network = parsed.network();
    let mut out = Vec::new();
    if network.address != parsed.address {
        let whole = if parsed.address.is_ipv4() { 32 } else { 128 };
        out.push(format!(
            "{path}: CIDR value \"{text}\" is ambiguous in this context (should be \"{network}\" or \"{}/{whole}\"?)",
            parsed.address
        ));
    }
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let leading = prefix.len() > 1 && prefix.starts_with('0');
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() && !leading => {
            let canonical = format!("{v6}/{prefix}");
            if out.is_empty() && canonical != text {
                out.push(format!(
                    "{path}: IPv6 CIDR value \"{text}\" should be in RFC 5952 canonical format (\"{canonical}\")"
                ));
            }
        }
        Ok(IpAddr::V4(_)) if !leading => {}
        Ok(_) | Err(_) => {
            out.push(format!("{path}: non-standard CIDR value \"{text}\" is invalid: use \"{network}\""));
        }
    }
    out
}

impl Cidr {
    /// The network itself: no bits beyond the prefix.
    #[must_use]
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(a) & mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(a) & mask))
            }
        };
        Self { address, prefix: self.prefix }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    // Only a trailing IPv4 part may have leading zeros that std refuses.
    match text.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => format!("{head}:{}", parse_ipv4(tail)?).parse().ok(),
        Some(_) | None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(errors: &Errors, expected: &str) {
        let texts: Vec<&str> = errors.iter().map(|e| e.detail.as_str()).collect();
        assert_eq!(texts.join("; "), expected);
    }

    #[test]
    fn addresses_are_told_apart_as_upstream_does() {
        let path = Path::new("ip");
        check(&ip("10.0.0.1", &path), "");
        check(&ip("2001:db8::1", &path), "");
        check(&ip("2001:DB8::1", &path), "must be in canonical form (\"2001:db8::1\")");
        check(&ip("010.0.0.1", &path), "must not have leading 0s");
        check(&ip("::ffff:1.2.3.4", &path), "must not be an IPv4-mapped IPv6 address");
        check(&ip("10.0.0", &path), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        check(&legacy_ip("010.0.0.1", Strictness::Sloppy, &path), "");
    }

    #[test]
    fn cidrs_are_told_apart_as_upstream_does() {
        let path = Path::new("cidr");
        check(&cidr("10.0.0.0/8", &path), "");
        check(&cidr("10.0.0.1/8", &path), "must not have bits set beyond the prefix length");
        check(&cidr("10.0.0.0/08", &path), "must not have leading 0s in IP or prefix length");
        check(&cidr("10.0.0.0/33", &path), "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        check(&cidr("2001:DB8::/32", &path), "must be in canonical form (\"2001:db8::/32\")");
        check(&legacy_cidr("10.0.0.1/08", Strictness::Sloppy, &path), "");
        assert_eq!(
            cidr_warnings("10.0.0.1/8", &path),
            [
                "cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"
            ]
        );
    }
}
