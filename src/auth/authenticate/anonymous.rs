//! Which requests that show nothing are those of `system:anonymous`: by `--anonymous-auth`, or by the file that
//! `--authentication-config` names (apiserver `pkg/authentication/request/anonymous`).

use std::path::Path as FilePath;

use serde_json::Value;

use crate::api::codec::component::{self, Shape, Struct, go_io};
use crate::api::field::{FieldError, Path};

const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];

static CONDITION: Struct = Struct { name: "AnonymousAuthCondition", fields: &[("path", Shape::Text)] };
static ANONYMOUS: Struct = Struct {
    name: "AnonymousAuthConfig",
    fields: &[("enabled", Shape::Bool), ("conditions", Shape::List(&Shape::Object(&CONDITION)))],
};
static CONFIGURATION: Struct = Struct {
    name: "AuthenticationConfiguration",
    fields: &[("jwt", Shape::List(&Shape::Any)), ("anonymous", Shape::Object(&ANONYMOUS))],
};

/// Which requests may come from nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    Never,
    Always,
    /// Those for these paths.
    At(Vec<String>),
}

impl Anonymous {
    /// Whether a request for a path may.
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::At(paths) => paths.iter().any(|allowed| allowed == path),
        }
    }

    /// What a file says of it, if anything.
    ///
    /// # Errors
    /// In upstream's words, for what is no such file; and for one that names issuers of tokens, which are not believed
    /// here.
    pub fn read(file: &FilePath) -> Result<Option<Self>, String> {
        let bytes = std::fs::read(file).map_err(|error| format!("open {}: {}", file.display(), go_io(&error)))?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let read = component::read(bytes, &VERSIONS, &CONFIGURATION)?;
        if read.get("jwt").and_then(Value::as_array).is_some_and(|issuers| !issuers.is_empty()) {
            let why = "tokens of other issuers are not supported; a server that --authentication-token-webhook-config-file \
                       names can know them";
            return Err(FieldError::forbidden(&Path::new("jwt"), why).to_string());
        }
        let Some(said) = read.get("anonymous") else { return Ok(None) };
        let conditions = said.get("conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let path = |condition: &Value| condition.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (said.get("enabled") == Some(&Value::Bool(true)), conditions) {
            (true, []) => Ok(Some(Self::Always)),
            (true, conditions) => Ok(Some(Self::At(conditions.iter().map(path).collect()))),
            (false, []) => Ok(Some(Self::Never)),
            (false, conditions) => {
                let of: Vec<Value> = conditions.iter().map(|one| serde_json::json!({ "Path": path(one) })).collect();
                let root = Path::new("anonymous");
                let why = "enabled should be set to true when conditions are defined";
                Err(FieldError::invalid(&root.child("conditions"), of, why).to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> Result<Option<Anonymous>, String> {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
        Anonymous::parse(format!("{head}{rest}").as_bytes())
    }

    #[test]
    fn a_file_says_for_which_paths_nobody_needs_a_name() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("anonymous: {enabled: false}"), Ok(Some(Anonymous::Never)));
        let some = read("anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}").unwrap().unwrap();
        assert!(some.allows("/livez") && !some.allows("/livez/ping") && !some.allows("/api"));
        assert!(read("anonymous: {enabled: true}").unwrap().unwrap().allows("/api"));
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        let conditions = read("anonymous: {enabled: false, conditions: [{path: /a}]}").unwrap_err();
        let message = "anonymous.conditions: Invalid value: [{\"Path\":\"/a\"}]: enabled should be set to true when \
                       conditions are defined";
        assert_eq!(conditions, message);
        assert!(read("jwt: [{issuer: {url: https://a}}]").unwrap_err().starts_with("jwt: Forbidden: tokens of other"));
        assert_eq!(read("foo: 1").unwrap_err(), "strict decoding error: unknown field \"foo\"");
    }
}
