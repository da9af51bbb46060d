//! Processes in containers.
//!
//! | command | what it does |
//! |---|---|
//! | `echo WORDS` | writes them |
//! | `warn WORDS` | writes them to its standard error |
//! | `cat` | writes what it reads, until its input ends |
//! | `exit CODE` | ends |
//! | `sleep` | goes on until its streams are closed |

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Shared;
use super::container::{Refused, Status, strings};
use super::http::{Answer, Query, refused};
use super::streams::framed;

pub(crate) struct Exec {
    command: Vec<String>,
    tty: bool,
    container: String,
    /// Its exit code, once it ended.
    code: Option<i64>,
    started: bool,
}

impl Exec {
    pub(super) fn is_running(&self) -> bool {
        self.started && self.code.is_none()
    }
}

/// Prepares one; its id.
pub(super) fn create(shared: &Shared, name: &str, body: &Value) -> Result<String, Refused> {
    shared.with(|state| {
        let container = state.find(name).ok_or_else(|| (404, format!("No such container: {name}")))?;
        match container.status {
            Status::Running => {}
            Status::Paused => {
                return Err((409, format!("Container {name} is paused, unpause the container before exec")));
            }
            Status::Created | Status::Exited => {
                return Err((409, format!("Container {} is not running", container.id)));
            }
        }
        let exec = Exec {
            command: strings(&body["Cmd"]),
            tty: body["Tty"] == true,
            container: container.id.clone(),
            code: None,
            started: false,
        };
        let id = format!("exec{}", state.next());
        state.execs.insert(id.clone(), exec);
        Ok(id)
    })
}

/// What it is.
pub(super) fn inspect(shared: &Shared, id: &str) -> Option<Value> {
    shared.look(|state| {
        let exec = state.execs.get(id)?;
        Some(json!({"ID": id, "Running": exec.is_running(), "ExitCode": exec.code, "ContainerID": exec.container}))
    })
}

/// Sets the size of its terminal.
pub(super) fn resize(shared: &Shared, id: &str, query: &Query) -> Result<(), Refused> {
    let number = |name| query.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
    let size = (number("w"), number("h"));
    shared.with(|state| {
        let exec = state.execs.get(id).ok_or_else(|| (404, format!("No such exec instance: {id}")))?;
        if !exec.started || exec.code.is_some() {
            return Err((500, "cannot resize a stopped container".to_owned()));
        }
        state.resizes.push(size);
        Ok(())
    })
}

/// Runs it over an upgraded connection.
pub(super) fn start(shared: &Arc<Shared>, id: &str, mut request: Request<Incoming>) -> Answer {
    let Some((command, tty)) = shared.look(|state| state.execs.get(id).map(|e| (e.command.clone(), e.tty)))
    else {
        return refused((404, format!("No such exec instance: {id}")));
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    tokio::spawn(async move {
        // The request's body must be read before the connection changes hands.
        let _ = request.into_body().collect().await;
        let Ok(connection) = upgraded.await else { return };
        shared.with(|state| {
            if let Some(exec) = state.execs.get_mut(&id) {
                exec.started = true;
            }
        });
        let code = run(TokioIo::new(connection), &command, tty).await;
        shared.with(|state| {
            if let Some(exec) = state.execs.get_mut(&id) {
                exec.code = Some(code);
            }
        });
    });
    hyper::Response::builder()
        .status(101)
        .header("Connection", "Upgrade")
        .header("Upgrade", "tcp")
        .body(Full::new(Bytes::new()).boxed_unsync())
        .expect("plain headers")
}

async fn run(mut connection: TokioIo<hyper::upgrade::Upgraded>, command: &[String], tty: bool) -> i64 {
    let shaped = |source: u8, bytes: &[u8]| if tty { bytes.to_vec() } else { framed(source, bytes) };
    let words = command.get(1..).unwrap_or_default().join(" ");
    let mut buffer = [0u8; 4096];
    let code = match command.first().map(String::as_str) {
        Some("echo") => i64::from(connection.write_all(&shaped(1, words.as_bytes())).await.is_err()),
        Some("warn") => i64::from(connection.write_all(&shaped(2, words.as_bytes())).await.is_err()),
        Some("cat") => loop {
            match connection.read(&mut buffer).await {
                Ok(0) => break 0,
                Err(_) => break 1,
                Ok(n) => {
                    if connection.write_all(&shaped(1, &buffer[..n])).await.is_err() {
                        break 1;
                    }
                }
            }
        },
        Some("sleep") => loop {
            if !matches!(connection.read(&mut buffer).await, Ok(n) if n > 0) {
                break 0;
            }
        },
        Some("exit") => words.parse().unwrap_or(0),
        _ => {
            let text = format!(
                "OCI runtime exec failed: exec failed: {words}: executable file not found in $PATH: unknown\r\n"
            );
            let _ = connection.write_all(&shaped(1, text.as_bytes())).await;
            127
        }
    };
    // The other side may be gone already.
    let _ = connection.shutdown().await;
    code
}
