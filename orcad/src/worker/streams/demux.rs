//! The engine's own framing of standard output and error.
//!
//! ```text
//!   stream (1 byte: 0 stdin, 1 stdout, 2 stderr, 3 the engine itself)   000   length (4 bytes, big endian)   payload
//! ```
//!
//! The engine cuts output into messages of at most 16 KiB. A length beyond a mebibyte, or a stream of another number,
//! means that this is no such stream (or that it was damaged), and nothing behind it can be trusted.

use bytes::{Buf as _, BytesMut};

/// Bytes of a frame's head.
const HEAD: usize = 8;
/// The longest payload that is believed.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// Where a frame's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The container's standard output, or its terminal.
    Stdout,
    /// Its standard error.
    Stderr,
    /// The engine says something about the stream.
    Engine,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where they come from.
    pub source: Source,
    /// At most [`PAYLOAD_MAX`].
    pub bytes: BytesMut,
}

/// The stream is not one of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's stream is damaged: a frame of kind {kind} with {length} bytes")]
pub struct Damaged {
    kind: u8,
    length: usize,
}

/// Turns bytes into frames, however they are cut.
#[derive(Debug, Default)]
pub struct Demux {
    /// What came and is not taken out yet: to be appended to.
    pub buffer: BytesMut,
}

impl Demux {
    /// The next whole frame; `None` where more bytes are needed.
    ///
    /// # Errors
    /// [`Damaged`]: nothing behind it can be trusted.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Damaged> {
        let [kind, _, _, _, a, b, c, d, ..] = self.buffer[..] else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let source = match kind {
            // Docker's writers use 0 for output, too (pkg/stdcopy: "Stdin" frames are copied to stdout).
            0 | 1 => Source::Stdout,
            2 => Source::Stderr,
            3 => Source::Engine,
            _ => return Err(Damaged { kind, length }),
        };
        if length > PAYLOAD_MAX {
            return Err(Damaged { kind, length });
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        Ok(Some(Piece { source, bytes: self.buffer.split_to(length) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn frames_survive_any_cut() {
        let bytes = [frame(1, b"out"), frame(2, b""), frame(2, b"err"), frame(3, b"oh")].concat();
        for cut in 1..bytes.len() {
            let (mut demux, mut got) = (Demux::default(), Vec::new());
            for chunk in bytes.chunks(cut) {
                demux.buffer.extend_from_slice(chunk);
                while let Some(piece) = demux.next_piece().unwrap() {
                    got.push((piece.source, piece.bytes.to_vec()));
                }
            }
            assert_eq!(got.len(), 4, "{cut}");
            assert_eq!(got[0], (Source::Stdout, b"out".to_vec()));
            assert_eq!(got[3], (Source::Engine, b"oh".to_vec()));
        }
    }

    #[test]
    fn damage_is_an_error_and_no_wait() {
        for head in [[9u8, 0, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 255, 255, 255, 255]] {
            let mut demux = Demux::default();
            demux.buffer.extend_from_slice(&head);
            assert!(demux.next_piece().is_err());
        }
    }
}
