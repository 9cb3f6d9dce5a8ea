//! Which messages there are, as runs of their sequences: for each, how many are missing before it and how many it has.
//!
//! What is written down here says it all: a message that is in a segment and in no run is gone.

use bytes::Bytes;

/// Writes runs in ascending order; those that touch become one.
#[derive(Debug, Default)]
pub(in crate::broker) struct RunWriter {
    out: Vec<u8>,
    /// Behind the last run that is written.
    end: u64,
    open: Option<(u64, u64)>,
}

impl RunWriter {
    /// Adds the sequences from the first to the last.
    pub(in crate::broker) fn push(&mut self, first: u64, last: u64) {
        match &mut self.open {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => {
                self.write();
                self.open = Some((first, last));
            }
        }
    }

    pub(in crate::broker) fn finish(mut self) -> Bytes {
        self.write();
        self.out.into()
    }

    fn write(&mut self) {
        if let Some((first, last)) = self.open.take() {
            write_number(&mut self.out, first - self.end);
            write_number(&mut self.out, last - first);
            self.end = last + 1;
        }
    }
}

/// The runs as they were written; they end where the bytes are not what was written.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Runs {
    bytes: Bytes,
    at: usize,
    end: u64,
    current: Option<(u64, u64)>,
}

impl Runs {
    pub(in crate::broker) fn new(bytes: Bytes) -> Self {
        Runs {
            bytes,
            at: 0,
            end: 0,
            current: None,
        }
    }

    /// Whether there is a message with this sequence. Each is asked for after all smaller ones.
    pub(in crate::broker) fn contains(&mut self, seq: u64) -> bool {
        while self.current.is_none_or(|(_, last)| last < seq) {
            match self.next_run() {
                Some(run) => self.current = Some(run),
                None => return false,
            }
        }
        self.current
            .is_some_and(|(first, last)| first <= seq && seq <= last)
    }

    fn next_run(&mut self) -> Option<(u64, u64)> {
        let mut rest = self.bytes.get(self.at..)?;
        let (missing, more) = (read_number(&mut rest)?, read_number(&mut rest)?);
        let first = self.end.checked_add(missing)?;
        let last = first.checked_add(more)?;
        self.end = last.checked_add(1)?;
        self.at = self.bytes.len() - rest.len();
        Some((first, last))
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
pub(in crate::broker) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(in crate::broker) fn read_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_hold_what_was_put_in_and_nothing_else() {
        let mut writer = RunWriter::default();
        let runs = [(1, 1), (3, 700), (701, 900), (5000, u64::MAX - 1)];
        for (first, last) in runs {
            writer.push(first, last);
        }
        let bytes = writer.finish();
        assert!(bytes.len() < 20, "{}", bytes.len());
        let mut read = Runs::new(bytes);
        for seq in [0, 1, 2, 3, 700, 701, 900, 901, 4999, 5000, 1 << 60] {
            let expected = runs
                .iter()
                .any(|(first, last)| (first..=last).contains(&&seq));
            assert_eq!(read.contains(seq), expected, "{seq}");
        }
        assert!(!Runs::new(RunWriter::default().finish()).contains(1));
    }

    #[test]
    fn what_is_no_runs_holds_nothing() {
        for bytes in [&[0xff; 30][..], &[0x80], &[1]] {
            let mut runs = Runs::new(Bytes::copy_from_slice(bytes));
            assert!(!runs.contains(1) && !runs.contains(u64::MAX));
        }
    }
}
