//! Bodies that come in pieces, each flushed as it comes, that end with their connection; and those of requests that
//! are passed on meanwhile.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::Payload;
use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::server::message::Upload;

/// Pieces of a request's body that wait for the server that they are passed on to; then the client waits.
const WAITING_MAX: usize = 4;

/// Moves the pieces of a request's body; never done.
pub(super) type Moving = LocalBoxFuture<'static, ()>;

/// The body of a request as it comes, and what moves it.
pub(super) fn upload(mut payload: Payload) -> (Upload, Moving) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let moving = async move {
        while let Some(piece) = payload.next().await {
            let end = piece.is_err();
            if sender.send(piece.map_err(io::Error::other)).await.is_err() || end {
                break;
            }
        }
        drop(sender);
        std::future::pending::<()>().await;
    };
    let pieces = futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    (Upload::new(pieces.boxed()), moving.boxed_local())
}

/// What is awaited, while the pieces of the request move.
pub(super) async fn along<T>(moving: &mut Option<Moving>, wanted: impl Future<Output = T>) -> T {
    let Some(moving) = moving else { return wanted.await };
    tokio::select! {
        biased;
        found = wanted => found,
        () = moving => std::future::pending().await,
    }
}

/// Pieces until they end or the connection is gone; dropped with all that is behind them.
pub(super) struct Streamed<T> {
    pieces: BoxStream<'static, T>,
    size: BodySize,
    moving: Option<Moving>,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<T> Streamed<T> {
    pub(super) fn new(pieces: BoxStream<'static, T>, gone: CancellationToken) -> Self {
        Self { pieces, size: BodySize::Stream, moving: None, gone: Box::pin(gone.cancelled_owned()) }
    }

    /// The same of a known length, while the request still moves.
    pub(super) fn with(mut self, length: Option<u64>, moving: Option<Moving>) -> Self {
        self.size = length.map_or(BodySize::Stream, BodySize::Sized);
        self.moving = moving;
        self
    }
}

/// What a body is made of.
pub(super) trait Piece {
    fn bytes(self) -> io::Result<Bytes>;
}

impl Piece for Bytes {
    fn bytes(self) -> io::Result<Bytes> {
        Ok(self)
    }
}

impl Piece for io::Result<Bytes> {
    fn bytes(self) -> io::Result<Bytes> {
        self
    }
}

impl<T: Piece> MessageBody for Streamed<T> {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Some(moving) = &mut self.moving {
            // It is never done.
            let _ = moving.poll_unpin(cx);
        }
        loop {
            match Pin::new(&mut self.pieces).poll_next(cx) {
                Poll::Ready(Some(piece)) => match piece.bytes() {
                    // An empty piece would end a chunked body.
                    Ok(bytes) if bytes.is_empty() => {}
                    piece => return Poll::Ready(Some(piece)),
                },
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
