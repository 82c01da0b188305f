//! WebSocket (RFC 6455) as a server speaks it, both ways: messages come and go in pieces, so that none is held whole.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::server::message::{Body, Ends, Headers, Request, Response};
use crate::server::transport::web_socket_accept;

/// A piece of a message that is read at once.
const PIECE_BYTES: usize = 16 << 10;
/// What may stand in a frame that is no message.
const CONTROL_BYTES_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Whether a request asks for a WebSocket.
pub(super) fn asked(request: &Request) -> bool {
    request.headers.text("upgrade").eq_ignore_ascii_case("websocket") && super::upgrade::wished(request)
}

/// The protocols that a request asks for, in its order.
pub(super) fn protocols(request: &Request) -> Vec<&str> {
    let all = request.headers.all("sec-websocket-protocol").flat_map(|all| all.split(','));
    all.map(str::trim).filter(|protocol| !protocol.is_empty()).collect()
}

/// The answer that switches, with what is at the other end; the library's refusal of a request that does not keep to the
/// protocol.
pub(super) fn accept(request: &Request, protocol: &str, ends: impl FnOnce() -> Box<dyn Ends>) -> Response {
    let key = request.headers.text("sec-websocket-key");
    if request.method.as_str() != "GET" {
        return refusal(405, "bad method");
    }
    if key.is_empty() {
        return refusal(400, "mismatch challenge/response");
    }
    if request.headers.text("sec-websocket-version") != "13" {
        let refusal = refusal(400, "missing or bad WebSocket Version");
        return refusal.with_header("sec-websocket-version", "13");
    }
    let mut headers = Headers::default();
    headers.add("upgrade", "websocket");
    headers.add("connection", "Upgrade");
    headers.add("sec-websocket-accept", web_socket_accept(key));
    if !protocol.is_empty() {
        headers.add("sec-websocket-protocol", protocol);
    }
    Response { status: 101, headers, body: Body::Tunnel(ends()) }
}

/// The refusal of a handshake.
pub(super) fn refusal(status: u16, why: &str) -> Response {
    Response { status, headers: Headers::default(), body: Body::Full(Bytes::copy_from_slice(why.as_bytes())) }
}

/// What comes over a WebSocket.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A piece of a message, which may be empty.
    Piece {
        text: bool,
        first: bool,
        bytes: Vec<u8>,
    },
    Ping(Vec<u8>),
    /// The client says that it ends.
    Close,
}

/// Reads what a client sends.
pub(super) struct Reader<R> {
    from: R,
    /// Of the data frame that is read: what is left of it, its mask, and how far that has been used.
    left: u64,
    mask: [u8; 4],
    at: usize,
    text: bool,
    /// The next piece begins a message.
    first: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, left: 0, mask: [0; 4], at: 0, text: false, first: true }
    }

    /// What comes next. Not to be given up before it is there.
    ///
    /// # Errors
    /// When the connection ends or the client does not keep to the protocol.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        while self.left == 0 {
            let mut head = [0; 2];
            self.from.read_exact(&mut head).await?;
            let (opcode, last) = (head[0] & 0x0f, head[0] & 0x80 != 0);
            let length = match head[1] & 0x7f {
                126 => u64::from(self.from.read_u16().await?),
                127 => self.from.read_u64().await?,
                short => u64::from(short),
            };
            // What a client sends is masked.
            if head[1] & 0x80 == 0 || head[0] & 0x70 != 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut mask = [0; 4];
            self.from.read_exact(&mut mask).await?;
            if opcode >= CLOSE {
                match self.control(opcode, (length, mask)).await? {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            if opcode != CONTINUATION {
                self.first = true;
                self.text = opcode == TEXT;
            }
            (self.left, self.mask, self.at) = (length, mask, 0);
            if length == 0 && last && self.first {
                return Ok(self.piece(Vec::new()));
            }
        }
        let size = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut bytes = vec![0; size];
        let read = self.from.read(&mut bytes).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(read);
        self.unmask(&mut bytes);
        self.left -= read as u64;
        Ok(self.piece(bytes))
    }

    fn piece(&mut self, bytes: Vec<u8>) -> Event {
        Event::Piece { text: self.text, first: std::mem::replace(&mut self.first, false), bytes }
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.mask[self.at % 4];
            self.at += 1;
        }
    }

    async fn control(&mut self, opcode: u8, (length, mask): (u64, [u8; 4])) -> io::Result<Option<Event>> {
        if length > CONTROL_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.from.read_exact(&mut bytes).await?;
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        match opcode {
            CLOSE => Ok(Some(Event::Close)),
            PING => Ok(Some(Event::Ping(bytes))),
            PONG => Ok(None),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Writes messages to a client.
pub(super) struct Writer<W>(pub(super) W);

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// A message that begins with a byte of its own, such as the number of a channel.
    pub(super) async fn channel(&mut self, channel: u8, bytes: &[u8]) -> io::Result<()> {
        let whole = [&[channel], bytes].concat();
        self.frame(BINARY, &whole).await
    }

    pub(super) async fn binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(BINARY, bytes).await
    }

    pub(super) async fn text(&mut self, text: &str) -> io::Result<()> {
        self.frame(TEXT, text.as_bytes()).await
    }

    pub(super) async fn pong(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(PONG, bytes).await
    }

    /// The last frame of all: an end without an error.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.frame(CLOSE, &1000_u16.to_be_bytes()).await
    }

    async fn frame(&mut self, opcode: u8, bytes: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(bytes.len()) {
            Ok(length @ 0..=125) => frame.extend([length.to_be_bytes()[1]]),
            Ok(length) => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((bytes.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(bytes);
        self.0.write_all(&frame).await?;
        self.0.flush().await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame as a client writes it.
    pub(in crate::server::connections) fn masked(first: u8, bytes: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match bytes.len() {
            short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
            long => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    #[tokio::test]
    async fn messages_come_in_pieces_between_which_clients_may_ping() {
        let long = vec![7; PIECE_BYTES + 1];
        let sent = [
            masked(0x02, b"ab"),
            masked(0x89, b"x"),
            masked(0x80, b"c"),
            masked(0x81, b""),
            masked(0x8a, b""),
            masked(0x82, &long),
            masked(0x88, b""),
        ];
        let sent = sent.concat();
        let mut reader = Reader::new(&sent[..]);
        let piece = |text, first, bytes: &[u8]| Event::Piece { text, first, bytes: bytes.to_vec() };
        for expected in [
            piece(false, true, b"ab"),
            Event::Ping(b"x".to_vec()),
            piece(false, false, b"c"),
            piece(true, true, b""),
            piece(false, true, &long[1..]),
            piece(false, false, &long[..1]),
            Event::Close,
        ] {
            assert_eq!(reader.next().await.unwrap(), expected);
        }
        assert!(reader.next().await.is_err());
    }

    #[tokio::test]
    async fn frames_that_break_the_protocol_end_it() {
        for bytes in [&[0x82, 0x01, b'x'][..], &[0xc2, 0x80, 0, 0, 0, 0], &[0x89, 0xfe, 0, 126, 0, 0, 0, 0]] {
            assert!(Reader::new(bytes).next().await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn lengths_of_frames_are_written_as_short_as_can_be() {
        for (length, head) in [(125, vec![0x82, 125]), (126, vec![0x82, 126, 0, 126])] {
            let mut out = Vec::new();
            Writer(&mut out).binary(&vec![0; length]).await.unwrap();
            assert_eq!(out[..head.len()], head);
            assert_eq!(out.len(), head.len() + length);
        }
    }
}
