//! Who holds a port of the node: a container of the engine, or a user.

use bollard::query_parameters::ListContainersOptionsBuilder;
use procfs::net::TcpState;

use super::{Engine, labels};

impl Engine {
    /// The holder of a host port in words; empty where it cannot be told.
    pub(super) async fn port_holder(&self, port: u16) -> String {
        let options = ListContainersOptionsBuilder::default().build();
        let running = self
            .call("list", |docker| async move { docker.list_containers(Some(options)).await })
            .await
            .unwrap_or_default();
        for container in running {
            let publishes = container.ports.iter().flatten().any(|p| p.public_port == Some(port));
            if !publishes {
                continue;
            }
            let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
            let name = name.trim_start_matches('/');
            let task = container.labels.as_ref().and_then(labels::task_name);
            return task.map_or_else(
                || format!("container `{name}`"),
                |task| format!("task `{task}` (container `{name}`)"),
            );
        }
        listener(port).map_or_else(String::new, |uid| format!("a process of uid {uid}"))
    }
}

/// The user whose process listens on a port. Whose process it is exactly, only root may see.
pub fn listener(port: u16) -> Option<u32> {
    let tcp = [procfs::net::tcp(), procfs::net::tcp6()];
    let mut tcp = tcp
        .into_iter()
        .flatten()
        .flatten()
        .filter(|s| s.state == TcpState::Listen && s.local_address.port() == port);
    if let Some(socket) = tcp.next() {
        return Some(socket.uid);
    }
    let udp = [procfs::net::udp(), procfs::net::udp6()];
    udp.into_iter().flatten().flatten().find(|s| s.local_address.port() == port).map(|s| s.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_user() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(rustix::process::getuid().as_raw()));
        drop(socket);
        assert_eq!(listener(port), None);
    }
}
