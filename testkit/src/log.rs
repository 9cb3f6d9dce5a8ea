//! Where the log of a test goes.

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::UNPOISONED;

/// The log of a test, in memory. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// All that was written.
    ///
    /// # Panics
    ///
    /// If it is no text.
    pub fn text(&self) -> String {
        let written = self.0.lock().expect(UNPOISONED).clone();
        String::from_utf8(written).expect("a log is UTF-8")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect(UNPOISONED).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
