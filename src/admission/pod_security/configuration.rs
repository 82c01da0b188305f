//! `PodSecurityConfiguration`: defaults and exemptions (pod-security-admission `admission/api`).

use serde_json::Value;

use super::PodSecurity;
use super::policy::{LEVELS, Level, Policy, VERSIONS, version};
use crate::admission::configuration::{document, items, text, unknown_fields};
use crate::admission::table::Unmade;
use crate::api::field::{FieldError, Path};
use crate::api::validation::names;

const KIND: &str = "PodSecurityConfiguration";
const API_VERSIONS: [&str; 3] = [
    "pod-security.admission.config.k8s.io/v1",
    "pod-security.admission.config.k8s.io/v1beta1",
    "pod-security.admission.config.k8s.io/v1alpha1",
];
const DEFAULTS: [&str; 6] = ["enforce", "enforce-version", "audit", "audit-version", "warn", "warn-version"];
const EXEMPTIONS: [&str; 3] = ["namespaces", "runtimeClasses", "usernames"];

impl PodSecurity {
    /// # Errors
    /// In upstream's words.
    pub(in crate::admission) fn new(configuration: Option<&[u8]>) -> Result<Self, Unmade> {
        let Some(bytes) = configuration.filter(|bytes| !bytes.is_empty()) else { return Ok(Self::default()) };
        let read = document(bytes, (&API_VERSIONS, KIND))?.value;
        let none = Value::Null;
        let part = |key: &str| read.get(key).unwrap_or(&none);
        let (defaults, exemptions) = (part("defaults"), part("exemptions"));
        let mut unknown = unknown_fields(&read, "", &["apiVersion", "kind", "defaults", "exemptions"]);
        unknown.extend(unknown_fields(defaults, "defaults.", &DEFAULTS));
        unknown.extend(unknown_fields(exemptions, "exemptions.", &EXEMPTIONS));
        if !unknown.is_empty() {
            return Err(format!("strict decoding error: {}", unknown.join(", ")).into());
        }
        let defaults = policy(defaults)?;
        let [namespaces, runtime_classes, usernames] = exempt(exemptions)?;
        Ok(Self { defaults, usernames, namespaces, runtime_classes })
    }
}

fn policy(defaults: &Value) -> Result<Policy, Unmade> {
    let mut policy = Policy::default();
    let mut errors = Vec::new();
    let Policy { enforce, audit, warn } = &mut policy;
    for (mode, standard) in [("enforce", enforce), ("audit", audit), ("warn", warn)] {
        let told = |key: &str| text(defaults, key, "PodSecurityDefaults.defaults");
        match told(mode)? {
            "" => {}
            level => match Level::parse(level) {
                Some(level) => standard.level = level,
                None => errors.push(format!("{mode}: {LEVELS}")),
            },
        }
        let key = format!("{mode}-version");
        match told(&key)? {
            "" => {}
            minor => match version(minor) {
                Some(minor) => standard.minor = minor,
                None => errors.push(format!("{key}: {VERSIONS}")),
            },
        }
    }
    match aggregate(&errors) {
        None => Ok(policy),
        Some(why) => Err(Unmade::Initialized(format!("PodSecurity configuration error: {why}"))),
    }
}

/// In the order of `EXEMPTIONS`.
fn exempt(exemptions: &Value) -> Result<[Vec<String>; 3], Unmade> {
    let mut lists = EXEMPTIONS.map(|_| Vec::new());
    let mut errors = Vec::new();
    let root = Path::new("exemptions");
    for (key, list) in EXEMPTIONS.into_iter().zip(&mut lists) {
        let path = root.child(key);
        let at = format!("PodSecurityExemptions.exemptions.{key}");
        for (index, item) in items(exemptions, key, (&at, "[]string"))?.iter().enumerate() {
            let name = item.as_str().unwrap_or_default().to_owned();
            let faults = match key {
                "namespaces" => names::dns1123_label(&name),
                "runtimeClasses" => names::dns1123_subdomain(&name),
                _ if name.is_empty() => vec!["username must not be empty".to_owned()],
                _ => Vec::new(),
            };
            let path = path.index(index);
            match faults.is_empty() {
                false => errors.push(FieldError::invalid(&path, name, faults.join(", ")).to_string()),
                true if list.contains(&name) => errors.push(FieldError::duplicate(&path, name).to_string()),
                true => list.push(name),
            }
        }
    }
    match aggregate(&errors) {
        None => Ok(lists),
        Some(why) => Err(Unmade::Initialized(format!("PodSecurity invalid: {why}"))),
    }
}

fn aggregate(errors: &[String]) -> Option<String> {
    match errors {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::api::request::User;
    use crate::auth::fixture::put;

    fn plugin(told: &str) -> Result<PodSecurity, Unmade> {
        PodSecurity::new(Some(format!("apiVersion: {}\nkind: {KIND}\n{told}\n", API_VERSIONS[0]).as_bytes()))
    }

    #[test]
    fn a_wrong_configuration_is_refused_in_upstreams_words() {
        let check = |told: &str, why: Unmade| assert_eq!(plugin(told), Err(why));
        let initialized = |why: &str| Unmade::Initialized(format!("PodSecurity {why}"));
        let levels = "configuration error: [enforce: must be one of privileged, baseline, restricted, warn-version: must be \
                      \"latest\" or \"v1.x\"]";
        check("defaults: {enforce: foo, warn-version: x}", initialized(levels));
        let again = "invalid: [exemptions.namespaces[1]: Duplicate value: \"a\", exemptions.usernames[0]: Invalid value: \
                     \"\": username must not be empty]";
        check("exemptions: {namespaces: [a, a], usernames: ['']}", initialized(again));
        check("foo: 1", "strict decoding error: unknown field \"foo\"".to_owned().into());
    }

    #[tokio::test]
    async fn defaults_count_where_a_namespace_says_nothing_and_not_for_who_is_exempt() {
        let told =
            "defaults: {enforce: baseline}\nexemptions: {usernames: [me], namespaces: [free], runtimeClasses: [c]}";
        let plugin = plugin(told).unwrap();
        let mut trial = Trial::new().await;
        for name in ["web", "free"] {
            put(&trial.context.store, "namespaces", json!({ "metadata": { "name": name } })).await;
        }
        let pod = |namespace: &str, class: &str| {
            let spec = json!({ "hostPID": true, "runtimeClassName": class, "containers": [] });
            json!({ "metadata": { "name": "p", "namespace": namespace }, "spec": spec })
        };
        let refused = trial.validate(&plugin, "pods", pod("web", "")).await.unwrap_err();
        let message =
            "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
        assert_eq!(refused.message(), message);
        assert!(trial.validate(&plugin, "pods", pod("free", "")).await.is_ok());
        assert!(trial.validate(&plugin, "pods", pod("web", "c")).await.is_ok());
        trial.user = User { name: "me".to_owned(), ..User::default() };
        assert!(trial.validate(&plugin, "pods", pod("web", "")).await.is_ok());
    }
}
