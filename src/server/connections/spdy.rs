//! SPDY/3.1 as far as clients of kubelets need it: streams that they open, data both ways, pings. As the library of
//! kubelets (moby/spdystream) there is no flow control; what is not read waits in the connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;

const FIN: u8 = 1;
const VERSION: u16 = 0x8003;
/// A piece of data that is read at once.
const PIECE_BYTES: usize = 16 << 10;
/// Control frames are a few headers; a longer one is none.
const CONTROL_BYTES_MAX: u32 = 1 << 20;

/// What comes from the other side.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A stream is open.
    Reply {
        stream: u32,
        last: bool,
    },
    /// A piece of data.
    Data {
        stream: u32,
        bytes: Vec<u8>,
        last: bool,
    },
    Reset {
        stream: u32,
    },
    /// To be sent back, unless it answers one of ours.
    Ping(u32),
    GoAway,
}

/// Reads frames.
pub(super) struct Reader<R> {
    from: R,
    /// Of the data frame that is read: its stream, what is left of it, whether it is the stream's last.
    data: Option<(u32, usize, bool)>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, data: None }
    }

    /// What comes next. Not to be given up before it is there.
    ///
    /// # Errors
    /// When the connection ends or is none of SPDY.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some((stream, left, last)) = self.data.take() {
                return self.piece(stream, left, last).await;
            }
            let (first, second) = (self.from.read_u32().await?, self.from.read_u32().await?);
            let (flags, length) = (second >> 24, second & 0x00ff_ffff);
            if first & 0x8000_0000 == 0 {
                self.data = Some((first, length as usize, flags & u32::from(FIN) != 0));
            } else if length > CONTROL_BYTES_MAX || first >> 16 != u32::from(VERSION) {
                return Err(io::ErrorKind::InvalidData.into());
            } else if let Some(event) = self.control((first & 0xffff) as u16, flags, length).await? {
                return Ok(event);
            }
        }
    }

    async fn piece(&mut self, stream: u32, left: usize, last: bool) -> io::Result<Event> {
        if left == 0 {
            return Ok(Event::Data { stream, bytes: Vec::new(), last });
        }
        let mut bytes = vec![0; left.min(PIECE_BYTES)];
        self.from.read_exact(&mut bytes).await?;
        let left = left - bytes.len();
        self.data = (left > 0).then_some((stream, left, last));
        Ok(Event::Data { stream, bytes, last: last && left == 0 })
    }

    async fn control(&mut self, kind: u16, flags: u32, length: u32) -> io::Result<Option<Event>> {
        let mut payload = vec![0; length as usize];
        self.from.read_exact(&mut payload).await?;
        let id = payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff);
        let id = || id.ok_or(io::Error::from(io::ErrorKind::InvalidData));
        Ok(match kind {
            SYN_REPLY => Some(Event::Reply { stream: id()?, last: flags & u32::from(FIN) != 0 }),
            RST_STREAM => Some(Event::Reset { stream: id()? }),
            PING => Some(Event::Ping(id()?)),
            GO_AWAY => Some(Event::GoAway),
            // Settings, windows and headers change nothing for us; nobody opens a stream to a client.
            _ => None,
        })
    }
}

/// Writes frames.
pub(super) struct Writer<W> {
    to: W,
    /// The headers of all streams are one packed text, which has begun.
    packing: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, packing: false }
    }

    /// Opens a stream with one header.
    pub(super) async fn open(&mut self, stream: u32, (name, value): (&str, &str)) -> io::Result<()> {
        let mut pairs = 1_u32.to_be_bytes().to_vec();
        for text in [name, value] {
            pairs.extend(u32::try_from(text.len()).unwrap_or_default().to_be_bytes());
            pairs.extend_from_slice(text.as_bytes());
        }
        let mut payload = stream.to_be_bytes().to_vec();
        // No other stream that it belongs to, the highest priority.
        payload.extend([0; 6]);
        payload.extend(self.packed(&pairs));
        self.control(SYN_STREAM, &payload).await
    }

    /// A part of the text that all headers are: as it is, in a block of its own, and then an empty block, at which
    /// readers give out what they have.
    fn packed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.packing, true) {
            out.extend([0x78, 0x01]);
        }
        let length = u16::try_from(bytes.len()).unwrap_or_default();
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(bytes);
        out.extend([0, 0, 0, 0xff, 0xff]);
        out
    }

    pub(super) async fn data(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        self.frame(stream.to_be_bytes(), 0, bytes).await
    }

    /// Says that a stream gets no more data.
    pub(super) async fn finish(&mut self, stream: u32) -> io::Result<()> {
        self.frame(stream.to_be_bytes(), FIN, &[]).await
    }

    pub(super) async fn ping(&mut self, id: u32) -> io::Result<()> {
        self.control(PING, &id.to_be_bytes()).await
    }

    async fn control(&mut self, kind: u16, payload: &[u8]) -> io::Result<()> {
        let [a, b] = VERSION.to_be_bytes();
        let [c, d] = kind.to_be_bytes();
        self.frame([a, b, c, d], 0, payload).await
    }

    async fn frame(&mut self, first: [u8; 4], flags: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        let mut frame = first.to_vec();
        frame.extend([flags, length[1], length[2], length[3]]);
        frame.extend_from_slice(payload);
        self.to.write_all(&frame).await?;
        self.to.flush().await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn headers_of_all_streams_are_one_packed_text() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.open(1, ("streamtype", "error")).await.unwrap();
        let first = writer.to.len();
        writer.open(3, ("streamtype", "stdin")).await.unwrap();
        let head = 8 + 10;
        let packed = [&out[head..first], &out[first + head..]].concat();
        let mut text = Vec::new();
        // It has no end as long as there may be more streams.
        let _ = flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut text);
        assert_eq!(
            &text,
            b"\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05stdin"
        );
    }

    #[tokio::test]
    async fn frames_are_read_as_they_are_written() {
        let mut sent = Vec::new();
        let mut writer = Writer::new(&mut sent);
        writer.data(5, &vec![7; PIECE_BYTES + 1]).await.unwrap();
        writer.finish(5).await.unwrap();
        writer.ping(2).await.unwrap();
        writer.control(4, &[0; 4]).await.unwrap();
        writer.control(SYN_REPLY, &5_u32.to_be_bytes()).await.unwrap();
        writer.control(RST_STREAM, &[0, 0, 0, 5, 0, 0, 0, 1]).await.unwrap();
        writer.control(GO_AWAY, &[0; 8]).await.unwrap();
        let mut reader = Reader::new(&sent[..]);
        let data = |bytes: usize, last| Event::Data { stream: 5, bytes: vec![7; bytes], last };
        for expected in [
            data(PIECE_BYTES, false),
            data(1, false),
            data(0, true),
            Event::Ping(2),
            Event::Reply { stream: 5, last: false },
            Event::Reset { stream: 5 },
            Event::GoAway,
        ] {
            assert_eq!(reader.next().await.unwrap(), expected);
        }
        assert!(reader.next().await.is_err());
        assert!(Reader::new(&b"HTTP/1.1 400 Bad Request\r\n"[..]).next().await.is_err());
    }
}
