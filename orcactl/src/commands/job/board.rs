//! What is seen of a job while one waits: on a terminal a block of lines that is drawn anew in place; elsewhere one
//! line a change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use orca_api::control::TaskView;
use orca_api::job::view::JobDetail;
use orca_api::task::{Phase, Reason, State};

use super::follow::Trouble;
use super::{list, rollout};
use crate::output::printer::{BOLD, DIM, Printer};
use crate::output::progress::Lines;
use crate::output::words;

/// Lines of a task that fails, under it.
const LINES: usize = 3;

/// What is shown of a job.
#[derive(Debug)]
pub struct Board {
    printer: Printer,
    lines: Lines,
    /// What was said of the job and of each task last; elsewhere than on a terminal.
    said: BTreeMap<String, String>,
}

impl Board {
    /// With nothing on it.
    pub fn new(printer: Printer) -> Self {
        Self { printer, lines: Lines::new(&printer), said: BTreeMap::new() }
    }

    /// Shows a job as it is now.
    pub fn show(&mut self, detail: &JobDetail, troubles: &BTreeMap<String, Trouble>) {
        if self.lines.is_live() {
            self.lines.show(&block(detail, troubles));
            return;
        }
        for task in &detail.tasks {
            let text = line(task);
            if self.said.get(task.name.as_str()) == Some(&text) {
                continue;
            }
            self.printer.note(&text);
            let last =
                troubles.get(task.name.as_str()).filter(|trouble| trouble.task.attempts == task.attempts);
            for line in last.filter(|_| is_trouble(task)).map(last_lines).unwrap_or_default() {
                self.printer.note(format!("  | {line}"));
            }
            self.said.insert(task.name.to_string(), text);
        }
        let there = |name: &str| detail.tasks.iter().any(|task| task.name.as_str() == name);
        let gone: Vec<String> =
            self.said.keys().filter(|name| !name.is_empty() && !there(name)).cloned().collect();
        for name in gone {
            self.printer.note(format!("{name}: gone"));
            self.said.remove(&name);
        }
        let head = plain_head(detail);
        if self.said.get("") != Some(&head) {
            self.printer.note(&head);
            self.said.insert(String::new(), head);
        }
    }

    /// Leaves only what was last said of the job as a whole.
    pub fn close(self, detail: &JobDetail) {
        if self.lines.is_live() {
            let Self { printer, lines, .. } = self;
            drop(lines);
            printer.note(head(detail));
        }
    }

    /// Says something that stays.
    pub fn note(&self, text: &str) {
        self.lines.note(&self.printer, text);
    }
}

/// The job, and its tasks below it: first what fails, then what is on its way, then what is done.
fn block(detail: &JobDetail, troubles: &BTreeMap<String, Trouble>) -> Vec<String> {
    let mut tasks: Vec<&TaskView> = detail.tasks.iter().collect();
    tasks.sort_by_key(|task| concern(task));
    let width = tasks.iter().map(|task| task.name.as_str().len()).max().unwrap_or(0);
    let mut lines = vec![head(detail)];
    for task in tasks {
        let style = words::state_style(task);
        let state = words::state(task);
        let mut text = format!("{:width$}  {style}{state}{style:#}{}", task.name.as_str(), place(task));
        if let Some(progress) = &task.progress {
            let _ = write!(text, ": {}", words::progress(progress));
        } else if !task.message.is_empty() && is_trouble(task) {
            let _ = write!(text, ": {}", words::plain(&task.message));
        }
        lines.push(text);
        if is_trouble(task)
            && let Some(trouble) = troubles.get(task.name.as_str())
        {
            let last = last_lines(trouble);
            lines.extend(last.iter().map(|line| format!("{:width$}  {DIM}| {line}{DIM:#}", "")));
        }
    }
    lines
}

/// The last lines of a task that fails.
fn last_lines(trouble: &Trouble) -> Vec<String> {
    let skip = trouble.lines.len().saturating_sub(LINES);
    trouble.lines[skip..].iter().map(|line| words::plain(line)).collect()
}

/// 0 fails, 1 is on its way, 2 is done.
fn concern(task: &TaskView) -> u8 {
    match task.state {
        _ if is_trouble(task) => 0,
        State::Running | State::Completed | State::Stopped => 2,
        _ => 1,
    }
}

fn is_trouble(task: &TaskView) -> bool {
    let waits_for_nothing_good =
        task.state == State::Waiting && !matches!(task.reason, None | Some(Reason::New | Reason::WaitingOn));
    task.phase == Phase::Failed || waits_for_nothing_good
}

fn head(detail: &JobDetail) -> String {
    let job = &detail.job;
    let name = format!("{BOLD}{}{BOLD:#}", job.name);
    match &job.rollout {
        Some(rollout) => {
            let style = rollout::style(rollout);
            format!("{name}: {style}{}{style:#}{}", rollout::words(rollout), after(&rollout.message))
        }
        None => format!("{name}: {}{}", list::summary(job), after(&job.message)),
    }
}

fn plain_head(detail: &JobDetail) -> String {
    anstream::adapter::strip_str(&head(detail)).to_string()
}

fn after(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {}", words::plain(message)) }
}

fn place(task: &TaskView) -> String {
    task.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default()
}

/// What is said of a task; byte counts are left out, or each would be a change.
pub(super) fn line(task: &TaskView) -> String {
    let mut text = format!("{}: {}{}", task.name, words::state(task), place(task));
    if let Some(progress) = &task.progress {
        text.push_str(", ");
        text.push_str(&words::plain(&progress.step));
    }
    if is_trouble(task) {
        text.push_str(&after(&task.message));
    }
    text
}
