//! Commands in containers over WebSocket for kubelets that speak SPDY only: the client's channels become streams and
//! the other way round (apiserver `pkg/util/proxy/streamtranslator.go`, client-go `tools/remotecommand`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, watch};

use super::dial::{Failure, Kubelet, dial};
use super::outcome;
use super::spdy;
use super::web_socket::{self, Event, Reader, Writer};
use super::worked::Worked;
use crate::base::Clock;
use crate::registry::Way;
use crate::server::Server;
use crate::server::filters::Admitted;
use crate::server::message::{Request, Response};

pub(super) const PROTOCOL: &str = "v5.channel.k8s.io";

/// The channels of the client.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// The channel byte by which the client closes a channel.
const CLOSES: u8 = 255;

/// How often the kubelet is pinged, so that nobody on the way takes the connection for idle.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A connection over which the client neither sends nor gets anything for so long ends; looked at in steps.
const IDLE_STEPS: u32 = 16;
const IDLE_STEP: Duration = Duration::from_secs(4 * 3600 / IDLE_STEPS as u64);
/// How long the kubelet may take to open the streams.
const OPEN: Duration = Duration::from_secs(30);
/// What is read of the outcome, and of a size of a terminal.
const OUTCOME_BYTES_MAX: usize = 1 << 20;
const SIZE_BYTES_MAX: usize = 4 << 10;

/// Which streams a client wants.
#[derive(Clone, Copy)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

/// Whether a request is one that only we can answer for such a kubelet.
pub(super) fn asked(request: &Request) -> bool {
    web_socket::asked(request) && web_socket::protocols(request).contains(&PROTOCOL)
}

/// Switches with the client first; what goes wrong with the kubelet is told over the channel for errors.
pub(super) fn serve(server: &Server, admitted: &Admitted, way: &Way) -> Response {
    let flag = |name: &str| admitted.query.flag(name) == Some(true);
    let wanted = Wanted { stdin: flag("stdin"), stdout: flag("stdout"), stderr: flag("stderr"), tty: flag("tty") };
    let (server, way) = (server.clone(), way.clone());
    web_socket::accept(&admitted.request, PROTOCOL, || {
        Box::new(Worked::new(move |client| async move {
            if let Err(error) = translate(&server, &way, (client, wanted)).await {
                tracing::debug!(%error, "a client went while its command ran");
            }
        }))
    })
}

type Client = Mutex<Writer<WriteHalf<DuplexStream>>>;

/// All of a connection.
///
/// # Errors
/// When the client is gone; what concerns the kubelet is told to the client.
async fn translate(server: &Server, way: &Way, (client, wanted): (DuplexStream, Wanted)) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let to_client: Client = Mutex::new(Writer(to_client));
    // An empty message tells the client that there is a connection.
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    to_client.lock().await.channel(first, &[]).await?;
    let clock = server.parts().clock.clone();
    let active = AtomicBool::new(true);
    let status = tokio::select! {
        status = run(server, way, Ends { from_client, to_client: &to_client, wanted, active: &active }) => status?,
        () = idle(&clock, &active) => return Ok(()),
    };
    let mut client = to_client.lock().await;
    client.channel(ERROR, outcome::text(&status).as_bytes()).await?;
    client.close().await
}

/// Resolves when nothing has moved for long.
async fn idle(clock: &Arc<dyn Clock>, active: &AtomicBool) {
    let mut steps = 0;
    while steps < IDLE_STEPS {
        clock.sleep(IDLE_STEP).await;
        steps = if active.swap(false, Ordering::Relaxed) { 0 } else { steps + 1 };
    }
}

/// The client's end.
struct Ends<'a> {
    from_client: ReadHalf<DuplexStream>,
    to_client: &'a Client,
    wanted: Wanted,
    active: &'a AtomicBool,
}

/// Runs the command; the status that the client is told at its end.
async fn run(server: &Server, way: &Way, ends: Ends<'_>) -> io::Result<Value> {
    let Kubelet { connection, protocol } = match dial(server, way).await {
        Ok(kubelet) => kubelet,
        Err(Failure(why)) => return Ok(outcome::internal(&why)),
    };
    let (from_kubelet, to_kubelet) = tokio::io::split(connection);
    let streams = Streams::of(ends.wanted, &protocol);
    let to_kubelet = Mutex::new(spdy::Writer::new(to_kubelet));
    let (opened, is_open) = watch::channel(false);
    let clock = server.parts().clock.clone();
    let pings = async {
        let mut id = 1_u32;
        loop {
            clock.sleep(PING_INTERVAL).await;
            if to_kubelet.lock().await.ping(id).await.is_err() {
                return std::future::pending::<()>().await;
            }
            id = (id + 2) & 0x7fff_ffff;
        }
    };
    let opening = async {
        let late = clock.sleep(OPEN);
        let mut is_open = is_open.clone();
        let open = is_open.wait_for(|open| *open);
        let in_time = tokio::select! { open = open => open.is_ok(), () = late => false };
        if in_time {
            std::future::pending::<()>().await
        }
    };
    let asking = async {
        for (id, kind) in streams.all() {
            if to_kubelet.lock().await.open(id, ("streamtype", kind)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let outward = Outward { streams, ends: (ends.to_client, ends.active), opened };
    let inward = Inward { streams, to_kubelet: &to_kubelet, is_open: is_open.clone(), size: Vec::new() };
    tokio::select! {
        message = outward.run(spdy::Reader::new(from_kubelet), &to_kubelet) => {
            Ok(outcome::of(&protocol, message?))
        }
        gone = inward.run(Reader::new(ends.from_client), (ends.to_client, ends.active)) => Err(gone),
        () = opening => Ok(outcome::internal("Timeout occurred")),
        () = asking => Ok(outcome::internal("the streams were not asked for")),
        () = pings => Ok(outcome::internal("pings ended")),
    }
}

/// The numbers of the streams to the kubelet, in the order in which they are opened; 0 for those that are not wanted.
#[derive(Clone, Copy, Default)]
struct Streams {
    error: u32,
    stdin: u32,
    stdout: u32,
    stderr: u32,
    resize: u32,
}

impl Streams {
    fn of(wanted: Wanted, protocol: &str) -> Self {
        let mut last = 1;
        let mut next = |wanted: bool| {
            if wanted {
                last += 2;
                last
            } else {
                0
            }
        };
        let resizes = wanted.tty && matches!(protocol, PROTOCOL | "v4.channel.k8s.io" | "v3.channel.k8s.io");
        Self {
            error: 1,
            stdin: next(wanted.stdin),
            stdout: next(wanted.stdout),
            stderr: next(wanted.stderr && !wanted.tty),
            resize: next(resizes),
        }
    }

    fn all(self) -> impl Iterator<Item = (u32, &'static str)> {
        let Self { error, stdin, stdout, stderr, resize } = self;
        let all = [(error, "error"), (stdin, "stdin"), (stdout, "stdout"), (stderr, "stderr"), (resize, "resize")];
        all.into_iter().filter(|(id, _)| *id > 0)
    }
}

/// From the kubelet to the client.
struct Outward<'a> {
    streams: Streams,
    ends: (&'a Client, &'a AtomicBool),
    opened: watch::Sender<bool>,
}

impl Outward<'_> {
    /// Until the output has ended and the outcome is there, which is given.
    async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        self,
        mut from: spdy::Reader<R>,
        to: &Mutex<spdy::Writer<W>>,
    ) -> io::Result<Vec<u8>> {
        let Streams { error, stdout, stderr, .. } = self.streams;
        let mut unanswered = self.streams.all().count();
        // What is waited for.
        let mut open: Vec<u32> = [error, stdout, stderr].into_iter().filter(|id| *id > 0).collect();
        let mut outcome = Vec::new();
        while !open.is_empty() {
            // A connection that ends is one whose streams have all ended.
            let Ok(event) = from.next().await else { break };
            match event {
                spdy::Event::Reply { stream, last } => {
                    unanswered = unanswered.saturating_sub(1);
                    if unanswered == 0 {
                        self.opened.send_replace(true);
                    }
                    open.retain(|id| !(last && *id == stream));
                }
                spdy::Event::Data { stream, bytes, last } => {
                    if stream == error {
                        let room = OUTCOME_BYTES_MAX - outcome.len();
                        outcome.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    } else if !bytes.is_empty() && (stream == stdout || stream == stderr) {
                        let channel = if stream == stdout { STDOUT } else { STDERR };
                        self.ends.1.store(true, Ordering::Relaxed);
                        self.ends.0.lock().await.channel(channel, &bytes).await?;
                    }
                    open.retain(|id| !(last && *id == stream));
                }
                spdy::Event::Reset { stream } => open.retain(|id| *id != stream),
                // Ours have odd numbers.
                spdy::Event::Ping(id) if id % 2 == 0 => drop(to.lock().await.ping(id).await),
                spdy::Event::Ping(_) => {}
                spdy::Event::GoAway => break,
            }
        }
        Ok(outcome)
    }
}

/// From the client to the kubelet.
struct Inward<'a, W> {
    streams: Streams,
    to_kubelet: &'a Mutex<spdy::Writer<W>>,
    is_open: watch::Receiver<bool>,
    /// What has come of a size of the terminal.
    size: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> Inward<'_, W> {
    /// Until the client is gone, which is given.
    async fn run<R: AsyncRead + Unpin>(mut self, mut from: Reader<R>, ends: (&Client, &AtomicBool)) -> io::Error {
        let mut channel = None;
        loop {
            let event = match from.next().await {
                Ok(event) => event,
                Err(error) => return error,
            };
            ends.1.store(true, Ordering::Relaxed);
            let done = match event {
                Event::Piece { first, bytes, .. } => {
                    let (rest, begins) = match bytes.split_first() {
                        Some((number, rest)) if first => {
                            channel = Some(*number);
                            (rest, true)
                        }
                        _ => (&bytes[..], false),
                    };
                    let empty_at_first = first && bytes.is_empty();
                    if empty_at_first {
                        channel = None;
                    }
                    self.piece(channel, (begins, rest)).await
                }
                Event::Ping(bytes) => ends.0.lock().await.pong(&bytes).await,
                Event::Close => Err(io::ErrorKind::ConnectionAborted.into()),
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn piece(&mut self, channel: Option<u8>, (begins, bytes): (bool, &[u8])) -> io::Result<()> {
        let Streams { stdin, resize, .. } = self.streams;
        match channel {
            Some(STDIN) if stdin > 0 && !bytes.is_empty() => {
                self.ready().await;
                self.to_kubelet.lock().await.data(stdin, bytes).await
            }
            Some(CLOSES) if begins => match bytes {
                [STDIN] if stdin > 0 => {
                    self.ready().await;
                    self.to_kubelet.lock().await.finish(stdin).await
                }
                [STDIN..=RESIZE] => Ok(()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            },
            Some(RESIZE) if resize > 0 => {
                let room = SIZE_BYTES_MAX.saturating_sub(self.size.len());
                self.size.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.resize(resize).await
            }
            _ => Ok(()),
        }
    }

    /// Until the kubelet has opened all streams.
    async fn ready(&mut self) {
        if self.is_open.wait_for(|open| *open).await.is_err() {
            std::future::pending().await
        }
    }

    /// Sends on the sizes that are whole.
    async fn resize(&mut self, stream: u32) -> io::Result<()> {
        let mut sizes = serde_json::Deserializer::from_slice(&self.size).into_iter::<Value>();
        let mut whole = Vec::new();
        while let Some(Ok(size)) = sizes.next() {
            whole.push(size);
        }
        let read = sizes.byte_offset();
        self.size.drain(..read);
        for size in whole {
            let side = |name: &str| {
                let named = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(name);
                size.as_object().and_then(|of| of.iter().find(named)).and_then(|(_, side)| side.as_u64()).unwrap_or(0)
            };
            let text = format!("{{\"Width\":{},\"Height\":{}}}\n", side("Width"), side("Height"));
            self.ready().await;
            self.to_kubelet.lock().await.data(stream, text.as_bytes()).await?;
        }
        Ok(())
    }
}

/// The header by which the protocols of streams are agreed upon.
pub(super) const VERSIONS: [HeaderValue; 5] = [
    HeaderValue::from_static(PROTOCOL),
    HeaderValue::from_static("v4.channel.k8s.io"),
    HeaderValue::from_static("v3.channel.k8s.io"),
    HeaderValue::from_static("v2.channel.k8s.io"),
    HeaderValue::from_static("channel.k8s.io"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_numbered_in_the_order_in_which_they_are_opened() {
        let wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: false };
        let all = |wanted, protocol| Streams::of(wanted, protocol).all().collect::<Vec<_>>();
        assert_eq!(all(wanted, PROTOCOL), [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")]);
        let tty = Wanted { stdin: false, tty: true, ..wanted };
        assert_eq!(all(tty, PROTOCOL), [(1, "error"), (3, "stdout"), (5, "resize")]);
        assert_eq!(all(tty, "v2.channel.k8s.io"), [(1, "error"), (3, "stdout")]);
    }
}
