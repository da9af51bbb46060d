//! What is done: one file for each command, `<noun>/<verb>.rs`.
//!
//! A command takes its arguments, asks the daemon and says what came of it. It returns the exit code, or the
//! failure that is said once, here.

use orca_api::error::exit;

use crate::cli::debug::DebugCommand;
use crate::cli::node::{NodeCommand, RoleCommand};
use crate::cli::task::TaskCommand;
use crate::cli::{Cli, Command, Output};
use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::settings::Settings;

pub mod completion;
pub mod debug;
pub mod doctor;
pub mod events;
pub mod node;
pub mod role;
pub mod status;
pub mod task;
pub mod top;
pub mod version;

/// What a command ends with.
pub type Outcome = Result<u8, Failure>;

/// Runs a command; returns the exit code.
pub async fn run(cli: Cli) -> u8 {
    match dispatch(cli).await {
        Ok(code) => code,
        Err(failure) => Printer::plain().failure(&failure),
    }
}

async fn dispatch(cli: Cli) -> Outcome {
    let settings = Settings::new(&cli.global)?;
    let client = Client::new(&settings);
    match cli.command {
        Command::Task(command) => task(&client, command).await,
        Command::Node(NodeCommand::List(args)) => node::list::run(&client, printer(args.output)).await,
        Command::Node(NodeCommand::Inspect(args)) => {
            node::inspect::run(&client, printer(args.output), &args.nodes).await
        }
        Command::Node(NodeCommand::Pause(args)) => {
            node::availability::pause(&client, printer(args.output), &args.nodes).await
        }
        Command::Node(NodeCommand::Activate(args)) => {
            node::availability::activate(&client, printer(args.output), &args.nodes).await
        }
        Command::Manager(RoleCommand::Start(args)) => {
            role::start::manager(&client, printer(args.output)).await
        }
        Command::Worker(RoleCommand::Start(args)) => role::start::worker(&client, printer(args.output)).await,
        Command::Status(args) => status::run(&client, printer(args.output)).await,
        Command::Top(args) => top::run(&client, printer(args.output), &args).await,
        Command::Doctor(args) => doctor::run(&client, printer(args.output)).await,
        Command::Events(args) => events::run(&client, printer(args.output), &args).await,
        Command::Version(args) => version::run(&client, printer(args.output)).await,
        Command::Debug(DebugCommand::Bundle(args)) => debug::bundle::run(&client, &args).await,
        Command::Completion(args) => completion::run(args.shell),
    }
}

async fn task(client: &Client, command: TaskCommand) -> Outcome {
    match command {
        TaskCommand::Start(args) => task::start::run(client, printer(args.output), &args).await,
        TaskCommand::Stop(args) => task::stop::run(client, printer(args.output), &args).await,
        TaskCommand::Restart(args) => task::restart::run(client, printer(args.output), &args).await,
        TaskCommand::Remove(args) => task::remove::run(client, printer(args.output), &args).await,
        TaskCommand::List(args) => task::list::run(client, printer(args.output), &args.filter).await,
        TaskCommand::Inspect(args) => task::inspect::run(client, printer(args.output), &args.names).await,
        TaskCommand::Explain(args) => task::explain::run(client, printer(args.output), &args).await,
        TaskCommand::Logs(args) => task::logs::run(client, &args).await,
        TaskCommand::Exec(args) => task::exec::run(client, &args).await,
        TaskCommand::Wait(args) => task::wait::run(client, printer(args.output), &args).await,
        TaskCommand::Stats(args) => task::stats::run(client, printer(args.output), &args.names).await,
    }
}

fn printer(output: Output) -> Printer {
    Printer::new(output)
}

/// What came of several objects: those that went well, and the exit code of the first that did not.
#[derive(Debug)]
struct Each<T> {
    done: Vec<T>,
    code: u8,
}

impl<T> Default for Each<T> {
    fn default() -> Self {
        Self { done: Vec::new(), code: exit::OK }
    }
}

impl<T> Each<T> {
    /// Takes the outcome of one object; a failure is said at once, and the others go on.
    fn take(&mut self, printer: &Printer, outcome: Result<T, Failure>) {
        match outcome {
            Ok(done) => self.done.push(done),
            Err(failure) => {
                let code = printer.failure(&failure);
                if self.code == exit::OK {
                    self.code = code;
                }
            }
        }
    }
}
