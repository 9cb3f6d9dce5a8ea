//! Whether a write-ahead log of SQLite is whole: a damaged one is silently cut short by SQLite.
//!
//! A crash may leave the last transaction unfinished, and a log that is used again holds frames of
//! its former contents after the present ones. Everything else that cannot be read is damage. The
//! format is described at <https://sqlite.org/fileformat2.html#walformat>.

use std::{
    io::{BufReader, ErrorKind, Read},
    path::Path,
};

use runtime::settings::open_plain;

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
/// The first number of a log, whose last bit says how checksums read the log.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
/// How many times a log may have been begun again since a frame in it was written.
const GENERATIONS: u32 = 1 << 20;

/// Reads a log to its end.
///
/// # Errors
///
/// What is wrong with it, as the rest of a sentence about the log.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let unreadable = |error| format!("cannot be read ({error})");
    let file = open_plain(path).map_err(unreadable)?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER_LEN];
    if !fill(&mut reader, &mut header).map_err(unreadable)? {
        return Err("is cut off within its header".into());
    }
    let Some(log) = Log::begin(&header) else {
        return match fill(&mut reader, &mut [0]).map_err(unreadable)? {
            // A crash while the log was created.
            false if header == [0; HEADER_LEN] => Ok(()),
            _ => Err("has no valid header".into()),
        };
    };
    let mut frames = Frames {
        checksum: log.checksum,
        log,
        valid: true,
        commits_after: 0,
        foreign: 0,
    };
    let mut frame = vec![0; FRAME_HEADER_LEN + frames.log.page_size];
    while fill(&mut reader, &mut frame).map_err(unreadable)? {
        frames.next(&frame);
    }
    // The writes of one transaction may reach the disk in any order; the next transaction is not
    // begun before they all have.
    if frames.commits_after > 1 || frames.foreign > 0 {
        return Err("is damaged".into());
    }
    Ok(())
}

/// Reads a page as the first transaction in the log that changed it left it. `None` if there is none, or if the log cannot be read.
pub(crate) fn first_of(path: &Path, number: u32) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(open_plain(path).ok()?);
    let mut header = [0; HEADER_LEN];
    reader.read_exact(&mut header).ok()?;
    let log = Log::begin(&header)?;
    let mut frame = vec![0; FRAME_HEADER_LEN + log.page_size];
    let mut found = None;
    loop {
        reader.read_exact(&mut frame).ok()?;
        if (big_endian(&frame, 8), big_endian(&frame, 12)) != log.salts {
            return None;
        }
        if big_endian(&frame, 0) == number {
            found = frame.get(FRAME_HEADER_LEN..).map(<[u8]>::to_vec);
        }
        // The last frame of a transaction tells how many pages the database has after it.
        if big_endian(&frame, 4) != 0 && found.is_some() {
            return found;
        }
    }
}

/// Reads until the buffer is full; false if the file ends before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the header says.
struct Log {
    big_endian: bool,
    page_size: usize,
    salts: (u32, u32),
    checksum: (u32, u32),
}

impl Log {
    fn begin(header: &[u8; HEADER_LEN]) -> Option<Self> {
        let number = |at| big_endian(header, at);
        let magic = number(0);
        let page_size = usize::try_from(number(8)).ok()?;
        let big_endian = magic & 1 == 1;
        let checksum = checksum(big_endian, (0, 0), header.get(..24)?);
        let is_valid = magic & !1 == MAGIC
            && number(4) == VERSION
            && (512..=65_536).contains(&page_size)
            && page_size.is_power_of_two()
            && checksum == (number(24), number(28));
        is_valid.then_some(Self {
            big_endian,
            page_size,
            salts: (number(16), number(20)),
            checksum,
        })
    }
}

/// The frames that were read so far.
struct Frames {
    log: Log,
    checksum: (u32, u32),
    /// Whether every frame so far belongs to the log.
    valid: bool,
    /// Transactions that ended after the first frame that does not.
    commits_after: usize,
    /// Frames after it that this log cannot hold.
    foreign: usize,
}

impl Frames {
    fn next(&mut self, frame: &[u8]) {
        let number = |at| big_endian(frame, at);
        let (Some(begin), Some(page)) = (frame.get(..8), frame.get(FRAME_HEADER_LEN..)) else {
            return;
        };
        let salts = (number(8), number(12));
        if self.valid {
            let sum = checksum(self.log.big_endian, self.checksum, begin);
            let sum = checksum(self.log.big_endian, sum, page);
            self.valid = salts == self.log.salts && sum == (number(16), number(20));
            self.checksum = sum;
            return;
        }
        let is_unwritten = frame.iter().take(FRAME_HEADER_LEN).all(|byte| *byte == 0);
        if salts == self.log.salts {
            self.commits_after += usize::from(number(4) != 0);
        } else if !is_unwritten && self.log.salts.0.wrapping_sub(salts.0) > GENERATIONS {
            self.foreign += 1;
        }
    }
}

fn big_endian(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

/// SQLite's checksum, going on from that of the bytes before.
fn checksum(big_endian: bool, sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let word = bytes.try_into().unwrap_or_default();
        match big_endian {
            true => u32::from_be_bytes(word),
            false => u32::from_le_bytes(word),
        }
    };
    bytes.chunks_exact(8).fold(sum, |(a, b), pair| {
        let (first, second) = pair.split_at(4);
        let a = a.wrapping_add(word(first)).wrapping_add(b);
        (a, b.wrapping_add(word(second)).wrapping_add(a))
    })
}
