//! What is said on the sockets of a daemon that cannot start.
//!
//! An activated socket accepts connections for a daemon that is not there yet. One that does not come up would leave who
//! connected waiting without a word, and systemd would start it again and again for the same connection, until it gives
//! the socket up as well. So a daemon that cannot start answers who waits, with its reason, before it ends.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use orca_api::error::Problem;

use super::Handed;
use crate::net::limits::HEAD_BYTES_MAX;
use crate::net::unix::unasked;

/// How long all of it may take: systemd waits meanwhile.
const ALL_TIME: Duration = Duration::from_secs(2);
/// How long one client may take to send its head, and to read the answer.
const CLIENT_TIME: Duration = Duration::from_millis(300);

/// The sockets that systemd handed over, for the case that the daemon cannot start.
#[derive(Debug, Default)]
pub struct LastWords {
    sockets: Vec<UnixListener>,
}

impl LastWords {
    /// Keeps the sockets at hand. Without sockets of systemd's there is nobody to answer: who started the daemon reads its
    /// exit code and its log.
    pub fn on(handed: &Handed) -> Self {
        let sockets = [&handed.control, &handed.view].into_iter().flatten();
        Self { sockets: sockets.filter_map(|socket| socket.try_clone().ok()).collect() }
    }

    /// Answers everybody who waits with the same problem. It blocks, and takes [`ALL_TIME`] at most.
    pub fn say(&self, problem: &Problem) {
        let until = Instant::now() + ALL_TIME;
        let answer = unasked(problem);
        for socket in &self.sockets {
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            while Instant::now() < until {
                // Nobody waits any more, or the socket is broken: either way that was all.
                let Ok((client, _)) = socket.accept() else { break };
                // A client that is gone already needs no answer.
                let _ = tell(client, answer.as_bytes());
            }
        }
    }
}

fn tell(mut client: UnixStream, answer: &[u8]) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(CLIENT_TIME))?;
    client.set_write_timeout(Some(CLIENT_TIME))?;
    // An answer that comes before the question is none to an HTTP client.
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match client.read(&mut buffer)? {
            0 => break,
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    client.write_all(answer)?;
    client.shutdown(std::net::Shutdown::Write)?;
    // Closing with unread input would reset the connection before the answer is read.
    let until = Instant::now() + CLIENT_TIME;
    while client.read(&mut buffer)? > 0 && Instant::now() < until {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use orca_api::error::Code;

    use super::*;

    #[test]
    fn who_waits_is_told_why_and_who_says_nothing_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let handed = Handed { control: Some(UnixListener::bind(&path).unwrap()), view: None };
        let words = LastWords::on(&handed);
        let silent = UnixStream::connect(&path).unwrap();
        let mut asking = UnixStream::connect(&path).unwrap();
        asking.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut gone = UnixStream::connect(&path).unwrap();
        gone.write_all(b"GET ").unwrap();
        drop(gone);
        let reader = std::thread::spawn(move || {
            let mut answer = String::new();
            asking.read_to_string(&mut answer).unwrap();
            answer
        });
        let began = Instant::now();
        words.say(&Problem::new(Code::CannotStart, "orcad cannot start: no").hint("mend it"));
        assert!(began.elapsed() < ALL_TIME + CLIENT_TIME);
        let answer = reader.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("ORCA-4003") && answer.contains("mend it"), "{answer}");
        drop(silent);
        // Nobody waits: nothing is waited for.
        words.say(&Problem::new(Code::CannotStart, "no"));
    }
}
