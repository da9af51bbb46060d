//! Certificates of people and programs, and the CA's replacement: what is recorded of them. Signing is the shell's.

use orca_api::error::{Code, Problem};
use orca_api::id::NodeId;
use orca_api::join::CertRole;
use orca_api::name::Name;
use orca_api::units::{Span, Time};

use super::io::{Answer, Peer};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn on_certified(&mut self, _node: NodeId, _expires_at: Time, _ca: String) {}

    pub(super) fn issue_certificate(
        &mut self,
        _name: &Name,
        _role: CertRole,
        _ttl: Option<Span>,
        _by: &Peer,
    ) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }

    pub(super) fn revoke_certificate(&mut self, _text: &str) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }

    pub(super) fn rotate_ca(&mut self, _ca: &str) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }
}
