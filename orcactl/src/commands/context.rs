//! `orcactl context …`: which cluster is worked on. Only files of this user are read and written; nobody is asked.

use orca_api::error::exit;
use orca_api::name::Name;
use orca_api::units::Time;
use serde::Serialize;

use super::{Each, Outcome};
use crate::cli::Format;
use crate::cli::cluster::{ContextAddArgs, ContextCommand};
use crate::output::error::Failure;
use crate::output::printer::{BAD, Printer};
use crate::output::table::{Cell, Table};
use crate::output::words;
use crate::settings::context::{self, Context, LOCAL};

/// What is shown of a context: all but the key.
#[derive(Debug, Serialize)]
struct View {
    name: String,
    current: bool,
    /// Absent for `local`, and where the file cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Shown>,
    /// Why the file cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Shown {
    cluster: orca_api::id::ClusterId,
    holder: Name,
    role: orca_api::join::CertRole,
    certificate: orca_api::id::CertificateId,
    expires_at: Time,
    addresses: Vec<String>,
}

impl From<Context> for Shown {
    fn from(context: Context) -> Self {
        Self {
            cluster: context.cluster,
            holder: context.name,
            role: context.role,
            certificate: context.id,
            expires_at: context.expires_at,
            addresses: context.addresses,
        }
    }
}

/// Does what the command says.
pub fn run(command: ContextCommand) -> Outcome {
    match command {
        ContextCommand::List(args) => list(Printer::new(args.output)),
        ContextCommand::Add(args) => add(&args),
        ContextCommand::Use(args) => {
            context::set_current(&args.name)?;
            let printer = Printer::plain();
            printer.line(&args.name)?;
            printer.note(match args.name.as_str() {
                LOCAL => "orcactl asks the daemon of this machine from now on".to_owned(),
                name => format!("orcactl works on {name} from now on; orcactl context use local ends that"),
            });
            Ok(exit::OK)
        }
        ContextCommand::Show(args) => show(Printer::new(args.output), args.name),
        ContextCommand::Remove(args) => {
            let printer = Printer::plain();
            let mut each = Each::default();
            for name in &args.names {
                each.take(&printer, context::remove(name).map(|()| name));
            }
            each.done.iter().try_for_each(|name| printer.line(name))?;
            Ok(each.code)
        }
    }
}

fn add(args: &ContextAddArgs) -> Outcome {
    let context = context::read(&args.file)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
            stem.parse().map_err(|_| {
                Failure::usage(format!("`{stem}` cannot be the name of a context"))
                    .hint("--name NAME gives it one")
            })?
        }
    };
    let path = context::store(&name, &context, args.force)?;
    let printer = Printer::plain();
    printer.line(&name)?;
    printer.note(format!(
        "stored in {}; {} holds the key too: remove it",
        path.display(),
        args.file.display()
    ));
    printer.note(format!(
        "orcactl --context {name} status tries it; orcactl context use {name} makes it the usual one"
    ));
    Ok(exit::OK)
}

fn view(name: &Name, current: Option<&Name>) -> View {
    let (context, problem) = match context::load(name) {
        Ok((context, _)) => (Some(Shown::from(context)), None),
        Err(failure) => (None, failure.because.into_iter().next().or(Some(failure.message))),
    };
    View { name: name.to_string(), current: current == Some(name), context, problem }
}

fn list(printer: Printer) -> Outcome {
    let current = context::current()?;
    let mut views =
        vec![View { name: LOCAL.to_owned(), current: current.is_none(), context: None, problem: None }];
    views.extend(context::names()?.iter().map(|name| view(name, current.as_ref())));
    printer.objects(&views, |view| view.name.clone(), |view| view.name.clone(), |_| table(&views))?;
    Ok(exit::OK)
}

fn table(views: &[View]) -> Table {
    let now = Time::from_ms(jiff::Timestamp::now().as_millisecond());
    let mut table = Table::new(&["CONTEXT", "CURRENT", "AS", "GOOD FOR", "ADDRESSES", "CLUSTER"]);
    for view in views {
        let mut row = vec![Cell::from(&view.name), Cell::from(if view.current { "yes" } else { "" })];
        match (&view.context, &view.problem) {
            (Some(context), _) => row.extend([
                Cell::from(format!("{} ({})", context.holder, context.role)),
                if context.expires_at > now {
                    Cell::from(words::short(context.expires_at.since(now)))
                } else {
                    Cell::styled("expired", BAD)
                },
                Cell::from(context.addresses.join(", ")),
                Cell::from(context.cluster),
            ]),
            (None, Some(problem)) => {
                row.extend([Cell::from(""), Cell::from(""), Cell::styled(problem, BAD), Cell::from("")]);
            }
            (None, None) => row.extend([
                Cell::from(""),
                Cell::from(""),
                Cell::from("the socket of this machine"),
                Cell::from(""),
            ]),
        }
        table.row(row);
    }
    table
}

fn show(printer: Printer, name: Option<Name>) -> Outcome {
    let current = context::current()?;
    let Some(name) = name.or_else(|| current.clone()).filter(|name| name.as_str() != LOCAL) else {
        let view = View { name: LOCAL.to_owned(), current: current.is_none(), context: None, problem: None };
        match printer.format() {
            Format::Json => printer.json(&view)?,
            _ => printer.line(LOCAL)?,
        }
        printer.note("the socket of this machine");
        return Ok(exit::OK);
    };
    let (context, path) = context::load(&name)?;
    let shown = Shown::from(context);
    match printer.format() {
        Format::Json => {
            let current = current.as_ref() == Some(&name);
            printer.json(&View { name: name.to_string(), current, context: Some(shown), problem: None })?;
        }
        _ if printer.is_quiet() => printer.line(&name)?,
        Format::Name => printer.line(&name)?,
        Format::Table | Format::Wide => {
            printer.line(&name)?;
            let row = |head: &str, text: String| printer.line(format!("  {head:<13}{text}"));
            let now = Time::from_ms(jiff::Timestamp::now().as_millisecond());
            row("file", path.display().to_string())?;
            row("cluster", shown.cluster.to_string())?;
            row("as", format!("{} ({})", shown.holder, shown.role))?;
            row(
                "certificate",
                format!("{}, good until {}", shown.certificate, words::moment(shown.expires_at, now)),
            )?;
            row("addresses", shown.addresses.join(", "))?;
        }
    }
    Ok(exit::OK)
}
