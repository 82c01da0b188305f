//! A body that comes in pieces, each flushed as it comes, that ends with its connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Pieces until they end or the connection is gone; dropped with all that is behind them.
pub(super) struct Streamed {
    pieces: BoxStream<'static, Bytes>,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Streamed {
    pub(super) fn new(pieces: BoxStream<'static, Bytes>, gone: CancellationToken) -> Self {
        Self { pieces, gone: Box::pin(gone.cancelled_owned()) }
    }
}

impl MessageBody for Streamed {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.pieces).poll_next(cx) {
                // An empty piece would end a chunked body.
                Poll::Ready(Some(piece)) if piece.is_empty() => {}
                Poll::Ready(piece) => return Poll::Ready(piece.map(Ok)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
