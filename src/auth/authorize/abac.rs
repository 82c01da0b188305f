//! `ABAC`: policies in a file, one JSON object a line (Kubernetes `pkg/auth/authorizer/abac`), in the form of now
//! (`abac.authorization.kubernetes.io/v1beta1`) or that of before there were versions. Read once, at start.

use std::path::Path;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::super::{Attributes, Authorizer, Decision, PolicyRule, Rules};
use crate::api::codec::component::{Shape, Struct, conform, go_io, tree};
use crate::api::codec::{interpret, not_registered};
use crate::api::request::User;

const GROUP: &str = "abac.authorization.kubernetes.io";
const KIND: &str = "Policy";
const AUTHENTICATED: &str = "system:authenticated";
/// Go's scanner reads no longer lines.
const LINE_BYTES_MAX: usize = 64 << 10;

static SPEC: Struct = Struct {
    name: "PolicySpec",
    fields: &[
        ("user", Shape::Text),
        ("group", Shape::Text),
        ("readonly", Shape::Bool),
        ("apiGroup", Shape::Text),
        ("resource", Shape::Text),
        ("namespace", Shape::Text),
        ("nonResourcePath", Shape::Text),
    ],
};
static POLICY: Struct = Struct { name: KIND, fields: &[("spec", Shape::Object(&SPEC))] };
static OLD_POLICY: Struct = Struct {
    name: KIND,
    fields: &[
        ("user", Shape::Text),
        ("group", Shape::Text),
        ("readonly", Shape::Bool),
        ("resource", Shape::Text),
        ("namespace", Shape::Text),
    ],
};

/// The `ABAC` authorizer.
#[derive(Debug, Default)]
pub(super) struct Abac {
    policies: Vec<Policy>,
}

/// One line. What is empty matches only what is empty; `*` matches all.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

impl Abac {
    /// Reads the file.
    ///
    /// # Errors
    /// In upstream's words, with the line that cannot be read.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read(path).map_err(|error| format!("open {shown}: {}", go_io(&error)))?;
        Self::parse(&String::from_utf8_lossy(&text)).map_err(|why| format!("error reading policy file {shown}{why}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut policies = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.len() >= LINE_BYTES_MAX {
                return Err(": bufio.Scanner: token too long".to_owned());
            }
            let trimmed = line.trim();
            if !trimmed.is_empty() && !trimmed.starts_with('#') {
                policies.push(Policy::parse(line).map_err(|why| format!(", line {}: {line}: {why}", number + 1))?);
            }
        }
        Ok(Self { policies })
    }
}

impl Policy {
    fn parse(line: &str) -> Result<Self, String> {
        let mut document = tree(line.as_bytes())?.value;
        let (api_version, kind) = interpret(&document).map_err(|error| error.to_string())?;
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        let version = api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
        match (version, kind.as_str()) {
            (Some("v1beta1"), KIND) => {
                conform(&mut document, "v1beta1", &POLICY)?;
                let policy: Self = of(document.get("spec").cloned().unwrap_or_default())?;
                Ok(policy.for_all_where_starred())
            }
            // What does not say what it is, or of which version, is of the time before versions.
            (Some("v0"), KIND) | (_, "") => Self::old(document),
            _ if api_version.is_empty() => Self::old(document),
            _ => Err(not_registered(&api_version, &kind)),
        }
    }

    /// In former times what was left out meant all.
    fn old(mut document: Value) -> Result<Self, String> {
        conform(&mut document, "v0", &OLD_POLICY)?;
        let given: Self = of(document)?;
        let all = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
        let anywhere = given.namespace.is_empty() && given.resource.is_empty();
        let mut policy = Self {
            namespace: all(&given.namespace),
            resource: all(&given.resource),
            api_group: "*".to_owned(),
            non_resource_path: if anywhere { "*".to_owned() } else { String::new() },
            ..given
        };
        if policy.user.is_empty() && policy.group.is_empty() {
            policy.group = AUTHENTICATED.to_owned();
        }
        Ok(policy.for_all_where_starred())
    }

    fn for_all_where_starred(self) -> Self {
        match self.user == "*" || self.group == "*" {
            true => Self { user: String::new(), group: AUTHENTICATED.to_owned(), ..self },
            false => self,
        }
    }

    fn is_about(&self, user: &User) -> bool {
        let named = self.user.is_empty() || self.user == user.name;
        let grouped = self.group.is_empty() || user.in_group(&self.group);
        named && grouped && !(self.user.is_empty() && self.group.is_empty())
    }

    fn allows(&self, asked: &Attributes) -> bool {
        let reads = matches!(asked.verb.as_str(), "get" | "list" | "watch");
        let fits = |wanted: &str, given: &str| wanted == "*" || wanted == given;
        let path = || {
            let wanted = self.non_resource_path.as_str();
            fits(wanted, &asked.path) || (wanted.ends_with('*') && asked.path.starts_with(wanted.trim_end_matches('*')))
        };
        let resource = || {
            fits(&self.namespace, &asked.namespace)
                && fits(&self.resource, &asked.resource)
                && fits(&self.api_group, &asked.group)
        };
        self.is_about(&asked.user)
            && (reads || !self.readonly)
            && if asked.resource_request { resource() } else { path() }
    }

    fn rules(&self) -> impl Iterator<Item = PolicyRule> + '_ {
        let verbs: &[&str] = if self.readonly { &["get", "list", "watch"] } else { &["*"] };
        let verbs: Vec<String> = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let resource = (!self.resource.is_empty()).then(|| PolicyRule {
            verbs: verbs.clone(),
            api_groups: vec![self.api_group.clone()],
            resources: vec![self.resource.clone()],
            ..PolicyRule::default()
        });
        let path = (!self.non_resource_path.is_empty()).then(|| PolicyRule {
            verbs: verbs.clone(),
            non_resource_urls: vec![self.non_resource_path.clone()],
            ..PolicyRule::default()
        });
        resource.into_iter().chain(path)
    }
}

fn of(document: Value) -> Result<Policy, String> {
    if document.is_null() {
        return Ok(Policy::default());
    }
    serde_json::from_value(document).map_err(|error| error.to_string())
}

impl Authorizer for Abac {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let decision = match self.policies.iter().any(|policy| policy.allows(attributes)) {
            true => Decision::Allow { reason: String::new() },
            false => Decision::NoOpinion { reason: "No policy matched.".to_owned() },
        };
        Box::pin(std::future::ready(decision))
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let here = |policy: &&Policy| policy.namespace == "*" || policy.namespace == namespace;
        let policies = self.policies.iter().filter(|policy| policy.is_about(user)).filter(here);
        Rules { rules: policies.flat_map(Policy::rules).collect(), ..Rules::default() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn user(name: &str) -> User {
        User { name: name.to_owned(), groups: vec![AUTHENTICATED.to_owned()], ..User::default() }
    }

    #[track_caller]
    fn check(policies: &str, asked: (&str, &str, &str), allowed: bool) {
        let (who, verb, what) = asked;
        let attributes = match what.split_once(' ') {
            Some((namespace, resource)) => Attributes {
                user: user(who).into(),
                verb: verb.to_owned(),
                resource_request: true,
                namespace: namespace.to_owned(),
                resource: resource.to_owned(),
                ..Attributes::default()
            },
            None => Attributes {
                user: user(who).into(),
                verb: verb.to_owned(),
                path: what.to_owned(),
                ..Attributes::default()
            },
        };
        let abac = Abac::parse(policies).unwrap();
        let decision = abac.authorize(&attributes).now_or_never().unwrap();
        assert_eq!(matches!(decision, Decision::Allow { .. }), allowed, "{policies}: {asked:?}");
    }

    const HEAD: &str = r#""apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy""#;

    #[test]
    fn a_policy_matches_what_it_names() {
        let bob = format!(r#"{{{HEAD},"spec":{{"user":"bob","namespace":"web","resource":"pods","readonly":true}}}}"#);
        check(&bob, ("bob", "get", "web pods"), true);
        check(&bob, ("ann", "get", "web pods"), false);
        check(&bob, ("bob", "create", "web pods"), false);
        check(&bob, ("bob", "get", "db pods"), false);
        check(&bob, ("bob", "get", "/healthz"), false);
        let all = format!("# all\n{{{HEAD},\"spec\":{{\"group\":\"*\",\"nonResourcePath\":\"/logs/*\"}}}}");
        check(&all, ("ann", "get", "/logs/x"), true);
        check(&all, ("ann", "get", "/metrics"), false);
        let nobody = format!(r#"{{{HEAD},"spec":{{"namespace":"*","resource":"*","apiGroup":"*"}}}}"#);
        check(&nobody, ("ann", "get", "web pods"), false);
    }

    #[test]
    fn in_former_times_what_was_left_out_meant_all() {
        check("{}", ("ann", "delete", "web pods"), true);
        check("{}", ("ann", "get", "/metrics"), true);
        check(r#"{"user":"bob"}"#, ("ann", "get", "/metrics"), false);
        check(r#"{"user":"*","namespace":"web"}"#, ("ann", "get", "web pods"), true);
        check(r#"{"user":"*","namespace":"web"}"#, ("ann", "get", "/metrics"), false);
    }

    #[test]
    fn what_a_user_may_is_told_by_policy() {
        let text = format!(r#"{{{HEAD},"spec":{{"user":"bob","namespace":"web","resource":"pods","readonly":true}}}}"#);
        let abac = Abac::parse(&format!("{text}\n{{\"user\":\"bob\"}}\n")).unwrap();
        let rules = abac.rules(&user("bob"), "web").rules;
        assert_eq!(rules.iter().map(|rule| rule.verbs.len()).collect::<Vec<_>>(), [3, 1, 1]);
        assert_eq!(abac.rules(&user("bob"), "db").rules.len(), 2);
        assert_eq!(abac.rules(&user("ann"), "web").rules.len(), 0);
    }

    #[track_caller]
    fn check_error(line: &str, message: &str) {
        assert_eq!(Abac::parse(&format!("\n{line}")).unwrap_err(), format!(", line 2: {line}: {message}"));
    }

    #[test]
    fn a_line_that_is_no_policy_is_refused_in_upstreams_words() {
        let unknown = r#"{"kind":"Policy","apiVersion":"abac.authorization.kubernetes.io/v9"}"#;
        check_error(unknown, &not_registered("abac.authorization.kubernetes.io/v9", "Policy"));
        let wrong = "json: cannot unmarshal number into Go struct field Policy.user of type string";
        check_error(r#"{"user":1}"#, wrong);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}|\\{(\"[a-z]{1,5}\":(1|\"x\"),?)*\\}") {
            let _ = Abac::parse(&text);
        }
    }
}
