//! Images, and a real registry: open, and with a password.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orca_api::spec::Pull;
use orca_api::task::Reason;
use orca_core::worker::io::{Done, Effect, Failure, FailureKind};

use crate::rig::{IMAGE, Rig, op, rig, rig_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_images() {
    let rig = rig().await;
    let pull = |image: &str, pull| Effect::Pull { op: op(1), image: image.to_owned(), pull };
    assert!(matches!(rig.act(pull(IMAGE, Pull::Missing)).await, Ok(Done::Pulled { .. })));
    assert_eq!(
        rig.act(pull("absent-of-a-test:1", Pull::Never)).await.unwrap_err().kind,
        FailureKind::Rejected(Reason::ImageNotFound)
    );
    // Nobody listens on port 9 (discard).
    let failure = rig.act(pull("127.0.0.1:9/x:1", Pull::Missing)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected(Reason::PullError), "{}", failure.message);
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

/// A registry of its own, from the distribution's package; ended with its value.
struct Registry {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// `None` where the program is not installed. With a password file, reading needs `reader` and `secret`.
    fn start(with_password: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            folder.path().join("data").display()
        );
        if with_password {
            let made = Command::new("htpasswd").args(["-Bbn", "reader", "secret"]).output().ok()?;
            let file = folder.path().join("htpasswd");
            std::fs::write(&file, made.stdout).unwrap();
            writeln!(config, "auth: {{htpasswd: {{realm: orca, path: {}}}}}", file.display()).unwrap();
        }
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let registry = Self { child, address, _folder: folder };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&registry.address).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not listen");
    }

    /// Puts the task image into it under a name, and takes that name off the node.
    fn push(&self, name: &str, docker_config: &std::path::Path) -> String {
        let image = format!("{}/{name}", self.address);
        let docker = |arguments: &[&str]| {
            let done =
                Command::new("docker").arg("--config").arg(docker_config).args(arguments).output().unwrap();
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        docker(&["tag", IMAGE, &image]);
        docker(&["push", "--quiet", &image]);
        docker(&["rmi", &image]);
        image
    }
}

async fn pull(rig: &Rig, image: &str) -> Result<Done, Failure> {
    rig.act(Effect::Pull { op: op(1), image: image.to_owned(), pull: Pull::Missing }).await
}

fn forget(image: &str) {
    assert!(Command::new("docker").args(["rmi", image]).output().unwrap().status.success(), "{image}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_registry() {
    let rig = rig().await;
    let Some(registry) = Registry::start(false) else {
        println!("skipped: docker-registry is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let image = registry.push("orca-try/app:1", folder.path());
    assert!(matches!(pull(&rig, &image).await, Ok(Done::Pulled { .. })));
    forget(&image);
    let absent = format!("{}/orca-try/app:absent", registry.address);
    let failure = pull(&rig, &absent).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected(Reason::ImageNotFound), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_registry_with_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let rig = rig_with(|config| config.registry_config.clone_from(&file)).await;
    let Some(registry) = Registry::start(true) else {
        println!("skipped: docker-registry or htpasswd is not installed");
        return;
    };
    let write = |auth: &str| {
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.address);
        std::fs::write(&file, text).unwrap();
    };
    // reader:secret
    write("cmVhZGVyOnNlY3JldA==");
    let image = registry.push("orca-try/app:1", folder.path());
    std::fs::remove_file(&file).unwrap();
    let failure = pull(&rig, &image).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected(Reason::RegistryAuth), "{}", failure.message);
    // reader:wrong
    write("cmVhZGVyOndyb25n");
    let failure = pull(&rig, &image).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected(Reason::RegistryAuth), "{}", failure.message);
    write("cmVhZGVyOnNlY3JldA==");
    assert!(matches!(pull(&rig, &image).await, Ok(Done::Pulled { .. })));
    forget(&image);
}
