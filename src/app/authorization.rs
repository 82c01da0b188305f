//! The flags that say who decides what users may.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::flags::parse_duration;
use crate::auth::authorize::Settings;

/// Kept as they are given: some may not be given beside others.
#[derive(Args, Debug)]
#[command(next_help_heading = "Authorization and admission")]
pub(super) struct AuthorizationFlags {
    /// Authorizers in the order in which they are asked: Node, RBAC, ABAC, Webhook, AlwaysAllow, AlwaysDeny [default:
    /// Node,RBAC]
    #[arg(long, value_name = "MODES", value_delimiter = ',')]
    authorization_mode: Option<Vec<String>>,
    /// Policies of the mode ABAC, one JSON object a line
    #[arg(long, value_name = "FILE")]
    authorization_policy_file: Option<PathBuf>,
    /// Kubeconfig of the server that the mode Webhook asks
    #[arg(long, value_name = "FILE")]
    authorization_webhook_config_file: Option<String>,
    /// Version of the SubjectAccessReview that it is sent: v1, v1beta1 [default: v1beta1]
    #[arg(long, value_name = "VERSION")]
    authorization_webhook_version: Option<String>,
    /// How long it is remembered what it allowed [default: 5m0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    authorization_webhook_cache_authorized_ttl: Option<Duration>,
    /// How long it is remembered what it did not allow [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    authorization_webhook_cache_unauthorized_ttl: Option<Duration>,
    /// Authorizers with all their settings, in a file that is read again when it changes; in place of the other flags
    #[arg(long, value_name = "FILE")]
    authorization_config: Option<PathBuf>,
}

impl AuthorizationFlags {
    /// What they say.
    pub(super) fn settings(&self) -> Settings {
        let file = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        Settings {
            modes: self.authorization_mode.clone(),
            policy_file: file(&self.authorization_policy_file),
            webhook_config_file: self.authorization_webhook_config_file.clone().filter(|file| !file.is_empty()),
            webhook_version: self.authorization_webhook_version.clone(),
            webhook_authorized_for: self.authorization_webhook_cache_authorized_ttl,
            webhook_unauthorized_for: self.authorization_webhook_cache_unauthorized_ttl,
            config_file: file(&self.authorization_config),
        }
    }
}
