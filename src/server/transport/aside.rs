//! A connection whose bytes can be led past HTTP: after a client has asked to switch to another protocol, what it
//! sends is no request any more. The HTTP library knows this of WebSocket only.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait for whoever they are led to; with more the client waits.
const WAITING_BYTES_MAX: usize = 64 * 1024;
const PIECE_BYTES: usize = 16 * 1024;

/// The connection.
pub(super) struct Led<T> {
    io: T,
    aside: Aside,
}

/// Where its bytes are led aside.
#[derive(Clone, Default)]
pub(super) struct Aside(Arc<Mutex<State>>);

/// Held for a look or a copy.
#[derive(Default)]
struct State {
    led_aside: bool,
    waiting: BytesMut,
    ended: bool,
    /// The task of the connection, and that which wants the bytes.
    connection: Option<Waker>,
    taker: Option<Waker>,
}

/// What the client sends from now on, until it is dropped; what is left then is read by HTTP.
pub(super) struct Taken(Aside);

impl<T> Led<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, aside: Aside::default() }
    }

    pub(super) fn io(&self) -> &T {
        &self.io
    }

    pub(super) fn aside(&self) -> &Aside {
        &self.aside
    }
}

impl Aside {
    /// Leads aside what the client sends.
    pub(super) fn take(&self) -> Taken {
        self.0.lock().led_aside = true;
        Taken(self.clone())
    }
}

impl Stream for Taken {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.0.0.lock();
        if !state.waiting.is_empty() {
            if let Some(connection) = state.connection.take() {
                connection.wake();
            }
            return Poll::Ready(Some(state.waiting.split().freeze()));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.taker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.led_aside = false;
        if let Some(connection) = state.connection.take() {
            connection.wake();
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Led<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut state = this.aside.0.lock();
        if !state.led_aside {
            if !state.waiting.is_empty() {
                let count = state.waiting.len().min(out.remaining());
                out.put_slice(&state.waiting.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if state.ended {
                return Poll::Ready(Ok(()));
            }
            drop(state);
            return Pin::new(&mut this.io).poll_read(cx, out);
        }
        state.connection = Some(cx.waker().clone());
        while !state.ended && state.waiting.len() < WAITING_BYTES_MAX {
            let mut piece = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut piece);
            match Pin::new(&mut this.io).poll_read(cx, &mut read) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => state.waiting.extend_from_slice(read.filled()),
                Poll::Ready(Ok(()) | Err(_)) => state.ended = true,
            }
            if let Some(taker) = state.taker.take() {
                taker.wake();
            }
        }
        Poll::Pending
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Led<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_are_led_aside_while_somebody_wants_them_and_none_is_lost() {
        let (mut client, server) = duplex(1024);
        let mut led = Led::new(server);
        client.write_all(b"one").await.unwrap();
        let mut read = [0; 3];
        led.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one");
        let mut taken = led.aside().take();
        client.write_all(b"two").await.unwrap();
        // The connection's task reads, whoever the bytes are for.
        let mut rest = Vec::new();
        let mut reading = Box::pin(led.read_to_end(&mut rest));
        tokio::select! {
            biased;
            _ = &mut reading => panic!("HTTP was given bytes that are not for it"),
            piece = taken.next() => assert_eq!(piece.unwrap(), "two"),
        }
        client.write_all(b"three").await.unwrap();
        assert!(futures::poll!(&mut reading).is_pending());
        drop(taken);
        drop(client);
        reading.await.unwrap();
        assert_eq!(rest, b"three");
    }
}
