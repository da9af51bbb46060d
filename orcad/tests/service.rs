//! `orcad` as a service manager sees it: what it says on the notify socket, which socket it takes, how it obeys signals,
//! and its exit codes. No engine is needed: the daemon serves without one.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(30);

struct Service {
    folder: tempfile::TempDir,
    notify: UnixDatagram,
    child: Option<Child>,
    /// Everything that was said.
    said: Vec<String>,
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(DEADLINE)).unwrap();
        let service = Self { folder, notify, child: None, said: Vec::new() };
        service.configure("log_level = \"info\"\n");
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        let socket = self.path("no-engine.sock");
        let text = format!("{text}log_format = \"text\"\n[docker]\nsocket = \"{}\"\n", socket.display());
        fs::write(self.path("orcad.toml"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orcad"));
        command
            .env_clear()
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "1500000")
            .args(["--config".into(), self.path("orcad.toml")])
            .args(["--state-dir".into(), self.path("state")])
            .args(["--socket".into(), self.path("run/orca.sock")])
            .stderr(fs::File::create(self.path("log")).unwrap());
        command
    }

    fn start(&mut self, mut command: Command) {
        self.child = Some(command.spawn().unwrap());
        self.hears("READY=1");
    }

    /// Waits until something is said.
    fn hears(&mut self, wanted: &str) {
        let (began, mut buffer) = (Instant::now(), [0; 4096]);
        loop {
            let heard = self.notify.recv(&mut buffer);
            let Ok(length) = heard else { panic!("{wanted} was not said: {:?}\n{}", self.said, self.log()) };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let found = message.contains(wanted);
            self.said.push(message);
            if found {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{wanted} was not said: {:?}\n{}", self.said, self.log());
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().try_into().ok()?)).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, and tells the exit code.
    fn code(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return status.code();
            }
            assert!(began.elapsed() < DEADLINE, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn status_of(socket: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: orca\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_is_ready_watched_reloaded_and_stopped() {
    let mut service = Service::new();
    let command = service.command();
    service.start(command);
    service.hears("STATUS=manager+worker, ");
    service.hears("WATCHDOG=1");
    assert!(status_of(&service.path("run/orca.sock")).starts_with("HTTP/1.1 200 "));

    service.configure("log_level = \"debug\"\n");
    service.signal(Signal::HUP);
    service.hears("RELOADING=1\nMONOTONIC_USEC=");
    service.hears("READY=1");
    assert!(service.log().contains("taken=\"log_level\""), "{}", service.log());

    // A wrong one is refused in words, and the daemon goes on.
    service.configure("log_levl = \"debug\"\n");
    service.signal(Signal::HUP);
    service.hears("RELOADING=1");
    service.hears("READY=1");
    assert!(service.log().contains("did you mean `log_level`?"), "{}", service.log());
    assert!(status_of(&service.path("run/orca.sock")).starts_with("HTTP/1.1 200 "));

    service.signal(Signal::TERM);
    service.hears("STOPPING=1");
    assert_eq!(service.code(), Some(0), "{}", service.log());
    assert!(!service.path("run/orca.sock").exists(), "the socket goes with the daemon that bound it");
}

#[test]
fn it_takes_the_socket_that_is_handed_over() {
    let mut service = Service::new();
    let handed = service.path("handed.sock");
    let listener = UnixListener::bind(&handed).unwrap();
    let mut command = service.command();
    command
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDS_FIRST_FD", "0")
        .env("LISTEN_FDNAMES", "control")
        .stdin(Stdio::from(OwnedFd::from(listener)));
    service.start(command);
    assert!(status_of(&handed).starts_with("HTTP/1.1 200 "));
    assert!(!service.path("run/orca.sock").exists());
    service.signal(Signal::INT);
    assert_eq!(service.code(), Some(0), "{}", service.log());
    assert!(handed.exists(), "it is the service manager's");
}

#[test]
fn a_killed_daemon_leaves_a_socket_that_the_next_one_replaces() {
    let mut service = Service::new();
    let command = service.command();
    service.start(command);
    service.signal(Signal::KILL);
    assert_eq!(service.code(), None);
    assert!(service.path("run/orca.sock").exists());
    let command = service.command();
    service.start(command);
    assert!(status_of(&service.path("run/orca.sock")).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_wrong_configuration_ends_with_78_before_anything_is_opened() {
    let mut service = Service::new();
    service.configure("roles = []\n");
    service.child = Some(service.command().spawn().unwrap());
    assert_eq!(service.code(), Some(78));
    assert!(service.log().contains("line 1, column 9"), "{}", service.log());
    assert!(!service.path("state").exists() && !service.path("run").exists());
}
