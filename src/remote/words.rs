//! What went wrong on the way to a server, in the words of Go's libraries, which upstream hands on to its clients.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use rustls::pki_types::ServerName;

/// A call that took too long.
pub(super) const DEADLINE: &str = "context deadline exceeded";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub String);

/// A request that was not answered.
pub(super) fn of(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut last = error.to_string();
    while let Some(error) = cause {
        if let Some(Failure(text)) = error.downcast_ref() {
            return text.clone();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        {
            return "EOF".to_owned();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            return format!("net/http: HTTP/1.x transport connection broken: {error}");
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error);
        }
        last = error.to_string();
        cause = error.source();
    }
    last
}

/// A request over a connection of its own that was not answered.
pub(super) fn of_exchange(error: &hyper::Error) -> String {
    let io = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match io {
        Some(io) => of_io(io),
        None if error.is_parse() => format!("net/http: HTTP/1.x transport connection broken: {error}"),
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => "EOF".to_owned(),
        None => error.to_string(),
    }
}

/// An answer that ended before it was whole.
pub(super) fn of_body(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_body_write_aborted() {
        return "unexpected EOF".to_owned();
    }
    let io = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match io {
        Some(io) if io.kind() != io::ErrorKind::UnexpectedEof => of_io(io),
        Some(_) | None => "unexpected EOF".to_owned(),
    }
}

/// An error of the system.
pub(super) fn of_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::BrokenPipe => "broken pipe".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}

/// A handshake that did not come to its end.
pub(super) fn of_handshake(error: &io::Error, name: &ServerName<'_>) -> String {
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: x509: {}", of_certificate(why, name))
        }
        Some(rustls::Error::InvalidMessage(_)) => "http: server gave HTTP response to HTTPS client".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("remote error: tls: {alert:?}"),
        Some(other) => other.to_string(),
        None => of_io(error),
    }
}

fn of_certificate(why: &CertificateError, name: &ServerName<'_>) -> String {
    let shown = name.to_str();
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::NotValidForName => format!("certificate is not valid for {shown}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            // Go tells names of the kind that was looked for.
            let wanted = if matches!(name, ServerName::IpAddress(_)) { "IpAddress" } else { "DnsName" };
            let names: Vec<String> = presented.iter().filter_map(|name| of_name(name, wanted)).collect();
            match (name, names.as_slice()) {
                (ServerName::IpAddress(_), []) => {
                    format!("cannot validate certificate for {shown} because it doesn't contain any IP SANs")
                }
                (_, []) => "certificate relies on legacy Common Name field, use SANs instead".to_owned(),
                (_, names) => format!("certificate is valid for {}, not {shown}", names.join(", ")),
            }
        }
        CertificateError::Expired | CertificateError::NotValidYet => {
            "certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "certificate has expired or is not yet valid: current time {} is after {}",
            moment(time.as_secs()),
            moment(not_after.as_secs())
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "certificate has expired or is not yet valid: current time {} is before {}",
            moment(time.as_secs()),
            moment(not_before.as_secs())
        ),
        other => format!("{other:?}"),
    }
}

/// A name as rustls writes it: `DnsName("a")`, `IpAddress(127.0.0.1)`.
fn of_name(name: &str, wanted: &str) -> Option<String> {
    let (kind, rest) = name.split_once('(')?;
    let text = rest.trim_end_matches(')').trim_matches('"').to_owned();
    (kind == wanted).then_some(text)
}

fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}
