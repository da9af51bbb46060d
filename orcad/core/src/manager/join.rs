//! Tokens, and machines that become nodes with them.
//!
//! ```text
//!   CreateToken ─► TokenRecord (the secret's digest) ─┐
//!   JoinAsked ── is the secret known? ── may it still be used? ── versions, clock, name ─► NodeRecord, `joining`
//!                                                                                           │ Hello
//!                                                         forgotten after 10 min ◄──────────┴─► `ready`
//! ```
//!
//! Who asks to join is nobody yet: it hears nothing of the cluster before its secret was found, and what it is refused
//! for is recorded, but not without limit.

use std::collections::BTreeSet;

use orca_api::cluster::{CreateToken, TokenView};
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, TokenId};
use orca_api::join::{ADDRESSES_MAX, Secret, TOKEN_TTL, TOKEN_TTL_MAX, TOKEN_USES_MAX, check_address};
use orca_api::link::{Generation, NodeFacts};
use orca_api::name::Name;
use orca_api::node::{Availability, NodeState, Role, check_labels};
use orca_api::task::Reason;
use orca_api::units::{Span, Time};

use super::defaults::{CLOCK_OFF_MAX, LINK_VERSION_MIN, LISTEN, NODES_MAX, REFUSALS_AUDITED, TOKENS_MAX};
use super::io::{Answer, Change, JoinAsked, Peer, Token};
use super::record::{AuditRecord, Capacity, NodeRecord, TokenRecord};
use super::state::Manager;
use super::tasks::{ambiguous, by_prefix};
use super::turn::Turn;

/// What a machine is called whose host name makes no name.
const NAMELESS: &str = "node";
/// The most bytes of a data centre's name.
const DATA_CENTER_BYTES_MAX: usize = 63;

impl Manager {
    /// The join tokens that can still be used, the one that expires first at the top.
    pub fn token_list(&self, now: Time) -> Vec<TokenView> {
        let mut list: Vec<TokenView> = self
            .durable
            .tokens
            .values()
            .filter(|t| t.why_spent(now).is_none())
            .map(|t| token_view(t))
            .collect();
        list.sort_by_key(|t| (t.expires_at, t.id));
        list
    }

    fn find_token(&self, text: &str, now: Time) -> Result<TokenId, Problem> {
        let usable = self.durable.tokens.values().filter(|t| t.why_spent(now).is_none());
        let found = by_prefix(text, usable.map(|t| (t.id, t.id.to_string())));
        match found[..] {
            [id] => Ok(id),
            [] => {
                let shown: String = text.chars().take(80).collect();
                Err(Problem::new(Code::NoSuchToken, format!("there is no usable join token `{shown}`"))
                    .hint("orcactl node token list shows the ids of tokens"))
            }
            _ => Err(ambiguous("token", text, found.iter().map(ToString::to_string))),
        }
    }
}

impl TokenRecord {
    /// Why it cannot be used any more; `None` while it can.
    fn why_spent(&self, now: Time) -> Option<String> {
        if self.revoked {
            return Some("it was revoked".to_owned());
        }
        if self.uses_left == 0 {
            return Some("it was used up".to_owned());
        }
        (self.expires_at <= now).then(|| {
            let ago = Span::from_secs(now.since(self.expires_at).ms() / 1000);
            format!("it expired {ago} ago, by the manager's clock")
        })
    }
}

fn token_view(record: &TokenRecord) -> TokenView {
    TokenView {
        id: record.id,
        role: record.role,
        node: record.node.clone(),
        created_at: record.created_at,
        expires_at: record.expires_at,
        uses_left: record.uses_left,
        by: record.by.to_string(),
    }
}

impl Turn<'_> {
    pub(super) fn create_token(&mut self, create: &CreateToken, by: &Peer) -> Result<Answer, Problem> {
        self.refuse_if_scarce()?;
        let ttl = create.ttl.unwrap_or(TOKEN_TTL);
        let uses = create.uses.unwrap_or(1);
        let bad = |text: String| Problem::new(Code::BadSpec, text);
        if ttl < Span::from_secs(1) || ttl > TOKEN_TTL_MAX {
            return Err(bad(format!("ttl: from 1s to {TOKEN_TTL_MAX}, not {ttl}")));
        }
        if !(1..=TOKEN_USES_MAX).contains(&uses) {
            return Err(bad(format!("uses: from 1 to {TOKEN_USES_MAX}, not {uses}")));
        }
        if create.node.is_some() && uses > 1 {
            return Err(bad("uses: a token for one machine has one use".to_owned()));
        }
        if create.role == Some(Role::Manager) {
            return Err(bad("role: a cluster has one manager; machines join it as workers".to_owned())
                .hint("orcactl node token"));
        }
        if create.addresses.len() > ADDRESSES_MAX {
            return Err(bad(format!("addresses: at most {ADDRESSES_MAX}")));
        }
        for (at, address) in create.addresses.iter().enumerate() {
            check_address(address).map_err(|why| bad(format!("addresses[{at}]: {why}")))?;
        }
        if self.m.durable.tokens.len() >= TOKENS_MAX {
            return Err(Problem::new(Code::TooMany, format!("there are {TOKENS_MAX} join tokens, the most"))
                .hint(
                    "orcactl node token list, then orcactl node token revoke ID; or one token with --uses N",
                ));
        }
        // A token that leads to a closed port would be of no use.
        if self.m.listen().is_none() {
            self.set_listen(Some(LISTEN.to_owned()));
        }
        let id = TokenId::fresh(self.ids);
        let secret = self.secret();
        let record = TokenRecord {
            id,
            secret: secret.digest(),
            role: Role::Worker,
            node: create.node.clone(),
            created_at: self.now.wall,
            expires_at: self.now.wall.plus(ttl),
            uses_left: uses,
            by: by.clone(),
            revoked: false,
        };
        let whom = record.node.as_ref().map_or_else(String::new, |name| format!(", for {name} alone"));
        self.cluster_event("token.created", format!("{id}: good for {ttl}, {uses} to join{whom}"));
        let view = token_view(&record);
        self.put(Change::TokenPut { record: record.into() });
        Ok(Answer::TokenMade { view, secret })
    }

    /// 128 bits of the source of ids.
    fn secret(&mut self) -> Secret {
        let mut secret = [0; 16];
        secret[..10].copy_from_slice(&self.ids.next_id().bytes());
        secret[10..].copy_from_slice(&self.ids.next_id().bytes()[..6]);
        Secret(secret)
    }

    pub(super) fn revoke_token(&mut self, text: &str) -> Result<Answer, Problem> {
        let id = self.m.find_token(text, self.now.wall)?;
        let record = self.m.durable.tokens.get(&id).map(|t| TokenRecord::clone(t));
        let mut record = record.ok_or_else(|| Problem::new(Code::NoSuchToken, "the token is gone"))?;
        record.revoked = true;
        let view = token_view(&record);
        self.cluster_event("token.revoked", id.to_string());
        self.put(Change::TokenPut { record: record.into() });
        Ok(Answer::Token(view))
    }

    /// A machine asks to become a node.
    pub(super) fn on_join_asked(&mut self, token: Token, address: String, join: JoinAsked) {
        let peer = Peer::Network { address: address.clone() };
        let object = join.facts.name.as_ref().map_or_else(String::new, ToString::to_string);
        let answer = self.join(&address, join);
        if answer.is_ok() || self.may_audit_refusal() {
            let record = AuditRecord {
                at: self.now.wall,
                revision: if answer.is_ok() { self.revision } else { 0 },
                peer,
                method: "node.join".to_owned(),
                object,
                request_id: String::new(),
                outcome: answer.as_ref().map_or_else(|p| p.code.to_string(), |_| "ok".to_owned()),
            };
            self.put(Change::Audited { record });
        }
        self.reply(token, answer);
    }

    /// Who has no certificate cannot fill the audit: so many refusals a minute are recorded.
    pub(super) fn may_audit_refusal(&mut self) -> bool {
        let minute = self.now.boot_ms / 60_000;
        let (of, count) = &mut self.m.live.refusals;
        if *of != minute {
            (*of, *count) = (minute, 0);
        }
        *count += 1;
        *count <= REFUSALS_AUDITED
    }

    fn join(&mut self, address: &str, join: JoinAsked) -> Result<Answer, Problem> {
        let token = self.admit(&join)?;
        let Some(cluster) = self.m.durable.cluster.clone() else {
            return Err(Problem::new(Code::Internal, "there is no cluster yet"));
        };
        if self.m.members().count() >= NODES_MAX {
            return Err(Problem::new(Code::TooMany, format!("the cluster has {NODES_MAX} nodes, the most"))
                .hint("orcactl node remove NAME frees a place"));
        }
        let (name, warning) = self.name_for(&join.facts)?;
        let mut token = token;
        token.uses_left -= 1;
        let record = NodeRecord {
            id: NodeId::fresh(self.ids),
            name: name.clone(),
            revision: self.revision,
            roles: vec![token.role],
            state: NodeState::Joining,
            since: self.now.wall,
            availability: Availability::Active,
            labels: join.facts.labels.clone(),
            labels_told: join.facts.labels.clone(),
            data_center: join.facts.data_center.clone(),
            approved: Some(Capacity::of(&join.facts)),
            facts: join.facts,
            generation: Generation { epoch: cluster.epoch, n: 0 },
            address: Some(address.to_owned()),
            certificate: None,
            drain: None,
            leaving: false,
        };
        let node = record.id;
        let how = format!("from {address}, with the token {} of {}", token.id, token.by);
        self.node_event("node.joined", &record, NodeState::Joining.as_str(), how);
        self.put(Change::TokenPut { record: token.into() });
        self.seen(node);
        self.put_node(record);
        Ok(Answer::Joined { node, name, cluster: cluster.id, warning })
    }

    /// Everything that a machine can be refused for, but its name. Gives the token's record.
    fn admit(&self, join: &JoinAsked) -> Result<TokenRecord, Problem> {
        let token = self.m.durable.tokens.values().find(|t| t.secret == join.secret).ok_or_else(|| {
            Problem::new(Code::BadToken, "this cluster knows no such join token")
                .because("it was made by another cluster, or more than a day has passed since it expired")
                .hint("on the manager: orcactl node token")
        })?;
        if let Some(why) = token.why_spent(self.now.wall) {
            return Err(Problem::new(Code::TokenSpent, "the join token cannot be used any more")
                .because(why)
                .hint("on the manager: orcactl node token"));
        }
        if join.version < LINK_VERSION_MIN {
            return Err(Problem::new(
                Code::VersionApart,
                format!("this machine's orcad ({}) is too old for this cluster", join.facts.orcad),
            )
            .because(format!("it speaks version {} of the link, {LINK_VERSION_MIN} is needed", join.version))
            .hint("install the manager's version of orcad on this machine, then join again"));
        }
        self.check_clock(join.clock)?;
        if let Some(wanted) = &token.node
            && join.facts.name.as_ref() != Some(wanted)
        {
            let is = join.facts.name.as_ref().map_or("no name", Name::as_str);
            return Err(Problem::new(
                Code::BadToken,
                format!("this token is for the machine {wanted} alone"),
            )
            .because(format!("this machine is called {is}"))
            .hint(format!(
                "on the manager: orcactl node token, or on this machine: hostnamectl hostname {wanted}"
            )));
        }
        let wrong =
            check_labels(&join.facts.labels).err().map(|why| format!("labels: {why}")).or_else(|| {
                let long = join.facts.data_center.len() > DATA_CENTER_BYTES_MAX;
                long.then(|| format!("data_center: at most {DATA_CENTER_BYTES_MAX} bytes"))
            });
        match wrong {
            Some(why) => {
                Err(Problem::new(Code::BadSpec, why).hint("correct /etc/orcad.toml on this machine"))
            }
            None => Ok(TokenRecord::clone(token)),
        }
    }

    /// Certificates are dated back by an hour, so a clock that is off by minutes does no harm today. But it is not
    /// known where it runs to: who joins begins with a clock that is right.
    fn check_clock(&self, clock: Time) -> Result<(), Problem> {
        let (ahead, behind) = (clock.since(self.now.wall), self.now.wall.since(clock));
        let off = ahead.max(behind);
        if off <= CLOCK_OFF_MAX {
            return Ok(());
        }
        let which = if ahead > behind { "ahead of" } else { "behind" };
        let off = Span::from_secs(off.ms() / 1000);
        Err(Problem::new(Code::ClockOff, format!("this machine's clock is {off} {which} the manager's"))
            .because(format!(
                "it says {clock}, the manager's says {}; at most {CLOCK_OFF_MAX} is allowed",
                self.now.wall
            ))
            .hint("set the one that is wrong: timedatectl set-ntp true, and timedatectl to see it"))
    }

    /// The name that a machine gets: its own where that is free. One that is down or never came gives its name up; so
    /// does the same machine (its kernel's boot tells) that has lost its state. Any other keeps it, and a number is added.
    fn name_for(&mut self, facts: &NodeFacts) -> Result<(Name, Option<String>), Problem> {
        let wished = facts.name.clone().or_else(|| NAMELESS.parse().ok());
        let wished = wished.ok_or_else(|| Problem::new(Code::Internal, "no name can be made up"))?;
        let holder = self.m.members().find(|n| n.name == wished).cloned();
        let Some(holder) = holder else { return Ok((wished, None)) };
        let same_boot = !facts.boot_id.is_empty() && holder.facts.boot_id == facts.boot_id;
        let gives_up = match holder.state {
            NodeState::Down | NodeState::Joining | NodeState::Left => true,
            NodeState::Disconnected => same_boot,
            NodeState::Ready => false,
        };
        if gives_up && !holder.is_manager() {
            self.dismiss(holder.id, Reason::NodeRemoved, "another machine of its name joined in its place");
            return Ok((wished, None));
        }
        let taken: BTreeSet<&str> = self.m.members().map(|n| n.name.as_str()).collect();
        let free = (2..=NODES_MAX + 1).map(|n| {
            let tail = format!("-{n}");
            let room = orca_api::name::NAME_BYTES_MAX - tail.len();
            let stem = wished.as_str().get(..room).unwrap_or(wished.as_str()).trim_end_matches('-');
            format!("{stem}{tail}")
        });
        let free =
            free.filter(|name| !taken.contains(name.as_str())).find_map(|name| name.parse::<Name>().ok());
        let name = free.ok_or_else(|| {
            Problem::new(Code::NameTaken, format!("every name `{wished}-N` is taken"))
                .hint("give this machine another host name: hostnamectl hostname NAME")
        })?;
        let warning = format!(
            "a node named {wished} is {} already: this one is called {name}",
            if holder.state == NodeState::Ready { "here" } else { "known" }
        );
        Ok((name, Some(warning)))
    }
}
