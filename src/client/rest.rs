//! Requests on objects. Bodies are JSON that the caller made; answers are read only as far as the caller needs them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{ApiError, Error};
use super::meta::Meta;
use super::resource::{Resource, Target, push_encoded};
use super::transport::{Ask, METADATA, METADATA_LIST, Payload, Reply, Transport};
use crate::api::request::User;

/// The longest answer that is read; a list of pages stays far below.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Sends requests as one user. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user: Arc<User>,
    agent: &'static str,
}

/// The kinds of patches that controllers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    Json,
    Merge,
    Strategic,
}

/// What an object was written as.
#[derive(Clone, Debug)]
pub struct Written {
    /// The resourceVersion as a number; 0 when it is none.
    pub revision: u64,
    pub name: String,
    pub body: Bytes,
}

/// One page of a list.
#[derive(Deserialize, Debug)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct ListPage<T> {
    #[serde(default)]
    pub metadata: ListMeta,
    /// An empty list of metadata has `null` here, as upstream's.
    #[serde(default = "Vec::new", deserialize_with = "or_none")]
    pub items: Vec<T>,
}

fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// `metadata` of a list.
#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
pub struct ListMeta {
    pub resource_version: String,
    #[serde(rename = "continue")]
    pub continue_token: String,
}

/// How to delete.
#[derive(Serialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
}

/// What must hold for a delete to happen.
#[derive(Serialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Only the object with this uid.
    pub fn of_uid(uid: &str) -> Self {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        Self { preconditions: Some(preconditions), ..Self::default() }
    }
}

impl Client {
    /// A client that acts as `user`; `agent` is the name in its User-Agent, such as `kubelet`.
    pub fn new(transport: Arc<dyn Transport>, user: User, agent: &'static str) -> Self {
        Self { transport, user: Arc::new(user), agent }
    }

    /// The same way to the server as somebody else.
    #[must_use]
    pub fn acting_as(&self, user: Arc<User>) -> Self {
        Self { transport: Arc::clone(&self.transport), user, agent: self.agent }
    }

    /// Reads one object.
    ///
    /// # Errors
    /// `not_found` when it is not there.
    pub async fn get<T: DeserializeOwned>(&self, target: Target<'_>) -> Result<T, Error> {
        self.get_path(target.path(), JSON).await
    }

    /// Reads the metadata of one object (as `{metadata: …}`).
    ///
    /// # Errors
    /// `not_found` when it is not there.
    pub async fn get_metadata<T: DeserializeOwned>(&self, target: Target<'_>) -> Result<T, Error> {
        self.get_path(target.path(), METADATA).await
    }

    /// Reads any path.
    ///
    /// # Errors
    /// When the answer is an error or is not of the form.
    pub async fn get_path<T: DeserializeOwned>(&self, path: String, accept: &'static str) -> Result<T, Error> {
        let reply = self.ask(http::Method::GET, path, "", accept, Bytes::new()).await?;
        Ok(serde_json::from_slice(&self.whole(reply).await?)?)
    }

    /// Reads one page; `query` holds selectors, limit and continue token.
    ///
    /// # Errors
    /// When the answer is an error.
    pub async fn list<T: DeserializeOwned>(&self, target: Target<'_>, query: &Query) -> Result<ListPage<T>, Error> {
        let accept = if query.metadata_only { METADATA_LIST } else { JSON };
        self.get_path(query.appended_to(target.path()), accept).await
    }

    /// Opens a watch: the pieces of a body with one JSON object a line.
    ///
    /// # Errors
    /// When the answer is an error.
    pub async fn watch(
        &self,
        target: Target<'_>,
        query: &Query,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let accept = if query.metadata_only { METADATA } else { JSON };
        let reply = self.ask(http::Method::GET, query.appended_to(target.path()), "", accept, Bytes::new()).await?;
        if reply.status >= 400 {
            self.whole(reply).await?;
            return Ok(futures::stream::empty().boxed());
        }
        Ok(match reply.payload {
            Payload::Full(bytes) => futures::stream::once(async { Ok(bytes) }).boxed(),
            Payload::Stream(stream) => stream,
        })
    }

    /// Creates an object in a collection (or posts to a subresource).
    ///
    /// # Errors
    /// `already_exists`, or any other refusal.
    pub async fn create(&self, target: Target<'_>, body: impl Into<Bytes>) -> Result<Written, Error> {
        self.write(http::Method::POST, target.path(), JSON, body.into()).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// `conflict` when it changed since the resourceVersion in the body.
    pub async fn update(&self, target: Target<'_>, body: impl Into<Bytes>) -> Result<Written, Error> {
        self.write(http::Method::PUT, target.path(), JSON, body.into()).await
    }

    /// Replaces the status of an object whose metadata is as it was read; for those who may not patch it.
    ///
    /// # Errors
    /// `conflict` when the object changed since it was read.
    pub async fn update_status(
        &self,
        resource: &Resource,
        meta: &Meta,
        status: &impl Serialize,
    ) -> Result<Written, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a, S> {
            api_version: String,
            kind: &'a str,
            metadata: &'a Meta,
            status: &'a S,
        }
        let body = Body { api_version: resource.api_version(), kind: &resource.kind, metadata: meta, status };
        self.update(resource.at(&meta.namespace, &meta.name).sub("status"), encode(&body)).await
    }

    /// Changes parts of an object.
    ///
    /// # Errors
    /// `not_found`, or `conflict` when the patch holds a stale resourceVersion.
    pub async fn patch(&self, target: Target<'_>, kind: Patch, body: impl Into<Bytes>) -> Result<Written, Error> {
        let content_type = match kind {
            Patch::Json => "application/json-patch+json",
            Patch::Merge => "application/merge-patch+json",
            Patch::Strategic => "application/strategic-merge-patch+json",
        };
        self.write(http::Method::PATCH, target.path(), content_type, body.into()).await
    }

    /// Server-side apply, forced, as a manager that is not named by the agent.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn apply(&self, target: Target<'_>, manager: &str, body: impl Into<Bytes>) -> Result<Written, Error> {
        let query = Query::default().with("fieldManager", manager).with("force", "true");
        let path = query.appended_to(target.path());
        self.write(http::Method::PATCH, path, "application/apply-patch+yaml", body.into()).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// `not_found`, or `conflict` when a precondition does not hold.
    pub async fn delete(&self, target: Target<'_>, options: &DeleteOptions) -> Result<Written, Error> {
        self.write(http::Method::DELETE, target.path(), JSON, encode(options)).await
    }

    async fn write(
        &self,
        method: http::Method,
        path: String,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Written, Error> {
        let reply = self.ask(method, path, content_type, JSON, body).await?;
        let body = self.whole(reply).await?;
        let (revision, name) = identity_of(&body);
        Ok(Written { revision, name, body })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request, used in this file only")]
    async fn ask(
        &self,
        method: http::Method,
        target: String,
        content_type: &'static str,
        accept: &'static str,
        body: Bytes,
    ) -> Result<Reply, Error> {
        let content_type = if body.is_empty() { "" } else { content_type };
        let user = Arc::clone(&self.user);
        self.transport
            .exchange(Ask { method, target, content_type, accept: accept.into(), body, user, agent: self.agent })
            .await
    }

    async fn whole(&self, reply: Reply) -> Result<Bytes, Error> {
        let body = match reply.payload {
            Payload::Full(bytes) => bytes,
            Payload::Stream(mut stream) => {
                let mut whole = BytesMut::new();
                while let Some(piece) = stream.next().await {
                    whole.extend_from_slice(&piece?);
                    if whole.len() > ANSWER_BYTES_MAX {
                        return Err(Error::TooLong { limit: ANSWER_BYTES_MAX });
                    }
                }
                whole.freeze()
            }
        };
        if reply.status >= 400 {
            return Err(Error::Api(Box::new(ApiError::read(reply.status, &body))));
        }
        Ok(body)
    }
}

const JSON: &str = "application/json";

/// The query of a list or watch.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub metadata_only: bool,
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// With one more parameter, unless its value is empty.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.pairs.push((name, value));
        }
        self
    }

    fn appended_to(&self, mut path: String) -> String {
        for (index, (name, value)) in self.pairs.iter().enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            path.push_str(name);
            path.push('=');
            push_encoded(&mut path, value);
        }
        path
    }
}

/// JSON of a value of our own making.
pub fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("our own values are JSON").into()
}

/// `metadata.resourceVersion` as a number and `metadata.name` of an object, found without reading the rest.
fn identity_of(body: &[u8]) -> (u64, String) {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Only {
        metadata: Identity,
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Identity {
        resource_version: String,
        name: String,
    }
    let only = serde_json::from_slice::<Only>(body).unwrap_or_default();
    (only.metadata.resource_version.parse().unwrap_or(0), only.metadata.name)
}
