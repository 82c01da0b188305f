//! The flags of authorization, and what they say together (Kubernetes `pkg/kubeapiserver/options/authorization.go`).

use std::path::PathBuf;
use std::time::Duration;

use super::conditions::Conditions;
use super::configuration::{ALLOWED_FOR, REFUSED_FOR};
use super::webhook::{self, OnFailure, Version};
use super::{Configured, Mode};
use crate::api::cel::admission::aggregate;
use crate::api::field::go_quote;

/// How long a webhook that flags describe may take.
const LIMIT: Duration = Duration::from_secs(30);
/// What it is called.
const WEBHOOK: &str = "default";

/// The flags, each absent where it is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--authorization-mode`; absent, those of [`super::DEFAULT_MODES`]. Upstream's own default lets everybody do
    /// everything.
    pub modes: Option<Vec<String>>,
    /// `--authorization-policy-file`.
    pub policy_file: Option<PathBuf>,
    /// `--authorization-webhook-config-file` and its siblings.
    pub webhook_config_file: Option<String>,
    pub webhook_version: Option<String>,
    pub webhook_authorized_for: Option<Duration>,
    pub webhook_unauthorized_for: Option<Duration>,
    /// `--authorization-config`, which takes the place of all others.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// Only these modes.
    pub fn of_modes(modes: &[&str]) -> Self {
        Self { modes: Some(modes.iter().map(|mode| (*mode).to_owned()).collect()), ..Self::default() }
    }

    /// The names of the modes that flags say.
    pub fn mode_names(&self) -> Vec<String> {
        let defaults = || super::DEFAULT_MODES.iter().map(|mode| mode.as_str().to_owned()).collect();
        match (&self.modes, &self.config_file) {
            (Some(modes), _) => modes.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) => defaults(),
        }
    }

    /// Whether flags, not a file, let everybody do everything; nobody is anonymous then (upstream v1.37).
    pub fn allows_everything(&self) -> bool {
        self.mode_names().iter().any(|mode| mode == Mode::AlwaysAllow.as_str())
    }

    /// The authorizers that flags name.
    ///
    /// # Errors
    /// In upstream's words: all that is wrong with the flags.
    pub(super) fn configured(&self) -> Result<Vec<Configured>, String> {
        let names = self.mode_names();
        if names.iter().all(String::is_empty) {
            return Err("at least one authorization-mode must be passed".to_owned());
        }
        let errors = self.errors(&names);
        if !errors.is_empty() {
            return Err(aggregate(&errors));
        }
        let modes = names.iter().filter_map(|name| Mode::parse(name));
        modes.map(|mode| self.authorizer(mode)).collect()
    }

    /// Upstream's text for flags that go together and are not.
    pub(super) fn check_alone(&self) -> Result<(), String> {
        let others = self.modes.is_some()
            || self.webhook_config_file.is_some()
            || self.webhook_version.is_some()
            || self.webhook_authorized_for.is_some()
            || self.webhook_unauthorized_for.is_some();
        match others {
            true => Err("--authorization-config can not be specified when --authorization-mode or \
                         --authorization-webhook-* flags are defined"
                .to_owned()),
            false => Ok(()),
        }
    }

    fn errors(&self, names: &[String]) -> Vec<String> {
        let mut errors = Vec::new();
        let (policies, webhook) = (self.policy_file.is_some(), self.webhook_config_file.is_some());
        for name in names {
            match Mode::parse(name) {
                None => errors.push(format!("authorization-mode {} is not a valid mode", go_quote(name))),
                Some(Mode::Abac) if !policies => {
                    errors.push("authorization-mode ABAC's authorization policy file not passed".to_owned());
                }
                Some(Mode::Webhook) if !webhook => {
                    errors.push("authorization-mode Webhook's authorization config file not passed".to_owned());
                }
                Some(_) => {}
            }
        }
        let has = |mode: Mode| names.iter().any(|name| name == mode.as_str());
        if policies && !has(Mode::Abac) {
            errors.push("cannot specify --authorization-policy-file without mode ABAC".to_owned());
        }
        if webhook && !has(Mode::Webhook) {
            errors.push("cannot specify --authorization-webhook-config-file without mode Webhook".to_owned());
        }
        if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
            let all: Vec<_> = names.iter().map(|name| go_quote(name)).collect();
            errors.push(format!("authorization-mode [{}] has mode specified more than once", all.join(" ")));
        }
        errors
    }

    fn authorizer(&self, mode: Mode) -> Result<Configured, String> {
        if mode != Mode::Webhook {
            return Ok(Configured { mode, name: mode.name().to_owned(), webhook: None });
        }
        let version = self.webhook_version.as_deref().unwrap_or("v1beta1");
        let unsupported = || {
            let version = go_quote(version);
            format!("unsupported webhook authorizer version {version}, supported versions are \"v1\", \"v1beta1\"")
        };
        let webhook = webhook::Settings {
            kubeconfig: self.webhook_config_file.clone().unwrap_or_default(),
            version: Version::parse(version).ok_or_else(unsupported)?,
            allowed_for: self.webhook_authorized_for.unwrap_or(ALLOWED_FOR),
            refused_for: self.webhook_unauthorized_for.unwrap_or(REFUSED_FOR),
            limit: LIMIT,
            on_failure: OnFailure::NoOpinion,
            conditions: Conditions::default(),
        };
        Ok(Configured { mode, name: WEBHOOK.to_owned(), webhook: Some(webhook) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(settings: Settings, message: &str) {
        assert_eq!(settings.configured().unwrap_err(), message);
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_in_upstreams_words() {
        let modes = Settings::of_modes;
        check_error(modes(&["rbac"]), r#"authorization-mode "rbac" is not a valid mode"#);
        check_error(modes(&[""]), "at least one authorization-mode must be passed");
        let twice = r#"authorization-mode ["RBAC" "RBAC"] has mode specified more than once"#;
        check_error(modes(&["RBAC", "RBAC"]), twice);
        let two = "[authorization-mode ABAC's authorization policy file not passed, authorization-mode Webhook's \
                   authorization config file not passed]";
        check_error(modes(&["ABAC", "Webhook"]), two);
        let policies = Settings { policy_file: Some("p".into()), ..Settings::default() };
        check_error(policies, "cannot specify --authorization-policy-file without mode ABAC");
        let webhook = Settings { webhook_config_file: Some("w".to_owned()), ..modes(&["Webhook"]) };
        let version = r#"unsupported webhook authorizer version "v2", supported versions are "v1", "v1beta1""#;
        check_error(Settings { webhook_version: Some("v2".to_owned()), ..webhook }, version);
    }

    #[test]
    fn without_flags_nodes_and_roles_decide() {
        let configured = Settings::default().configured().unwrap();
        assert_eq!(configured.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["node", "rbac"]);
        assert!(!Settings::default().allows_everything());
        assert!(Settings::of_modes(&["RBAC", "AlwaysAllow"]).allows_everything());
    }

    #[test]
    fn a_file_stands_alone() {
        let file = Settings { config_file: Some("f".into()), ..Settings::default() };
        assert!(file.check_alone().is_ok() && file.mode_names().is_empty());
        assert!(Settings { webhook_version: Some("v1".to_owned()), ..file.clone() }.check_alone().is_err());
        assert!(Settings { policy_file: Some("p".into()), ..file }.check_alone().is_ok());
    }
}
