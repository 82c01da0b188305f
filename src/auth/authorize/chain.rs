//! The authorizers of a server, as flags or a file name them. A file is looked at again while the server runs: a change
//! that is good takes the place of what was, one that is not is told of and changes nothing (Kubernetes
//! `pkg/kubeapiserver/authorizer/reload.go`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;

use super::abac::Abac;
use super::measures::Measures;
use super::settings::Settings;
use super::webhook::Webhook;
use super::{Always, Configured, Mode, NodeAuthorizer, Rbac, Union, configuration};
use crate::api::request::User;
use crate::auth::{Attributes, Authorizer, Decision, Rules};
use crate::base::Clock;
use crate::storage::Store;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The authorizers of a server.
pub struct Chain {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Those that outlive a change of the file; only what was there at the start may be named later.
    lasting: Vec<(Mode, Arc<dyn Authorizer>)>,
    file: Option<PathBuf>,
    /// What the file said last, good or not. Held for a comparison or a change.
    read: parking_lot::Mutex<Vec<u8>>,
    measures: Arc<Measures>,
    current: ArcSwap<Union>,
}

impl Chain {
    /// Reads the files that the flags name.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn open(settings: &Settings, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let (configured, read) = match &settings.config_file {
            Some(file) => {
                settings.check_alone()?;
                configuration::read(file)?
            }
            None => (settings.configured()?, Vec::new()),
        };
        let mut lasting: Vec<(Mode, Arc<dyn Authorizer>)> = Vec::new();
        for Configured { mode, .. } in &configured {
            let authorizer: Arc<dyn Authorizer> = match mode {
                Mode::Node => Arc::new(NodeAuthorizer::new(store.clone())),
                Mode::Rbac => Arc::new(Rbac::new(store.clone())),
                Mode::Abac => {
                    let file = settings.policy_file.as_deref().unwrap_or("".as_ref());
                    Arc::new(Abac::read(file).map_err(invalid)?)
                }
                Mode::AlwaysAllow => Arc::new(Always(true)),
                Mode::AlwaysDeny => Arc::new(Always(false)),
                Mode::Webhook => continue,
            };
            lasting.push((*mode, authorizer));
        }
        let measures = Arc::<Measures>::default();
        let chain = Self {
            store: store.clone(),
            clock: clock.clone(),
            lasting,
            file: settings.config_file.clone(),
            read: parking_lot::Mutex::new(read),
            current: ArcSwap::from_pointee(Union::new(Vec::new(), measures.clone())),
            measures,
        };
        chain.current.store(Arc::new(chain.union(configured).map_err(invalid)?));
        Ok(chain)
    }

    /// Looks at the file until dropped; without one there is nothing to do.
    pub async fn keep_current(&self) {
        let Some(file) = &self.file else { return };
        let state = || std::fs::metadata(file).and_then(|found| Ok((found.modified()?, found.len()))).ok();
        let mut seen = None;
        loop {
            let present = state();
            // The first look finds what was written while the server started.
            if present != seen {
                seen = present;
                match self.look(file) {
                    Ok(false) => {}
                    Ok(true) => {
                        self.measures.reloads.count(true);
                        tracing::info!(file = %file.display(), "the authorizers are as the changed file says");
                    }
                    Err(error) => {
                        self.measures.reloads.count(false);
                        tracing::error!(file = %file.display(), error, "a changed file cannot be used; authorizers stay");
                    }
                }
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the file says something else than before.
    fn look(&self, file: &std::path::Path) -> Result<bool, String> {
        let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
        if *self.read.lock() == bytes {
            return Ok(false);
        }
        self.read.lock().clone_from(&bytes);
        let required: Vec<Mode> = self.lasting.iter().map(|(mode, _)| *mode).collect();
        let union = self.union(configuration::parse(&bytes, &required)?)?;
        self.current.store(Arc::new(union));
        Ok(true)
    }

    fn union(&self, configured: Vec<Configured>) -> Result<Union, String> {
        let mut members = Vec::new();
        for Configured { mode, name, webhook } in configured {
            let authorizer: Arc<dyn Authorizer> = match (webhook, self.lasting.iter().find(|(of, _)| *of == mode)) {
                (Some(settings), _) => {
                    let around = (&self.store, &self.clock);
                    Arc::new(Webhook::new(&name, settings, around, &self.measures)?)
                }
                (None, Some((_, lasting))) => lasting.clone(),
                (None, None) => match mode {
                    Mode::AlwaysAllow => Arc::new(Always(true)),
                    Mode::AlwaysDeny => Arc::new(Always(false)),
                    Mode::Node | Mode::Rbac | Mode::Abac | Mode::Webhook => {
                        let kind = mode.as_str();
                        let why = "is not allowed if it was not enabled at initial server startup";
                        return Err(format!("authorizer type {kind} {why}"));
                    }
                },
            };
            members.push((mode, name, authorizer));
        }
        Ok(Union::new(members, self.measures.clone()))
    }
}

fn invalid(why: String) -> String {
    format!("invalid authorization config: {why}")
}

impl Authorizer for Chain {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let union = self.current.load_full();
        Box::pin(async move { union.authorize(attributes).await })
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        self.current.load().rules(user, namespace)
    }

    fn measures(&self) -> Option<&Measures> {
        Some(&self.measures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::fixture::empty_store;
    use crate::base::SystemClock;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n";

    async fn allowed(chain: &Chain) -> bool {
        let asked = Attributes { verb: "get".to_owned(), path: "/x".to_owned(), ..Attributes::default() };
        matches!(chain.authorize(&asked).await, Decision::Allow { .. })
    }

    #[tokio::test]
    async fn a_changed_file_counts_when_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authorizers.yaml");
        let write = |rest: &str| std::fs::write(&file, format!("{HEAD}{rest}")).unwrap();
        write("- {type: AlwaysDeny, name: alwaysdeny}\n");
        let settings = Settings { config_file: Some(file.clone()), ..Settings::default() };
        let chain = Chain::open(&settings, &empty_store().await, &SystemClock::shared()).unwrap();
        assert_eq!(chain.look(&file), Ok(false));
        assert!(!allowed(&chain).await);
        write("- {type: AlwaysAllow, name: alwaysallow}\n");
        assert_eq!(chain.look(&file), Err("missing required types: [AlwaysDeny]".to_owned()));
        assert!(!allowed(&chain).await);
        write("- {type: AlwaysAllow, name: alwaysallow}\n- {type: AlwaysDeny, name: alwaysdeny}\n");
        assert_eq!(chain.look(&file), Ok(true));
        assert!(allowed(&chain).await);
        write("- {type: RBAC, name: rbac}\n- {type: AlwaysDeny, name: alwaysdeny}\n");
        let late = "authorizer type RBAC is not allowed if it was not enabled at initial server startup";
        assert_eq!(chain.look(&file), Err(late.to_owned()));
        assert!(allowed(&chain).await);
    }

    #[tokio::test]
    async fn decisions_are_counted_by_who_made_them() {
        let settings = Settings::of_modes(&["AlwaysDeny", "AlwaysAllow"]);
        let chain = Chain::open(&settings, &empty_store().await, &SystemClock::shared()).unwrap();
        assert!(allowed(&chain).await);
        let rows = chain.measures.decisions.rows();
        assert_eq!(rows, [((Mode::AlwaysAllow, "alwaysallow".to_owned(), "allowed"), 1)]);
    }
}
