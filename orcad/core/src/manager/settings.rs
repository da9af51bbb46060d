//! What counts for the cluster as a whole: settings, and where its manager listens.

use orca_api::cluster::{ClusterView, SetCluster};
use orca_api::error::{Code, Problem};

use super::io::Answer;
use super::state::Manager;
use super::turn::Turn;

impl Manager {
    /// Where the port of the link is open, `ADDRESS:PORT`; `None`: it is closed.
    pub fn listen(&self) -> Option<&str> {
        self.durable.cluster.as_ref()?.listen.as_deref()
    }

    /// The cluster as such; what only the shell knows (its CA, addresses that were found out) is left empty.
    pub fn cluster_view(&self) -> Option<ClusterView> {
        None
    }
}

impl Turn<'_> {
    pub(super) fn set_cluster(&mut self, _set: &SetCluster) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }

    pub(super) fn listen(&mut self, _address: Option<&str>, _force: bool) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }
}
