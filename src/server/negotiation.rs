//! Which encoding a request has and which its answer gets (apiserver `pkg/endpoints/handlers/negotiation`).

use std::collections::BTreeMap;

use super::message::Request;
use super::query::Query;
use crate::api::{Reason, Result, Status};

/// The encodings of objects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// What the object of the answer is turned into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Form {
    /// The object itself.
    Plain,
    Table(MetaVersion),
    PartialMetadata(MetaVersion),
    PartialMetadataList(MetaVersion),
}

/// The versions of `meta.k8s.io`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum MetaVersion {
    V1,
    V1Beta1,
}

/// An agreed way to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Agreed {
    pub encoding: Encoding,
    pub form: Form,
    /// Indented JSON.
    pub pretty: bool,
}

impl Encoding {
    /// The media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    fn streams(self) -> bool {
        self != Self::Yaml
    }
}

impl Form {
    fn needs(self) -> Forms {
        match self {
            Self::Plain => Forms::Plain,
            Self::PartialMetadata(_) | Self::PartialMetadataList(_) => Forms::Metadata,
            Self::Table(_) => Forms::Tables,
        }
    }
}

impl MetaVersion {
    /// As it stands in `apiVersion`.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// In upstream's order, the first is the default.
const ALL: [Encoding; 3] = [Encoding::Json, Encoding::Yaml, Encoding::Protobuf];
const ALL_NAMES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAM_NAMES: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// The forms that an endpoint can give its answer; an alternative of `Accept` that asks for another is passed over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Forms {
    /// Discovery and failures.
    Plain,
    /// What is only created, and subresources that print nothing.
    Metadata,
    Tables,
}

/// The types of an answer that is no stream.
///
/// # Errors
/// 406 with the types that would do.
pub(super) fn output(request: &Request, query: &Query, forms: Forms) -> Result<Agreed> {
    agree(request, query, forms).ok_or_else(|| Status::not_acceptable(&ALL_NAMES))
}

/// The types of a watch.
///
/// # Errors
/// 406 with the types that would do.
pub(super) fn stream(request: &Request, query: &Query) -> Result<Agreed> {
    agree(request, query, Forms::Tables)
        .filter(|a| a.encoding.streams())
        .ok_or_else(|| Status::not_acceptable(&STREAM_NAMES))
}

/// The answer to something that failed: JSON when nothing better is agreed.
pub(super) fn failure(request: &Request, query: &Query) -> Agreed {
    let plain = Agreed { encoding: Encoding::Json, form: Form::Plain, pretty: pretty_asked(request, query) };
    agree(request, query, Forms::Plain).unwrap_or(plain)
}

/// The encoding of a request body.
///
/// # Errors
/// 415 with the types that would do.
pub(super) fn input(request: &Request) -> Result<Encoding> {
    let header = request.headers.text("content-type");
    if header.is_empty() {
        return Ok(Encoding::Json);
    }
    let essence = header.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let found = ALL.into_iter().find(|e| e.media_type() == essence);
    found.ok_or_else(|| Status::unsupported_media_type(&ALL_NAMES))
}

fn agree(request: &Request, query: &Query, forms: Forms) -> Option<Agreed> {
    // Upstream reads the first `Accept` header only.
    let header = request.headers.text("accept");
    let pretty = pretty_asked(request, query);
    if header.is_empty() {
        return Some(Agreed { encoding: Encoding::Json, form: Form::Plain, pretty });
    }
    for clause in parse_accept(header) {
        for encoding in ALL {
            if clause.matches(encoding.media_type())
                && let Some(agreed) = clause.agree(encoding, pretty)
                && agreed.form.needs() <= forms
            {
                return Some(agreed);
            }
        }
    }
    None
}

fn pretty_asked(request: &Request, query: &Query) -> bool {
    if let Some(value) = query.get("pretty").filter(|value| !value.is_empty()) {
        return matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True");
    }
    let agent = request.headers.text("user-agent");
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix))
}

/// One alternative of an `Accept` header.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Clause {
    pub kind: String,
    pub subkind: String,
    pub quality: f64,
    pub params: BTreeMap<String, String>,
}

impl Clause {
    /// Whether a media type without parameters fits.
    pub(super) fn matches(&self, media_type: &str) -> bool {
        let (kind, subkind) = media_type.split_once('/').unwrap_or((media_type, ""));
        let any = self.subkind == "*" && (self.kind == "*" || self.kind == kind);
        any || (self.kind == kind && self.subkind == subkind)
    }

    fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    fn agree(&self, encoding: Encoding, pretty: bool) -> Option<Agreed> {
        let stream = self.param("stream");
        let understood = stream.is_empty() || (stream == "watch" && encoding.streams());
        if !understood {
            return None;
        }
        if !matches!(self.param("sv"), "" | "v1") {
            return None;
        }
        let form = self.form(encoding)?;
        Some(Agreed { encoding, form, pretty: pretty || self.param("pretty") == "1" })
    }

    fn form(&self, encoding: Encoding) -> Option<Form> {
        if !["as", "g", "v"].iter().any(|key| !self.param(key).is_empty()) {
            return Some(Form::Plain);
        }
        let version = match (self.param("g"), self.param("v")) {
            ("meta.k8s.io", "v1") => MetaVersion::V1,
            ("meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
            _ => return None,
        };
        match self.param("as") {
            "PartialObjectMetadata" => Some(Form::PartialMetadata(version)),
            "PartialObjectMetadataList" => Some(Form::PartialMetadataList(version)),
            "Table" if encoding != Encoding::Protobuf => Some(Form::Table(version)),
            _ => None,
        }
    }
}

/// The alternatives in order of preference: quality first, then less wildcards (goautoneg's order), else as written.
pub(super) fn parse_accept(header: &str) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = header.split(',').filter_map(parse_clause).collect();
    let rank = |c: &Clause| u8::from(c.kind == "*") + u8::from(c.subkind == "*");
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(rank(a).cmp(&rank(b))));
    clauses
}

fn parse_clause(text: &str) -> Option<Clause> {
    let mut pieces = text.split(';').map(str::trim);
    let range = pieces.next()?;
    let (kind, subkind) = match range.split_once('/') {
        Some((kind, subkind)) => (kind.trim(), subkind.trim()),
        None if range == "*" => ("*", "*"),
        None => return None,
    };
    let mut clause =
        Clause { kind: kind.to_owned(), subkind: subkind.to_owned(), quality: 1.0, params: BTreeMap::new() };
    for piece in pieces {
        let Some((name, value)) = piece.split_once('=') else { continue };
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name == "q" {
            clause.quality = value.parse().unwrap_or(1.0);
        } else {
            clause.params.insert(name.to_owned(), value.to_owned());
        }
    }
    Some(clause)
}

/// 406 of a form that does not fit the object.
pub(super) fn wrong_form(message: impl Into<String>) -> Status {
    Status::new(406, Reason::NotAcceptable, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::message::{Method, Peer};

    fn request(accept: &str) -> Request {
        Request::new(Method::Get, "/api/v1/pods", Peer::default()).with_header("accept", accept)
    }

    #[track_caller]
    fn check_agreed(accept: &str, encoding: Encoding, form: Form) {
        let agreed = output(&request(accept), &Query::default(), Forms::Tables).unwrap();
        assert_eq!((agreed.encoding, agreed.form), (encoding, form), "{accept}");
    }

    #[test]
    fn the_best_acceptable_type_is_agreed() {
        check_agreed("", Encoding::Json, Form::Plain);
        check_agreed("*/*", Encoding::Json, Form::Plain);
        check_agreed("application/yaml", Encoding::Yaml, Form::Plain);
        check_agreed("text/html, application/*;q=0.5, application/yaml;q=0.7", Encoding::Yaml, Form::Plain);
        check_agreed("application/vnd.kubernetes.protobuf,application/json", Encoding::Protobuf, Form::Plain);
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        check_agreed(table, Encoding::Json, Form::Table(MetaVersion::V1));
        // What cannot be a Table falls through to the next alternative.
        let protobuf = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json";
        check_agreed(protobuf, Encoding::Json, Form::Plain);
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        check_agreed(partial, Encoding::Protobuf, Form::PartialMetadataList(MetaVersion::V1));
    }

    #[test]
    fn what_nobody_can_make_is_not_acceptable() {
        for accept in ["text/plain", "application/json;as=Pod;v=v1;g=meta.k8s.io", "application/json;sv=v2"] {
            let error = output(&request(accept), &Query::default(), Forms::Tables).unwrap_err();
            assert_eq!(error.code(), 406);
            assert_eq!(
                error.message(),
                "only the following media types are accepted: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf"
            );
        }
        assert_eq!(stream(&request("application/yaml"), &Query::default()).unwrap_err().code(), 406);
    }

    #[test]
    fn a_form_that_an_endpoint_cannot_give_is_passed_over() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let metadata = "application/yaml;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
        let output = |accept: &str, forms| output(&request(accept), &Query::default(), forms);
        assert_eq!(output(table, Forms::Metadata).unwrap_err().code(), 406);
        assert_eq!(output(&format!("{table},application/json"), Forms::Metadata).unwrap().form, Form::Plain);
        assert_eq!(output(metadata, Forms::Metadata).unwrap().form, Form::PartialMetadata(MetaVersion::V1));
        assert_eq!(output(metadata, Forms::Plain).unwrap_err().code(), 406);
        assert_eq!(failure(&request(metadata), &Query::default()).encoding, Encoding::Json);
    }

    #[test]
    fn pretty_comes_from_query_parameter_and_user_agent() {
        let curl = request("").with_header("user-agent", "curl/8");
        let pretty =
            |request: &Request, query: &str| output(request, &Query::parse(query), Forms::Tables).unwrap().pretty;
        assert!(pretty(&curl, ""));
        assert!(!pretty(&curl, "pretty=false"));
        assert!(pretty(&request("application/json;pretty=1"), ""));
    }

    #[test]
    fn bodies_without_a_type_are_json_and_unknown_types_are_refused() {
        let with = |kind: &str| input(&request("").with_body(kind, ""));
        assert_eq!(input(&request("")).unwrap(), Encoding::Json);
        assert_eq!(with("application/json; charset=utf-8").unwrap(), Encoding::Json);
        assert_eq!(with("Application/YAML").unwrap(), Encoding::Yaml);
        assert_eq!(with("text/plain").unwrap_err().code(), 415);
    }

    proptest::proptest! {
        #[test]
        fn any_accept_and_content_type_is_agreed_or_refused(
            accept in "([a-z*/;=,q.0-9 \"]|application/json|as=Table|v=v1|g=meta\\.k8s\\.io){0,24}|.{0,24}",
        ) {
            let whole = output(&request(&accept), &Query::default(), Forms::Tables);
            for answer in [whole, stream(&request(&accept), &Query::default())] {
                if let Err(status) = answer {
                    proptest::prop_assert_eq!(status.code(), 406);
                }
            }
            if let Err(status) = input(&request("").with_body(&accept, "")) {
                proptest::prop_assert_eq!(status.code(), 415);
            }
        }
    }
}
