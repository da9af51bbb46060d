//! Tokens, and machines that become nodes with them.

use orca_api::cluster::CreateToken;
use orca_api::error::{Code, Problem};

use super::io::{Answer, JoinAsked, Peer, Token};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn on_join_asked(&mut self, token: Token, _address: String, _join: JoinAsked) {
        self.reply(token, Err(Problem::new(Code::Internal, "not written yet")));
    }

    pub(super) fn create_token(&mut self, _create: &CreateToken, _by: &Peer) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }

    pub(super) fn revoke_token(&mut self, _text: &str) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }
}
