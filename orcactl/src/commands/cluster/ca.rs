//! `orcactl cluster ca rotate`: a new CA, and a new certificate for each node. No task is touched.

use std::time::Duration;

use orca_api::cluster::ClusterView;
use orca_api::error::exit;
use orca_api::route::Route;
use orca_api::units::Time;
use tokio::time::Instant;

use super::inspect;
use crate::cli::cluster::CaRotateArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::progress::Activity;
use crate::output::words;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Replaces the CA, and waits until every node is renewed.
pub async fn rotate(client: &Client, printer: Printer, args: &CaRotateArgs) -> Outcome {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout.std());
    let answer = client.call(Route::CaRotate).answer::<ClusterView>().await?;
    let (mut view, mut now) = (answer.body, answer.now);
    if !args.detach {
        (view, now) = follow(client, &printer, view, now, deadline).await?;
        printer.note("every node has a certificate of the new CA");
        if let Some(rotation) = view.ca.rotation.as_ref().filter(|rotation| !rotation.people.is_empty()) {
            printer.note(format!(
                "the former CA stays trusted for {} of people until they expire or are revoked: orcactl cluster admin-cert list",
                words::count(rotation.people.len() as u64, "certificate")
            ));
        }
    }
    inspect::say(&printer, &view, now)?;
    Ok(exit::OK)
}

async fn follow(
    client: &Client,
    printer: &Printer,
    mut view: ClusterView,
    mut now: Time,
    deadline: Option<Instant>,
) -> Result<(ClusterView, Time), Failure> {
    let activity = Activity::new(printer);
    let mut said = 0;
    while let Some(rotation) = view.ca.rotation.as_ref().filter(|rotation| !rotation.waiting.is_empty()) {
        let text = inspect::rotation_words(rotation, now);
        let left = rotation.waiting.len() + 1;
        if left != said && !printer.is_live() {
            printer.note(&text);
        }
        said = left;
        activity.say(&text);
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Failure::new("not every node has a certificate of the new CA yet")
                .exit(exit::TIMEOUT)
                .because(text)
                .hint("orcactl cluster inspect shows how it goes on")
                .hint("a node that is gone for good: orcactl node remove NAME"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        match client.call(Route::ClusterInspect).answer::<ClusterView>().await {
            Ok(answer) => (view, now) = (answer.body, answer.now),
            // The manager's own certificate is replaced too.
            Err(failure) if failure.is_unreachable() && client.is_remote() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok((view, now))
}
