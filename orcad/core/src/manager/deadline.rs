//! What time alone makes due. There are no timers: the shell sleeps until `next_deadline` and sends `Tick`.

use std::sync::Arc;

use orca_api::units::Time;

use super::defaults::{BLOCKED_SWEEP, EVENTS_KEPT, EVENTS_MAX, KEY_KEPT, MARK_EVERY, TOKEN_REMEMBERED};
use super::io::{Change, Effect};
use super::record::{ClusterRecord, EventMark};
use super::state::Manager;
use super::turn::Turn;

/// How often housekeeping looks at keys and events, at least.
const HOUSEKEEPING_MS: u64 = 600_000;

impl Manager {
    /// When something is due next, on the boot clock; `None` when nothing is.
    pub fn next_deadline(&self) -> Option<u64> {
        let blocked =
            if self.durable.blocked.is_empty() { None } else { Some(self.live.sweep_at.unwrap_or(0)) };
        let moves = [self.drains_due(), self.singletons_due(), self.jobs_due()];
        let others = [self.live.nodes_due, blocked, Some(self.live.housekeeping_at)];
        others.into_iter().chain(moves).flatten().min()
    }
}

impl Turn<'_> {
    /// Time has passed.
    pub fn on_tick(&mut self) {
        let now = self.now.boot_ms;
        self.watch();
        self.tick_jobs();
        self.tick_singletons();
        self.tick_drains();
        match self.m.live.sweep_at {
            _ if self.m.durable.blocked.is_empty() => self.m.live.sweep_at = None,
            Some(at) if at > now => {}
            Some(_) => {
                self.retry_blocked();
                self.m.live.sweep_at = Some(now + BLOCKED_SWEEP.ms());
            }
            None => self.m.live.sweep_at = Some(now + BLOCKED_SWEEP.ms()),
        }
        if self.m.live.housekeeping_at <= now {
            self.m.live.housekeeping_at = now + HOUSEKEEPING_MS;
            self.expire_keys();
            self.expire_credentials();
            self.forget_left();
            self.trim_events();
        }
    }

    fn expire_keys(&mut self) {
        let wall = self.now.wall;
        let old = self.m.durable.requests.values().filter(|r| wall.since(r.at) > KEY_KEPT);
        let keys: Vec<String> = old.map(|r| r.key.clone()).collect();
        for key in keys {
            self.put(Change::RequestGone { key });
        }
    }

    /// Tokens go a while after they expired, so that who comes too late is told so; certificates go at once.
    fn expire_credentials(&mut self) {
        let wall = self.now.wall;
        let tokens = self.m.durable.tokens.values().filter(|t| wall > t.expires_at.plus(TOKEN_REMEMBERED));
        let tokens: Vec<_> = tokens.map(|t| t.id).collect();
        for token in tokens {
            self.put(Change::TokenGone { token });
        }
        let expired = self.m.durable.certificates.values().filter(|c| c.expires_at <= wall);
        let expired: Vec<_> = expired.map(|c| c.id).collect();
        let any = !expired.is_empty();
        for certificate in expired {
            self.put(Change::CertificateGone { certificate });
            self.effect(Effect::CutCertificate { certificate });
        }
        if any {
            self.end_rotation();
        }
    }

    /// A mark a day (or each hundred thousand events); events before the first mark that is young enough, and within the number, are deleted.
    fn trim_events(&mut self) {
        let Some(cluster) = self.m.durable.cluster.as_ref().map(Arc::clone) else { return };
        let mut record = ClusterRecord::clone(&cluster);
        let (newest, added) = record.marks.last().map_or((Time::from_ms(i64::MIN), 0), |m| (m.at, m.added));
        let mark = EventMark { at: self.now.wall, revision: self.revision, added: record.events_added };
        if self.now.wall.since(newest) >= MARK_EVERY || record.events_added - added >= EVENTS_MAX / 10 {
            record.marks.push(mark);
        }
        let wall = self.now.wall;
        let too_old =
            |m: &EventMark| wall.since(m.at) > EVENTS_KEPT || record.events_added - m.added > EVENTS_MAX;
        let drop = record.marks.iter().take_while(|m| too_old(m)).count();
        if drop > 0 {
            record.marks.drain(..drop);
            if record.marks.is_empty() {
                record.marks.push(mark);
            }
            let EventMark { at: audited_before, revision: before, .. } = record.marks[0];
            record.events_from = before;
            self.put(Change::EventsTrimmed { before, audited_before });
        }
        if record != *cluster {
            self.put(Change::ClusterPut { record: Arc::new(record) });
        }
    }
}
