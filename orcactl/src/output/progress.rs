//! What is seen while one waits: a line that moves on a terminal; elsewhere one line a change of a task.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orca_api::control::TaskView;
use orca_api::task::Reason;

use unicode_width::UnicodeWidthStr as _;

use super::printer::Printer;
use super::{table, words};
use crate::terminal;

/// What is shown of one task while one waits for it.
#[derive(Debug)]
pub struct Board {
    printer: Printer,
    bar: Option<ProgressBar>,
    said: String,
    steps: Steps,
}

/// How the line on a terminal looks at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    Words,
    Bytes,
}

impl Board {
    /// With nothing on it. Nothing is drawn before the first [`Self::show`].
    pub fn new(printer: Printer) -> Self {
        let bar = printer.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(Steps::Words));
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
            bar
        });
        Self { printer, bar, said: String::new(), steps: Steps::Words }
    }

    /// Shows a task as it is now.
    pub fn show(&mut self, task: &TaskView) {
        let text = line(task);
        let Some(bar) = &self.bar else {
            if text != self.said {
                self.printer.note(&text);
                self.said = text;
            }
            return;
        };
        let bytes = task.progress.as_ref().filter(|p| p.total > 0);
        let steps = if bytes.is_some() { Steps::Bytes } else { Steps::Words };
        if steps != self.steps {
            bar.set_style(style(steps));
            self.steps = steps;
        }
        if let Some(progress) = bytes {
            bar.set_length(progress.total);
            bar.set_position(progress.done.min(progress.total));
        }
        bar.set_message(text.clone());
        self.said = text;
    }

    /// Leaves only what was last said.
    pub fn close(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.printer.note(&self.said);
        }
    }

    /// Says something that stays.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.note(text)),
            None => self.printer.note(text),
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Several lines that move, on a terminal; nothing elsewhere.
#[derive(Debug)]
pub struct Lines(Option<ProgressBar>);

impl Lines {
    /// With nothing on it.
    pub fn new(printer: &Printer) -> Self {
        Self(printer.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant; the fallback only shows less.
            bar.set_style(
                ProgressStyle::with_template("{spinner} {elapsed}\n{msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
            bar
        }))
    }

    /// Whether there is a terminal to move them on.
    pub fn is_live(&self) -> bool {
        self.0.is_some()
    }

    /// Shows the lines as they are now, as many as the terminal has room for.
    pub fn show(&self, lines: &[String]) {
        let Some(bar) = &self.0 else { return };
        let (columns, rows) = terminal::size(std::io::stderr()).unwrap_or((80, 24));
        let room = usize::from(rows).saturating_sub(4).max(1);
        let mut text: Vec<String> = lines
            .iter()
            .take(room)
            .map(|line| {
                let plain = anstream::adapter::strip_str(line).to_string();
                let width = usize::from(columns).saturating_sub(3);
                // A line that is too long would wrap, and the lines below would not be taken away again.
                if plain.width() > width { table::cut(&plain, width).into_owned() } else { line.clone() }
            })
            .map(|line| format!("  {line}"))
            .collect();
        if lines.len() > room {
            text.push(format!("  … and {} more", lines.len() - room));
        }
        bar.set_message(text.join("\n"));
    }

    /// Says something that stays.
    pub fn note(&self, printer: &Printer, text: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| printer.note(text)),
            None => printer.note(text),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// What is being done by a command that takes a while; seen on a terminal only.
#[derive(Debug)]
pub struct Activity(Option<ProgressBar>);

impl Activity {
    /// With nothing said yet.
    pub fn new(printer: &Printer) -> Self {
        Self(printer.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(Steps::Words));
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
            bar
        }))
    }

    /// Says what is being done.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(words::plain(text));
        }
    }

    /// Says something that stays.
    pub fn note(&self, printer: &Printer, text: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| printer.note(text)),
            None => printer.note(text),
        }
    }

    /// Takes the line away.
    pub fn close(self) {}
}

impl Drop for Activity {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn style(steps: Steps) -> ProgressStyle {
    let template = match steps {
        Steps::Words => "{spinner} {wide_msg} {elapsed}",
        Steps::Bytes => "{spinner} {wide_msg} [{bar:20}] {binary_bytes} of {binary_total_bytes} {elapsed}",
    };
    // The templates are constants; the fallback only shows less.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}

/// What is said of a change; byte counts are left out, or each would be a change.
fn line(task: &TaskView) -> String {
    let mut text = format!("{}: {}", task.name, words::state(task));
    if let Some(progress) = &task.progress {
        text.push_str(", ");
        text.push_str(&words::plain(&progress.step));
    }
    if let Some(node) = &task.node {
        text.push_str(" on ");
        text.push_str(node.as_str());
    }
    let quiet_reasons = [None, Some(Reason::New)];
    if !task.message.is_empty() && !quiet_reasons.contains(&task.reason) {
        text.push_str(": ");
        text.push_str(&words::plain(&task.message));
    }
    text
}
