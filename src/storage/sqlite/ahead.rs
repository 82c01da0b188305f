//! Whether the write-ahead log that a process left behind is whole. SQLite takes what is damaged in it for a commit that
//! was cut off by the end of the process, and forgets all that comes after it; but a commit after which another was
//! begun had reached the disk, and what it says was acknowledged.
//!
//! Example: frames 1 to 9 are three commits (3, 6, 9), and 5 is damaged. SQLite goes on after 3. Frame 6 follows from 5
//! as it says of itself, ends a commit, and 7 follows from it: so 4 to 6 were on the disk before 7 was written. Had the
//! process ended while it wrote 4 to 6, there would be no 7. After a frame that is left of an older commit, of which a
//! part was written over, there is no 7 that follows from it either.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::open;

const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 24;
/// What the header begins with; the last bit says in which order bytes are summed.
const MAGIC: u32 = 0x377f_0682;
const PAGE_BYTES_MAX: usize = 65_536;
/// How much is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The running checksum of SQLite's write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn add(self, bytes: &[u8], order: fn([u8; 4]) -> u32) -> Self {
        let Self(mut first, mut second) = self;
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| order([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
            first = first.wrapping_add(word(0)).wrapping_add(second);
            second = second.wrapping_add(word(4)).wrapping_add(first);
        }
        Self(first, second)
    }

    fn at(bytes: &[u8], place: usize) -> Self {
        Self(number(bytes, place), number(bytes, place + 4))
    }
}

fn number(bytes: &[u8], place: usize) -> u32 {
    u32::from_be_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]])
}

/// The number of the first damaged frame in the write-ahead log of a database that nobody has open, if commits after
/// it are lost by that.
///
/// # Errors
/// When it cannot be read.
pub(super) fn damaged_frame(database: &Path) -> std::io::Result<Option<u64>> {
    let file = match File::open(open::beside(database, "-wal")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    find(&mut BufReader::with_capacity(BUFFER_BYTES, file))
}

/// What is wrong when a frame is damaged.
pub(super) fn fault(frame: u64) -> String {
    format!(
        "frame {frame} of the write-ahead log is not as it was written, and what was committed after it would be lost"
    )
}

fn find(file: &mut impl Read) -> std::io::Result<Option<u64>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(file, &mut header)? {
        return Ok(None);
    }
    let (magic, page) = (number(&header, 0), number(&header, 8) as usize);
    let order = if magic & 1 == 0 { u32::from_le_bytes } else { u32::from_be_bytes };
    let begun = Sum(0, 0).add(&header[..24], order);
    // A damaged header is one that was not written to its end: a log that begins anew says so before the first frame.
    if magic & !1 != MAGIC || page > PAGE_BYTES_MAX || begun != Sum::at(&header, 24) {
        return Ok(None);
    }
    let mut frame = vec![0; FRAME_BYTES + page];
    let mut chain = Chain { before: [begun; 2], damaged: None, ended: false };
    let mut place = 0;
    while fill(file, &mut frame)? {
        place += 1;
        let ours = frame[8..16] == header[16..24];
        let said = Sum::at(&frame, 16);
        let is = chain.before.map(|before| before.add(&frame[..8], order).add(&frame[FRAME_BYTES..], order));
        let follows = ours && is.contains(&said);
        // What is damaged may be what the frame says of itself.
        chain.before = [said, is[0]];
        if let Some(damaged) = chain.take((place, number(&frame, 4) != 0), follows) {
            return Ok(Some(damaged));
        }
    }
    Ok(None)
}

/// Frames that follow from each other.
struct Chain {
    /// What the last one says that the sum is, and what it is.
    before: [Sum; 2],
    /// The first frame that did not follow.
    damaged: Option<u64>,
    /// Since the last frame that did not follow, a commit has ended.
    ended: bool,
}

impl Chain {
    /// Takes the next frame in; the damaged one, when it is sure that a later commit was begun.
    fn take(&mut self, (place, ends): (u64, bool), follows: bool) -> Option<u64> {
        if !follows {
            self.damaged = self.damaged.or(Some(place));
            self.ended = ends;
            return None;
        }
        let damaged = self.damaged?;
        if self.ended {
            return Some(damaged);
        }
        self.ended = ends;
        None
    }
}

/// Fills all of it; false at the end of the file.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
