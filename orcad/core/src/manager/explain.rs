//! Why a task runs where it runs, or why not: the scheduler's own words, and the task's story.

use std::fmt::Write as _;

use orca_api::control::{Explanation, FilterVerdict, NodeVerdict, RefusedCount, ScorePart};
use orca_api::error::{Code, Problem};
use orca_api::id::TaskId;
use orca_api::link::PlacementWanted;
use orca_api::spec::TaskSpec;
use orca_api::task::{Phase, Reason, State};
use orca_api::units::Span;
use scheduler::Scheduler;

use super::defaults::{AVOID_FOR, NODES_MAX};
use super::record::{PlacementRecord, TaskRecord};
use super::report::outcome;
use super::state::Manager;
use crate::Now;

/// Nodes that an explanation lists, from the best; the rest is counted.
const NODES_LISTED: usize = 20;

impl Manager {
    /// Explains a task by its name or id.
    pub fn explain_task(&self, text: &str, now: Now) -> Result<Explanation, Problem> {
        let id = self.find_task(text)?;
        self.explain_task_id(id, now).ok_or_else(|| Problem::new(Code::NoSuchTask, "the task is gone"))
    }

    /// Explains where a spec would run, without starting it.
    pub fn explain_spec(&self, spec: &TaskSpec) -> Explanation {
        let request = self.request(None, spec);
        let mut explanation = self.view(&self.scheduler.explain_listing(&request, NODES_LISTED), &request);
        explanation.verdict = if explanation.fits {
            format!("it would run: {}", explanation.verdict)
        } else {
            explanation.verdict
        };
        explanation
    }

    pub(super) fn explain_task_id(&self, id: TaskId, now: Now) -> Option<Explanation> {
        let task = self.durable.tasks.get(&id)?;
        let placement =
            task.placement.and_then(|p| self.durable.placements.get(&p)).filter(|p| !p.is_ended());
        let request = self.request_of(task, now.wall);
        // A task that runs is asked about as if it were to be placed now: what it holds itself is free for it.
        let mut explanation = match placement {
            Some(own) => {
                let mut without: Scheduler = self.scheduler.clone();
                without.release(own.id);
                let mut all = without.explain_listing(&request, NODES_MAX);
                // Its own node is among them, however good it is by now.
                if let Some(at) =
                    all.nodes.iter().position(|n| n.id == own.node).filter(|n| *n >= NODES_LISTED)
                {
                    all.nodes.swap(at, NODES_LISTED - 1);
                }
                all.nodes.truncate(NODES_LISTED);
                self.view(&all, &request)
            }
            None => self.view(&self.scheduler.explain_listing(&request, NODES_LISTED), &request),
        };
        let name = &task.name;
        let view = self.task_view(id, now)?;
        if let Some(own) = placement {
            let best = explanation.nodes.iter().find(|n| n.chosen).map(|n| n.node.clone());
            for node in &mut explanation.nodes {
                node.chosen = node.node_id == own.node;
            }
            let on = self.durable.nodes.get(&own.node).map(|n| n.name.to_string()).unwrap_or_default();
            let verb = match view.phase {
                Phase::Running => "runs on",
                Phase::Pending => "waits for its next attempt on",
                _ => "was placed on",
            };
            explanation.verdict = format!("{name} {verb} {on}");
            if let Some(best) = best.filter(|b| b.as_str() != on) {
                let _ = write!(explanation.verdict, "; placed anew now, it would go to {best}");
            }
        } else if view.reason == Some(Reason::NoFit) {
            explanation.verdict = format!("{name} fits on no node: {}", explanation.verdict);
        } else {
            let reason = view.reason.map_or_else(String::new, |r| format!(" ({r})"));
            explanation.verdict = format!("{name} does not run: it is {}{reason}", view.state);
        }
        explanation.story = self.story(task, placement.map(AsRef::as_ref), now);
        Some(explanation)
    }

    /// A text of the scheduler, which knows tasks by id alone, with their names.
    pub(super) fn with_names(&self, text: &str) -> String {
        let named = |word: &str| {
            let id = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let name = id.parse::<TaskId>().ok().and_then(|id| self.durable.tasks.get(&id)).map(|t| &t.name);
            name.map_or_else(|| word.to_owned(), |name| word.replace(id, name.as_str()))
        };
        text.split(' ').map(named).collect::<Vec<_>>().join(" ")
    }

    fn view(&self, from: &scheduler::Explanation, request: &scheduler::Request) -> Explanation {
        let mut view = view(from, request);
        view.verdict = self.with_names(&view.verdict);
        for filter in view.nodes.iter_mut().flat_map(|node| &mut node.filters).filter(|f| !f.passes) {
            filter.text = self.with_names(&filter.text);
        }
        for refused in &mut view.refused {
            refused.example = self.with_names(&refused.example);
        }
        for suggestion in &mut view.suggestions {
            *suggestion = self.with_names(suggestion);
        }
        view
    }

    /// What happened to a task, in the order a person asks: what, why, since when, what comes next.
    fn story(&self, task: &TaskRecord, live: Option<&PlacementRecord>, now: Now) -> Vec<String> {
        let mut story = Vec::new();
        let Some(view) = self.task_view(task.id, now) else { return story };
        let age = |since| Span::from_secs(now.wall.since(since).ms() / 1000);
        let reason = view.reason.map_or_else(String::new, |r| format!(", reason {r}"));
        story.push(format!("{} for {}{reason}", view.state, age(view.since)));
        // What fits nowhere is told by the verdict, and this is the explanation that its hint leads to.
        let no_fit = view.reason == Some(Reason::NoFit);
        // Between two attempts the message is of the last one, which is told below with its time.
        let told_below = view.reason == Some(Reason::Backoff);
        if !view.message.is_empty() && !no_fit && !told_below {
            story.push(view.message.clone());
        }
        if let Some(progress) = &view.progress {
            story.push(if progress.total > 0 {
                format!(
                    "{}: {} of {}",
                    progress.step,
                    orca_api::units::Bytes::new(progress.done),
                    orca_api::units::Bytes::new(progress.total)
                )
            } else {
                progress.step.clone()
            });
        }
        let placement =
            live.or_else(|| task.placement.and_then(|p| self.durable.placements.get(&p)).map(AsRef::as_ref));
        if let Some(p) = placement {
            let ended = p.status.attempts.iter().filter(|a| a.state.is_terminal());
            for attempt in ended.rev().take(3) {
                let why = attempt.reason.map_or_else(String::new, |r| format!(" ({r})"));
                let when = attempt.finished_at.map_or_else(String::new, |t| format!(", {} ago", age(t)));
                let words = outcome(attempt);
                let words = if words.is_empty() { String::new() } else { format!(": {words}") };
                story.push(format!("attempt {} {}{why}{words}{when}", attempt.number, attempt.state));
            }
            if view.restarts > 0 {
                let max = task
                    .spec
                    .restart
                    .max
                    .map_or_else(|| "without end".to_owned(), |m| format!("at most {m} in a row"));
                let times = match view.restarts {
                    1 => "once".to_owned(),
                    n => format!("{n} times"),
                };
                story.push(format!("restarted {times}; its policy is {} ({max})", task.spec.restart));
            }
            if let Some(next) = view.next_attempt_at {
                story.push(format!(
                    "the next attempt begins in {}; orcactl task restart {} starts it now",
                    Span::from_secs(next.since(now.wall).secs_up()),
                    task.name
                ));
            } else if p.status.finished
                && p.wanted == PlacementWanted::Running
                && view.phase == Phase::Failed
                // Of these the message has said it.
                && !matches!(view.reason, Some(Reason::EngineRestart | Reason::NodeReboot))
            {
                story.push(format!("no further attempt: its restart policy is {}", task.spec.restart));
            }
        }
        self.tell_moves(task, now, &mut story);
        if let Some(warning) = &view.warning {
            story.push(warning.clone());
        }
        if !view.hint.is_empty() && view.state != State::Running && !no_fit {
            story.push(format!("hint: {}", view.hint));
        }
        story
    }
}

impl Manager {
    /// Where a task came from, where it goes, and where it would not go.
    fn tell_moves(&self, task: &TaskRecord, now: Now, story: &mut Vec<String>) {
        let age = |since| Span::from_secs(now.wall.since(since).ms() / 1000);
        if let (Some(next), Some(to)) = (&task.next, self.next_of(task)) {
            let step = match to.wanted {
                PlacementWanted::Running => {
                    format!("it stops here once it runs there, which is {}", to.state())
                }
                PlacementWanted::Ready => {
                    format!("it stops here once all is ready there, which is {}", to.state())
                }
                PlacementWanted::Stopped => "that came to nothing, and is being stopped".to_owned(),
            };
            story.push(format!("moves to {}, for {}: {step}", self.node_name(to.node), next.why));
        }
        if let Some(moved) = &task.moved {
            story.push(format!(
                "moved from {} to {} {} ago: {}",
                self.node_name(moved.from),
                self.node_name(moved.to),
                age(moved.at),
                moved.why
            ));
        }
        for avoided in task.avoided(now.wall) {
            let left = Span::from_secs(AVOID_FOR.ms().saturating_sub(now.wall.since(avoided.at).ms()) / 1000);
            story.push(format!(
                "{} comes last for another {left}: there it {}",
                self.node_name(avoided.node),
                avoided.why
            ));
        }
    }
}

fn view(from: &scheduler::Explanation, request: &scheduler::Request) -> Explanation {
    Explanation {
        verdict: from.text.clone(),
        fits: from.nodes_fit > 0,
        algorithm: request.algorithm,
        nodes: from.nodes.iter().map(node_view).collect(),
        refused: from
            .counts
            .iter()
            .map(|c| RefusedCount { filter: c.filter.clone(), nodes: c.nodes, example: c.example.clone() })
            .collect(),
        suggestions: from.suggestions.clone(),
        story: Vec::new(),
    }
}

fn node_view(from: &scheduler::NodeView) -> NodeVerdict {
    NodeVerdict {
        node: from.name.clone(),
        node_id: from.id,
        fits: from.fits,
        chosen: from.chosen,
        filters: from
            .filters
            .iter()
            .map(|f| FilterVerdict {
                filter: f.name.clone(),
                passes: f.ok,
                text: f.text.clone(),
                needed: f.needed.clone(),
                free: f.free.clone(),
                short_by: f.short_by.clone(),
            })
            .collect(),
        score: from.score,
        parts: from
            .parts
            .iter()
            .map(|p| ScorePart { name: p.name.to_string(), value: p.value, text: p.text.clone() })
            .collect(),
    }
}
