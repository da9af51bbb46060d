//! `orcactl top`: a live screen of nodes and tasks.
//!
//! ```text
//!   app.rs   what is shown: rows, sort, filter, selection; no terminal, no clock of its own
//!   draw.rs  the screen, drawn from the app alone
//!   here     the loop: keys and answers of the daemon go in, frames come out
//! ```

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use orca_api::control::{List, NodeView, TaskStats, TaskView};
use orca_api::error::exit;
use orca_api::route::Route;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde::Serialize;

use self::app::{App, Next, Press};
use super::Outcome;
use crate::cli::Format;
use crate::cli::cluster::TopArgs;
use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::Printer;

pub use self::app::Sort;

mod app;
mod draw;

/// How often a key is looked for: short enough to feel immediate.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Everything that is asked for one screen.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Picture {
    /// The nodes.
    pub(super) nodes: Vec<NodeView>,
    /// The tasks.
    pub(super) tasks: Vec<TaskView>,
    /// What they use.
    pub(super) stats: Vec<TaskStats>,
}

/// Shows the screen, or one picture of it with `--once`.
pub async fn run(client: &Client, printer: Printer, args: &TopArgs) -> Outcome {
    let (picture, now) = ask(client).await?;
    if printer.format() == Format::Json {
        printer.json(&picture)?;
        return Ok(exit::OK);
    }
    let mut app = App::new(args.sort);
    app.take(picture, now);
    if args.once || !std::io::stdout().is_terminal() {
        printer.text(&draw::text(&app, printer.columns().unwrap_or(120)))?;
        return Ok(exit::OK);
    }
    let mut terminal = ratatui::try_init()
        .map_err(|error| Failure::new("the terminal cannot be used").because(error.to_string()))?;
    let result = live(client, &mut terminal, &mut app, args.interval.std()).await;
    ratatui::restore();
    result.map(|()| exit::OK)
}

async fn live(
    client: &Client,
    terminal: &mut ratatui::DefaultTerminal,
    app: &mut App,
    interval: Duration,
) -> Result<(), Failure> {
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| draw::screen(frame, app))?;
        let waited = tokio::task::spawn_blocking(|| {
            event::poll(KEY_WAIT).and_then(|some| if some { event::read().map(Some) } else { Ok(None) })
        });
        let read = waited
            .await
            .map_err(|error| Failure::new("the keyboard cannot be read").because(error.to_string()))??;
        if let Some(Event::Key(key)) = read
            && key.kind != KeyEventKind::Release
        {
            let press = match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Press::Quit,
                KeyCode::Char(c) => Press::Char(c),
                KeyCode::Backspace => Press::Backspace,
                KeyCode::Enter => Press::Enter,
                KeyCode::Esc => Press::Escape,
                KeyCode::Up => Press::Up(1),
                KeyCode::Down => Press::Down(1),
                KeyCode::PageUp => Press::Up(10),
                KeyCode::PageDown => Press::Down(10),
                KeyCode::Home => Press::Up(usize::MAX),
                KeyCode::End => Press::Down(usize::MAX),
                _ => continue,
            };
            match app.press(press) {
                Next::Quit => return Ok(()),
                Next::Refresh => asked = Instant::now().checked_sub(interval).unwrap_or(asked),
                Next::Draw => {}
            }
        }
        if asked.elapsed() >= interval {
            asked = Instant::now();
            match ask(client).await {
                Ok((picture, now)) => app.take(picture, now),
                // A restart of the daemon takes a moment: the old picture stays, and says so.
                Err(failure) => app.lost(failure.message),
            }
        }
    }
}

async fn ask(client: &Client) -> Result<(Picture, orca_api::units::Time), Failure> {
    let tasks = client.call(Route::TaskList).answer::<List<TaskView>>().await?;
    let nodes = client.call(Route::NodeList).answer::<List<NodeView>>().await?;
    let stats = client.call(Route::Stats).answer::<List<TaskStats>>().await?;
    Ok((Picture { nodes: nodes.body.items, tasks: tasks.body.items, stats: stats.body.items }, tasks.now))
}
