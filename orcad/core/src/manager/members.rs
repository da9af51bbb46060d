//! Members of the cluster: labels that count, removal, leaving.

use orca_api::cluster::SetLabels;
use orca_api::error::{Code, Problem};
use orca_api::id::NodeId;

use super::io::{Answer, Token};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn on_leave_asked(&mut self, token: Token, _node: NodeId) {
        self.reply(token, Err(Problem::new(Code::Internal, "not written yet")));
    }

    pub(super) fn set_labels(
        &mut self,
        _text: &str,
        _set: &SetLabels,
        _if_match: Option<u64>,
    ) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }

    pub(super) fn remove_node(&mut self, _text: &str, _force: bool) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }
}
