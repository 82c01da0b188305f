//! HTTP/1.1 and HTTP/2 over TLS: the only place that knows actix and TLS. Turns connections into `Request`s, and
//! `Response`s into what goes over the wire.

mod aside;
mod body;
mod http2;
mod service;
mod tunnel;
mod web_socket;

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::ServerHandle;
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use tokio::net::TcpStream;

use self::aside::Led;
pub(in crate::server) use self::web_socket::accept as web_socket_accept;
use super::Server;
use crate::base::Tasks;

/// How long a client may take for its TLS handshake, and for the head of a request.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HEAD_MAX: Duration = Duration::from_secs(32);
/// How long a connection may be idle; HTTP/2 connections are pinged as often.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// How long requests may go on after the end was asked for.
const FAREWELL_SECONDS_MAX: u64 = 5;
/// Bytes that HTTP/2 clients may send before they must wait for the server to read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Where and how a server listens.
pub struct Listen {
    /// Bound by the caller, who knows what to say when that fails.
    pub listener: TcpListener,
    pub tls: rustls::ServerConfig,
    pub bounds: Bounds,
}

/// Bounds on connections; more wait to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Threads that serve connections.
    pub workers: usize,
    pub connections_per_worker_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { workers: cores.min(8), connections_per_worker_max: 25_000 }
    }
}

/// A server that listens.
pub struct Listening {
    pub address: SocketAddr,
    handle: ServerHandle,
}

impl Listening {
    /// Accepts no more, lets requests end for a bounded time and closes the rest. Watches must have been ended before
    /// by the server's shutdown.
    pub async fn stop(&self) {
        self.handle.stop(true).await;
    }
}

/// Starts to serve.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(server: Server, listen: Listen, tasks: &Tasks) -> std::io::Result<Listening> {
    let Listen { listener, tls, bounds } = listen;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let factory = move || {
        let counting = server.clone();
        let mut acceptor = Acceptor::new(tls.clone());
        acceptor.set_handshake_timeout(HANDSHAKE_MAX);
        acceptor
            .map_init_err(|_| ())
            .map_err(move |error| {
                tracing::debug!(?error, "TLS handshake failed");
                counting.metrics().handshake_failed();
            })
            .and_then(spoken(server.clone()))
    };
    let running = actix_server::Server::build()
        .workers(bounds.workers)
        .max_concurrent_connections(bounds.connections_per_worker_max)
        .disable_signals()
        .shutdown_timeout(FAREWELL_SECONDS_MAX)
        .listen("api", listener, factory)?
        .run();
    let handle = running.handle();
    tasks.spawn_to_end("transport", async move {
        if let Err(error) = running.await {
            tracing::error!(%error, "the listener ended");
        }
    });
    Ok(Listening { address, handle })
}

/// What serves a connection in the protocol that its client chose.
fn spoken(
    server: Server,
) -> impl ServiceFactory<TlsStream<TcpStream>, Config = (), Response = (), Error = (), InitError = ()> {
    let http1 = server.clone();
    let http1 = HttpService::build()
        .keep_alive(IDLE_MAX)
        .client_request_timeout(HEAD_MAX)
        .client_disconnect_timeout(Duration::from_secs(2))
        .h1_allow_half_closed(false)
        .on_connect_ext(service::on_connect)
        // On its own, so that an idle connection has no room for a request, nor a watch for the way of its request.
        .h1(move |request| Box::pin(service::answer(http1.clone(), request)));
    fn_factory(move || {
        let (server, http1) = (server.clone(), http1.new_service(()));
        async move {
            let http1 = Rc::new(http1.await.map_err(|_| ())?);
            Ok(fn_service(move |io: TlsStream<TcpStream>| {
                let (server, http1) = (server.clone(), Rc::clone(&http1));
                // The task of a connection has room for the largest of its states as long as it lasts, so that none of
                // them is held in it: what is only used to begin would never go.
                let io = Box::new(io);
                async move {
                    let (tcp, tls) = io.get_ref();
                    // Without this an answer over HTTP/2 waits for the client's delayed acknowledgement.
                    if let Err(error) = tcp.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    if tls.alpn_protocol() == Some(b"h2") {
                        let peer = service::peer(&io);
                        if let Some(talk) = Box::pin(http2::begin(io, peer, server)).await {
                            talk.await;
                        }
                        return Ok(());
                    }
                    let address = tcp.peer_addr().ok();
                    let served = Box::pin(http1.call((Led::new(*io), address))).await;
                    served.map_err(|error| tracing::debug!(%error, "connection ended with an error"))
                }
            }))
        }
    })
}
