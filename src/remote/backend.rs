//! A server outside that a kubeconfig file names: where it is, whose certificates are believed, who we are to it. Used
//! by the admission plugins that are told of their servers by a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{ClientIdentity, Place, Remote, Site, Trust};
use crate::api::codec::yaml;
use crate::base::Clock;
use crate::storage::Store;

/// What clientcmd says of a file, or none, that names no server.
const NOTHING: &str =
    "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable";

/// A server and what it is shown.
pub struct Backend {
    pub site: Site,
    /// The value of the header.
    pub authorization: Option<String>,
    /// Certificate and key, in PEM.
    identity: Option<(String, String)>,
}

impl Backend {
    /// From a kubeconfig file: the cluster and the user of its current context.
    ///
    /// # Errors
    /// In clientcmd's words where nothing is found; and for credentials that we cannot show.
    pub fn read(file: &str) -> Result<Self, String> {
        if file.is_empty() {
            return Err(NOTHING.to_owned());
        }
        let text = std::fs::read(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("stat {file}: no such file or directory"),
            _ => format!("open {file}: {error}"),
        })?;
        let config = yaml::decode(&text).map_err(|error| format!("error loading config file {file:?}: {error}"))?;
        Self::of(&config.value, Path::new(file).parent().unwrap_or(Path::new("")))
    }

    fn of(config: &Value, folder: &Path) -> Result<Self, String> {
        let context = named(config, "contexts", text(config, "current-context"));
        let chosen = |key: &str| context.map_or("", |entry| text(&entry["context"], key));
        let cluster = named(config, "clusters", chosen("cluster")).map(|entry| &entry["cluster"]).ok_or(NOTHING)?;
        let none = Value::Null;
        let user = named(config, "users", chosen("user")).map_or(&none, |entry| &entry["user"]);
        let server = text(cluster, "server");
        if !server.starts_with("https://") {
            return Err(format!("the server {server:?} is not spoken to over https"));
        }
        for (of, key) in [(cluster, "tls-server-name"), (cluster, "proxy-url"), (user, "exec"), (user, "auth-provider")]
        {
            if of.get(key).is_some_and(|value| !value.is_null()) {
                return Err(format!("{key} of a kubeconfig file is not supported here"));
            }
        }
        let trust = match pem(cluster, "certificate-authority", folder)? {
            _ if cluster.get("insecure-skip-tls-verify").and_then(Value::as_bool) == Some(true) => Trust::Anyone,
            Some(bundle) => Trust::Bundle(bundle.into()),
            None => Trust::System,
        };
        let identity = pem(user, "client-certificate", folder)?.zip(pem(user, "client-key", folder)?);
        let site = Site { place: Place::Url(server.to_owned()), trust };
        Ok(Self { site, authorization: authorization(user, folder)?, identity })
    }

    /// The way to the server.
    pub fn remote(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Remote {
        let remote = Remote::new(store, clock);
        match self.identity.clone() {
            Some((certificate, key)) => remote.with_identity(ClientIdentity { certificate, key }),
            None => remote,
        }
    }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn named<'a>(config: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    config.get(list)?.as_array()?.iter().find(|entry| text(entry, "name") == name)
}

/// What stands in the file itself, or in another one.
fn pem(of: &Value, key: &str, folder: &Path) -> Result<Option<String>, String> {
    let inline = text(of, &format!("{key}-data"));
    if !inline.is_empty() {
        let bytes = STANDARD.decode(inline).map_err(|error| format!("{key}-data: {error}"))?;
        return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
    }
    contents(text(of, key), folder).map_err(|(path, why)| format!("unable to read {key} {}: {why}", path.display()))
}

fn contents(file: &str, folder: &Path) -> Result<Option<String>, (PathBuf, std::io::Error)> {
    if file.is_empty() {
        return Ok(None);
    }
    let path = folder.join(file);
    std::fs::read_to_string(&path).map(Some).map_err(|error| (path, error))
}

fn authorization(user: &Value, folder: &Path) -> Result<Option<String>, String> {
    let from_file = contents(text(user, "tokenFile"), folder)
        .map_err(|(path, why)| format!("failed to read token file {:?}: {why}", path.display().to_string()))?;
    let token = from_file.map_or_else(|| text(user, "token").to_owned(), |token| token.trim().to_owned());
    let (name, password) = (text(user, "username"), text(user, "password"));
    Ok(match (token.as_str(), name) {
        ("", "") => None,
        ("", name) => Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))),
        (token, _) => Some(format!("Bearer {token}")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value) -> Result<Backend, String> {
        Backend::of(&config, Path::new(""))
    }

    #[test]
    fn the_current_context_says_which_server_and_as_whom() {
        let cluster = |name: &str, server: &str| json!({ "name": name, "cluster": { "server": server } });
        let config = json!({
            "current-context": "here",
            "contexts": [{ "name": "here", "context": { "cluster": "b", "user": "me" } }],
            "clusters": [cluster("a", "https://a"), cluster("b", "https://b")],
            "users": [{ "name": "me", "user": { "token": "t" } }],
        });
        let backend = read(config).unwrap();
        assert_eq!(backend.site, Site { place: Place::Url("https://b".to_owned()), trust: Trust::System });
        assert_eq!(backend.authorization.as_deref(), Some("Bearer t"));
    }

    #[test]
    fn without_a_context_the_nameless_cluster_counts() {
        let cluster = json!({ "name": "", "cluster": { "server": "https://a", "insecure-skip-tls-verify": true } });
        let user = json!({ "name": "", "user": { "username": "u", "password": "p" } });
        let backend = read(json!({ "clusters": [cluster], "users": [user] })).unwrap();
        assert_eq!(backend.site.trust, Trust::Anyone);
        assert_eq!(backend.authorization.as_deref(), Some("Basic dTpw"));
        let named = json!({ "name": "a", "cluster": { "server": "https://a" } });
        assert_eq!(read(json!({ "clusters": [named] })).err().as_deref(), Some(NOTHING));
    }
}
