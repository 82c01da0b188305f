//! What a connection asks for, from the parameters of its request: for the registry, for admission, for the kubelet.

use serde_json::Value;

use crate::api::field::go_quote;
use crate::api::time::parse_timestamp;
use crate::api::{Object, Result, Status};
use crate::registry::{Call, Wish};
use crate::server::filters::{Admitted, RequestInfo};
use crate::server::passing::encoded_query;
use crate::server::query::Query;

/// The parameters of a stream, and what a kubelet calls them.
const STREAMS: [(&str, &str); 4] = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// What the registry must know.
///
/// # Errors
/// 400 for parameters that are no numbers or times.
pub(super) fn of(admitted: &Admitted, call: &Call) -> Result<Wish> {
    let query = &admitted.query;
    let part = call.target.subresource.as_str();
    let log = part == "log";
    let numbers = |name| if log { query.int(name) } else { Ok(None) };
    let mut wish = Wish {
        container: query.text("container").to_owned(),
        path: behind(&admitted.info),
        unverified: log && query.flag("insecureSkipTLSVerifyBackend") == Some(true),
        tail_lines: numbers("tailLines")?,
        limit_bytes: numbers("limitBytes")?,
        since_seconds: numbers("sinceSeconds")?,
        stream: query.get("stream").filter(|_| log).map(str::to_owned),
        ..Wish::default()
    };
    let mut told = Vec::new();
    match part {
        "log" => {
            let since = since_time(query)?;
            wish.since_time = since.is_some();
            told.extend(since.map(|time| ("sinceTime", time)));
            for name in ["follow", "previous", "timestamps"] {
                told.extend((query.flag(name) == Some(true)).then(|| (name, "true".to_owned())));
            }
            let numbers = [
                ("sinceSeconds", wish.since_seconds),
                ("tailLines", wish.tail_lines),
                ("limitBytes", wish.limit_bytes),
            ];
            told.extend(numbers.into_iter().filter_map(|(name, value)| Some((name, value?.to_string()))));
            if call.kind.gates.enabled("PodLogsQuerySplitStreams") {
                told.push(("stream", wish.stream.clone().unwrap_or_else(|| "All".to_owned())));
            }
        }
        "portforward" => {
            let ports = ports(query)?;
            told.extend((!ports.is_empty()).then(|| ("port", ports.join(","))));
        }
        "proxy" => {}
        part => {
            let asked = |name: &str| query.flag(name) == Some(true);
            told.extend(STREAMS.iter().filter(|(name, _)| asked(name)).map(|(_, told)| (*told, "1".to_owned())));
            if part == "exec" {
                told.extend(query.all("command").map(|word| ("command", word.to_owned())));
            }
        }
    }
    wish.query = encoded_query(told);
    Ok(wish)
}

/// The parameters of a connection as the object that admission is shown.
pub(super) fn options(admitted: &Admitted, call: &Call) -> Object {
    let query = &admitted.query;
    let mut options = Object::default();
    options.set_gvk(call.kind.payload(&call.target.subresource));
    let set = |options: &mut Object, name: &str| {
        if let Some(value) = query.get(name).filter(|value| !value.is_empty()) {
            options.set(&[name], value);
        }
    };
    match call.target.subresource.as_str() {
        "proxy" => {
            let path = behind(&admitted.info);
            if !path.is_empty() {
                options.set(&["path"], path);
            }
        }
        "portforward" => {
            let ports: Vec<i64> = query.all("ports").flat_map(|all| all.split(',')).flat_map(str::parse).collect();
            if !ports.is_empty() {
                options.set(&["ports"], ports);
            }
        }
        part => {
            for (name, _) in STREAMS {
                if query.flag(name) == Some(true) {
                    options.set(&[name], true);
                }
            }
            set(&mut options, "container");
            if part == "exec" {
                let command: Vec<&str> = query.all("command").collect();
                options.set(&["command"], if command.is_empty() { Value::Null } else { command.into() });
            }
        }
    }
    options
}

/// The path behind a proxy, with the slash at its end.
fn behind(info: &RequestInfo) -> String {
    let mut path: String = info.parts.get(3..).unwrap_or_default().iter().map(|part| format!("/{part}")).collect();
    if info.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// The ports that are to be forwarded, which must be numbers.
fn ports(query: &Query) -> Result<Vec<String>> {
    let ports: Vec<String> = query.all("ports").filter(|port| !port.is_empty()).map(str::to_owned).collect();
    match ports.iter().find(|port| port.parse::<i32>().is_err()) {
        None => Ok(ports),
        Some(port) => {
            let quoted = go_quote(port);
            let why = format!("cannot convert to []int32: strconv.ParseUint: parsing {quoted}: invalid syntax");
            Err(Status::bad_request(why))
        }
    }
}

/// The moment from which on a log is told, as upstream writes it.
fn since_time(query: &Query) -> Result<Option<String>> {
    let text = query.text("sinceTime");
    if matches!(text, "" | "null") {
        return Ok(None);
    }
    let quoted = go_quote(text);
    let why = || {
        let layout = "2006-01-02T15:04:05Z07:00";
        Status::bad_request(format!("parsing time {quoted} as \"{layout}\": cannot parse {quoted} as \"2006\""))
    };
    let time = parse_timestamp(text).ok_or_else(why)?;
    Ok(Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}
