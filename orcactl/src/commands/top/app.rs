//! What the screen shows: rows in an order, through a filter, with one of them selected.

use std::collections::BTreeMap;

use clap::ValueEnum;
use orca_api::control::{NodeView, TaskView};
use orca_api::load::TaskLoad;
use orca_api::name::Name;
use orca_api::node::{Availability, NodeState};
use orca_api::task::Phase;
use orca_api::units::Time;

use super::Picture;

/// Nodes that are listed at once.
pub(super) const NODES_SHOWN: usize = 6;

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// CPU in use, most first
    #[default]
    Cpu,
    /// Memory in use, most first
    Memory,
    /// Restarts, most first
    Restarts,
    /// State, what fails first
    State,
    /// Name
    Name,
}

impl Sort {
    const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Restarts, Self::State, Self::Name];

    /// As the screen's heading names it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Restarts => "restarts",
            Self::State => "state",
            Self::Name => "name",
        }
    }
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    Char(char),
    Backspace,
    Enter,
    Escape,
    Up(usize),
    Down(usize),
    Quit,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Draw,
    Refresh,
    Quit,
}

/// A task with what it uses.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) task: TaskView,
    pub(super) load: Option<TaskLoad>,
}

/// The screen's state.
#[derive(Debug)]
pub(super) struct App {
    nodes: Vec<NodeView>,
    /// The first node that is listed, in the order of the screen.
    nodes_from: usize,
    rows: Vec<Row>,
    pub(super) now: Time,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    /// Only what does not run as it should.
    pub(super) only_faults: bool,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
    /// The selected task; it stays selected wherever it moves to.
    selected: Option<Name>,
    /// Why the picture is old.
    pub(super) lost: Option<String>,
}

impl App {
    pub(super) fn new(sort: Sort) -> Self {
        Self {
            nodes: Vec::new(),
            nodes_from: 0,
            rows: Vec::new(),
            now: Time::default(),
            sort,
            reversed: false,
            only_faults: false,
            filter: String::new(),
            typing: false,
            help: false,
            selected: None,
            lost: None,
        }
    }

    /// A fresh picture.
    pub(super) fn take(&mut self, picture: Picture, now: Time) {
        let mut loads: BTreeMap<Name, TaskLoad> =
            picture.stats.into_iter().filter_map(|s| s.load.map(|load| (s.name, load))).collect();
        self.rows =
            picture.tasks.into_iter().map(|task| Row { load: loads.remove(&task.name), task }).collect();
        self.nodes = picture.nodes;
        self.now = now;
        self.lost = None;
    }

    /// No picture came.
    pub(super) fn lost(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// How many nodes there are, shown or not.
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The first of the listed nodes.
    pub(super) fn nodes_from(&self) -> usize {
        // Nodes may have gone since it was set.
        if self.nodes_from < self.nodes.len() { self.nodes_from } else { 0 }
    }

    /// The nodes that are listed: first those that need a look, then those that use most of what rows are sorted by.
    pub(super) fn listed_nodes(&self) -> Vec<&NodeView> {
        let well = |node: &NodeView| {
            let ready = node.state == NodeState::Ready && node.availability == Availability::Active;
            ready && node.conditions.is_empty()
        };
        let share = |node: &NodeView| match self.sort {
            Sort::Cpu => node.cpu.used.map_or(0.0, |used| used.cpus() / node.cpu.total.cpus().max(0.001)),
            Sort::Memory => {
                node.memory.used.map_or(0.0, |used| used.get() as f64 / node.memory.total.get().max(1) as f64)
            }
            Sort::Restarts | Sort::State | Sort::Name => 0.0,
        };
        let mut nodes: Vec<&NodeView> = self.nodes.iter().collect();
        nodes.sort_by(|a, b| {
            let order = well(a).cmp(&well(b)).then_with(|| share(b).total_cmp(&share(a)));
            order.then_with(|| a.name.cmp(&b.name))
        });
        nodes.into_iter().skip(self.nodes_from()).take(NODES_SHOWN).collect()
    }

    /// How many tasks there are, shown or not.
    pub(super) fn total(&self) -> usize {
        self.rows.len()
    }

    /// The rows that pass the filter, in order.
    pub(super) fn visible(&self) -> Vec<&Row> {
        let needle = self.filter.to_lowercase();
        let passes = |row: &&Row| {
            let t = &row.task;
            let fault = t.phase == Phase::Failed
                || t.phase == Phase::Pending
                || t.stale_since.is_some()
                || t.warning.is_some();
            let texts = [
                t.name.as_str(),
                t.image.as_str(),
                t.state.as_str(),
                t.node.as_ref().map_or("", |n| n.as_str()),
            ];
            (!self.only_faults || fault)
                && (needle.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&needle)))
        };
        let mut rows: Vec<&Row> = self.rows.iter().filter(passes).collect();
        let cpu = |r: &Row| r.load.as_ref().map_or(0.0, |l| l.cpu_now);
        let memory = |r: &Row| r.load.as_ref().map_or(0, |l| l.memory);
        let trouble = |r: &Row| match r.task.phase {
            Phase::Failed => 0,
            Phase::Pending => 1,
            Phase::Scheduled => 2,
            Phase::Running => 3,
            Phase::Completed => 4,
        };
        rows.sort_by(|a, b| {
            let order = match self.sort {
                Sort::Cpu => cpu(b).total_cmp(&cpu(a)),
                Sort::Memory => memory(b).cmp(&memory(a)),
                Sort::Restarts => b.task.restarts.cmp(&a.task.restarts),
                Sort::State => trouble(a).cmp(&trouble(b)),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            let order = order.then_with(|| a.task.name.cmp(&b.task.name));
            if self.reversed { order.reverse() } else { order }
        });
        rows
    }

    /// The place of the selected row among the visible ones.
    pub(super) fn selected(&self) -> Option<usize> {
        let rows = self.visible();
        let at = self.selected.as_ref().and_then(|name| rows.iter().position(|r| r.task.name == *name));
        at.or(if rows.is_empty() { None } else { Some(0) })
    }

    fn select(&mut self, at: usize) {
        let rows = self.visible();
        let name = rows.get(at.min(rows.len().saturating_sub(1))).map(|r| r.task.name.clone());
        self.selected = name;
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: Press) -> Next {
        if key == Press::Quit {
            return Next::Quit;
        }
        if self.typing {
            match key {
                Press::Char(c) if self.filter.chars().count() < 60 => self.filter.push(c),
                Press::Backspace => {
                    self.filter.pop();
                }
                Press::Enter => self.typing = false,
                Press::Escape => {
                    self.typing = false;
                    self.filter.clear();
                }
                _ => {}
            }
            return Next::Draw;
        }
        if self.help {
            self.help = false;
            return if key == Press::Char('q') { Next::Quit } else { Next::Draw };
        }
        match key {
            Press::Char('q') => return Next::Quit,
            Press::Char('?' | 'h') => self.help = true,
            Press::Char('/') => self.typing = true,
            Press::Char('s') => {
                let at = Sort::ALL.iter().position(|s| *s == self.sort).unwrap_or(0);
                self.sort = Sort::ALL[(at + 1) % Sort::ALL.len()];
            }
            Press::Char('r') => self.reversed = !self.reversed,
            Press::Char('n') if self.nodes_from() + NODES_SHOWN < self.nodes.len() => {
                self.nodes_from = self.nodes_from() + NODES_SHOWN;
            }
            Press::Char('p') => self.nodes_from = self.nodes_from().saturating_sub(NODES_SHOWN),
            Press::Char('f') => self.only_faults = !self.only_faults,
            Press::Char(' ') => return Next::Refresh,
            Press::Escape => self.filter.clear(),
            Press::Up(by) => self.select(self.selected().unwrap_or(0).saturating_sub(by)),
            Press::Down(by) => self.select(self.selected().unwrap_or(0).saturating_add(by)),
            Press::Char('k') => self.select(self.selected().unwrap_or(0).saturating_sub(1)),
            Press::Char('j') => self.select(self.selected().unwrap_or(0).saturating_add(1)),
            _ => {}
        }
        Next::Draw
    }
}

#[cfg(test)]
pub(super) mod tests {
    use orca_api::control::TaskStats;

    use super::*;

    /// Three tasks: `api` is busy, `db` is large, `job` has failed.
    pub(in crate::commands::top) fn picture() -> Picture {
        let view = |name: &str,
                    phase: &str,
                    state: &str,
                    reason: serde_json::Value,
                    restarts: u32|
         -> TaskView {
            serde_json::from_value(serde_json::json!({
                "id": "0123456789ABCDEF", "name": name, "revision": 1, "wanted": "running", "phase": phase, "state": state,
                "reason": reason, "message": "", "hint": "", "node": "n1", "node_id": "0123456789ABCDEF",
                "image": format!("{name}:1"), "restarts": restarts, "attempts": 1, "exit_code": null, "signal": null,
                "ports": [], "created_at": "2026-11-24T12:00:00Z", "since": "2026-11-24T12:00:00Z", "started_at": null,
                "finished_at": null, "next_attempt_at": null, "progress": null, "stale_since": null, "warning": null,
                "version": 1
            }))
            .unwrap()
        };
        let load = |name: &str, cpu: f64, memory: u64| -> TaskStats {
            serde_json::from_value(serde_json::json!({
                "name": name, "node": "n1", "at": null,
                "load": {"task": "0123456789ABCDEF", "placement": "0123456789ABCDEF", "attempt": 1, "cpu_now": cpu,
                         "cpu_average": cpu, "memory": memory, "memory_peak": memory, "memory_limit": 536_870_912_u64,
                         "pids": 3, "net_rx_bytes_s": 2048.0, "net_tx_bytes_s": 512.0, "io_read_bytes_s": 0.0,
                         "io_write_bytes_s": null}
            }))
            .unwrap()
        };
        let node: NodeView = serde_json::from_value(serde_json::json!({
            "id": "0123456789ABCDEF", "name": "n1", "revision": 1, "roles": ["manager", "worker"], "state": "ready",
            "since": "2026-11-24T11:00:00Z", "availability": "active", "conditions": [],
            "cpu": {"total": 4.0, "reserve": 0.0, "reserved": 1.5, "used": 0.9},
            "memory": {"total": 8_589_934_592_u64, "reserve": 0, "reserved": 1_073_741_824_u64, "used": 3_221_225_472_u64},
            "disk": {"total": 0, "reserve": 0, "reserved": 0, "used": null},
            "tasks": 2, "version": "0.1.0", "engine": "28.0"
        }))
        .unwrap();
        Picture {
            nodes: vec![node],
            tasks: vec![
                view("api", "running", "running", serde_json::Value::Null, 0),
                view("db", "running", "running", serde_json::Value::Null, 2),
                view("job", "failed", "failed", serde_json::json!("exited"), 5),
            ],
            stats: vec![load("api", 0.75, 50 << 20), load("db", 0.05, 400 << 20)],
        }
    }

    fn names(app: &App) -> Vec<String> {
        app.visible().iter().map(|r| r.task.name.to_string()).collect()
    }

    #[test]
    fn rows_are_sorted_and_filtered_by_keys() {
        let mut app = App::new(Sort::Cpu);
        app.take(picture(), Time::default());
        assert_eq!(names(&app), ["api", "db", "job"]);
        app.press(Press::Char('s'));
        assert_eq!(names(&app), ["db", "api", "job"]);
        app.press(Press::Char('s'));
        assert_eq!(names(&app), ["job", "db", "api"]);
        app.press(Press::Char('r'));
        assert_eq!(names(&app), ["api", "db", "job"]);
        app.press(Press::Char('f'));
        assert_eq!(names(&app), ["job"]);
        app.press(Press::Char('f'));
        for key in ['/', 'd', 'b'] {
            app.press(Press::Char(key));
        }
        assert_eq!(names(&app), ["db"]);
        app.press(Press::Escape);
        assert_eq!(names(&app).len(), 3);
    }

    #[test]
    fn many_nodes_are_paged_and_those_in_trouble_come_first() {
        let mut picture = picture();
        let one = picture.nodes.remove(0);
        for i in 0..8 {
            let mut node = one.clone();
            node.name = format!("n{i}").parse().unwrap();
            node.cpu.used = Some(orca_api::units::Cpu::from_millis(100 * i));
            picture.nodes.push(node);
        }
        picture.nodes[3].state = NodeState::Down;
        let mut app = App::new(Sort::Cpu);
        app.take(picture, Time::default());
        let names =
            |app: &App| app.listed_nodes().iter().map(|n| n.name.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&app), "n3 n7 n6 n5 n4 n2");
        app.press(Press::Char('n'));
        assert_eq!(names(&app), "n1 n0");
        app.press(Press::Char('n'));
        assert_eq!(names(&app), "n1 n0", "there are no more");
        app.press(Press::Char('p'));
        assert_eq!(names(&app), "n3 n7 n6 n5 n4 n2");
    }

    #[test]
    fn the_selection_stays_with_its_task() {
        let mut app = App::new(Sort::Cpu);
        app.take(picture(), Time::default());
        app.press(Press::Down(1));
        assert_eq!(app.selected(), Some(1));
        app.press(Press::Char('s'));
        assert_eq!(app.selected(), Some(0), "db came first by memory");
        app.press(Press::Down(usize::MAX));
        assert_eq!(app.selected(), Some(2));
        app.press(Press::Up(usize::MAX));
        assert_eq!(app.selected(), Some(0));
        assert_eq!(app.press(Press::Char('q')), Next::Quit);
    }
}
