//! Every mutation that is asked for is recorded: who, what, which request, and what came of it.

use orca_api::error::Problem;
use orca_api::join::CertRole;

use super::io::{Answer, Asked, Change, Request};
use super::record::AuditRecord;
use super::turn::Turn;

/// The object of a request, as it was named.
pub(super) fn object_of(request: &Request) -> String {
    match request {
        Request::Start(start) => start.name.as_ref().map_or_else(String::new, ToString::to_string),
        Request::Stop { task, .. } | Request::Restart { task } | Request::Remove { task, .. } => {
            shortened(task)
        }
        Request::SetAvailability { node, .. }
        | Request::SetLabels { node, .. }
        | Request::ConfirmDown { node }
        | Request::RemoveNode { node, .. } => shortened(node),
        Request::CreateToken(token) => token.node.as_ref().map_or_else(String::new, ToString::to_string),
        Request::RevokeToken { token } => shortened(token),
        Request::Listen { address, .. } => shortened(address.as_deref().unwrap_or("closed")),
        Request::IssueCertificate { name, .. } => name.to_string(),
        Request::RevokeCertificate { certificate } => shortened(certificate),
        Request::Job(job) => shortened(job.object()),
        Request::SetCluster(_) | Request::RotateCa { .. } => String::new(),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}

impl Turn<'_> {
    /// Records something that a node did and may not do; as many of them each minute as of refused joins.
    pub fn audit_node(&mut self, node: orca_api::id::NodeId, method: &str, object: &str, outcome: &str) {
        if !self.may_audit_refusal() {
            return;
        }
        let address = self.m.durable.nodes.get(&node).and_then(|n| n.address.clone()).unwrap_or_default();
        let record = AuditRecord {
            at: self.now.wall,
            revision: 0,
            peer: super::io::Peer::Cert { role: CertRole::Worker, id: node.to_string(), address },
            method: method.to_owned(),
            object: object.to_owned(),
            request_id: String::new(),
            outcome: outcome.to_owned(),
        };
        self.put(Change::Audited { record });
    }

    /// Records a request and its outcome. A refusal is recorded as well, without a revision of its own.
    pub fn audit(&mut self, asked: &Asked, answer: &Result<Answer, Problem>) {
        let (object, changed) = match answer {
            Ok(Answer::Created(task) | Answer::Task(task)) => (task.task.name.to_string(), task.changed),
            Ok(Answer::Job { answer, .. }) => (answer.job.name.to_string(), answer.changed),
            _ => (object_of(&asked.request), answer.is_ok()),
        };
        let record = AuditRecord {
            at: self.now.wall,
            revision: if changed { self.revision } else { 0 },
            peer: asked.peer.clone(),
            method: asked.request.method().to_owned(),
            object,
            request_id: asked.request_id.clone(),
            outcome: answer.as_ref().map_or_else(|problem| problem.code.to_string(), |_| "ok".to_owned()),
        };
        self.put(Change::Audited { record });
    }
}
