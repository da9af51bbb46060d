//! TLS between machines: who is at the other end, by its certificate. TLS 1.3 alone, HTTP/2 by ALPN, no resumption.
//!
//! ```text
//!   Client.connect(address, purpose) ─► dial ─► handshake (verify.rs) ─► first bytes of the server ─► Stream
//!   Server.accept(connection)        ─► handshake (verify.rs), deny?  ─► Stream, Option<Peer>, Purpose
//! ```
//!
//! * **Trust** is the set of the cluster's authorities, and can be replaced while connections stand; so can the own
//!   certificate ([`own::Own`]). New handshakes see the new ones at once. Names of hosts and addresses mean nothing:
//!   whoever answers must hold a manager's certificate.
//! * **Resumption is off** on both sides: a resumed session would carry the old certificate past every check.
//! * **A server without a client's certificate** is what joining needs: [`server::Accepted::peer`] is then `None`, and
//!   the routes decide. Each route judges [`verify::Peer`]: role, node, and how the certificate stands to the clock.
//! * **A refusal in time.** In TLS 1.3 a client's handshake ends before the server has judged its certificate. So
//!   [`client::Client::connect`] waits for the server's first bytes, which in HTTP/2 come unasked, on both kinds of
//!   connection: whoever gets a stream has been let in.
//! * **Who asks** on a connection is agreed by ALPN: [`ALPN_CLIENT_ASKS`] or [`ALPN_SERVER_ASKS`].
//!
//! # Dates
//! Nobody is locked out by a clock. A *server* lets a client in whose certificate is sound but past or before its
//! dates, and says so ([`Standing`]): such a peer may renew and do nothing else
//! ([`crate::pki::renew::check_renewal`]). A
//! *client* that joins, or a person's, judges the manager's dates by its own clock. A *node* goes on with a manager
//! whose certificate its clock calls expired or not yet valid ([`verify::Dates::Node`]): its clock may be wrong, and a
//! node that hung up would lose its tasks to that. What keeps an old stolen manager's key out is the *floor*, an instant
//! that the cluster is known to have passed: a certificate that ended before it is refused where the clock agrees.

pub mod client;
pub mod error;
pub mod own;
pub mod server;
pub mod stream;
pub mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

pub use self::client::{Client, Connected};
pub use self::error::TlsError;
pub use self::own::Own;
pub use self::server::{Accepted, Server};
pub use self::stream::Stream;
pub use self::verify::{Dates, Floor, Peer, Trust};
use crate::driver::Clock;
use crate::net::memory::Purpose;
pub use crate::pki::certificate::Standing;

/// How long a handshake may take, and how long a connection attempt: what Nomad's servers allow.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// The most certificates that a peer may show: its own, a cross-signed authority, the former one, and one to spare.
pub const CHAIN_MAX: usize = 4;
/// The dialling side asks: a worker's hello, polls and reports, and `orcactl`.
pub const ALPN_CLIENT_ASKS: &[u8] = b"h2";
/// The accepting side asks: a manager that reads measurements and logs. After the handshake it is HTTP/2 with the sides
/// exchanged.
pub const ALPN_SERVER_ASKS: &[u8] = b"orca-h2-reverse";

/// HTTP/1.1 by a person's program, where a connection is to be upgraded: HTTP/2 has no upgrade.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

const fn alpn(purpose: Purpose) -> &'static [u8] {
    match purpose {
        Purpose::WorkerAsks => ALPN_CLIENT_ASKS,
        Purpose::ManagerAsks => ALPN_SERVER_ASKS,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The daemon's clock, as rustls takes it.
struct WallClock(Clock);

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WallClock")
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = (self.0)().wall.ms().max(0).unsigned_abs();
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}
