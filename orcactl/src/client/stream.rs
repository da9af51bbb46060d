//! Answers without an end: JSON lines and server-sent events.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;

use crate::output::error::Failure;

/// The longest line; a line of output has at most 16 KiB in Docker, and JSON may triple it.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The lines of an answer, as they come.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were searched for a line's end.
    searched: usize,
}

impl Lines {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its end; `None` at the end of the answer.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=self.searched + end).collect();
                self.searched = 0;
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(text(line)));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(broken("a line of the answer has no end"));
            }
            match self.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(text(std::mem::take(&mut self.buffer))));
                }
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The next server-sent event; `None` at the end of the answer.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn next_event(&mut self) -> Result<Option<Event>, Failure> {
        let mut event = Event::default();
        while let Some(line) = self.next().await? {
            if line.is_empty() {
                if event.data.is_some() {
                    return Ok(Some(event));
                }
                event = Event::default();
                continue;
            }
            event.field(&line);
        }
        Ok(None)
    }
}

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Where to go on after a broken connection.
    pub id: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// What it carries.
    pub data: Option<String>,
}

impl Event {
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "event" => self.kind = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment (an empty name) keeps the connection alive; other fields are for later versions.
            _ => {}
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn broken(why: &str) -> Failure {
    Failure::new("the connection to orcad broke").exit(orca_api::error::exit::UNREACHABLE).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_an_event() {
        let mut event = Event::default();
        for line in ["id: 7.0", "event:task.state", ": heartbeat", "data: {", "data: }"] {
            event.field(line);
        }
        let wanted =
            Event { id: Some("7.0".into()), kind: Some("task.state".into()), data: Some("{\n}".into()) };
        assert_eq!(event, wanted);
    }
}
