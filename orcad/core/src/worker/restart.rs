//! Whether an attempt is followed by another, and when.

use orca_api::spec::{Restart, RestartCondition};
use orca_api::task::{Reason, State};
use orca_api::units::{Span, Time};

use super::defaults::{BACKOFF_FIRST, BACKOFF_MAX, HEALTHY_AFTER, JITTER_PER_MILLE};
use super::io::Counters;

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another, at an instant.
    Next(Time),
    /// None; with what is to be said about it beyond the outcome.
    Finished(Option<String>),
}

/// An attempt's end, as far as the policy cares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub state: State,
    pub reason: Option<Reason>,
    /// How long its process ran.
    pub ran: Option<Span>,
    /// When.
    pub at: Time,
    /// Random bits for the jitter.
    pub jitter: u64,
}

/// Applies the policy, and counts.
pub(super) fn decide(policy: Restart, ended: Ended, counters: &mut Counters) -> After {
    if ended.state == State::Stopped {
        return After::Finished(None);
    }
    let went_down = match ended.reason {
        Some(Reason::EngineRestart) => Some("its engine was restarted"),
        Some(Reason::NodeReboot) => Some("its machine was restarted"),
        _ => None,
    };
    if let Some(what) = went_down {
        if policy.condition == RestartCondition::Never {
            let note = format!("{what}, and with the restart policy never it does not come back");
            return After::Finished(Some(note));
        }
        return After::Next(ended.at);
    }
    if ended.ran.is_some_and(|ran| ran >= HEALTHY_AFTER) {
        counters.budget_used = 0;
        counters.backoff = 0;
    }
    match policy.condition {
        RestartCondition::Never => return After::Finished(None),
        RestartCondition::OnFailure if ended.state == State::Completed => return After::Finished(None),
        RestartCondition::OnFailure | RestartCondition::Always => {}
    }
    if ended.reason.is_none_or(Reason::uses_budget) {
        if policy.max.is_some_and(|max| counters.budget_used >= max) {
            return After::Finished(Some(format!("restarts used up ({policy})")));
        }
        counters.budget_used = counters.budget_used.saturating_add(1);
    }
    let wait = backoff(counters.backoff, ended.jitter);
    counters.backoff = counters.backoff.saturating_add(1);
    After::Next(ended.at.plus(wait))
}

/// The wait before the next attempt: 1 s × 2^steps, at most 5 min, ± 25 %.
pub(super) fn backoff(steps: u32, jitter: u64) -> Span {
    let wait = 1u64
        .checked_shl(steps.min(63))
        .map_or(u64::MAX, |f| BACKOFF_FIRST.ms().saturating_mul(f))
        .min(BACKOFF_MAX.ms());
    let per_mille = 1000 - JITTER_PER_MILLE + jitter % (2 * JITTER_PER_MILLE + 1);
    Span::from_ms(wait * per_mille / 1000)
}

/// The longest wait there is: a stored one that is longer comes from a clock that was set.
pub(super) fn backoff_max() -> Span {
    Span::from_ms(BACKOFF_MAX.ms() * (1000 + JITTER_PER_MILLE) / 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The middle of the jitter's range.
    const EVEN: u64 = JITTER_PER_MILLE;
    const T: Time = Time::from_ms(1_000_000);

    fn ended(state: State, reason: Reason) -> Ended {
        Ended { state, reason: Some(reason), ran: Some(Span::from_secs(5)), at: T, jitter: EVEN }
    }

    fn policy(text: &str) -> Restart {
        text.parse().expect("a policy")
    }

    #[test]
    fn the_wait_doubles_to_five_minutes() {
        let waits: Vec<u64> = (0..11).map(|n| backoff(n, EVEN).ms() / 1000).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn conditions_decide() {
        let failed = ended(State::Failed, Reason::Exited);
        let completed = ended(State::Completed, Reason::Exited);
        let rejected = ended(State::Rejected, Reason::ImageNotFound);
        let stopped = ended(State::Stopped, Reason::StoppedByUser);
        let soon = After::Next(T.plus(Span::from_secs(1)));
        let done = After::Finished(None);
        for (text, ended, after) in [
            ("always", completed, &soon),
            ("always", failed, &soon),
            ("always", rejected, &soon),
            ("on-failure", completed, &done),
            ("on-failure", failed, &soon),
            ("on-failure", rejected, &soon),
            ("never", completed, &done),
            ("never", failed, &done),
            ("never", rejected, &done),
            ("always", stopped, &done),
        ] {
            assert_eq!(decide(policy(text), ended, &mut Counters::default()), *after, "{text} {ended:?}");
        }
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back_after_a_healthy_stretch() {
        let mut counters = Counters::default();
        let failed = ended(State::Failed, Reason::Exited);
        for _ in 0..2 {
            assert!(matches!(decide(policy("on-failure:2"), failed, &mut counters), After::Next(_)));
        }
        let After::Finished(Some(note)) = decide(policy("on-failure:2"), failed, &mut counters) else {
            panic!("not finished")
        };
        assert_eq!(note, "restarts used up (on-failure:2)");
        let healthy = Ended { ran: Some(HEALTHY_AFTER), ..failed };
        assert_eq!(
            decide(policy("on-failure:2"), healthy, &mut counters),
            After::Next(T.plus(Span::from_secs(1)))
        );
        assert_eq!(counters.budget_used, 1);
    }

    #[test]
    fn what_is_not_its_own_end_costs_nothing() {
        for reason in [Reason::EngineRestart, Reason::NodeReboot] {
            let mut counters = Counters { restarts: 1, budget_used: 5, backoff: 4 };
            let before = counters;
            assert_eq!(
                decide(policy("on-failure:5"), ended(State::Failed, reason), &mut counters),
                After::Next(T)
            );
            assert_eq!(counters, before);
            assert!(matches!(
                decide(policy("never"), ended(State::Failed, reason), &mut counters),
                After::Finished(Some(_))
            ));
        }
        let mut counters = Counters { budget_used: 1, ..Counters::default() };
        assert!(matches!(
            decide(policy("on-failure:1"), ended(State::Rejected, Reason::PortTaken), &mut counters),
            After::Next(_)
        ));
        assert_eq!(counters.budget_used, 1);
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(steps: u32, jitter: u64) {
            let wait = backoff(steps, jitter);
            prop_assert!(wait >= Span::from_ms(750) && wait <= backoff_max());
        }
    }
}
