//! Frames of `orca-stream/1`: what flows both ways after an exec request was upgraded.
//!
//! ```text
//!   kind (1 byte)   length (4 bytes, big endian)   payload (length bytes, at most 1 MiB)
//! ```
//!
//! | kind | from | payload |
//! |---|---|---|
//! | 0 stdin | client | bytes; an empty one closes standard input |
//! | 1 stdout, 2 stderr | server | bytes |
//! | 3 resize | client | columns, rows: two 16-bit numbers, big endian |
//! | 4 exit | server | exit code: a 32-bit number, big endian; the last frame |
//! | 5 error | server | problem+json; the last frame |

/// The protocol's name in the `Upgrade` header.
pub const PROTOCOL: &str = "orca-stream/1";
/// The largest payload.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes for the process; empty closes its standard input.
    Stdin(Vec<u8>),
    /// Bytes of its standard output.
    Stdout(Vec<u8>),
    /// Bytes of its standard error.
    Stderr(Vec<u8>),
    /// The terminal's new size.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// It ended.
    Exit(i32),
    /// It could not be run; problem+json.
    Error(Vec<u8>),
}

/// A stream that is not one of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that is not in the table.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// A payload over [`PAYLOAD_MAX`].
    #[error("a frame of {0} bytes, at most {PAYLOAD_MAX} are accepted")]
    TooLong(usize),
    /// A payload of the wrong length for its kind.
    #[error("a frame of kind {0} with {1} bytes")]
    Payload(u8, usize),
}

impl Frame {
    /// Its bytes on the wire. A payload over [`PAYLOAD_MAX`] is the caller's to split.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, payload): (u8, Vec<u8>) = match self {
            Self::Stdin(bytes) => (0, bytes.clone()),
            Self::Stdout(bytes) => (1, bytes.clone()),
            Self::Stderr(bytes) => (2, bytes.clone()),
            Self::Resize { columns, rows } => (3, [columns.to_be_bytes(), rows.to_be_bytes()].concat()),
            Self::Exit(code) => (4, code.to_be_bytes().to_vec()),
            Self::Error(bytes) => (5, bytes.clone()),
        };
        let mut out = Vec::with_capacity(5 + payload.len());
        out.push(kind);
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&payload);
        out
    }
}

/// Turns bytes into frames, however they are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let [kind, a, b, c, d, ..] = self.buffer[..] else {
            return Ok(None);
        };
        if kind > 5 {
            return Err(FrameError::Kind(kind));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > PAYLOAD_MAX {
            return Err(FrameError::TooLong(length));
        }
        if self.buffer.len() < 5 + length {
            return Ok(None);
        }
        let payload = self.buffer[5..5 + length].to_vec();
        self.buffer.drain(..5 + length);
        let wrong = || FrameError::Payload(kind, length);
        Ok(Some(match kind {
            0 => Frame::Stdin(payload),
            1 => Frame::Stdout(payload),
            2 => Frame::Stderr(payload),
            3 => {
                let [a, b, c, d] = payload[..] else { return Err(wrong()) };
                Frame::Resize { columns: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) }
            }
            4 => Frame::Exit(i32::from_be_bytes(payload[..].try_into().map_err(|_| wrong())?)),
            _ => Frame::Error(payload),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Frame> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Frame::Stdin),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Frame::Stdout),
            (any::<u16>(), any::<u16>()).prop_map(|(columns, rows)| Frame::Resize { columns, rows }),
            any::<i32>().prop_map(Frame::Exit),
        ]
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(list in prop::collection::vec(frames(), 0..8), cut in 1usize..64) {
            let bytes: Vec<u8> = list.iter().flat_map(Frame::encode).collect();
            let (mut decoder, mut got) = (Decoder::default(), Vec::new());
            for chunk in bytes.chunks(cut) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, list);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
