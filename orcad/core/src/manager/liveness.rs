//! Who is there: silence, probes, graces, the brake on mass failures, and what becomes of the tasks of a node that is down.

use orca_api::error::{Code, Problem};
use orca_api::id::NodeId;

use super::io::{Answer, Found};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn on_dropped(&mut self, _node: NodeId) {}

    pub(super) fn on_probed(&mut self, _node: NodeId, _probe: u64, _found: Found) {}

    pub(super) fn confirm_down(&mut self, _text: &str) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }
}
