//! Connections to one server: where it is now, TCP, and TLS unless it is spoken to in the clear.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::resolve::{Routes, resolve};
use super::trust::{self, ClientIdentity};
use super::words::{self, Failure};
use super::{Nobody, Place, Site};
use crate::storage::Store;

/// Makes connections to one server.
#[derive(Clone)]
pub(super) struct Connector(Arc<Target>);

struct Target {
    site: Site,
    /// Absent for a server that is spoken to in the clear.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    store: Arc<dyn Store>,
    nobody: Option<Nobody>,
}

impl Connector {
    pub(super) fn new(site: &Site, identity: Option<&ClientIdentity>, store: Arc<dyn Store>) -> Result<Self, String> {
        Self::speaking(site, (identity, site.speaks_http2()), store)
    }

    /// One over which only HTTP/1.1 is spoken.
    pub(super) fn older(site: &Site, identity: Option<&ClientIdentity>, store: Arc<dyn Store>) -> Result<Self, String> {
        Self::speaking(site, (identity, false), store)
    }

    fn speaking(
        site: &Site,
        (identity, http2): (Option<&ClientIdentity>, bool),
        store: Arc<dyn Store>,
    ) -> Result<Self, String> {
        let tls = if site.in_the_clear() {
            None
        } else {
            let config = trust::config(&site.trust, identity, http2)?;
            let name = ServerName::try_from(site.host()).map_err(|error| error.to_string())?;
            Some((TlsConnector::from(Arc::new(config)), name))
        };
        Ok(Self(Arc::new(Target { site: site.clone(), tls, store, nobody: None })))
    }

    /// The same where nobody is at some addresses.
    pub(super) fn with_nobody(self, nobody: Option<Nobody>) -> Self {
        let Target { site, tls, store, .. } = &*self.0;
        Self(Arc::new(Target { site: site.clone(), tls: tls.clone(), store: store.clone(), nobody }))
    }
}

impl Connector {
    /// A connection of its own.
    pub(super) async fn dial(&self) -> Result<Stream, String> {
        self.0.connect().await
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Stream, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = self.0.clone();
        async move { target.connect().await.map_err(Failure) }.boxed()
    }
}

impl Target {
    async fn connect(&self) -> Result<Stream, String> {
        let routes = self.routes()?;
        for (host, port) in &routes {
            if let Some(address) = self.nobody.as_ref().and_then(|nobody| nobody(host)) {
                let address = SocketAddr::new(address, *port);
                return Err(format!("dial tcp {address}: connect: connection refused"));
            }
        }
        let stream = dial(&routes).await?;
        // A request is one write, so that waiting for more gains nothing.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some((tls, name)) = &self.tls else { return Ok(Stream(TokioIo::new(Either::Left(stream)))) };
        let secured = tls.connect(name.clone(), stream).await.map_err(|error| words::of_handshake(&error, name))?;
        Ok(Stream(TokioIo::new(Either::Right(secured))))
    }

    fn routes(&self) -> Result<Routes, String> {
        match &self.site.place {
            Place::Url(_) => Ok(vec![(self.site.host(), self.site.port())]),
            Place::Service { namespace, name, port, .. } => resolve(&self.store.snapshot(), (namespace, name), *port),
        }
    }
}

/// The first address that takes the connection.
async fn dial(routes: &Routes) -> Result<TcpStream, String> {
    let mut failure = String::new();
    for (host, port) in routes {
        let found = tokio::net::lookup_host((host.as_str(), *port)).await;
        let addresses: Vec<SocketAddr> = match found {
            Ok(addresses) => addresses.collect(),
            Err(_) => {
                failure = format!("dial tcp: lookup {host}: no such host");
                continue;
            }
        };
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = format!("dial tcp {address}: connect: {}", words::of_io(&error)),
            }
        }
    }
    Err(failure)
}

/// A connection, in the clear or secured.
pub(super) struct Stream(TokioIo<Either<TcpStream, TlsStream<TcpStream>>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let protocol = match self.0.inner() {
            Either::Left(_) => None,
            Either::Right(secured) => secured.get_ref().1.alpn_protocol(),
        };
        if protocol == Some(b"h2") { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(ctx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(ctx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(ctx, bytes)
    }
}
