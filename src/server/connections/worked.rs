//! The end of a tunnel behind which somebody works: the work goes on while the client is served, and goes with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What waits on either way; with more the sender waits.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// What the client reads and writes, with the work at the other end of it.
pub(super) struct Worked {
    io: DuplexStream,
    /// Until it is done.
    work: Option<BoxFuture<'static, ()>>,
}

impl Worked {
    /// The work is given what the client sees as the other side. When it is done the connection ends.
    pub(super) fn new<W: Future<Output = ()> + Send + 'static>(work: impl FnOnce(DuplexStream) -> W) -> Self {
        let (io, there) = tokio::io::duplex(WAITING_BYTES_MAX);
        Self { io, work: Some(work(there).boxed()) }
    }

    fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.work.as_mut().is_some_and(|work| work.poll_unpin(cx).is_ready()) {
            self.work = None;
        }
    }
}

impl AsyncRead for Worked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.go_on(cx);
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl AsyncWrite for Worked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
