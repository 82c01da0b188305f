//! A connection that has switched to a protocol of its own: bytes go both ways until one side ends.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::ConnectionType;
use actix_http::body::{BodySize, BoxBody, MessageBody};
use bytes::{Bytes, BytesMut};
use futures::future::LocalBoxFuture;
use futures::stream::{self, LocalBoxStream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::service::{Wire, with_head};
use crate::server::message::{Ends, Headers};

const PIECE_BYTES: usize = 16 * 1024;

/// As the body of an answer what the other side sends; what the client sends goes to it meanwhile.
struct Tunnel {
    inward: LocalBoxFuture<'static, ()>,
    outward: LocalBoxStream<'static, Bytes>,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The answer that switches, and then both ways.
pub(super) fn open(
    headers: &Headers,
    (ends, from_client): (Box<dyn Ends>, impl Stream<Item = Bytes> + 'static),
    gone: CancellationToken,
) -> Wire {
    let (reader, mut writer) = tokio::io::split(ends);
    let inward = async move {
        let mut from_client = std::pin::pin!(from_client);
        while let Some(piece) = from_client.next().await {
            if writer.write_all(&piece).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
    };
    let outward = stream::unfold(reader, |mut reader| async {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        match reader.read_buf(&mut piece).await {
            Ok(1..) => Some((piece.freeze(), reader)),
            Ok(0) | Err(_) => None,
        }
    });
    let gone = Box::pin(gone.cancelled_owned());
    let tunnel = Tunnel { inward: inward.boxed_local(), outward: outward.boxed_local(), gone };
    let mut response = with_head(101, headers.iter(), BoxBody::new(tunnel));
    response.head_mut().set_connection_type(ConnectionType::Upgrade);
    // What follows is no body.
    response.head_mut().no_chunking(true);
    response
}

impl MessageBody for Tunnel {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        // As upstream: one side that ends, ends all.
        if self.gone.as_mut().poll(cx).is_ready() || self.inward.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.outward.as_mut().poll_next(cx).map(|piece| piece.map(Ok))
    }
}
