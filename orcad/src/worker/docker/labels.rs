//! The labels that make a container ours, and what the journal makes of them.
//!
//! | label | value | field in the journal |
//! |---|---|---|
//! | `orca.task` | the task's name | `ORCA_TASK` |
//! | `orca.job` | its job's name, where it has one | `ORCA_JOB` |
//! | `orca.node` | the node's name | `ORCA_NODE` |
//! | `orca.attempt` | the attempt's number | `ORCA_ATTEMPT` |
//! | `orca.cluster`, `orca.task-id`, `orca.placement` | ids | `ORCA_CLUSTER`, `ORCA_TASK_ID`, `ORCA_PLACEMENT` |
//! | `orca.spec` | the spec's digest | |
//!
//! People filter by names (`journalctl ORCA_TASK=web`, `docker ps --filter label=orca.task=web`); adoption reads ids. Where
//! there is no `orca.task-id`, an earlier orca made the container: its `orca.task` is the id, and its `orca.name` the name.
//!
//! An image may carry the same labels (`docker commit` of one of our containers makes one), and a container inherits
//! its image's labels. Our own containers are named after task and attempt; where a container with our labels is not,
//! the image is asked, and labels that come from it are not trusted ([`super::inspect`]).

use std::collections::HashMap;

use orca_core::worker::io::Labels;

pub(super) const CLUSTER: &str = "orca.cluster";
pub(super) const TASK: &str = "orca.task";
pub(super) const TASK_ID: &str = "orca.task-id";
pub(super) const JOB: &str = "orca.job";
pub(super) const NODE: &str = "orca.node";
pub(super) const PLACEMENT: &str = "orca.placement";
pub(super) const ATTEMPT: &str = "orca.attempt";
pub(super) const SPEC: &str = "orca.spec";
/// The task's name on containers of an earlier orca.
const FORMER_NAME: &str = "orca.name";

/// The labels that the journal takes over as fields.
pub(super) const IN_JOURNAL: &str =
    "orca.task,orca.job,orca.node,orca.attempt,orca.cluster,orca.task-id,orca.placement";

/// As written on a container.
pub(super) fn write(labels: &Labels, task: &str, node: Option<&str>) -> Vec<(String, String)> {
    let mut all = vec![
        (TASK, task.to_owned()),
        (CLUSTER, labels.cluster.to_string()),
        (TASK_ID, labels.task.to_string()),
        (PLACEMENT, labels.placement.to_string()),
        (ATTEMPT, labels.attempt.to_string()),
        (SPEC, labels.spec.clone()),
    ];
    all.extend(job_of(task).map(|job| (JOB, job.to_owned())));
    all.extend(node.map(|node| (NODE, node.to_owned())));
    all.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}

/// The job of a task of this name: names of people have no dots, a job's tasks are `job.1` or `job.group.1`.
pub(super) fn job_of(task: &str) -> Option<&str> {
    task.split_once('.').map(|(job, _)| job)
}

/// As read from a container; `None` where one is missing or not readable.
pub(super) fn read(all: &HashMap<String, String>) -> Option<Labels> {
    Some(Labels {
        cluster: all.get(CLUSTER)?.parse().ok()?,
        task: all.get(TASK_ID).or_else(|| all.get(TASK))?.parse().ok()?,
        placement: all.get(PLACEMENT)?.parse().ok()?,
        attempt: all.get(ATTEMPT)?.parse().ok()?,
        spec: all.get(SPEC)?.clone(),
    })
}

/// The name of a container's task.
pub(super) fn task_name(all: &HashMap<String, String>) -> Option<&String> {
    if all.contains_key(TASK_ID) { all.get(TASK) } else { all.get(FORMER_NAME) }
}

/// Whether a container of this name and these labels was named by orca: `<task>-a<attempt>-…`.
pub(super) fn is_own_name(container: &str, all: &HashMap<String, String>) -> bool {
    let (Some(task), Some(attempt)) = (task_name(all), all.get(ATTEMPT)) else { return false };
    container
        .strip_prefix(task.as_str())
        .and_then(|rest| rest.strip_prefix("-a"))
        .and_then(|rest| rest.strip_prefix(attempt.as_str()))
        .is_some_and(|rest| rest.starts_with('-'))
}

/// Whether an image carries labels that could make its containers look like ours.
pub(super) fn any(all: &HashMap<String, String>) -> bool {
    all.contains_key(CLUSTER) || all.contains_key(PLACEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> HashMap<String, String> {
        let id = "0123456789ABCDEF";
        let labels = Labels {
            cluster: id.parse().unwrap(),
            task: id.parse().unwrap(),
            placement: id.parse().unwrap(),
            attempt: 3,
            spec: "abc".to_owned(),
        };
        write(&labels, "shop.api.2", Some("n1")).into_iter().collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let all = written();
        assert_eq!(read(&all).unwrap().attempt, 3);
        for (label, value) in [(TASK, "shop.api.2"), (JOB, "shop"), (NODE, "n1"), (ATTEMPT, "3")] {
            assert_eq!(all[label], value);
        }
        for key in [CLUSTER, TASK_ID, PLACEMENT, ATTEMPT, SPEC] {
            let mut less = all.clone();
            less.remove(key);
            assert_eq!(read(&less), None, "{key}");
        }
    }

    #[test]
    fn what_an_earlier_orca_made_is_adopted() {
        let mut former = written();
        let id = former.remove(TASK_ID).unwrap();
        former.insert(TASK.to_owned(), id);
        former.insert(FORMER_NAME.to_owned(), "web".to_owned());
        assert_eq!(read(&former), read(&written()));
        assert_eq!(task_name(&former).unwrap(), "web");
        assert!(is_own_name("web-a3-x7f2", &former));
    }

    #[test]
    fn what_the_journal_takes_over_is_written() {
        let all = written();
        assert!(IN_JOURNAL.split(',').all(|label| all.contains_key(label)), "{all:?}");
    }

    #[test]
    fn our_names_are_known() {
        let all = written();
        assert!(is_own_name("shop.api.2-a3-x7f2", &all));
        for other in
            ["shop.api.2", "shop.api.2-a31-x7f2", "shop.api.21-a3-1", "quirky_hopper", "shop.api.2-a3"]
        {
            assert!(!is_own_name(other, &all), "{other}");
        }
    }
}
