//! `orcactl cluster inspect`.

use orca_api::cluster::{ClusterView, RotationView};
use orca_api::error::exit;
use orca_api::name::Name;
use orca_api::route::Route;
use orca_api::units::Time;

use crate::cli::Format;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::{BOLD, Printer};
use crate::output::words;

/// Prints what holds for the cluster as such.
pub async fn run(client: &Client, printer: Printer) -> Outcome {
    let answer = client.call(Route::ClusterInspect).answer::<ClusterView>().await?;
    say(&printer, &answer.body, answer.now)?;
    Ok(exit::OK)
}

/// Says it in the form that was asked for.
pub(super) fn say(printer: &Printer, view: &ClusterView, now: Time) -> Result<(), Failure> {
    match printer.format() {
        Format::Json => printer.json(view),
        _ if printer.is_quiet() => printer.line(view.id),
        Format::Name => printer.line(view.id),
        Format::Table | Format::Wide => show(printer, view, now),
    }
}

fn show(printer: &Printer, view: &ClusterView, now: Time) -> Result<(), Failure> {
    printer.line(format!("{BOLD}cluster {}{BOLD:#}", view.id))?;
    let row = |head: &str, text: String| printer.line(format!("  {head:<17}{text}"));
    row("made", words::moment(view.created_at, now))?;
    let listen = match &view.listen {
        Some(listen) => words::plain(listen),
        None => "no: the port is closed; orcactl node token or orcactl manager start opens it".to_owned(),
    };
    row("listens", listen)?;
    if !view.addresses.is_empty() {
        row("addresses", words::plain(&view.addresses.join(", ")))?;
    }
    row("scheduler", view.scheduler.as_str().to_owned())?;
    row("node_grace", view.node_grace.to_string())?;
    row("agent_grace", view.agent_grace.to_string())?;
    row("certificate_ttl", view.certificate_ttl.to_string())?;
    if let Some(expires) = view.ca.expires_at {
        row("ca", format!("good until {}", words::moment(expires, now)))?;
    }
    row("ca digest", words::plain(&view.ca.digest))?;
    if let Some(rotation) = &view.ca.rotation {
        row("ca rotation", rotation_words(rotation, now))?;
    }
    row("revision", format!("{} (epoch {})", view.revision, view.epoch))
}

/// How far a rotation is: `since 3m: 2 nodes renewed, waiting for n3`.
pub(super) fn rotation_words(rotation: &RotationView, now: Time) -> String {
    let waiting: Vec<&str> = rotation.waiting.iter().take(5).map(Name::as_str).collect();
    let more = rotation.waiting.len().saturating_sub(waiting.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let waiting = if waiting.is_empty() {
        String::new()
    } else {
        format!(", waiting for {}{more}", waiting.join(", "))
    };
    let people = if rotation.people.is_empty() {
        String::new()
    } else {
        let mut names: Vec<&str> = rotation.people.iter().map(Name::as_str).collect();
        names.dedup();
        let more = names.len().saturating_sub(5);
        names.truncate(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "; the former CA stays trusted for {} of people ({}{more})",
            words::count(rotation.people.len() as u64, "certificate"),
            names.join(", ")
        )
    };
    format!(
        "since {}: {} renewed{waiting}{people}",
        words::age(rotation.since, now),
        words::count(u64::from(rotation.renewed), "node")
    )
}
