//! What a refusal of the engine means: the one place where its texts are read.
//!
//! The engine answers 500 with the text of whatever failed inside it: the registry, the network driver, the runtime.
//! Where a status code says enough, it decides; the texts below were collected from Docker 20.10 to 29 and from
//! registries. An unknown text falls to the general reason of its step, never to a guess.

use orca_api::task::Reason;
use orca_core::worker::io::FailureKind;

fn any(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

fn is_no_space(text: &str) -> bool {
    any(text, &["no space left on device", "disk quota exceeded"])
}

/// A pull that was refused. `with_credentials`: the registry was given some, so "denied" is about them.
pub fn of_pull(status: u16, message: &str, with_credentials: bool) -> Reason {
    let text = message.to_ascii_lowercase();
    if is_no_space(&text) {
        return Reason::NoSpace;
    }
    // Docker Hub hides whether a repository is private or absent behind one text. Without credentials the name is the
    // likelier mistake, and the text, which is kept, names both.
    if text.contains("repository does not exist or may require") && !with_credentials {
        return Reason::ImageNotFound;
    }
    let auth = [
        "unauthorized",
        "no basic auth credentials",
        "authentication required",
        "denied",
        "incorrect username or password",
    ];
    if status == 401 || status == 403 || any(&text, &auth) {
        return Reason::RegistryAuth;
    }
    let absent = [
        "manifest unknown",
        "name unknown",
        "not found",
        "no matching manifest",
        "does not exist",
        "invalid reference format",
    ];
    // A name server that does not know the registry says "not found" as well; that is a matter of the network.
    let lookup = ["no such host", "lookup ", "server misbehaving"];
    if !any(&text, &lookup) && (status == 404 || any(&text, &absent)) {
        return Reason::ImageNotFound;
    }
    Reason::PullError
}

/// A container that was not created. A taken name (409) is settled before.
pub fn of_create(status: u16, message: &str) -> FailureKind {
    let text = message.to_ascii_lowercase();
    if is_no_space(&text) {
        return FailureKind::Rejected(Reason::NoSpace);
    }
    if status == 404 {
        return FailureKind::ImageVanished;
    }
    let mount = ["mount", "bind source path", "volume"];
    if any(&text, &mount) {
        return FailureKind::Rejected(Reason::MountError);
    }
    if is_no_device(&text) {
        return FailureKind::Rejected(Reason::NoDevice);
    }
    FailureKind::Rejected(Reason::StartError)
}

/// A container that was not started. Whether it still exists is settled before.
pub fn of_start(message: &str) -> Reason {
    let text = message.to_ascii_lowercase();
    if is_no_space(&text) {
        Reason::NoSpace
    } else if any(&text, &["port is already allocated", "address already in use", "failed to bind host port"])
    {
        Reason::PortTaken
    } else if is_no_device(&text) {
        Reason::NoDevice
    } else if any(
        &text,
        &[
            "error mounting",
            "bind source path",
            "error while creating mount source path",
            "error while mounting volume",
            "failed to mount",
            "invalid mount config",
            "error evaluating symlinks from mount source",
        ],
    ) {
        Reason::MountError
    } else {
        Reason::StartError
    }
}

fn is_no_device(text: &str) -> bool {
    any(
        text,
        &[
            "error gathering device information",
            "could not select device driver",
            "no such device",
            "cdi device injection failed",
            "unresolvable cdi devices",
        ],
    )
}

/// What a text about a taken port says besides the engine's own plumbing: endpoint, ids and proxies help nobody.
pub fn port_words(message: &str) -> &str {
    let from = ["starting userland proxy: ", "failed: ", "failed to bind host port for "];
    let at = from.iter().filter_map(|words| message.rfind(words).map(|at| at + words.len())).max();
    &message[at.unwrap_or(0)..]
}

/// Which of the candidate host ports a refused start is about: the one that its text names, or the only one there is.
pub fn port_in(message: &str, candidates: &[u16]) -> Option<u16> {
    let named = candidates.iter().copied().find(|port| {
        let needle = format!(":{port}");
        message
            .match_indices(&needle)
            .any(|(at, _)| !message[at + needle.len()..].starts_with(|c: char| c.is_ascii_digit()))
    });
    named.or(match candidates {
        [only] => Some(*only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls() {
        let table = [
            (
                404,
                "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                false,
                Reason::ImageNotFound,
            ),
            (
                404,
                "pull access denied for team/app, repository does not exist or may require 'docker login'",
                true,
                Reason::RegistryAuth,
            ),
            (
                404,
                "manifest for 127.0.0.1:5000/x:nope not found: manifest unknown: manifest unknown",
                false,
                Reason::ImageNotFound,
            ),
            (
                500,
                "Get \"http://127.0.0.1:5000/v2/x/manifests/latest\": no basic auth credentials",
                false,
                Reason::RegistryAuth,
            ),
            (
                500,
                "Head \"https://ghcr.io/v2/a/b/manifests/1\": unauthorized: authentication required",
                true,
                Reason::RegistryAuth,
            ),
            (
                500,
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host",
                false,
                Reason::PullError,
            ),
            (
                500,
                "Get \"https://x.example/v2/\": dial tcp: lookup x.example on 10.0.0.1:53: server misbehaving",
                false,
                Reason::PullError,
            ),
            (
                500,
                "Get \"http://127.0.0.1:9/v2/\": dial tcp 127.0.0.1:9: connect: connection refused",
                false,
                Reason::PullError,
            ),
            (500, "toomanyrequests: You have reached your pull rate limit", false, Reason::PullError),
            (500, "failed to register layer: write /x: no space left on device", false, Reason::NoSpace),
            (
                500,
                "no matching manifest for linux/arm64 in the manifest list entries",
                false,
                Reason::ImageNotFound,
            ),
        ];
        for (status, text, with, reason) in table {
            assert_eq!(of_pull(status, text, with), reason, "{text}");
        }
    }

    #[test]
    fn creates() {
        use FailureKind::{ImageVanished, Rejected};
        let table = [
            (404, "No such image: nginx:latest", ImageVanished),
            (
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /srv/x",
                Rejected(Reason::MountError),
            ),
            (500, "mkdir /var/lib/docker/overlay2/x: no space left on device", Rejected(Reason::NoSpace)),
            (400, "invalid IP address in add-host: \"x\"", Rejected(Reason::StartError)),
        ];
        for (status, text, kind) in table {
            assert_eq!(of_create(status, text), kind, "{text}");
        }
    }

    #[test]
    fn starts() {
        let table = [
            (
                "driver failed programming external connectivity on endpoint web (abc): Bind for 0.0.0.0:8080 failed: port is already allocated",
                Reason::PortTaken,
            ),
            (
                "driver failed programming external connectivity on endpoint web: Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
                Reason::PortTaken,
            ),
            (
                "failed to set up container networking: driver failed programming external connectivity on endpoint x: failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use",
                Reason::PortTaken,
            ),
            (
                "error gathering device information while adding custom device \"/dev/nope\": no such file or directory",
                Reason::NoDevice,
            ),
            (
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"nope\": executable file not found in $PATH: unknown",
                Reason::StartError,
            ),
            (
                "failed to create shim: OCI runtime create failed: runc create failed: error mounting \"/x\" to rootfs at \"/y\": no such file or directory",
                Reason::MountError,
            ),
            ("network nope not found", Reason::StartError),
            ("failed to copy: write /a: no space left on device", Reason::NoSpace),
        ];
        for (text, reason) in table {
            assert_eq!(of_start(text), reason, "{text}");
        }
    }

    #[test]
    fn a_taken_port_is_told_without_plumbing() {
        for (text, words) in [
            (
                "driver failed programming external connectivity on endpoint web (abc): Bind for 0.0.0.0:8080 failed: port is already allocated",
                "port is already allocated",
            ),
            (
                "driver failed programming external connectivity on endpoint web: Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
                "listen tcp4 0.0.0.0:8080: bind: address already in use",
            ),
            ("something new", "something new"),
        ] {
            assert_eq!(port_words(text), words);
        }
    }

    #[test]
    fn the_port_is_the_one_that_is_named() {
        let text = "Bind for 0.0.0.0:8080 failed: port is already allocated";
        assert_eq!(port_in(text, &[80, 808, 8080]), Some(8080));
        assert_eq!(port_in(text, &[9000]), Some(9000));
        assert_eq!(port_in(text, &[80, 90]), None);
        assert_eq!(port_in("x", &[]), None);
    }
}
