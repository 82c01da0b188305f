//! The way to an API server. A `Transport` carries requests as values; the server in this process is one, a
//! `kube::Client` (any other API server) another, and `kube_client` makes a `kube::Client` of any of them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};

use super::error::Error;
use crate::api::request::User;
use crate::resources::facts::VERSION;

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: http::Method,
    /// Path and query, percent-encoded.
    pub target: String,
    /// Empty without a body.
    pub content_type: &'static str,
    pub accept: Cow<'static, str>,
    pub body: Bytes,
    pub user: Arc<User>,
    /// The name in `User-Agent`; it becomes the field manager.
    pub agent: &'static str,
}

impl Ask {
    /// `User-Agent`: the name and the version of Kubernetes.
    pub fn user_agent(&self) -> String {
        format!("{}/{VERSION}", self.agent)
    }
}

/// What came back, error answers included.
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub payload: Payload,
}

/// The content of an answer.
pub enum Payload {
    Full(Bytes),
    /// Pieces as they come; dropping it ends the request.
    Stream(BoxStream<'static, Result<Bytes, Error>>),
}

/// Carries requests to an API server.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request.
    ///
    /// # Errors
    /// When there is no answer. An answer that is an error is `Ok`.
    fn exchange(&self, ask: Ask) -> BoxFuture<'static, Result<Reply, Error>>;
}

/// Another API server, reached as whoever the `kube::Client` is; the asking user is impersonated.
impl Transport for kube::Client {
    fn exchange(&self, ask: Ask) -> BoxFuture<'static, Result<Reply, Error>> {
        let client = self.clone();
        Box::pin(async move {
            let agent = ask.user_agent();
            let mut request = http::Request::builder()
                .method(ask.method)
                .uri(ask.target)
                .header(http::header::ACCEPT, &*ask.accept)
                .header(http::header::USER_AGENT, agent);
            if !ask.content_type.is_empty() {
                request = request.header(http::header::CONTENT_TYPE, ask.content_type);
            }
            if !ask.user.name.is_empty() {
                request = request.header("Impersonate-User", &ask.user.name);
                for group in &ask.user.groups {
                    request = request.header("Impersonate-Group", group);
                }
            }
            let request = request.body(ask.body.into()).map_err(|error| Error::Transport(Box::new(error)))?;
            let response = client.send(request).await.map_err(|error| Error::Transport(Box::new(error)))?;
            let (parts, body) = response.into_parts();
            let content_type = parts.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let stream = body.into_data_stream().map_err(|error| Error::Transport(Box::new(error)));
            Ok(Reply {
                status: parts.status.as_u16(),
                content_type: content_type.unwrap_or_default().to_owned(),
                payload: Payload::Stream(stream.boxed()),
            })
        })
    }
}

/// A `kube::Client` that acts as `user` over a transport. Needs a tokio runtime.
pub fn kube_client(transport: Arc<dyn Transport>, user: User, namespace: &str) -> kube::Client {
    let user = Arc::new(user);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (transport, user) = (Arc::clone(&transport), Arc::clone(&user));
        async move { carry(transport, user, request).await }
    });
    kube::Client::new(service, namespace)
}

type KubeBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Error>;

async fn carry(
    transport: Arc<dyn Transport>,
    user: Arc<User>,
    request: http::Request<kube::client::Body>,
) -> Result<http::Response<KubeBody>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let content_type = match parts.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes) {
        Some(b"application/apply-patch+yaml") => "application/apply-patch+yaml",
        Some(b"application/json-patch+json") => "application/json-patch+json",
        Some(b"application/merge-patch+json") => "application/merge-patch+json",
        Some(b"application/strategic-merge-patch+json") => "application/strategic-merge-patch+json",
        Some(_) | None if body.is_empty() => "",
        Some(_) | None => "application/json",
    };
    let accept = parts.headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = accept.map_or(Cow::Borrowed("application/json"), |accept| Cow::Owned(accept.to_owned()));
    let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let ask = Ask { method: parts.method, target, content_type, accept, body, user, agent: "kube-rs" };
    let reply = transport.exchange(ask).await?;
    let body = match reply.payload {
        Payload::Full(bytes) => http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
        Payload::Stream(stream) => StreamBody::new(stream.map_ok(http_body::Frame::data)).boxed_unsync(),
    };
    let response = http::Response::builder().status(reply.status);
    Ok(response.header(http::header::CONTENT_TYPE, reply.content_type).body(body)?)
}

/// `Accept` for one object's metadata.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// `Accept` for the metadata of a list.
pub(super) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
