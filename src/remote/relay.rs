//! Requests that are passed on as they come, over a connection of their own: bodies go both ways piece by piece, and
//! whoever drops the answer ends the connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use super::connect::{Connector, Stream};
use super::upgrade::{Driven, address};
use super::{Remote, Site, words};

/// How long it may take until there is a connection, as upstream's dialer.
const DIAL: Duration = Duration::from_secs(30);

/// The body of a request as it comes.
pub type Upload = UnsyncBoxBody<Bytes, io::Error>;

/// The body of an answer as it comes; an error when it ends before it is whole.
pub type Pieces = BoxStream<'static, io::Result<Bytes>>;

impl Remote {
    /// Passes a request on; resolves when the head of the answer is there.
    ///
    /// # Errors
    /// In Go's words, without an address.
    pub async fn relay(
        &self,
        site: &Site,
        mut request: http::Request<Upload>,
    ) -> Result<http::Response<Pieces>, String> {
        let stream = self.dial(site).await?;
        let handshake = hyper::client::conn::http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        address(&mut request, site)?;
        let mut connection = Driven::new(connection);
        let sent = connection.along(sender.send_request(request)).await;
        let (head, body) = sent.map_err(|error| words::of_exchange(&error))?.into_parts();
        let pieces = stream::unfold(Some((connection, sender, body)), |state| async {
            let (mut connection, sender, mut body) = state?;
            loop {
                return match connection.along(body.frame()).await? {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) => Some((Ok(data), Some((connection, sender, body)))),
                        Err(_) => continue,
                    },
                    Err(error) => Some((Err(io::Error::other(words::of_body(&error))), None)),
                };
            }
        });
        Ok(http::Response::from_parts(head, pieces.boxed()))
    }

    /// A connection over which HTTP/1.1 is spoken.
    pub(super) async fn dial(&self, site: &Site) -> Result<Stream, String> {
        let connector = Connector::older(site, self.identity.as_deref(), self.store.clone())?;
        let connector = connector.with_nobody(self.nobody.clone());
        tokio::select! {
            stream = connector.dial() => stream,
            () = self.clock.sleep(DIAL) => Err(format!("dial tcp {}:{}: i/o timeout", site.host(), site.port())),
        }
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// In Go's words.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Some(address) = self.nobody.as_ref().and_then(|nobody| nobody(host)) {
            return Ok(vec![address]);
        }
        let found = tokio::net::lookup_host((host, 0)).await;
        let found = found.map_err(|_| format!("lookup {host}: no such host"))?;
        Ok(found.map(|address: SocketAddr| address.ip()).collect())
    }
}
