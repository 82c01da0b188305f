//! `/statusz` and `/flagz`: what this server is and how it was started, for people as text and for programs in a form
//! of `config.k8s.io` (component-base `pkg/zpages` of v1.37, whose delimiter of lines is chance).

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::filters::Admitted;
use super::message::Response;
use super::negotiation::{self, Agreed, Encoding};
use super::{Server, respond};
use crate::api::codec::yaml;
use crate::api::{Result, Status};
use crate::resources::facts::VERSION;

const GROUP: &str = "config.k8s.io";
const TEXT: &str = "text/plain";
const ACCEPTED: [&str; 3] = ["application/json", "application/yaml", TEXT];
const CAUTION: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility \
                       guarantees and is for debugging purposes only.";
const PATHS: [&str; 7] = ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"];

/// In the order in which they are written.
type Fields = Vec<(&'static str, Value)>;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    /// In an encoding and a version.
    Object(Encoding, &'static str),
}

/// Answers one of the two paths; `None`: it is another one.
pub(super) fn serve(server: &Server, admitted: &Admitted) -> Option<Result<Response>> {
    let (kind, name, gate) = match admitted.info.path.as_str() {
        "/statusz" => ("Statusz", "statusz", "ComponentStatusz"),
        "/flagz" => ("Flagz", "flagz", "ComponentFlagz"),
        _ => return None,
    };
    if !server.parts().registry.enabled(gate) {
        return None;
    }
    let Some(wanted) = wanted(admitted.request.headers.text("accept"), kind) else {
        return Some(Err(Status::not_acceptable(&ACCEPTED)));
    };
    let Wanted::Object(encoding, version) = wanted else {
        let lines = if kind == "Statusz" { status_lines(server) } else { flag_lines(server) };
        let text = format!("\napiserver {name}\n{CAUTION}\n{lines}");
        return Some(Ok(Response::full(200, "text/plain; charset=utf-8", text)));
    };
    if version == "v1alpha1" {
        let text = format!("This version of the {name} endpoint is deprecated. Please use a newer version.");
        admitted.warnings.add(text);
    }
    let mut fields: Fields = vec![
        ("kind", json!(kind)),
        ("apiVersion", json!(format!("{GROUP}/{version}"))),
        ("metadata", json!({ "name": "apiserver" })),
    ];
    fields.extend(if kind == "Statusz" { status(server) } else { flags(server) });
    let form = format!("{};g={GROUP};v={version};as={kind}", encoding.media_type());
    let body = match encoding {
        Encoding::Yaml => {
            yaml::encode(&fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).into()
        }
        Encoding::Json | Encoding::Protobuf => {
            let agreed = Agreed { encoding, ..negotiation::failure(&admitted.request, &admitted.query) };
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            respond::json_text(format!("{{{}}}", fields.join(",")).as_bytes(), agreed.pretty)
        }
    };
    Some(Ok(Response::full(200, form, body)))
}

fn wanted(accept: &str, kind: &str) -> Option<Wanted> {
    if accept.is_empty() {
        return Some(Wanted::Text);
    }
    negotiation::parse_accept(accept).iter().find_map(|clause| {
        let param = |name: &str| clause.params.get(name).map_or("", String::as_str);
        if ["as", "g", "v"].iter().all(|name| param(name).is_empty()) {
            return clause.matches(TEXT).then_some(Wanted::Text);
        }
        let version = ["v1alpha1", "v1beta1"].into_iter().find(|version| *version == param("v"))?;
        let encoding = [Encoding::Json, Encoding::Yaml].into_iter().find(|e| clause.matches(e.media_type()))?;
        (param("g") == GROUP && param("as") == kind).then_some(Wanted::Object(encoding, version))
    })
}

fn uptime_seconds(server: &Server) -> u64 {
    (server.parts().clock.monotonic() - server.began().1).as_secs()
}

fn binary_version() -> &'static str {
    VERSION.trim_start_matches('v')
}

fn emulation_version(server: &Server) -> String {
    let release = server.parts().facts.release;
    format!("{}.{}", release.major, release.minor)
}

fn status_lines(server: &Server) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let started = server.began().0.to_zoned(TimeZone::UTC).strftime("%a %b %e %H:%M:%S UTC %Y").to_string();
    let up = uptime_seconds(server);
    let up = format!("{} hr {:02} min {:02} sec", up / HOUR, up % HOUR / MINUTE, up % MINUTE);
    format!(
        "\nStarted= {started}\nUp= {up}\nGo version= \nBinary version= {}\nEmulation version= {}\nPaths= {}\n",
        binary_version(),
        emulation_version(server),
        PATHS.join(" ")
    )
}

fn status(server: &Server) -> Fields {
    vec![
        ("startTime", json!(server.began().0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        ("uptimeSeconds", json!(uptime_seconds(server))),
        ("goVersion", json!("")),
        ("binaryVersion", json!(binary_version())),
        ("emulationVersion", json!(emulation_version(server))),
        ("paths", json!(PATHS)),
    ]
}

fn flag_lines(server: &Server) -> String {
    server.parts().flags.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn flags(server: &Server) -> Fields {
    let flags = server.parts().flags.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    vec![("flags", flags.collect())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_wanted(accept: &str, expected: Option<Wanted>) {
        assert!(wanted(accept, "Statusz") == expected, "{accept}");
    }

    #[test]
    fn the_first_form_that_there_is_is_given() {
        let object = |version| Some(Wanted::Object(Encoding::Json, version));
        for accept in ["", "*/*", "text/*", "text/plain;q=0.5", "application/json, text/plain"] {
            check_wanted(accept, Some(Wanted::Text));
        }
        check_wanted("application/json;v=v1beta1;g=config.k8s.io;as=Statusz, text/plain", object("v1beta1"));
        check_wanted("application/json;v=v1alpha1;g=config.k8s.io;as=Statusz", object("v1alpha1"));
        for accept in ["application/json", "text/html", "text/plain;v=x"] {
            check_wanted(accept, None);
        }
        for params in ["v=v1;g=config.k8s.io;as=Statusz", "v=v1beta1;g=config.k8s.io;as=Flagz", "v=v1beta1;as=Statusz"]
        {
            check_wanted(&format!("application/json;{params}"), None);
        }
    }
}
