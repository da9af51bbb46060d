//! A connection after its handshake. It can be cut from outside: what was revoked must not go on over what stands.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// A TLS connection.
pub struct Stream {
    inner: TlsStream<TcpStream>,
    /// What was read before somebody asked for it.
    first: Bytes,
    /// Reading and writing may be waited for by two tasks: each has a waker of its own.
    cut: [Pin<Box<WaitForCancellationFutureOwned>>; 2],
    /// Tells the server's list that this connection is gone.
    _gone: Option<DropGuard>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("to", &self.remote()).finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(
        inner: TlsStream<TcpStream>,
        first: Bytes,
        cut: &CancellationToken,
        gone: Option<DropGuard>,
    ) -> Self {
        let wait = || Box::pin(cut.clone().cancelled_owned());
        Self { inner, first, cut: [wait(), wait()], _gone: gone }
    }

    /// The other end's address, while the connection stands.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.inner.get_ref().0.peer_addr().ok()
    }

    fn check(&mut self, side: usize, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut[side].as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was closed: its certificate is no longer accepted",
            )),
            Poll::Pending => Ok(()),
        }
    }
}

const READ: usize = 0;
const WRITE: usize = 1;

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(READ, cx)?;
        if !self.first.is_empty() {
            let n = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..n]);
            self.first.advance(n);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(WRITE, cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(WRITE, cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(WRITE, cx)?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
