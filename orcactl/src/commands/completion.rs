//! Completion of command lines, with the names that exist now.
//!
//! The script that `orcactl completion SHELL` prints calls `orcactl` back with `COMPLETE=SHELL`; it asks the
//! daemon for names, and offers none where it does not answer at once. Everything that knows the unstable part
//! of clap_complete is in this file.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh};
use orca_api::cluster::{CertificateView, TokenView};
use orca_api::control::{List, NodeView, TaskView};
use orca_api::error::exit;
use orca_api::job::view::JobView;
use orca_api::route::Route;
use orca_api::units::Span;
use serde::de::DeserializeOwned;

use super::Outcome;
use crate::cli::cluster::Shell;
use crate::cli::{self, Color, Global, Typed};
use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::settings::{Settings, context};

/// The variable by which a shell asks.
const VARIABLE: &str = "COMPLETE";
/// Whoever presses Tab waits no longer.
const PATIENCE: Duration = Duration::from_millis(300);

/// Prints the script for a shell.
pub fn run(shell: Shell) -> Outcome {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "orcactl", "orcactl", "orcactl", &mut script)
        .map_err(|error| Failure::new("the completion script cannot be made").because(error.to_string()))?;
    Printer::plain().text(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

/// Answers a shell that asks for completions, and ends the process; does nothing otherwise.
pub fn answer_shell() {
    CompleteEnv::with_factory(cli::command).var(VARIABLE).complete();
}

/// Names of tasks.
pub fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    let list: Option<List<TaskView>> = ask(Route::TaskList);
    let items = list.into_iter().flat_map(|list| list.items).map(|task| {
        let help = format!("{}, {}", task.state, task.image);
        (task.name.to_string(), help)
    });
    candidates(current, items)
}

/// Names of jobs.
pub fn jobs(current: &OsStr) -> Vec<CompletionCandidate> {
    let list: Option<List<JobView>> = ask(Route::JobList);
    let items = list
        .into_iter()
        .flat_map(|list| list.items)
        .map(|job| (job.name.to_string(), format!("{}, {}", job.kind, job.state)));
    candidates(current, items)
}

/// Names of nodes.
pub fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let list: Option<List<NodeView>> = ask(Route::NodeList);
    let items = list
        .into_iter()
        .flat_map(|list| list.items)
        .map(|node| (node.name.to_string(), node.state.to_string()));
    candidates(current, items)
}

/// Ids of join tokens.
pub fn tokens(current: &OsStr) -> Vec<CompletionCandidate> {
    let list: Option<List<TokenView>> = ask(Route::TokenList);
    let items = list
        .into_iter()
        .flat_map(|list| list.items)
        .map(|token| (token.id.to_string(), format!("{}, until {}", token.role, token.expires_at)));
    candidates(current, items)
}

/// Ids of certificates of people.
pub fn certificates(current: &OsStr) -> Vec<CompletionCandidate> {
    let list: Option<List<CertificateView>> = ask(Route::CertificateList);
    let items = list.into_iter().flat_map(|list| list.items).map(|certificate| {
        (certificate.id.to_string(), format!("{}, {}", certificate.name, certificate.role))
    });
    candidates(current, items)
}

/// Settings of the cluster, with the `=` after them.
pub fn settings(current: &OsStr) -> Vec<CompletionCandidate> {
    let items = super::cluster::set::KEYS.iter().map(|(key, help)| (format!("{key}="), (*help).to_owned()));
    candidates(current, items)
}

/// Names of contexts.
pub fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = context::names().unwrap_or_default().into_iter();
    let items = names.map(|name| (name.to_string(), String::new()));
    let local = (context::LOCAL.to_owned(), "the socket of this machine".to_owned());
    candidates(current, std::iter::once(local).chain(items))
}

fn candidates(current: &OsStr, items: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    items
        .filter(|(name, _)| name.starts_with(current.as_ref()))
        .map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into())))
        .collect()
}

fn ask<T: DeserializeOwned>(route: Route) -> Option<T> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let global = Global {
        socket: set("ORCA_SOCKET").map(Into::into),
        host: set("ORCA_HOST"),
        context: set("ORCA_CONTEXT"),
        typed: Typed::default(),
        answer_timeout: Span::from_ms(PATIENCE.as_millis() as u64),
        color: Color::Never,
    };
    let settings = Settings::new(&global).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let client = Client::new(&settings).ok()?;
        let asked = client.call(route).answer::<T>();
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok().map(|answer| answer.body)
    })
}
