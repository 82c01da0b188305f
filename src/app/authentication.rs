//! The flags that name others who say who users are.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::config::Authentication;
use super::flags::{listed, parse_bool, parse_duration};
use crate::auth::authenticate::{FrontProxy, TokenWebhook};

#[derive(Args, Debug)]
#[command(next_help_heading = "Authentication")]
pub(super) struct AuthenticationFlags {
    /// Address of the keys in the OpenID document of ServiceAccount tokens [default: on this server]
    #[arg(long, value_name = "URL")]
    service_account_jwks_uri: Option<String>,
    /// How long a ServiceAccount token may be valid at most; 0 for no bound
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    service_account_max_token_expiration: Duration,
    /// Tokens of pods stay valid for a year, so that clients which never read theirs again go on
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    service_account_extend_token_expiration: bool,
    /// A token that lives in a Secret is good only as long as the Secret is there
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    service_account_lookup: bool,
    /// Which requests may be anonymous, in a file; in place of --anonymous-auth
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// Kubeconfig of a server that is asked about bearer tokens
    #[arg(long, value_name = "FILE")]
    authentication_token_webhook_config_file: Option<String>,
    /// Version of the TokenReview that it is sent: v1, v1beta1 [default: v1beta1]
    #[arg(long, value_name = "VERSION")]
    authentication_token_webhook_version: Option<String>,
    /// How long its answers are remembered [default: 2m0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    authentication_token_webhook_cache_ttl: Option<Duration>,
    /// Authorities for the certificates of proxies that name users in headers
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that such proxies may have [default: any]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,
    /// Headers that name a user; X-Remote-User is common
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_username_headers: Vec<String>,
    /// Headers that hold a user's uid; X-Remote-Uid is suggested
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_uid_headers: Vec<String>,
    /// Headers that name a user's groups; X-Remote-Group is suggested
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_group_headers: Vec<String>,
    /// How headers begin that hold more about a user; X-Remote-Extra- is suggested
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',')]
    requestheader_extra_headers_prefix: Vec<String>,
}

impl AuthenticationFlags {
    /// What they say.
    pub(super) fn settings(&self) -> Authentication {
        Authentication {
            jwks_uri: self.service_account_jwks_uri.clone().filter(|uri| !uri.is_empty()),
            token_expiration_max: Some(self.service_account_max_token_expiration).filter(|max| !max.is_zero()),
            extends_tokens: self.service_account_extend_token_expiration,
            looks_up_tokens: self.service_account_lookup,
            config_file: self.authentication_config.clone().filter(|path| !path.as_os_str().is_empty()),
            front_proxy: FrontProxy {
                client_ca_file: self.requestheader_client_ca_file.clone().filter(|path| !path.as_os_str().is_empty()),
                allowed_names: listed(&self.requestheader_allowed_names),
                username_headers: listed(&self.requestheader_username_headers),
                uid_headers: listed(&self.requestheader_uid_headers),
                group_headers: listed(&self.requestheader_group_headers),
                extra_headers_prefix: listed(&self.requestheader_extra_headers_prefix),
            },
            token_webhook: TokenWebhook {
                config_file: self.authentication_token_webhook_config_file.clone().filter(|file| !file.is_empty()),
                version: self.authentication_token_webhook_version.clone(),
                kept_for: self.authentication_token_webhook_cache_ttl,
            },
        }
    }
}
