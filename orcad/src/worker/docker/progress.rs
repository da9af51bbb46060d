//! Progress of a pull, added up over its layers.
//!
//! The engine writes a line for each layer and step. What counts for a person is bytes over bytes; what counts for
//! the no-progress deadline is whether anything changed, since a stalled registry repeats itself or falls silent.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;
use orca_api::link::Progress;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layer {
    status: String,
    current: u64,
    /// Bytes to download; 0 while unknown.
    total: u64,
    downloaded: u64,
}

/// The state of a pull.
#[derive(Clone, Debug, Default)]
pub(super) struct PullProgress {
    layers: BTreeMap<String, Layer>,
    last_line: String,
}

impl PullProgress {
    /// Takes a line in; whether it tells of progress.
    pub(super) fn take(&mut self, line: &CreateImageInfo) -> bool {
        let status = line.status.clone().unwrap_or_default();
        let Some(id) = line.id.clone().filter(|id| !id.is_empty()) else {
            let new = status != self.last_line;
            self.last_line = status;
            return new;
        };
        // The first line names the tag in place of a layer.
        if status.starts_with("Pulling from") {
            return true;
        }
        // A retry is the opposite of progress: the engine counts its seconds down here.
        if status.starts_with("Retrying") {
            return false;
        }
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let (current, total) =
            line.progress_detail.as_ref().map_or((0, 0), |p| (number(p.current), number(p.total)));
        let layer = self.layers.entry(id).or_default();
        let before = layer.clone();
        if status == "Downloading" {
            layer.total = layer.total.max(total);
            layer.downloaded = current;
        } else if matches!(
            status.as_str(),
            "Download complete" | "Pull complete" | "Verifying Checksum" | "Extracting"
        ) {
            layer.downloaded = layer.total;
        }
        layer.current = current;
        layer.status = status;
        *layer != before
    }

    /// For people: the step, and bytes over bytes.
    pub(super) fn summary(&self) -> Progress {
        let total: u64 = self.layers.values().map(|l| l.total).sum();
        let done: u64 = self.layers.values().map(|l| l.downloaded.min(l.total)).sum();
        let downloading = self.layers.is_empty()
            || self
                .layers
                .values()
                .any(|l| matches!(l.status.as_str(), "Pulling fs layer" | "Waiting" | "Downloading"));
        Progress { step: if downloading { "pulling" } else { "unpacking" }.to_owned(), done, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        serde_json::from_value(serde_json::json!({"id": id, "status": status, "progressDetail": {"current": current, "total": total}})).unwrap()
    }

    #[test]
    fn bytes_add_up_over_layers() {
        let mut pull = PullProgress::default();
        assert!(pull.take(&line("latest", "Pulling from library/x", 0, 0)));
        assert!(pull.take(&line("a", "Pulling fs layer", 0, 0)));
        assert!(pull.take(&line("b", "Pulling fs layer", 0, 0)));
        assert!(pull.take(&line("a", "Downloading", 10, 100)));
        assert!(pull.take(&line("b", "Downloading", 5, 50)));
        assert_eq!(pull.summary(), Progress { step: "pulling".into(), done: 15, total: 150 });
        assert!(pull.take(&line("a", "Download complete", 0, 0)));
        assert!(pull.take(&line("b", "Download complete", 0, 0)));
        assert_eq!(pull.summary(), Progress { step: "unpacking".into(), done: 150, total: 150 });
    }

    #[test]
    fn repetition_and_retries_are_no_progress() {
        let mut pull = PullProgress::default();
        assert!(pull.take(&line("a", "Downloading", 10, 100)));
        assert!(!pull.take(&line("a", "Downloading", 10, 100)));
        assert!(!pull.take(&line("a", "Retrying in 5 seconds", 0, 0)));
        assert!(!pull.take(&line("a", "Retrying in 4 seconds", 0, 0)));
        assert!(pull.take(&line("a", "Downloading", 11, 100)));
    }
}
