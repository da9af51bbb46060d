//! This machine becomes a worker of another cluster: it dials the token's addresses, knows the cluster by its authority's
//! digest, and is given a name, a node id and a certificate.
//!
//! ```text
//!   token ─► dial each address (TLS, authority pinned) ─► join (secret, fresh key) ─► identity, whole or not at all
//! ```
//!
//! Every failure says which address, from where, why, and what to type on which machine. Nothing of this machine is
//! changed in here: the caller stores the identity, and that one change of a folder is the decision.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use orca_api::error::{Code, Problem};
use orca_api::join::{CertRole, Join, JoinToken, Joined, LINK_PORT, Secret, TokenError};
use orca_api::link::{LINK_VERSION, NodeFacts};
use orca_api::node::Role;
use orca_api::route::link;

use crate::driver::Clock;
use crate::manager::addresses::source_for;
use crate::net::h2::{AskError, Asker};
use crate::net::memory::Purpose;
use crate::net::tls::{Client, Stream, TlsError};
use crate::pki::certificate::BACK_DATED;
use crate::pki::identity::{self, About, NodeIdentity, bundle_holds};

/// What came of a join.
#[derive(Debug)]
pub struct Became {
    /// Who this machine is from now on, once that is stored.
    pub identity: NodeIdentity,
    /// The address that answered.
    pub address: String,
    /// Something that a person should know.
    pub warning: Option<String>,
}

/// Reads a token.
///
/// # Errors
/// It is none, or one for something else than a worker.
pub fn read_token(text: &str) -> Result<JoinToken, Problem> {
    let token: JoinToken = text.parse().map_err(|error: TokenError| {
        let problem = Problem::new(Code::BadToken, error.to_string());
        match error {
            TokenError::Newer => problem.hint("apt-get install --only-upgrade orcad, or dnf upgrade orcad"),
            _ => problem.hint("on a manager: orcactl node token makes a new one, and prints the whole line"),
        }
    })?;
    if token.role != Role::Worker {
        return Err(Problem::new(Code::BadToken, "this token is not for a worker")
            .hint("on a manager: orcactl node token"));
    }
    Ok(token)
}

/// Whether a manager of the token's cluster can be reached; at which address.
///
/// # Errors
/// None can, and why.
pub async fn reach(token: &JoinToken, clock: Clock) -> Result<String, Problem> {
    connect(token, clock).await.map(|(_, address)| address)
}

/// Joins.
///
/// # Errors
/// No manager can be reached, or it refuses; each with its reason and what to do about it.
pub async fn join(token: &JoinToken, facts: NodeFacts, clock: Clock) -> Result<Became, Problem> {
    let defect = |error: &dyn std::error::Error| Problem::new(Code::Internal, error.to_string());
    let (key, csr) = identity::request().map_err(|e| defect(&e))?;
    let (stream, address) = connect(token, clock.clone()).await?;
    let asker = Asker::new(stream).await.map_err(|e| broke(&address, &e))?;
    let join = Join { version: LINK_VERSION, secret: hex(&token.secret), csr, facts, clock: clock().wall };
    let joined: Joined = match asker.ask(link::JOIN, &join, Duration::ZERO).await {
        Ok(joined) => joined,
        Err(AskError::Refused(problem)) => return Err(*problem),
        Err(error) => return Err(broke(&address, &error)),
    };
    let Joined { cluster, node, name, certificate, ca, mut managers, warning, .. } = joined;
    // The handshake has shown that who answered holds a certificate of the pinned authority; what it sends must too.
    if !bundle_holds(&ca, token.ca).unwrap_or(false) {
        return Err(wrong_cluster(&address));
    }
    managers.retain(|manager| *manager != address);
    managers.insert(0, address.clone());
    let about = About::new(cluster, node, vec![Role::Worker], name, managers);
    let identity = NodeIdentity::new(about, key, certificate, ca).map_err(|e| defect(&e))?;
    if identity.facts.who.role != CertRole::Worker {
        return Err(Problem::new(Code::Internal, "the manager gave a certificate of another role"));
    }
    Ok(Became { identity, address, warning })
}

fn hex(secret: &Secret) -> String {
    secret.0.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn connect(token: &JoinToken, clock: Clock) -> Result<(Stream, String), Problem> {
    let client = Client::joining(token.ca, clock);
    let mut failures = Vec::new();
    for address in &token.addresses {
        match client.connect(address, Purpose::WorkerAsks).await {
            Ok(connected) => return Ok((connected.stream, address.clone())),
            Err(error) => failures.push((address.clone(), error)),
        }
    }
    Err(unreached(&failures))
}

fn broke(address: &str, error: &AskError) -> Problem {
    Problem::new(Code::NoManager, format!("the manager at {address} did not answer to the end"))
        .because(error.to_string())
        .hint("try again; on the manager: journalctl -u orcad")
}

fn wrong_cluster(address: &str) -> Problem {
    Problem::new(Code::WrongCluster, format!("what answers at {address} is not the cluster of the token"))
        .because("its certificate authority is not the one that the token names")
        .hint("check that the address is the manager's that made the token")
        .hint("on the manager: orcactl node token makes a new one (after a rotation of the authority one is needed)")
}

/// Why no manager was reached, in the words of the failure that says most.
pub fn unreached(failures: &[(String, TlsError)]) -> Problem {
    for (address, error) in failures {
        match error {
            TlsError::WrongCa => return wrong_cluster(address),
            TlsError::Expired { by } => {
                return clock_off(
                    format!("this machine's clock is ahead by about {by}, or the manager's is behind"),
                    address,
                );
            }
            TlsError::NotYetValid { by } => {
                let by = orca_api::units::Span::from_ms(by.ms() + BACK_DATED.ms());
                return clock_off(format!("this machine's clock is behind by {by} or more"), address);
            }
            _ => {}
        }
    }
    let mut problem = Problem::new(Code::NoManager, "no manager can be reached");
    let (mut silent, mut port) = (false, LINK_PORT);
    for (address, error) in failures {
        let from = address.parse::<SocketAddr>().ok().and_then(source_for);
        let from = from.map_or_else(String::new, |from| format!(" (from {from})"));
        problem = problem.because(format!("{error}{from}"));
        if matches!(error, TlsError::Silent { .. } | TlsError::Unreachable { .. }) {
            silent = true;
            port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(port);
        }
    }
    if silent {
        for line in firewall_lines(port) {
            problem = problem.hint(line);
        }
    } else if let Some((_, error)) = failures.first() {
        problem = problem.hint(error.hint());
    }
    problem
}

/// What to type on a manager whose firewall drops what comes to its port.
fn firewall_lines(port: u16) -> [String; 4] {
    [
        format!("a firewall may drop it; on the manager, whichever is in use, let {port}/tcp in:"),
        format!("sudo ufw allow {port}/tcp"),
        format!("sudo firewall-cmd --permanent --add-port={port}/tcp && sudo firewall-cmd --reload"),
        format!("sudo nft add rule inet filter input tcp dport {port} accept"),
    ]
}

fn clock_off(why: String, address: &str) -> Problem {
    Problem::new(
        Code::ClockOff,
        format!("the clocks of this machine and of the manager at {address} differ too much"),
    )
    .because(why)
    .hint("compare them (date -u), and set the wrong one: timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use std::io;

    use orca_api::units::Span;

    use super::*;

    #[test]
    fn a_port_that_is_blocked_says_what_to_type() {
        let failures = vec![
            ("127.0.0.1:7443".to_owned(), TlsError::Refused { address: "127.0.0.1:7443".to_owned() }),
            ("127.0.0.2:9".to_owned(), TlsError::Silent { address: "127.0.0.2:9".to_owned() }),
        ];
        let problem = unreached(&failures);
        assert_eq!((problem.code, problem.because.len()), (Code::NoManager, 2));
        assert!(
            problem.because[1].contains("127.0.0.2:9") && problem.because[1].contains("(from 127.0.0.1)"),
            "{problem:?}"
        );
        assert!(problem.hint.iter().any(|h| h == "sudo ufw allow 9/tcp"), "{problem:?}");
    }

    #[test]
    fn the_failure_that_says_most_is_told() {
        let refused = || TlsError::Refused { address: "a:1".to_owned() };
        let lost = io::Error::from(io::ErrorKind::HostUnreachable);
        let of = |error| unreached(&[("a:1".to_owned(), refused()), ("b:1".to_owned(), error)]).code;
        assert_eq!(of(TlsError::WrongCa), Code::WrongCluster);
        assert_eq!(of(TlsError::NotYetValid { by: Span::from_secs(60) }), Code::ClockOff);
        assert_eq!(of(TlsError::Unreachable { address: "b:1".to_owned(), source: lost }), Code::NoManager);
        let hour = unreached(&[("a:1".to_owned(), TlsError::NotYetValid { by: Span::from_secs(3600) })]);
        assert!(hour.because[0].contains("2h"), "{hour:?}");
    }

    #[test]
    fn what_is_no_token_says_so() {
        let problem = read_token("SWMTKN-1-x").unwrap_err();
        assert_eq!(problem.code, Code::BadToken);
        assert!(!problem.hint.is_empty());
    }
}
