//! Little-endian numbers and texts from a file whose every length is checked against what is left of it.

use std::io::{BufReader, Read};

/// What is wrong, in words that follow "the file is damaged: ".
pub(super) type Problem = String;

/// Reads forward through a file of known size.
pub(super) struct Reader<R> {
    input: BufReader<R>,
    position: u64,
    size: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R, size: u64) -> Self {
        Self { input: BufReader::new(input), position: 0, size }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn left(&self) -> u64 {
        self.size - self.position
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A count of `what`, each of which takes at least one of the bytes that are left.
    pub(super) fn count(&mut self, what: &str, most: u64) -> Result<u64, Problem> {
        let count = self.u64()?;
        if count > most.min(self.left()) {
            return Err(format!("it speaks of {count} {what}, more than it can hold"));
        }
        Ok(count)
    }

    /// A length in bytes, then as much UTF-8. Vocabularies hold broken bytes now and then: these become U+FFFD.
    pub(super) fn text(&mut self) -> Result<String, Problem> {
        let length = self.u64()?;
        if length > self.left() {
            return Err(format!("a text of {length} bytes would go beyond its end"));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Problem> {
        if bytes.len() as u64 > self.left() {
            return Err(format!("it ends after {} bytes, within its header", self.size));
        }
        self.input.read_exact(bytes).map_err(|error| format!("reading it failed: {error}"))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
