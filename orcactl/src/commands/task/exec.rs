//! `orcactl task exec`: a process in a running task, with this terminal as its own.
//!
//! ```text
//!   standard input, size of the window ──► pump ──► frames ──► process
//!   standard output, standard error ◄────── frames ◄──────────┘   its exit code is ours
//! ```
//!
//! With `-t` the terminal is raw: Ctrl-C and all other keys go to the process as bytes. It is restored on every
//! way out. Reading and writing are two tasks, or a process that echoes a large input would block both.

use std::collections::BTreeMap;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use orca_api::control::ExecTask;
use orca_api::error::{Problem, exit};
use orca_api::route::Route;
use orca_api::stream::{Decoder, Frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::task::ExecArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::settings::env;
use crate::terminal::{self, RawMode};

const CHUNK: usize = 16 * 1024;

/// Runs a command in a task.
pub async fn run(client: &Client, args: &ExecArgs) -> Outcome {
    let (name, command) = split(&args.name_and_command)?;
    if args.tty && args.interactive && !terminal::stdin_is_terminal() {
        return Err(Failure::usage("-t needs a terminal, and standard input is none")
            .hint("leave -t out: -i passes a pipe or a file on"));
    }
    let mut variables = BTreeMap::new();
    env::add_flags(&mut variables, &args.env, &env::of_process)?;
    let request = ExecTask {
        command: command.to_vec(),
        tty: args.tty,
        stdin: args.interactive,
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        env: variables,
        size: if args.tty { terminal::size(std::io::stdout()) } else { None },
    };
    let connection = client.call(Route::TaskExec).part(name).body(&request)?.upgrade().await?;
    let (from, to) = tokio::io::split(TokioIo::new(connection));
    let raw = if args.tty && args.interactive { Some(raw_mode()?) } else { None };
    let pump = tokio::spawn(pump(to, args.interactive, args.tty));
    let ended = tokio::select! {
        ended = receive(from) => ended,
        ended = asked_to_end() => Err(ended),
    };
    pump.abort();
    drop(raw);
    ended
}

/// The task's name and the command; a `--` between them is left out.
fn split(words: &[String]) -> Result<(&str, &[String]), Failure> {
    let missing = || Failure::usage("a command is missing").hint("orcactl task exec -it web -- sh");
    let (name, rest) = words.split_first().ok_or_else(missing)?;
    let command = match rest {
        [first, rest @ ..] if first == "--" => rest,
        rest => rest,
    };
    if command.is_empty() { Err(missing()) } else { Ok((name, command)) }
}

fn raw_mode() -> Result<RawMode, Failure> {
    RawMode::enter().map_err(|error| {
        Failure::new("the terminal cannot be prepared").because(error.to_string()).hint("leave -t out")
    })
}

/// Standard input and the window's size, as frames.
async fn pump(mut to: WriteHalf<TokioIo<Upgraded>>, stdin: bool, tty: bool) -> std::io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut input = tokio::io::stdin();
    let mut open = stdin;
    let mut buffer = vec![0; CHUNK];
    loop {
        let frame = tokio::select! {
            read = input.read(&mut buffer), if open => {
                let bytes = buffer.get(..read?).unwrap_or_default().to_vec();
                open = !bytes.is_empty();
                Frame::Stdin(bytes)
            }
            Some(()) = resized.recv(), if tty => match terminal::size(std::io::stdout()) {
                Some((columns, rows)) => Frame::Resize { columns, rows },
                None => continue,
            },
            else => return Ok(()),
        };
        to.write_all(&frame.encode()).await?;
        to.flush().await?;
    }
}

/// The process's output, until it ends.
async fn receive(mut from: ReadHalf<TokioIo<Upgraded>>) -> Outcome {
    let printer = Printer::plain();
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; CHUNK];
    let broken = |why: String| {
        Failure::new("the connection to the process broke").exit(exit::UNREACHABLE).because(why)
    };
    loop {
        let read = from.read(&mut buffer).await.map_err(|error| broken(error.to_string()))?;
        if read == 0 {
            return Err(broken("it ended without an exit code".to_owned()));
        }
        decoder.push(&buffer[..read]);
        while let Some(frame) = decoder.next_frame().map_err(|error| broken(error.to_string()))? {
            match frame {
                Frame::Stdout(bytes) => printer.bytes(&bytes)?,
                Frame::Stderr(bytes) => printer.error_bytes(&bytes)?,
                Frame::Exit(code) => return Ok(u8::try_from(code).unwrap_or(exit::FAILED)),
                Frame::Error(bytes) => {
                    return Err(match serde_json::from_slice::<Problem>(&bytes) {
                        Ok(problem) => Failure::from(problem),
                        Err(_) => broken(String::from_utf8_lossy(&bytes).into_owned()),
                    });
                }
                Frame::Stdin(_) | Frame::Resize { .. } => {}
            }
        }
    }
}

/// Waits for a signal that ends this command: the terminal is to be restored first.
async fn asked_to_end() -> Failure {
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => Failure::silent(128 + 15),
        () = wait(SignalKind::hangup()) => Failure::silent(128 + 1),
        () = wait(SignalKind::interrupt()) => Failure::silent(exit::INTERRUPTED),
    }
}
