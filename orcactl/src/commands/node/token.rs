//! `orcactl node token`: one line to paste on the machine that is to join. The line is data; what else has to be known
//! (the address and why, the firewall, until when) goes to standard error.

use std::path::PathBuf;

use orca_api::cluster::{CreateToken, TokenAnswer, TokenView};
use orca_api::control::List;
use orca_api::error::exit;
use orca_api::join::check_address;
use orca_api::node::Role;
use orca_api::route::Route;
use orca_api::units::Time;

use crate::cli::Format;
use crate::cli::node::{TokenArgs, TokenCommand, TokenRole};
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::{BOLD, Printer};
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Firewalls that are known, by their command, and what lets a port through.
const FIREWALLS: &[(&str, &str)] = &[
    ("ufw", "sudo ufw allow PORT/tcp"),
    ("firewall-cmd", "sudo firewall-cmd --permanent --add-port=PORT/tcp && sudo firewall-cmd --reload"),
    ("nft", "sudo nft insert rule inet filter input tcp dport PORT accept"),
];

/// Makes a token, or lists or revokes tokens.
pub async fn run(client: &Client, args: TokenArgs) -> Outcome {
    match args.command {
        None => create(client, Printer::new(args.output), &args).await,
        Some(TokenCommand::List(list)) => self::list(client, Printer::new(list.output)).await,
        Some(TokenCommand::Revoke(revoke)) => {
            self::revoke(client, Printer::new(revoke.output), &revoke.tokens).await
        }
    }
}

async fn create(client: &Client, printer: Printer, args: &TokenArgs) -> Outcome {
    for address in &args.address {
        check_address(address).map_err(|why| {
            Failure::usage(format!("`--address {address}`: {why}"))
                .hint("--address m1.example:7443, once for each address")
        })?;
    }
    let request = CreateToken {
        role: Some(match args.role {
            TokenRole::Worker => Role::Worker,
            TokenRole::Manager => Role::Manager,
        }),
        ttl: Some(args.ttl),
        uses: Some(args.uses),
        node: args.node.clone(),
        addresses: args.address.clone(),
    };
    let answer = client.call(Route::TokenCreate).body(&request)?.answer::<TokenAnswer>().await?;
    let (made, now) = (answer.body, answer.now);
    if printer.format() == Format::Json {
        printer.json(&made)?;
        return Ok(exit::OK);
    }
    if printer.is_quiet() || printer.format() == Format::Name {
        printer.line(words::plain(&made.text))?;
        return Ok(exit::OK);
    }
    printer.line(format!("sudo orcactl worker start --join {}", words::plain(&made.text)))?;
    about(&printer, &made, now, client.is_remote());
    Ok(exit::OK)
}

fn about(printer: &Printer, made: &TokenAnswer, now: Time, remote: bool) {
    let note = |head: &str, text: String| printer.note(format!("{BOLD}{head:<10}{BOLD:#}{text}"));
    let machines = match (&made.token.node, made.token.uses_left) {
        (Some(node), _) => format!("the machine {node}"),
        (None, uses) => words::count(u64::from(uses), "machine"),
    };
    note("good for", format!("{machines}, until {}", words::moment(made.token.expires_at, now)));
    let addresses = made.addresses.iter().map(|a| words::plain(a)).collect::<Vec<_>>().join(", ");
    note("address", format!("{addresses}: {}", words::plain(&made.why)));
    let port = made.addresses.first().and_then(|a| a.rsplit_once(':')).map_or("7443", |(_, port)| port);
    let opened = if made.opened { "is open since now" } else { "was open already" };
    note("port", format!("{port}/tcp {opened}; machines connect to it, and nothing connects to them"));
    let here = if remote { Vec::new() } else { firewalls() };
    match here.as_slice() {
        [] => note("firewall", format!("whatever stands before this manager must let {port}/tcp through")),
        lines => {
            for (i, line) in lines.iter().enumerate() {
                let line = line.replace("PORT", &words::plain(port));
                note(
                    if i == 0 { "firewall" } else { "" },
                    if i == 0 { format!("where it is closed: {line}") } else { format!("or: {line}") },
                );
            }
        }
    }
}

/// What to type for the firewalls whose commands are on this machine.
fn firewalls() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let there = |command: &str| folders.iter().any(|folder| folder.join(command).is_file());
    FIREWALLS.iter().filter(|(command, _)| there(command)).map(|(_, line)| *line).collect()
}

async fn list(client: &Client, printer: Printer) -> Outcome {
    let answer = client.call(Route::TokenList).answer::<List<TokenView>>().await?;
    let tokens = answer.body.items;
    printer.objects(
        &tokens,
        |token| token.id.to_string(),
        |token| token.id.to_string(),
        |_| table(&tokens, answer.now),
    )?;
    if tokens.is_empty() {
        printer.note("no token is good at present: orcactl node token makes one");
    }
    Ok(exit::OK)
}

fn table(tokens: &[TokenView], now: Time) -> Table {
    let mut table = Table::new(&["ID", "ROLE", "FOR", ">USES LEFT", "GOOD FOR", "MADE", "BY"]);
    for token in tokens {
        table.row(vec![
            Cell::from(token.id),
            Cell::from(token.role),
            Cell::from(token.node.as_ref().map_or("any machine", |node| node.as_str())),
            Cell::from(token.uses_left),
            Cell::from(words::short(token.expires_at.since(now))),
            Cell::from(words::ago(token.created_at, now)),
            Cell::from(&token.by),
        ]);
    }
    table
}

async fn revoke(client: &Client, printer: Printer, ids: &[String]) -> Outcome {
    let mut each = Each::default();
    for id in ids {
        let asked = client.call(Route::TokenRevoke).part(id).answer::<TokenView>().await;
        each.take(&printer, asked.map(|answer| answer.body));
    }
    if printer.format() == Format::Json {
        printer.json_named(&each.done, ids.len())?;
    } else {
        for token in &each.done {
            printer.line(token.id)?;
            printer.note("nobody joins with it any more; machines that have joined stay");
        }
    }
    Ok(each.code)
}
