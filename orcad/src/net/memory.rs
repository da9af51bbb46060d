//! Connections of a node to itself: a pipe in place of a TLS connection, and the same protocol over it.
//!
//! A worker dials its manager twice. On the first connection it asks; on the second the manager asks.

use orca_api::id::NodeId;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What each side may be ahead of the other, in bytes.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 8;

/// Who asks on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The worker asks: hello, poll, report.
    WorkerAsks,
    /// The manager asks: load, logs, exec.
    ManagerAsks,
}

/// A connection that a worker made.
#[derive(Debug)]
pub struct Incoming {
    /// The pipe.
    pub io: DuplexStream,
    /// Who is at its other end; known from the connection and not from what is said over it.
    pub node: NodeId,
    /// Who asks.
    pub purpose: Purpose,
}

/// The worker's end of the way to its manager.
#[derive(Clone, Debug)]
pub struct Dialer {
    node: NodeId,
    to: mpsc::Sender<Incoming>,
}

/// The manager does not accept connections any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manager of this node accepts no connections")]
pub struct NotListening;

impl Dialer {
    /// Makes a connection.
    pub async fn dial(&self, purpose: Purpose) -> Result<DuplexStream, NotListening> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let incoming = Incoming { io: theirs, node: self.node, purpose };
        self.to.send(incoming).await.map_err(|_| NotListening)?;
        Ok(ours)
    }
}

/// A dialer for a node, and where its connections arrive.
pub fn listen(node: NodeId) -> (Dialer, mpsc::Receiver<Incoming>) {
    let (to, from) = mpsc::channel(BACKLOG);
    (Dialer { node, to }, from)
}
