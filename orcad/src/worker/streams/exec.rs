//! A process in a running container: its standard streams as frames, its terminal's size, its exit code.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bollard::models::ExecConfig;
use bollard::query_parameters::ResizeExecOptionsBuilder;
use futures_util::{Stream, StreamExt as _, stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use orca_api::control::ExecTask;
use orca_api::error::{Code, Problem};
use orca_api::stream::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::demux::{Demux, Source};
use super::raw;
use crate::worker::docker::{Engine, EngineError};

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;
/// How long the exit code may take after the output ended.
const EXIT_WAIT: Duration = Duration::from_secs(10);
/// How often it, and a terminal that is not there yet, are asked for.
const POLL: Duration = Duration::from_millis(20);
/// How long a first size waits for its terminal.
const RESIZE_WAIT: Duration = Duration::from_secs(2);

/// Begins a process in a container and carries its streams. The last frame is [`Frame::Exit`] or [`Frame::Error`]
/// (problem+json). When `input` ends, standard input is closed, as by an empty [`Frame::Stdin`].
pub async fn exec<I>(
    engine: &Engine,
    container: &str,
    task: ExecTask,
    input: I,
) -> impl Stream<Item = Frame> + Send + use<I>
where
    I: Stream<Item = Frame> + Send + 'static,
{
    match begin(engine, container, &task).await {
        Ok((id, connection)) => session(engine.clone(), id, connection, task, input).left_stream(),
        Err(error) => stream::iter([Frame::Error(problem(&error))]).right_stream(),
    }
}

async fn begin(engine: &Engine, container: &str, task: &ExecTask) -> Result<(String, Upgraded), EngineError> {
    let config = ExecConfig {
        attach_stdin: Some(task.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(task.tty),
        env: Some(task.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: Some(task.command.clone()),
        user: task.user.clone(),
        working_dir: task.workdir.clone(),
        ..ExecConfig::default()
    };
    let id = engine.create_exec(container, config).await?;
    let body = serde_json::json!({ "Detach": false, "Tty": task.tty }).to_string();
    let connection =
        raw::upgrade(engine, "exec", &format!("/exec/{}/start", orca_api::route::encode(&id)), body).await?;
    Ok((id, connection))
}

fn problem(error: &EngineError) -> Vec<u8> {
    let code = match error {
        // The engine's 404 is a container that is gone, 409 one that does not run.
        EngineError::Refused { status: 404 | 409, .. } => Code::NotRunning,
        EngineError::Refused { .. } => Code::EngineError,
        _ => Code::NodeAway,
    };
    serde_json::to_vec(&Problem::new(code, error.to_string())).unwrap_or_default()
}

struct Session {
    engine: Engine,
    id: String,
    output: ReadHalf<TokioIo<Upgraded>>,
    demux: Demux,
    tty: bool,
    /// Carries the input as long as there is any; polled together with the output, so that nothing outlives the session.
    input: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
}

fn session<I>(
    engine: Engine,
    id: String,
    connection: Upgraded,
    task: ExecTask,
    input: I,
) -> impl Stream<Item = Frame> + Send
where
    I: Stream<Item = Frame> + Send + 'static,
{
    let (output, writer) = tokio::io::split(TokioIo::new(connection));
    let input = carry_input(engine.clone(), id.clone(), writer, task.size.filter(|_| task.tty), input);
    let session = Session {
        engine,
        id,
        output,
        demux: Demux::default(),
        tty: task.tty,
        input: Some(Box::pin(input)),
        ended: false,
    };
    stream::unfold(
        session,
        |mut session| async move { session.next_frame().await.map(|frame| (frame, session)) },
    )
}

impl Session {
    async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if self.ended {
                return None;
            }
            match self.buffered() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(frame) => {
                    self.ended = true;
                    return Some(frame);
                }
            }
            self.demux.buffer.reserve(CHUNK);
            let read = tokio::select! {
                read = self.output.read_buf(&mut self.demux.buffer) => read,
                () = carried(&mut self.input) => { self.input = None; continue; }
            };
            if matches!(read, Ok(0) | Err(_)) {
                self.ended = true;
                self.input = None;
                return Some(exit(&self.engine, &self.id).await);
            }
        }
    }

    /// What is there already; an `Err` is the last frame.
    fn buffered(&mut self) -> Result<Option<Frame>, Frame> {
        if self.tty {
            // A terminal has one stream, and it is not framed.
            return Ok(
                (!self.demux.buffer.is_empty()).then(|| Frame::Stdout(self.demux.buffer.split().to_vec()))
            );
        }
        let damaged = |text: String| {
            Frame::Error(serde_json::to_vec(&Problem::new(Code::EngineError, text)).unwrap_or_default())
        };
        match self.demux.next_piece().map_err(|e| damaged(e.to_string()))? {
            None => Ok(None),
            Some(piece) => match piece.source {
                Source::Stdout => Ok(Some(Frame::Stdout(piece.bytes.to_vec()))),
                Source::Stderr => Ok(Some(Frame::Stderr(piece.bytes.to_vec()))),
                Source::Engine => Err(damaged(String::from_utf8_lossy(&piece.bytes).into_owned())),
            },
        }
    }
}

/// The exit code. The output may end a moment before the engine knows it.
async fn exit(engine: &Engine, id: &str) -> Frame {
    let deadline = Instant::now() + EXIT_WAIT;
    loop {
        match engine.exec_exit(id).await {
            Ok(Some(code)) => return Frame::Exit(code),
            Ok(None) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Ok(None) => {
                return Frame::Error(problem(&EngineError::Silent { call: "exec", after: EXIT_WAIT }));
            }
            Err(error) => return Frame::Error(problem(&error)),
        }
    }
}

/// Ends when the input does; without input, never.
async fn carried(input: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match input {
        Some(input) => input.await,
        None => std::future::pending().await,
    }
}

async fn carry_input(
    engine: Engine,
    id: String,
    mut writer: WriteHalf<TokioIo<Upgraded>>,
    size: Option<(u16, u16)>,
    input: impl Stream<Item = Frame> + Send,
) {
    if let Some((columns, rows)) = size {
        // The terminal exists only once the process does.
        let deadline = Instant::now() + RESIZE_WAIT;
        while resize(&engine, &id, columns, rows).await.is_err() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
    let mut input = std::pin::pin!(input);
    let mut open = true;
    while let Some(frame) = input.next().await {
        match frame {
            Frame::Stdin(bytes) if bytes.is_empty() => {
                let _ = writer.shutdown().await;
                open = false;
            }
            // A process that reads no more is no error: its exit code tells.
            Frame::Stdin(bytes) if open => {
                open = writer.write_all(&bytes).await.is_ok() && writer.flush().await.is_ok();
            }
            Frame::Resize { columns, rows } => {
                if let Err(error) = resize(&engine, &id, columns, rows).await {
                    tracing::debug!(%error, "the terminal was not resized");
                }
            }
            _ => {}
        }
    }
    if open {
        let _ = writer.shutdown().await;
    }
}

async fn resize(engine: &Engine, id: &str, columns: u16, rows: u16) -> Result<(), EngineError> {
    let options = ResizeExecOptionsBuilder::default().w(i32::from(columns)).h(i32::from(rows)).build();
    engine.resize_exec(id, options).await
}
