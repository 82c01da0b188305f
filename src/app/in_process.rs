//! The server as its own clients' transport: no socket, the same filters.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use crate::client::{Ask, Error, Payload, Reply, Transport};
use crate::server::{Body, Method, Peer, Request, Server};

/// Carries requests to a server in this process, each as the user that it names.
pub(super) struct InProcess(pub(super) Server);

impl Transport for InProcess {
    fn exchange(&self, ask: Ask) -> BoxFuture<'static, Result<Reply, Error>> {
        let server = self.0.clone();
        Box::pin(async move {
            let method = Method::parse(ask.method.as_str());
            let mut request = Request::new(method, &ask.target, Peer::Internal((*ask.user).clone()));
            request.headers.add("user-agent", ask.user_agent());
            request.headers.add("accept", ask.accept);
            if !ask.content_type.is_empty() {
                request.headers.add("content-type", ask.content_type);
            }
            request.body = ask.body;
            let response = server.handle(request).await;
            let content_type = response.headers.text("content-type").to_owned();
            let payload = match response.body {
                Body::Full(bytes) => Payload::Full(bytes),
                Body::Stream(pieces) => Payload::Stream(pieces.map(Ok).boxed()),
                Body::Relayed { pieces, .. } => {
                    Payload::Stream(pieces.map_err(|error| Error::Transport(error.into())).boxed())
                }
                // Nobody in this process asks for one.
                Body::WebSocket(_) | Body::Tunnel(_) => Payload::Stream(futures::stream::empty().boxed()),
            };
            Ok(Reply { status: response.status, content_type, payload })
        })
    }
}
