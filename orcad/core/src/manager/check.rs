//! The invariants of the manager, as one function: every test layer calls it.

use std::collections::BTreeSet;

use orca_api::id::PlacementId;
use orca_api::node::NodeState;
use orca_api::units::{Bytes, Cpu};

use super::state::Manager;

/// Everything that is wrong with a manager's state; empty when all is well.
///
/// Checked: names and tasks are one to one; a task's placements exist and are its own, and every placement
/// belongs to a task; attempts rise in number and only the newest is alive; nothing is oversubscribed and no
/// two live placements of a node publish one port; what is derived equals what a load would derive.
pub fn check_manager(manager: &Manager) -> Vec<String> {
    let mut wrong = Vec::new();
    let d = &manager.durable;
    for (name, id) in &d.names {
        if d.tasks.get(id).is_none_or(|t| t.name != *name) {
            wrong.push(format!("the name {name} leads to no task"));
        }
    }
    if d.names.len() != d.tasks.len() {
        wrong.push(format!("{} names for {} tasks", d.names.len(), d.tasks.len()));
    }
    for (name, id) in &d.job_names {
        if d.jobs.get(id).is_none_or(|j| j.name != *name) || d.names.contains_key(name) {
            wrong.push(format!("the name {name} is not one job's alone"));
        }
    }
    for task in d.tasks.values() {
        if let Some(owner) = &task.owner
            && !d.jobs.contains_key(&owner.job)
        {
            wrong.push(format!("task {} is of no job", task.name));
        }
    }
    let mut owned: BTreeSet<PlacementId> = BTreeSet::new();
    for task in d.tasks.values() {
        let next = task.next.as_ref().map(|n| n.placement);
        for placement in [task.placement, task.retired, next].into_iter().flatten() {
            match d.placements.get(&placement) {
                None => wrong.push(format!("task {} has no placement {placement}", task.name)),
                Some(p) if p.task != task.id => {
                    wrong.push(format!("placement {placement} is not of task {}", task.name));
                }
                Some(_) => {}
            }
            if !owned.insert(placement) {
                wrong.push(format!("placement {placement} has two owners"));
            }
        }
        let is_live =
            |id: Option<PlacementId>| id.and_then(|p| d.placements.get(&p)).is_some_and(|p| !p.is_ended());
        if is_live(task.retired) && is_live(next) {
            wrong.push(format!("task {}: a former and a next placement are live at once", task.name));
        }
        if let Some(retired) = task.retired.and_then(|p| d.placements.get(&p))
            && !retired.is_ended()
            && retired.wanted_running()
        {
            wrong.push(format!("task {}: its former placement is wanted to run", task.name));
        }
        // Both may run only while the one takes over from the other, and never of a singleton.
        let beside = next.and_then(|p| d.placements.get(&p)).is_some_and(|p| p.wanted_running());
        if task.spec.singleton && (is_live(task.retired) && is_live(task.placement) || beside) {
            wrong.push(format!("task {} is a singleton, and two placements of it may run", task.name));
        }
    }
    for placement in d.placements.values() {
        if !owned.contains(&placement.id) {
            wrong.push(format!("placement {} belongs to no task", placement.id));
        }
        let attempts = &placement.status.attempts;
        if attempts.windows(2).any(|w| w[0].number >= w[1].number) {
            wrong.push(format!("placement {}: its attempts do not rise", placement.id));
        }
        if placement.is_ended() == manager.held.contains(&placement.id) {
            wrong.push(format!("placement {}: held though ended, or not held though live", placement.id));
        }
    }
    for node in d.nodes.values() {
        let live: Vec<_> = d
            .by_node
            .get(&node.id)
            .into_iter()
            .flatten()
            .filter_map(|p| d.placements.get(p))
            .filter(|p| !p.is_ended())
            .collect();
        let cpu = live.iter().fold(Cpu::ZERO, |s, p| s.saturating_add(p.room().cpu));
        let memory = live.iter().fold(Bytes::ZERO, |s, p| s.saturating_add(p.room().memory));
        if node.state == NodeState::Ready
            && (cpu > node.facts.cpu.saturating_sub(node.facts.reserve_cpu)
                || memory > node.facts.memory.saturating_sub(node.facts.reserve_memory))
        {
            wrong.push(format!("node {}: {cpu} CPUs and {memory} reserved are more than it has", node.name));
        }
        for (i, a) in live.iter().enumerate() {
            for b in &live[..i] {
                if a.room().ports.iter().any(|p| b.room().ports.iter().any(|q| p.clashes(q))) {
                    wrong.push(format!("node {}: {} and {} publish one port", node.name, a.name, b.name));
                }
            }
        }
    }
    if !Manager::load(manager.durable_rows()).same_durable(manager) {
        wrong.push("a load would not give the same state".to_owned());
    }
    wrong
}
