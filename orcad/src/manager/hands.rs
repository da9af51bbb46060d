//! What the core wants done beyond this machine: probes of silent nodes, connections to cut, the port to open or close.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use orca_api::id::NodeId;
use orca_api::join::LINK_PORT;
use orca_core::manager::{Effect, Event, Found};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ManagerHandle;
use super::port::{Port, listen_address};

/// How long a probe waits for any answer.
const PROBE_TIME: Duration = Duration::from_secs(1);
/// How soon a port that could not be opened is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);

/// Carries out effects until `stop`. Without a port, nothing listens and there is nobody to probe or cut.
pub async fn run(
    mut effects: mpsc::UnboundedReceiver<Effect>,
    manager: ManagerHandle,
    port: Option<Arc<Port>>,
    stop: CancellationToken,
) {
    // Where the last life listened, this one does.
    let mut again = Some(tokio::time::Instant::now());
    loop {
        let effect = tokio::select! {
            effect = effects.recv() => effect,
            () = sleep_until(again) => Some(Effect::Listen),
            () = stop.cancelled() => None,
        };
        let Some(effect) = effect else { return };
        match effect {
            Effect::Probe { node, address, probe } => {
                let manager = manager.clone();
                tokio::spawn(async move {
                    let found = probe_at(node, &address).await;
                    // The driver may have stopped: then nobody waits for it.
                    let _ = manager.tell(Event::Probed { node, probe, found }).await;
                });
            }
            Effect::CutNode { node } => {
                if let Some(port) = &port {
                    port.cut_node(node);
                }
            }
            Effect::CutCertificate { certificate } => {
                if let Some(port) = &port {
                    port.cut_certificate(certificate);
                }
            }
            Effect::Listen => {
                let opened = match &port {
                    Some(port) => listen(&manager, port).await,
                    None => true,
                };
                again = if opened { None } else { Some(tokio::time::Instant::now() + LISTEN_AGAIN) };
            }
            Effect::Reply { .. } | Effect::NotifyNode { .. } | Effect::Publish { .. } => {}
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Makes the port what the core says; whether that is so now.
async fn listen(manager: &ManagerHandle, port: &Arc<Port>) -> bool {
    let Ok(wanted) = manager.read(|manager, _| manager.listen().map(str::to_owned)).await else {
        return true;
    };
    let Some(wanted) = wanted else {
        port.close().await;
        return true;
    };
    let opened = match listen_address(Some(&wanted)) {
        Ok(address) => port.open(address).await,
        Err(problem) => Err(problem),
    };
    match opened {
        Ok(_) => true,
        Err(problem) => {
            tracing::error!(
                because = problem.because.join("; "),
                "{problem}; nodes cannot reach this manager"
            );
            false
        }
    }
}

/// Whether anything of the machine answers: a bare connection, to a port that need not be open.
async fn probe_at(node: NodeId, address: &str) -> Found {
    let Ok(ip) = address.parse::<IpAddr>() else { return Found::Silence };
    let found = match tokio::time::timeout(PROBE_TIME, TcpStream::connect((ip, LINK_PORT))).await {
        Ok(Ok(_)) => Found::Machine,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Found::Machine,
        Ok(Err(_)) | Err(_) => Found::Silence,
    };
    tracing::debug!(%node, address, ?found, "a silent node's machine was probed");
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use orca_api::id::RawId;

    #[tokio::test]
    async fn a_machine_that_refuses_lives() {
        let node = NodeId::from_raw(RawId::from_bytes([0; 10]));
        assert_eq!(probe_at(node, "127.0.0.1").await, Found::Machine);
        assert_eq!(probe_at(node, "not an address").await, Found::Silence);
    }
}
