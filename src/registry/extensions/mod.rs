//! Extension servers: what APIServices lead elsewhere, whether they can be reached, and what they say they serve
//! (kube-aggregator). One task looks after them; without any it waits for one.

mod availability;
mod swagger;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::Value;

use super::Registry;
use crate::api::Revision;
use crate::remote::{Place, Remote, Site, Switched};
use crate::storage::{Collection, Stored};

pub use swagger::Swagger;

const COLLECTION: &str = "apiservices.apiregistration.k8s.io";

/// The extension servers of one server.
pub struct Extensions {
    registry: Arc<Registry>,
    /// Shows the front proxy's certificate.
    remote: Remote,
    known: ArcSwapOption<(Revision, Arc<Vec<Arc<Extension>>>)>,
    /// What each said that it serves, by the name of its APIService. Held for an insertion or a look-up only.
    said: Mutex<BTreeMap<String, Said>>,
    generation: AtomicU64,
}

/// A group and version that another server serves.
#[derive(Debug)]
pub struct Extension {
    /// Of the APIService.
    pub name: String,
    pub group: String,
    pub version: String,
    pub site: Site,
    pub available: bool,
    pub group_priority: i64,
    pub version_priority: i64,
}

/// What an extension server says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Its `APIResourceList`.
    pub resources: Value,
    /// The address of its OpenAPI document with its hash, if it has one.
    pub openapi: String,
    /// Its part of OpenAPI v2, if it has one.
    pub swagger: Option<Arc<Swagger>>,
}

impl Extensions {
    /// Calls go through `remote`, which shows who we are.
    pub fn new(registry: Arc<Registry>, remote: Remote) -> Self {
        Self {
            registry,
            remote,
            known: ArcSwapOption::empty(),
            said: Mutex::default(),
            generation: AtomicU64::default(),
        }
    }

    /// All groups and versions that other servers serve, those of the highest priority first.
    pub fn all(&self) -> Arc<Vec<Arc<Extension>>> {
        let snapshot = self.registry.store.snapshot();
        let changed = snapshot.changed(COLLECTION);
        if let Some(known) = self.known.load_full().filter(|known| known.0 == changed) {
            return known.1.clone();
        }
        let collection: Collection = Arc::from(COLLECTION);
        let read = |stored: &Arc<Stored>| Extension::of(stored).map(Arc::new);
        let mut all: Vec<Arc<Extension>> = snapshot.list(&collection, None, None).filter_map(read).collect();
        let rank = |e: &Extension| (-e.group_priority, e.group.clone(), -e.version_priority, e.version.clone());
        all.sort_by_key(|extension| rank(extension));
        let all = Arc::new(all);
        self.known.store(Some(Arc::new((changed, all.clone()))));
        self.generation.fetch_add(1, Ordering::Relaxed);
        all
    }

    /// The server of a group and version, if it is another one.
    pub fn find(&self, group: &str, version: &str) -> Option<Arc<Extension>> {
        self.all().iter().find(|e| e.group == group && e.version == version).cloned()
    }

    /// What an extension server said when it was last asked.
    pub fn said(&self, extension: &Extension) -> Option<Said> {
        self.said.lock().get(&extension.name).cloned()
    }

    /// Rises with every change of what is said.
    pub fn generation(&self) -> u64 {
        self.all();
        self.generation.load(Ordering::Relaxed)
    }

    /// Hands a request on to an extension server.
    ///
    /// # Errors
    /// In Go's words.
    pub async fn send(
        &self,
        extension: &Extension,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, String> {
        self.remote.send(&extension.site, request).await
    }

    /// Hands a request on that asks to switch to another protocol.
    ///
    /// # Errors
    /// In Go's words.
    pub async fn upgrade(
        &self,
        extension: &Extension,
        request: http::Request<Full<Bytes>>,
    ) -> Result<Switched, String> {
        self.remote.upgrade(&extension.site, request).await
    }

    fn note(&self, name: &str, said: Said) {
        let mut all = self.said.lock();
        if all.get(name) != Some(&said) {
            all.insert(name.to_owned(), said);
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Extension {
    /// `None` for what this server serves itself.
    fn of(stored: &Arc<Stored>) -> Option<Self> {
        let service: Value = serde_json::from_slice(&stored.body.json).ok()?;
        let spec = service.get("spec")?;
        spec.get("service").filter(|service| service.is_object())?;
        let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key: &str| spec.get(key).and_then(Value::as_i64).unwrap_or_default();
        let conditions = service.pointer("/status/conditions").and_then(Value::as_array);
        let available = |condition: &Value| {
            condition.get("type").is_some_and(|kind| kind == "Available")
                && condition.get("status").is_some_and(|status| status == "True")
        };
        Some(Self {
            name: stored.key.name.to_string(),
            group: text("group"),
            version: text("version"),
            site: Site::of_api_service(spec),
            available: conditions.into_iter().flatten().any(available),
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
        })
    }

    /// The path that every server of the group and version must answer.
    pub fn path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }

    /// Namespace, name and port of the service.
    fn service(&self) -> (&str, &str, u16) {
        match &self.site.place {
            Place::Service { namespace, name, port, .. } => (namespace, name, *port),
            Place::Url(_) => ("", "", 0),
        }
    }
}
