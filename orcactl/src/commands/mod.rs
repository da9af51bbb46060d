//! What is done: one file for each command, `<noun>/<verb>.rs`.
//!
//! A command takes its arguments, asks the daemon and says what came of it. It returns the exit code, or the
//! failure that is said once, here.

use orca_api::error::exit;

use crate::cli::cluster::{CaCommand, ClusterCommand};
use crate::cli::debug::DebugCommand;
use crate::cli::job::{JobCommand, RolloutCommand};
use crate::cli::node::{ManagerCommand, NodeCommand, WorkerCommand};
use crate::cli::task::TaskCommand;
use crate::cli::{Cli, Command, Output};
use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::settings::Settings;

pub mod cluster;
pub mod completion;
pub mod context;
pub mod debug;
pub mod doctor;
pub mod events;
pub mod job;
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
    // Contexts are files: one that is broken must not keep its own commands from running.
    if let Command::Context(command) = cli.command {
        return context::run(command);
    }
    if let Command::Completion(args) = cli.command {
        return completion::run(args.shell);
    }
    let settings = Settings::new(&cli.global)?;
    let here = || settings.here().and_then(|settings| Client::new(&settings));
    let client = Client::new(&settings)?;
    match cli.command {
        Command::Task(command) => task(&client, command).await,
        Command::Job(command) => job(&client, command).await,
        Command::Node(command) => node(&client, command).await,
        Command::Manager(command) => manager(&here()?, command).await,
        Command::Worker(command) => worker(&here()?, command).await,
        Command::Cluster(command) => cluster(&client, command).await,
        Command::Status(args) => status::run(&client, printer(args.output)).await,
        Command::Top(args) => top::run(&client, printer(args.output), &args).await,
        Command::Doctor(args) => doctor::run(&here()?, printer(args.output)).await,
        Command::Events(args) => events::run(&client, printer(args.output), &args).await,
        Command::Version(args) => version::run(&client, printer(args.output)).await,
        Command::Debug(DebugCommand::Bundle(args)) => debug::bundle::run(&here()?, &args).await,
        Command::Context(_) | Command::Completion(_) => Ok(exit::OK),
    }
}

async fn job(client: &Client, command: JobCommand) -> Outcome {
    match command {
        JobCommand::Init(args) => job::init::run(&args.file),
        JobCommand::Schema => job::schema::run(),
        JobCommand::Plan(args) => job::plan::run(client, printer(args.output), &args).await,
        JobCommand::Run(args) => job::run::run(client, printer(args.output), &args).await,
        JobCommand::List(args) => job::list::run(client, printer(args.output)).await,
        JobCommand::Inspect(args) => job::inspect::run(client, printer(args.output), &args.names).await,
        JobCommand::Explain(args) => job::explain::run(client, printer(args.output), &args.name).await,
        JobCommand::Scale(args) => job::act::scale(client, printer(args.output), &args).await,
        JobCommand::Stop(args) => job::act::stop(client, printer(args.output), &args).await,
        JobCommand::Start(args) => job::act::start(client, printer(args.output), &args).await,
        JobCommand::Restart(args) => job::act::restart(client, printer(args.output), &args).await,
        JobCommand::Remove(args) => job::remove::run(client, printer(args.output), &args).await,
        JobCommand::History(args) => job::history::run(client, printer(args.output), &args.name).await,
        JobCommand::Rollback(args) => job::act::rollback(client, printer(args.output), &args).await,
        JobCommand::Rollout(command) => rollout(client, command).await,
        JobCommand::Wait(args) => job::wait::run(client, printer(args.output), &args).await,
        JobCommand::Logs(args) => job::logs::run(client, &args).await,
        JobCommand::Exec(args) => job::exec::run(client, &args).await,
    }
}

async fn rollout(client: &Client, command: RolloutCommand) -> Outcome {
    match command {
        RolloutCommand::Status(args) => job::rollout::status(client, printer(args.output), &args.name).await,
        RolloutCommand::Pause(args) => job::rollout::pause(client, printer(args.output), &args.name).await,
        RolloutCommand::Resume(args) => job::rollout::resume(client, printer(args.output), &args).await,
        RolloutCommand::Abort(args) => job::rollout::abort(client, printer(args.output), &args).await,
    }
}

async fn node(client: &Client, command: NodeCommand) -> Outcome {
    match command {
        NodeCommand::List(args) => node::list::run(client, printer(args.output)).await,
        NodeCommand::Inspect(args) => node::inspect::run(client, printer(args.output), &args.nodes).await,
        NodeCommand::Token(args) => node::token::run(client, args).await,
        NodeCommand::Drain(args) => node::drain::run(client, printer(args.output), &args).await,
        NodeCommand::Pause(args) => {
            node::availability::pause(client, printer(args.output), &args.nodes).await
        }
        NodeCommand::Activate(args) => {
            node::availability::activate(client, printer(args.output), &args.nodes).await
        }
        NodeCommand::Label(args) => node::label::run(client, printer(args.output), &args).await,
        NodeCommand::Remove(args) => node::remove::run(client, printer(args.output), &args).await,
        NodeCommand::ConfirmDown(args) => {
            node::availability::confirm_down(client, printer(args.output), &args.nodes).await
        }
    }
}

async fn manager(client: &Client, command: ManagerCommand) -> Outcome {
    match command {
        ManagerCommand::Start(args) => role::manager::start(client, printer(args.output), &args).await,
        ManagerCommand::Stop(args) => role::manager::stop(client, printer(args.output), &args).await,
    }
}

async fn worker(client: &Client, command: WorkerCommand) -> Outcome {
    match command {
        WorkerCommand::Start(args) => role::worker::start(client, printer(args.output), &args).await,
        WorkerCommand::Stop(args) => role::worker::stop(client, printer(args.output), &args).await,
        WorkerCommand::Leave(args) => role::leave::run(client, printer(args.output), &args).await,
    }
}

async fn cluster(client: &Client, command: ClusterCommand) -> Outcome {
    match command {
        ClusterCommand::Inspect(args) => cluster::inspect::run(client, printer(args.output)).await,
        ClusterCommand::Set(args) => cluster::set::run(client, printer(args.output), &args.settings).await,
        ClusterCommand::AdminCert(args) => cluster::certificate::run(client, args).await,
        ClusterCommand::Ca(CaCommand::Rotate(args)) => {
            cluster::ca::rotate(client, printer(args.output), &args).await
        }
    }
}

async fn task(client: &Client, command: TaskCommand) -> Outcome {
    match command {
        TaskCommand::Start(args) => task::start::run(client, printer(args.output), &args).await,
        TaskCommand::Stop(args) => task::stop::run(client, printer(args.output), &args).await,
        TaskCommand::Restart(args) => task::restart::run(client, printer(args.output), &args).await,
        TaskCommand::Remove(args) => task::remove::run(client, printer(args.output), &args).await,
        TaskCommand::List(args) => task::list::run(client, printer(args.output), &args).await,
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
