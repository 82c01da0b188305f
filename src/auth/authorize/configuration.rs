//! `--authorization-config`: which authorizers are asked in which order, in a file (apiserver
//! `pkg/apis/apiserver/validation`, Kubernetes `pkg/kubeapiserver/authorizer/config.go`).

use std::path::Path as FilePath;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::conditions::Conditions;
use super::webhook::{self, OnFailure, Version};
use super::{Configured, Mode};
use crate::api::cel::admission::aggregate;
use crate::api::codec::component::{self, Shape, Struct, go_io};
use crate::api::field::{FieldError, Path, Shown};
use crate::api::time::GoDuration;
use crate::api::validation::names::dns1123_subdomain;

const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
const LIMIT_MAX: Duration = Duration::from_secs(30);
/// What counts where the file does not say how long answers are kept.
pub(super) const ALLOWED_FOR: Duration = Duration::from_secs(300);
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(30);

static CONNECTION: Struct =
    Struct { name: "WebhookConnectionInfo", fields: &[("type", Shape::Text), ("kubeConfigFile", Shape::Text)] };
static CONDITION: Struct = Struct { name: "WebhookMatchCondition", fields: &[("expression", Shape::Text)] };
static WEBHOOK: Struct = Struct {
    name: "WebhookConfiguration",
    fields: &[
        ("authorizedTTL", Shape::Duration),
        ("cacheAuthorizedRequests", Shape::Bool),
        ("unauthorizedTTL", Shape::Duration),
        ("cacheUnauthorizedRequests", Shape::Bool),
        ("timeout", Shape::Duration),
        ("subjectAccessReviewVersion", Shape::Text),
        ("matchConditionSubjectAccessReviewVersion", Shape::Text),
        ("failurePolicy", Shape::Text),
        ("connectionInfo", Shape::Object(&CONNECTION)),
        ("matchConditions", Shape::List(&Shape::Object(&CONDITION))),
    ],
};
static AUTHORIZER: Struct = Struct {
    name: "AuthorizerConfiguration",
    fields: &[("type", Shape::Text), ("name", Shape::Text), ("webhook", Shape::Object(&WEBHOOK))],
};
static CONFIGURATION: Struct =
    Struct { name: "AuthorizationConfiguration", fields: &[("authorizers", Shape::List(&Shape::Object(&AUTHORIZER)))] };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    authorizers: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    r#type: String,
    name: String,
    webhook: Option<Webhook>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Webhook {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: String,
    cache_authorized_requests: Option<bool>,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: String,
    cache_unauthorized_requests: Option<bool>,
    timeout: String,
    subject_access_review_version: String,
    match_condition_subject_access_review_version: String,
    failure_policy: String,
    connection_info: Connection,
    match_conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Connection {
    r#type: String,
    kube_config_file: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    expression: String,
}

/// Reads a file, gives its bytes too.
///
/// # Errors
/// In upstream's words: all that is wrong with it.
pub(super) fn read(file: &FilePath) -> Result<(Vec<Configured>, Vec<u8>), String> {
    let bytes = std::fs::read(file).map_err(|error| format!("open {}: {}", file.display(), go_io(&error)))?;
    Ok((parse(&bytes, &[])?, bytes))
}

/// The authorizers that a text names, among which those of some modes must be.
///
/// # Errors
/// In upstream's words: all that is wrong with it.
pub(super) fn parse(bytes: &[u8], required: &[Mode]) -> Result<Vec<Configured>, String> {
    let document = match bytes.is_empty() {
        true => Document::default(),
        false => {
            let read = component::read(bytes, &VERSIONS, &CONFIGURATION).and_then(of);
            read.map_err(|why| format!("failed to load AuthorizationConfiguration from file: {why}"))?
        }
    };
    let mut reading = Reading::default();
    reading.authorizers(document.authorizers);
    let Reading { errors, configured, .. } = reading;
    if !errors.is_empty() {
        return Err(aggregate(&errors.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
    let mut wrong: Vec<String> = configured.iter().filter_map(misnamed).collect();
    let missing = required.iter().filter(|mode| configured.iter().all(|given| given.mode != **mode));
    let mut missing: Vec<&str> = missing.map(|mode| mode.as_str()).collect();
    missing.sort_unstable();
    if !missing.is_empty() {
        wrong.push(format!("missing required types: [{}]", missing.join(" ")));
    }
    if wrong.is_empty() { Ok(configured) } else { Err(aggregate(&wrong)) }
}

fn of(document: Value) -> Result<Document, String> {
    serde_json::from_value(document).map_err(|error| error.to_string())
}

/// All but webhooks have the names that they have without a file.
fn misnamed(given: &Configured) -> Option<String> {
    let (expected, kind, name) = (given.mode.name(), given.mode.as_str(), &given.name);
    let wrong = given.mode != Mode::Webhook && expected != name;
    wrong.then(|| format!("expected name {expected} for authorizer {kind} instead of {name}"))
}

/// What was found so far.
#[derive(Default)]
struct Reading {
    errors: Vec<FieldError>,
    configured: Vec<Configured>,
}

impl Reading {
    fn authorizers(&mut self, entries: Vec<Entry>) {
        let list = Path::new("authorizers");
        if entries.is_empty() {
            self.errors.push(FieldError::required(&list, "at least one authorization mode must be defined"));
        }
        let mut seen: (Vec<Mode>, Vec<String>) = Default::default();
        for (index, entry) in entries.into_iter().enumerate() {
            self.authorizer(entry, &list.index(index), &mut seen);
        }
    }

    fn authorizer(&mut self, entry: Entry, at: &Path<'_>, (modes, names): &mut (Vec<Mode>, Vec<String>)) {
        let Entry { r#type: kind, name, webhook } = entry;
        let field = at.child("type");
        if kind.is_empty() {
            return self.errors.push(FieldError::required(&field, ""));
        }
        let Some(mode) = Mode::parse(&kind) else {
            let mut known = Mode::ALL.map(Mode::as_str);
            known.sort_unstable();
            return self.errors.push(FieldError::not_supported(&field, kind, &known));
        };
        if modes.contains(&mode) && mode != Mode::Webhook {
            return self.errors.push(FieldError::duplicate(&field, kind));
        }
        modes.push(mode);
        let field = at.child("name");
        if name.is_empty() {
            self.errors.push(FieldError::required(&field, ""));
        } else if names.contains(&name) {
            self.errors.push(FieldError::duplicate(&field, name.as_str()));
        } else {
            let faults = dns1123_subdomain(&name);
            if !faults.is_empty() {
                let why = format!("authorizer name is invalid: {}", faults.join(", "));
                self.errors.push(FieldError::invalid(&field, name.as_str(), why));
            }
        }
        names.push(name.clone());
        let field = at.child("webhook");
        let webhook = match (mode, webhook) {
            (Mode::Webhook, None) => {
                return self.errors.push(FieldError::required(&field, "required when type=Webhook"));
            }
            (Mode::Webhook, Some(given)) => self.webhook(given, at),
            (_, Some(_)) => {
                let why = "may only be specified when type=Webhook";
                return self.errors.push(FieldError::invalid(&field, "non-null", why));
            }
            (_, None) => None,
        };
        self.configured.push(Configured { mode, name, webhook });
    }

    fn webhook(&mut self, given: Webhook, at: &Path<'_>) -> Option<webhook::Settings> {
        let before = self.errors.len();
        let timeout = self.duration(&given.timeout, &at.child("timeout"), (None, Some(LIMIT_MAX)));
        let authorized = self.duration(&given.authorized_ttl, &at.child("authorizedTTL"), (Some(ALLOWED_FOR), None));
        let unauthorized =
            self.duration(&given.unauthorized_ttl, &at.child("unauthorizedTTL"), (Some(REFUSED_FOR), None));
        let version = self.version(&given, at);
        let on_failure = self.on_failure(&given.failure_policy, &at.child("failurePolicy"));
        self.connection(&given.connection_info, &at.child("connectionInfo"));
        let expressions: Vec<String> = given.match_conditions.into_iter().map(|c| c.expression).collect();
        let conditions = Conditions::compile(&expressions, at).unwrap_or_else(|errors| {
            self.errors.extend(errors);
            Conditions::default()
        });
        let kept = |on: Option<bool>, how_long: Duration| if on == Some(false) { Duration::ZERO } else { how_long };
        (self.errors.len() == before).then(|| webhook::Settings {
            kubeconfig: given.connection_info.kube_config_file,
            version,
            allowed_for: kept(given.cache_authorized_requests, authorized),
            refused_for: kept(given.cache_unauthorized_requests, unauthorized),
            limit: timeout,
            on_failure,
            conditions,
        })
    }

    /// One that is absent or zero is the default, where there is one.
    fn duration(
        &mut self,
        text: &str,
        field: &Path<'_>,
        (default, max): (Option<Duration>, Option<Duration>),
    ) -> Duration {
        let given = GoDuration::parse(text).unwrap_or_default();
        let why = if max.is_some() { "must be > 0s and <= 30s" } else { "must be > 0s" };
        match (given.0, default) {
            (0, Some(default)) => default,
            (0, None) => {
                self.errors.push(FieldError::required(field, ""));
                Duration::ZERO
            }
            (n, _) if n < 0 || max.is_some_and(|max| given.or_zero() > max) => {
                self.errors.push(FieldError::invalid(field, given.to_string(), why));
                Duration::ZERO
            }
            _ => given.or_zero(),
        }
    }

    fn version(&mut self, given: &Webhook, at: &Path<'_>) -> Version {
        let field = at.child("subjectAccessReviewVersion");
        let text = given.subject_access_review_version.as_str();
        let version = Version::parse(text);
        match version {
            None if text.is_empty() => self.errors.push(FieldError::required(&field, "")),
            None => self.errors.push(FieldError::not_supported(&field, text, &["v1", "v1beta1"])),
            Some(_) => {}
        }
        let field = at.child("matchConditionSubjectAccessReviewVersion");
        match given.match_condition_subject_access_review_version.as_str() {
            "" if given.match_conditions.is_empty() => {}
            "" => self.errors.push(FieldError::required(&field, "required if match conditions are specified")),
            "v1" => {}
            other => self.errors.push(FieldError::not_supported(&field, other, &["v1"])),
        }
        version.unwrap_or(Version::V1)
    }

    fn on_failure(&mut self, text: &str, field: &Path<'_>) -> OnFailure {
        match text {
            "" => self.errors.push(FieldError::required(field, "")),
            "NoOpinion" => {}
            "Deny" => return OnFailure::Deny,
            other => self.errors.push(FieldError::not_supported(field, other, &["NoOpinion", "Deny"])),
        }
        OnFailure::NoOpinion
    }

    fn connection(&mut self, given: &Connection, at: &Path<'_>) {
        let (kind, file) = (given.r#type.as_str(), given.kube_config_file.as_str());
        let field = at.child("kubeConfigFile");
        match kind {
            "" => self.errors.push(FieldError::required(&at.child("type"), "")),
            // Upstream's reader lets this pass and kube-apiserver then fails over it.
            "InClusterConfig" => {
                let why = "InClusterConfig is for servers inside a cluster; name a kubeConfigFile";
                self.errors.push(FieldError::invalid(&at.child("type"), kind, why));
            }
            "KubeConfigFile" if file.is_empty() => self.errors.push(FieldError::required(&field, "")),
            "KubeConfigFile" if !FilePath::new(file).is_absolute() => {
                self.errors.push(FieldError::invalid(&field, file, "must be an absolute path"));
            }
            "KubeConfigFile" => match std::fs::metadata(file) {
                Ok(found) if found.is_file() => {}
                Ok(_) => self.errors.push(FieldError::invalid(&field, file, "must be a regular file")),
                Err(error) => {
                    let why = format!("error loading file: stat {file}: {}", go_io(&error));
                    self.errors.push(FieldError::invalid(&field, file, why));
                }
            },
            other => {
                // Upstream prints the whole struct.
                let file = if file.is_empty() { Value::Null } else { file.into() };
                let shown = format!("{{\"Type\":{},\"KubeConfigFile\":{file}}}", Value::from(other));
                let error = FieldError::not_supported(&at.child("type"), "", &["InClusterConfig", "KubeConfigFile"]);
                self.errors.push(error.shown(Shown::Text(shown)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n";

    fn read(rest: &str) -> Result<Vec<Configured>, String> {
        parse(format!("{HEAD}{rest}").as_bytes(), &[])
    }

    #[track_caller]
    fn check_error(rest: &str, message: &str) {
        assert_eq!(read(rest).unwrap_err(), message);
    }

    #[test]
    fn authorizers_are_asked_in_the_order_of_the_file() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let text = format!(
            "authorizers:\n- type: Webhook\n  name: own\n  webhook: {{timeout: 3s, subjectAccessReviewVersion: v1, \
             failurePolicy: Deny, cacheAuthorizedRequests: false, connectionInfo: {{type: KubeConfigFile, \
             kubeConfigFile: {file}}}}}\n- {{type: RBAC, name: rbac}}\n"
        );
        let read = read(&text).unwrap();
        assert_eq!(read.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["own", "rbac"]);
        let webhook = read[0].webhook.as_ref().unwrap();
        assert_eq!((webhook.limit, webhook.on_failure), (Duration::from_secs(3), OnFailure::Deny));
        assert_eq!((webhook.allowed_for, webhook.refused_for), (Duration::ZERO, REFUSED_FOR));
    }

    #[test]
    fn all_that_is_wrong_is_told_in_upstreams_words() {
        check_error("", "authorizers: Required value: at least one authorization mode must be defined");
        let kinds = "authorizers[0].type: Unsupported value: \"Magic\": supported values: \"ABAC\", \"AlwaysAllow\", \
                     \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\"";
        check_error("authorizers: [{type: Magic}]", kinds);
        let two = "[authorizers[1].type: Duplicate value: \"RBAC\", authorizers[2].name: Required value]";
        check_error("authorizers: [{type: RBAC, name: rbac}, {type: RBAC, name: b}, {type: Node}]", two);
        check_error("authorizers: [{type: RBAC, name: b}]", "expected name rbac for authorizer RBAC instead of b");
        let bare = "[authorizers[0].timeout: Required value, authorizers[0].subjectAccessReviewVersion: Required value, \
                    authorizers[0].failurePolicy: Required value, authorizers[0].connectionInfo.type: Required value]";
        check_error("authorizers: [{type: Webhook, name: w, webhook: {}}]", bare);
        let unknown = "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field \
                       \"authorizers[0].foo\"";
        check_error("authorizers: [{type: RBAC, name: rbac, foo: 1}]", unknown);
    }

    #[test]
    fn what_was_there_at_the_start_must_stay() {
        let text = format!("{HEAD}authorizers: [{{type: AlwaysDeny, name: alwaysdeny}}]");
        let missing = parse(text.as_bytes(), &[Mode::Rbac, Mode::Node]).unwrap_err();
        assert_eq!(missing, "missing required types: [Node RBAC]");
    }
}
