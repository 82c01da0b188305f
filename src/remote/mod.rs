//! Calls to servers outside this process: webhooks, conversion webhooks, extension servers. Used by admission, the
//! registry and the server; and requests that are passed on to kubelets and backends. Every call has a time limit and a limit of what is read; calls to one server are bounded,
//! so that one which hangs holds up nobody but those who wait for it.

mod answer;
mod backend;
mod connect;
mod conversion;
mod relay;
mod resolve;
mod site;
mod trust;
mod upgrade;
mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::base::Clock;
use crate::storage::Store;
use connect::Connector;

pub use answer::{check_kind, decode};
pub use backend::Backend;
pub use conversion::convert;
pub use relay::{Pieces, Upload};
pub use resolve::{Routes, resolve};
pub use site::{Place, Site, Trust};
pub use trust::ClientIdentity;
pub use upgrade::Switched;

/// Calls to one server at a time; those that come later wait, within their own time.
const CALLS_MAX: usize = 128;
/// What everyone may read of an answer at once; of longer ones few at a time, so that a server which floods all its callers
/// fills no memory and holds up its own callers only.
const SHORT_BYTES_MAX: usize = 256 << 10;
const LONG_ANSWERS_MAX: usize = 4;
/// Servers whose connections are kept; the one that was not used for the longest time goes first. As upstream.
const SERVERS_MAX: usize = 200;
/// Connections to one server that are kept although nobody uses them, as Go keeps them under upstream.
const IDLE_CONNECTIONS_MAX: usize = 25;
const IDLE: Duration = Duration::from_secs(90);

/// Tells of a host at which nobody can be which address it stands for: what is simulated refuses connections at once.
pub type Nobody = Arc<dyn Fn(&str) -> Option<IpAddr> + Send + Sync>;

/// The way to servers outside.
pub struct Remote {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Shown to extension servers; webhooks are called without.
    identity: Option<Arc<ClientIdentity>>,
    nobody: Option<Nobody>,
    /// The least recently used first. Held for a search or an insertion only.
    servers: Mutex<Vec<(Site, Arc<Server>)>>,
}

/// One server and the connections to it.
struct Server {
    pool: Pool<Connector, Full<Bytes>>,
    calls: Semaphore,
    /// Taken by whoever reads more than `SHORT_BYTES_MAX`. They wait within their own time.
    long_answers: Semaphore,
}

/// One POST of a JSON document.
pub struct Post<'a> {
    pub site: &'a Site,
    pub body: Bytes,
    /// The server is told, as a parameter of the address.
    pub limit: Duration,
    pub answer_bytes_max: usize,
    /// The header of that name.
    pub authorization: Option<&'a str>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: Bytes,
}

impl Remote {
    /// Nothing is connected to before the first call.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, identity: None, nobody: None, servers: Mutex::default() }
    }

    /// The same for servers that are shown a client certificate.
    #[must_use]
    pub fn with_identity(mut self, identity: ClientIdentity) -> Self {
        self.identity = Some(Arc::new(identity));
        self
    }

    /// The same where nobody is at some addresses; counts for connections of their own only.
    #[must_use]
    pub fn with_nobody(mut self, nobody: Nobody) -> Self {
        self.nobody = Some(nobody);
        self
    }

    /// Posts a document and reads the whole answer, whatever its status. Redirects are not followed.
    ///
    /// # Errors
    /// In Go's words, with the address that was asked, as upstream tells clients of it.
    pub async fn post(&self, post: Post<'_>) -> Result<Reply, String> {
        let url = post.site.url(post.limit);
        let about = |why: &str| format!("Post {}: {why}", crate::api::field::go_quote(&url));
        let server = self.server(post.site).map_err(|why| about(&why))?;
        // One limit for all of it: waiting for a turn, the way there, the answer.
        let mut patience = self.clock.sleep(post.limit);
        let mut exchange = std::pin::pin!(exchange(&server, &url, (post.body, post.authorization)));
        let sent = tokio::select! {
            sent = &mut exchange => sent,
            () = &mut patience => return Err(about(words::DEADLINE)),
        };
        let response = sent.map_err(|why| about(&why))?;
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = tokio::select! {
            body = read(&server, body, post.answer_bytes_max) => body,
            () = &mut patience => Err(words::DEADLINE.to_owned()),
        };
        let unread = |why| format!("unexpected error when reading response body. Please retry. Original error: {why}");
        let body = body.map_err(unread)?;
        Ok(Reply { status: head.status.as_u16(), content_type: text(CONTENT_TYPE), body })
    }

    /// Sends any request and gives the answer as it begins; the caller sets the limit to his patience.
    ///
    /// # Errors
    /// In Go's words, without an address.
    pub async fn send(
        &self,
        site: &Site,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, String> {
        let server = self.server(site)?;
        server.pool.request(request).await.map_err(|error| words::of(&error))
    }

    fn server(&self, site: &Site) -> Result<Arc<Server>, String> {
        let mut servers = self.servers.lock();
        if let Some(at) = servers.iter().position(|(known, _)| known == site) {
            let found = servers.remove(at);
            let server = found.1.clone();
            servers.push(found);
            return Ok(server);
        }
        let connector = Connector::new(site, self.identity.as_deref(), self.store.clone())?;
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        let server =
            Arc::new(Server { pool, calls: Semaphore::new(CALLS_MAX), long_answers: Semaphore::new(LONG_ANSWERS_MAX) });
        if servers.len() == SERVERS_MAX {
            servers.remove(0);
        }
        servers.push((site.clone(), server.clone()));
        Ok(server)
    }
}

async fn exchange(
    server: &Server,
    url: &str,
    (body, authorization): (Bytes, Option<&str>),
) -> Result<http::Response<Incoming>, String> {
    let _turn = server.calls.acquire().await.map_err(|_| "EOF".to_owned())?;
    let mut request = http::Request::post(url);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request
        .header(ACCEPT, "application/json, */*")
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, "kube-apiserver-admission")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    server.pool.request(request).await.map_err(|error| words::of(&error))
}

async fn read(server: &Server, mut body: Incoming, bytes_max: usize) -> Result<Bytes, String> {
    let mut whole = Vec::new();
    let mut turn = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| words::of_body(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > bytes_max {
            return Err(format!("the answer is longer than {bytes_max} bytes"));
        }
        if turn.is_none() && whole.len() + data.len() > SHORT_BYTES_MAX {
            turn = Some(server.long_answers.acquire().await.map_err(|_| "EOF".to_owned())?);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}
