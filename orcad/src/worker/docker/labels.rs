//! The labels that make a container ours.
//!
//! | label | value |
//! |---|---|
//! | `orca.cluster` | the cluster's id |
//! | `orca.task`, `orca.placement` | ids |
//! | `orca.attempt` | the attempt's number |
//! | `orca.spec` | the spec's digest |
//! | `orca.name` | the task's name, for people and the journal; nothing is read from it |
//!
//! An image may carry the same labels (`docker commit` of one of our containers makes one), and a container inherits
//! its image's labels. Our own containers are named after task and attempt; where a container with our labels is not,
//! the image is asked, and labels that come from it are not trusted ([`super::inspect`]).

use std::collections::HashMap;

use orca_api::name::Name;
use orca_core::worker::io::Labels;

pub(super) const CLUSTER: &str = "orca.cluster";
pub(super) const TASK: &str = "orca.task";
pub(super) const PLACEMENT: &str = "orca.placement";
pub(super) const ATTEMPT: &str = "orca.attempt";
pub(super) const SPEC: &str = "orca.spec";
pub(super) const NAME: &str = "orca.name";

/// The labels that the journal takes over as fields (`ORCA_TASK`, `ORCA_NAME`, …).
pub(super) const IN_JOURNAL: &str = "orca.cluster,orca.task,orca.placement,orca.attempt,orca.name";

/// As written on a container.
pub(super) fn write(labels: &Labels, task_name: &Name) -> [(String, String); 6] {
    [
        (CLUSTER.to_owned(), labels.cluster.to_string()),
        (TASK.to_owned(), labels.task.to_string()),
        (PLACEMENT.to_owned(), labels.placement.to_string()),
        (ATTEMPT.to_owned(), labels.attempt.to_string()),
        (SPEC.to_owned(), labels.spec.clone()),
        (NAME.to_owned(), task_name.to_string()),
    ]
}

/// As read from a container; `None` where one is missing or not readable.
pub(super) fn read(all: &HashMap<String, String>) -> Option<Labels> {
    Some(Labels {
        cluster: all.get(CLUSTER)?.parse().ok()?,
        task: all.get(TASK)?.parse().ok()?,
        placement: all.get(PLACEMENT)?.parse().ok()?,
        attempt: all.get(ATTEMPT)?.parse().ok()?,
        spec: all.get(SPEC)?.clone(),
    })
}

/// Whether a container of this name and these labels was named by orca: `<task>-a<attempt>-…`.
pub(super) fn is_own_name(container: &str, all: &HashMap<String, String>) -> bool {
    let (Some(task), Some(attempt)) = (all.get(NAME), all.get(ATTEMPT)) else { return false };
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
        write(&labels, &"web".parse().unwrap()).into_iter().collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let all = written();
        assert_eq!(read(&all).unwrap().attempt, 3);
        for key in [CLUSTER, TASK, PLACEMENT, ATTEMPT, SPEC] {
            let mut less = all.clone();
            less.remove(key);
            assert_eq!(read(&less), None, "{key}");
        }
    }

    #[test]
    fn our_names_are_known() {
        let all = written();
        assert!(is_own_name("web-a3-x7f2", &all));
        for other in ["web", "web-a31-x7f2", "webx-a3-1", "quirky_hopper", "web-a3"] {
            assert!(!is_own_name(other, &all), "{other}");
        }
    }
}
