//! A connection that waits for nobody for ever: a peer that does not read what is written to it, one that does not finish
//! the head that it began, one that says nothing.
//!
//! ```text
//!   idle ─ first byte ─► head ─ complete ─► busy ─ answered ─► idle
//!   ≤ 120 s              ≤ 10 s             (bodies have limits of their own)
//! ```
//!
//! What cannot be parsed is answered by the HTTP library with a bare status; it is replaced by a problem here, so that
//! every refusal says why. Its answers are told from ours by the request id, which all of ours carry.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To read what is written.
    pub write: Duration,
    /// To finish a head, from its first byte.
    pub head: Duration,
    /// To begin the next request.
    pub idle: Duration,
}

/// Makes an answer of a status that the HTTP library would answer with nothing else: 408 for a head that took too long.
pub type Refusal = fn(u16) -> String;

/// A connection with deadlines.
#[derive(Debug)]
pub struct Timed<T> {
    inner: T,
    patience: Patience,
    refusal: Refusal,
    /// Since when the peer does not read.
    stuck: Option<Pin<Box<Sleep>>>,
    /// What is waited for, and until when.
    waiting: Option<(u8, Pin<Box<Sleep>>)>,
    /// An answer in place of the library's, as far as it is not written.
    instead: Option<(Vec<u8>, usize)>,
    turn: Turn,
    lifted: Lift,
}

/// Lifts the deadlines: after an upgrade a person at a terminal may stop the output, and think, for as long as they like.
#[derive(Clone, Debug, Default)]
pub struct Lift(Arc<AtomicBool>);

impl Lift {
    /// From now on there is no deadline.
    pub fn lift(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whose turn it is on a connection: told by whoever serves it.
#[derive(Clone, Debug, Default)]
pub struct Turn(Arc<AtomicU8>);

impl Turn {
    /// A head was read: the peer is not waited for until it is answered.
    pub fn asked(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The answer is complete.
    pub fn answered(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

impl<T> Timed<T> {
    /// A connection whose peer has this patience on its side.
    pub fn new(inner: T, patience: Patience, refusal: Refusal) -> Self {
        Self {
            inner,
            patience,
            refusal,
            stuck: None,
            waiting: None,
            instead: None,
            turn: Turn::default(),
            lifted: Lift::default(),
        }
    }

    /// The handle that lifts the deadlines.
    pub fn lift(&self) -> Lift {
        self.lifted.clone()
    }

    /// The handle that says whose turn it is.
    pub fn turn(&self) -> Turn {
        self.turn.clone()
    }

    fn check<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() || self.lifted.0.load(Ordering::Relaxed) {
            self.stuck = None;
            return result;
        }
        let limit = self.patience.write;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match stuck.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the peer has used its time up; what it did not finish.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<u8> {
        let phase = self.turn.0.load(Ordering::Relaxed);
        if phase == BUSY || self.lifted.0.load(Ordering::Relaxed) {
            self.waiting = None;
            return None;
        }
        if self.waiting.as_ref().is_none_or(|(of, _)| *of != phase) {
            let limit = if phase == HEAD { self.patience.head } else { self.patience.idle };
            self.waiting = Some((phase, Box::pin(tokio::time::sleep(limit))));
        }
        let (_, until) = self.waiting.as_mut()?;
        until.as_mut().poll(cx).is_ready().then_some(phase)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if result.is_ready() && buf.filled().len() > before {
            let began = self.turn.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
            if began.is_ok() {
                self.waiting = None;
            }
        }
        // A peer that sends a byte now and then is never pending for long: its time counts all the same.
        match self.overdue(cx) {
            None => result,
            Some(phase) => {
                if phase == HEAD {
                    let text = (self.refusal)(408);
                    // Whoever does not take it at once has lost nothing: the connection is closed either way.
                    let _ = Pin::new(&mut self.inner).poll_write(cx, text.as_bytes());
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time")))
            }
        }
    }
}

/// The status of an answer that the HTTP library made by itself.
fn bare_status(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let ours = bytes.windows(12).any(|w| w.eq_ignore_ascii_case(b"x-request-id"));
    if ours {
        None
    } else {
        std::str::from_utf8(status).ok()?.parse().ok().filter(|s| (400..500).contains(s))
    }
}

impl<T: AsyncWrite + Unpin> Timed<T> {
    /// Writes what stands in for the library's own answer, until nothing is left of it.
    fn write_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((text, done)) = &mut self.instead {
            let result = Pin::new(&mut self.inner).poll_write(cx, &text[*done..]);
            if let Poll::Ready(Ok(n)) = result
                && n > 0
            {
                *done += n;
                if *done == text.len() {
                    self.instead = None;
                }
                continue;
            }
            return self.check(cx, result.map_ok(|_| ()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(status) = bare_status(buf) {
            self.instead = Some(((self.refusal)(status).into_bytes(), 0));
            // It is written with the flush that follows.
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.check(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.write_instead(cx))?;
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.check(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.write_instead(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.first().is_some_and(|first| bare_status(first).is_some()) {
            return self.poll_write(cx, bufs.first().map_or(&[], |first| first));
        }
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.check(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_mins(1);

    fn timed(write: Duration, head: Duration, idle: Duration) -> (Timed<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Timed::new(ours, Patience { write, head, idle }, |status| format!("refused {status}")), theirs)
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (mut ours, _theirs) = timed(SHORT, LONG, LONG);
        let error = ours.write_all(&[0; 256]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn lifted_deadlines_wait() {
        let (mut ours, _theirs) = timed(SHORT, SHORT, SHORT);
        ours.lift().lift();
        assert!(tokio::time::timeout(SHORT * 3, ours.write_all(&[0; 256])).await.is_err());
        assert!(tokio::time::timeout(SHORT * 3, ours.read_u8()).await.is_err());
    }

    #[tokio::test]
    async fn a_head_has_its_time_from_its_first_byte_however_it_drips() {
        let (mut ours, mut theirs) = timed(LONG, SHORT, LONG);
        let dripping = tokio::spawn(async move {
            while theirs.write_all(b"G").await.is_ok() {
                tokio::time::sleep(SHORT / 8).await;
            }
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.map(|_| answer)
        });
        let error = ours.read_to_end(&mut Vec::new()).await.expect_err("it does not come to an end");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        assert_eq!(dripping.await.unwrap().unwrap(), "refused 408");
    }

    #[tokio::test]
    async fn an_idle_connection_has_a_time_of_its_own_and_who_waits_for_an_answer_has_any() {
        let (mut ours, mut theirs) = timed(LONG, LONG, SHORT);
        ours.turn().asked();
        assert!(tokio::time::timeout(SHORT * 3, ours.read_u8()).await.is_err(), "it is not its turn");
        ours.turn().answered();
        assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(ours);
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "", "nothing was asked");
    }

    #[tokio::test]
    async fn a_bare_refusal_of_the_library_is_replaced_and_ours_are_not() {
        for (written, read) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "refused 400"),
            ("HTTP/1.1 404 x\r\nX-Request-Id: 1\r\n\r\n", "HTTP/1.1 404 x\r\nX-Request-Id: 1\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        ] {
            let (mut ours, mut theirs) = timed(LONG, LONG, LONG);
            ours.write_all(written.as_bytes()).await.unwrap();
            ours.shutdown().await.unwrap();
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, read);
        }
    }
}
