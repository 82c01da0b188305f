//! Connections to servers outside that switch to another protocol, each of its own and over HTTP/1.1.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::{Remote, Site, words};

/// How long it may take until the server has switched, or has said why not.
const LIMIT: Duration = Duration::from_secs(60);
/// What is read of an answer that refuses.
const REFUSAL_BYTES_MAX: usize = 1 << 20;

/// What a server makes of the wish to switch.
pub enum Switched {
    /// The head of its answer, and the connection from there on.
    Yes(http::response::Parts, Box<TokioIo<Upgraded>>),
    No(http::Response<Bytes>),
}

impl Remote {
    /// Sends a request that asks to switch to another protocol.
    ///
    /// # Errors
    /// In Go's words.
    pub async fn upgrade(&self, site: &Site, request: http::Request<Full<Bytes>>) -> Result<Switched, String> {
        tokio::select! {
            switched = self.switch(site, request) => switched,
            () = self.clock.sleep(LIMIT) => Err(words::DEADLINE.to_owned()),
        }
    }

    async fn switch(&self, site: &Site, mut request: http::Request<Full<Bytes>>) -> Result<Switched, String> {
        let stream = self.dial(site).await.map_err(|why| format!("error dialing backend: {why}"))?;
        let handshake = hyper::client::conn::http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        address(&mut request, site)?;
        let mut connection = Driven::new(connection.with_upgrades());
        let sent = connection.along(sender.send_request(request)).await;
        let mut response = sent.map_err(|error| words::of_body(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (head, body) = response.into_parts();
            let read = connection.along(Limited::new(body, REFUSAL_BYTES_MAX).collect()).await;
            let body = read.map_err(|error| error.to_string())?.to_bytes();
            return Ok(Switched::No(http::Response::from_parts(head, body)));
        }
        let upgrading = hyper::upgrade::on(&mut response);
        let upgraded = connection.along(upgrading).await.map_err(|error| error.to_string())?;
        Ok(Switched::Yes(response.into_parts().0, Box::new(TokioIo::new(upgraded))))
    }
}

/// Makes a request one of the origin form, for a host: the caller's, where it names one.
pub(super) fn address<B>(request: &mut http::Request<B>, site: &Site) -> Result<(), String> {
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(&site.authority()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let path: Uri = path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    *request.uri_mut() = path;
    Ok(())
}

/// What works only while it is asked, beside what is waited for.
pub(super) struct Driven<F> {
    future: Pin<Box<F>>,
    ended: bool,
}

impl<F: Future> Driven<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future: Box::pin(future), ended: false }
    }

    pub(super) async fn along<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = std::pin::pin!(wanted);
        loop {
            tokio::select! {
                biased;
                found = &mut wanted => return found,
                _ = &mut self.future, if !self.ended => self.ended = true,
            }
        }
    }
}
