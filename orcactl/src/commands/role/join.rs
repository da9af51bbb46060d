//! A machine becomes a worker of another cluster, and one sees how far that is.
//!
//! ```text
//!   POST worker {join} ─► joined ─► orcad begins anew as a worker ─► status: the link is connected ─► done
//! ```
//!
//! The manager lists a node as ready from the moment that it welcomes it, which is when the link is connected.

use std::time::Duration;

use orca_api::cluster::{LinkView, StartWorker};
use orca_api::control::{RolesView, Status};
use orca_api::error::{Code, exit};
use orca_api::join::JoinToken;
use orca_api::node::Role;
use orca_api::route::Route;
use orca_api::units::Span;
use tokio::time::Instant;

use crate::cli::Format;
use crate::cli::node::WorkerStartArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::progress::Activity;
use crate::output::words;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// With force, the tasks of the own cluster are stopped first: the longest grace of a stop, and time to join.
const FORCED: Span = Span::from_secs(6 * 60);

/// Joins, and waits until the node is ready.
pub async fn run(
    client: &Client,
    printer: Printer,
    text: String,
    token: &JoinToken,
    args: &WorkerStartArgs,
) -> Outcome {
    let began = Instant::now();
    let deadline = began + args.timeout.std();
    let mut story = Story::new(printer);
    story.tell(&format!("reaching the manager at {}", token.addresses.join(", ")));
    let request = StartWorker { join: Some(text), force: args.force };
    let patience = if args.force { args.timeout.max(FORCED) } else { args.timeout };
    let call = client.call(Route::WorkerStart).patient(patience).body(&request)?;
    let view = call.answer::<RolesView>().await.map_err(|failure| advised(failure, token))?.body;
    story.tell(&words::plain(&view.message));
    if view.changed {
        story.tell("starting over as a worker");
    }
    let status = ready(client, &mut story, deadline.max(Instant::now() + Duration::from_secs(10))).await?;
    story.tell(&format!("{} is ready", status.node_name));
    drop(story);
    match printer.format() {
        Format::Json => printer.json(&status)?,
        _ if printer.is_quiet() => printer.line(status.node)?,
        _ => printer.line(&status.node_name)?,
    }
    Ok(exit::OK)
}

/// Waits until the link is connected. While orcad begins anew its socket may not answer.
async fn ready(client: &Client, story: &mut Story, deadline: Instant) -> Result<Status, Failure> {
    let mut last: Option<LinkView> = None;
    loop {
        match client.call(Route::Status).answer::<Status>().await {
            Ok(answer) => {
                let status = answer.body;
                if let Some(link) = &status.link {
                    match link.state.as_str() {
                        "connected" => return Ok(status),
                        "refused" => {
                            let failure = match &link.problem {
                                Some(problem) => Failure::from(problem.clone()),
                                None => Failure::new("the manager refuses this node"),
                            };
                            return Err(failure.hint("orcactl status shows how it goes on"));
                        }
                        _ => {}
                    }
                    if let Some(problem) = link.problem.as_ref().filter(|_| last.as_ref() != Some(link)) {
                        story.tell(&format!("not yet: {}", words::plain(&problem.detail)));
                    }
                    last = Some(link.clone());
                } else if !status.roles.contains(&Role::Manager) {
                    return Ok(status);
                }
            }
            Err(failure) if failure.is_unreachable() => {}
            Err(failure) => return Err(failure),
        }
        if Instant::now() >= deadline {
            return Err(late(last.as_ref()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn late(link: Option<&LinkView>) -> Failure {
    let failure =
        Failure::new("this machine has joined, and is not connected to its manager yet").exit(exit::TIMEOUT);
    let failure = match link.and_then(|link| link.problem.as_ref()) {
        Some(problem) => {
            let mut failure = failure.because(words::plain(&problem.detail));
            failure.because.extend(problem.because.iter().map(|why| words::plain(why)));
            failure.hint.extend(problem.hint.iter().map(|hint| words::plain(hint)));
            failure
        }
        None => failure.because("the time is up"),
    };
    failure.hint("orcactl status shows how it goes on; journalctl -u orcad -e says more")
}

/// What can be added to a refusal by who knows the token.
fn advised(failure: Failure, token: &JoinToken) -> Failure {
    match failure.code {
        Some(Code::NoManager) if failure.hint.is_empty() => {
            let port = token.addresses.first().and_then(|address| address.rsplit_once(':'));
            let port = port.map_or("7443", |(_, port)| port);
            failure.hint(format!("on the manager, where a firewall runs: sudo ufw allow {port}/tcp"))
        }
        Some(Code::TokenSpent | Code::BadToken) if failure.hint.is_empty() => {
            failure.hint("on the manager: sudo orcactl node token makes a new one")
        }
        _ => failure,
    }
}

/// The steps: elsewhere each is a line; on a terminal the present one moves, and stays when the next one comes.
struct Story {
    printer: Printer,
    activity: Activity,
    present: Option<String>,
}

impl Story {
    fn new(printer: Printer) -> Self {
        Self { printer, activity: Activity::new(&printer), present: None }
    }

    fn tell(&mut self, text: &str) {
        if !self.printer.is_live() {
            self.printer.note(text);
            return;
        }
        self.settle();
        self.activity.say(text);
        self.present = Some(text.to_owned());
    }

    fn settle(&mut self) {
        if let Some(text) = self.present.take() {
            self.activity.note(&self.printer, &text);
        }
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.settle();
    }
}
