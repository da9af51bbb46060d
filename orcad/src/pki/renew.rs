//! When a certificate is renewed, and which one may be.
//!
//! **When.** At a point between 50 and 80 % of its life, by the wall clock: which point is told by the certificate's
//! id, which is random, so the nodes of a cluster spread and a restart changes nothing. A certificate that the clock
//! calls expired or not yet valid is due at once. The clock is looked at every hour at the least, so one that jumps
//! delays nothing; and after a success there is an hour's pause (on the boot clock), so that a wrong one cannot make a
//! node renew in a circle.
//!
//! **Which.** Nobody is locked out by dates: whoever holds the key of a certificate that is sound but for its dates may
//! renew it, and do nothing else. What keeps a stolen key from renewing for ever is the *lineage*. The manager knows the
//! one certificate that a node uses, and the one that it was given since and has not shown yet (the answer may be lost).
//! Any other is superseded: it does not renew, and that it was shown means that two machines have been one node.

use orca_api::id::CertificateId;
use orca_api::units::{Span, Time};

use super::certificate::{BACK_DATED, PeerIdentity, Standing};

/// The longest time between two looks at the clock.
pub const LOOK_MAX: Span = Span::from_ms(3_600_000);
/// The pause after a success.
pub const PAUSE: Span = Span::from_ms(3_600_000);
/// The first pause after a failure; doubled with each, up to [`PAUSE`].
pub const RETRY: Span = Span::from_ms(10_000);

/// Why a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its point has come.
    Age,
    /// The clock calls it expired.
    Expired,
    /// The clock calls it not yet valid.
    NotYetValid,
}

/// Whether it is time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now(Why),
    /// Not yet: look again after so long on the boot clock, at most [`LOOK_MAX`].
    In(Span),
}

/// The instant at which a certificate is to be renewed.
pub fn point(certificate: &PeerIdentity) -> Time {
    let made = certificate.not_before.plus(BACK_DATED).min(certificate.not_after);
    let life = u128::from(certificate.not_after.since(made).ms());
    let [.., a, b, c, d] = certificate.certificate.raw().bytes();
    let dice = u128::from(u32::from_be_bytes([a, b, c, d]));
    // 50 % and up to 30 % more.
    let after = life / 2 + life * 3 * dice / (10 * u128::from(u32::MAX));
    made.plus(Span::from_ms(u64::try_from(after).unwrap_or(u64::MAX)))
}

/// Whether a certificate is to be renewed. `since_success` is how long ago, on the boot clock, this process last renewed.
pub fn due(certificate: &PeerIdentity, now: Time, since_success: Option<Span>) -> Due {
    if let Some(left) = since_success.and_then(|since| PAUSE.ms().checked_sub(since.ms()))
        && left > 0
    {
        return Due::In(Span::from_ms(left.min(LOOK_MAX.ms())));
    }
    match certificate.standing(now) {
        Standing::Expired { .. } => return Due::Now(Why::Expired),
        Standing::NotYetValid { .. } => return Due::Now(Why::NotYetValid),
        Standing::Valid => {}
    }
    let at = point(certificate);
    if now >= at { Due::Now(Why::Age) } else { Due::In(Span::from_ms(at.since(now).ms().min(LOOK_MAX.ms()))) }
}

/// How long to wait after so many failures in a row (from 1): doubled each time, and between the half and the whole of
/// that, by `dice`.
pub fn retry_after(failures: u32, dice: u64) -> Span {
    let whole = RETRY.ms().saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE.ms());
    Span::from_ms(whole / 2 + dice % (whole / 2 + 1))
}

/// The certificates of a node that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The one that it uses.
    pub current: CertificateId,
    /// The one that it was given since and has not shown yet.
    pub pending: Option<CertificateId>,
}

/// What a shown certificate is to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The one that it uses.
    Current,
    /// The one that it was given; it is its current one from now on.
    Taken,
    /// An earlier one: the node has gone on, so this is a copy of it, or a machine put back from an image.
    Superseded,
}

impl Lineage {
    /// Of a node that has joined with a certificate.
    pub const fn new(first: CertificateId) -> Self {
        Self { current: first, pending: None }
    }

    /// It is given another. One that it was given before and never showed is void.
    #[must_use]
    pub const fn given(self, next: CertificateId) -> Self {
        Self { pending: Some(next), ..self }
    }

    /// It shows one, at a handshake.
    pub fn shown(&mut self, certificate: CertificateId) -> Shown {
        if certificate == self.current {
            Shown::Current
        } else if self.pending == Some(certificate) {
            *self = Self::new(certificate);
            Shown::Taken
        } else {
            Shown::Superseded
        }
    }
}

/// Why a certificate is not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRenewal {
    /// The node is not of this cluster any more.
    #[error("the node was removed from the cluster")]
    Unknown,
    /// It is not a node's certificate.
    #[error("certificates of people are not renewed: make a new one")]
    NotANode,
    /// The node has gone on to another certificate.
    #[error(
        "the node has a newer certificate than this: two machines use one identity, or one was put back from an image"
    )]
    Superseded,
}

/// Whether a certificate, whose key was proven by the handshake, may be renewed. Its dates do not matter. `lineage` is the
/// node's after [`Lineage::shown`], `None` where there is no such node.
///
/// # Errors
/// Why not.
pub fn check_renewal(certificate: &PeerIdentity, lineage: Option<&Lineage>) -> Result<(), NoRenewal> {
    certificate.who.node().ok_or(NoRenewal::NotANode)?;
    let lineage = lineage.ok_or(NoRenewal::Unknown)?;
    if lineage.current == certificate.certificate { Ok(()) } else { Err(NoRenewal::Superseded) }
}

#[cfg(test)]
mod tests {
    use orca_api::id::{ClusterId, NodeId, RawId, SeededIds};
    use orca_api::join::CertRole;
    use proptest::prelude::*;

    use super::*;
    use crate::pki::certificate::{Identity, KeyDigest, LIFETIME};

    const T0: i64 = 1_764_000_000_000;
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;

    fn id(n: u32) -> CertificateId {
        let mut bytes = [0; 10];
        bytes[6..].copy_from_slice(&n.to_be_bytes());
        CertificateId::from_raw(RawId::from_bytes(bytes))
    }

    fn certificate(dice: u32, role: CertRole) -> PeerIdentity {
        let mut ids = SeededIds(1);
        let (cluster, node) = (ClusterId::fresh(&mut ids), NodeId::fresh(&mut ids));
        PeerIdentity {
            who: Identity::of_node(cluster, role, node),
            certificate: id(dice),
            key: KeyDigest([0; 32]),
            not_before: Time::from_ms(T0 - HOUR),
            not_after: Time::from_ms(T0).plus(LIFETIME),
        }
    }

    #[test]
    fn due_by_clock() {
        let look = Due::In(LOOK_MAX);
        for (dice, now, since, expected) in [
            // A quiet life: 90 days, so between day 45 and day 72.
            (0, T0, None, look),
            (0, T0 + 45 * DAY - 1, None, Due::In(Span::from_ms(1))),
            (0, T0 + 45 * DAY, None, Due::Now(Why::Age)),
            (u32::MAX, T0 + 72 * DAY - HOUR / 2, None, Due::In(Span::from_ms(HOUR as u64 / 2))),
            (u32::MAX, T0 + 72 * DAY, None, Due::Now(Why::Age)),
            // Clocks that are behind by less than the back-dating, and by more.
            (0, T0 - HOUR, None, look),
            (0, T0 - HOUR - 1, None, Due::Now(Why::NotYetValid)),
            // A year in either direction, and the beginning of time.
            (0, T0 + YEAR, None, Due::Now(Why::Expired)),
            (0, T0 - YEAR, None, Due::Now(Why::NotYetValid)),
            (0, 0, None, Due::Now(Why::NotYetValid)),
            (0, i64::MAX, None, Due::Now(Why::Expired)),
            // No circle while a clock is wrong, and no delay beyond the pause.
            (0, T0 + YEAR, Some(0), look),
            (0, T0 + YEAR, Some(HOUR - 60_000), Due::In(Span::from_ms(60_000))),
            (0, T0 + YEAR, Some(HOUR), Due::Now(Why::Expired)),
            (0, T0 - YEAR, Some(2 * HOUR), Due::Now(Why::NotYetValid)),
        ] {
            let since = since.map(|ms| Span::from_ms(i64::unsigned_abs(ms)));
            let found = due(&certificate(dice, CertRole::Worker), Time::from_ms(now), since);
            assert_eq!(found, expected, "dice {dice}, at {}", (now - T0) / HOUR);
        }
    }

    #[test]
    fn retries_back_off_and_spread() {
        assert_eq!(retry_after(1, 0), Span::from_ms(5_000));
        assert_eq!(retry_after(1, 5_000), Span::from_ms(10_000));
        assert_eq!(retry_after(3, 0), Span::from_ms(20_000));
        assert_eq!(
            retry_after(u32::MAX, u64::MAX).ms().max(PAUSE.ms() / 2),
            retry_after(u32::MAX, u64::MAX).ms()
        );
        assert!(retry_after(0, 7) >= Span::from_ms(5_000));
    }

    #[test]
    fn a_lost_answer_locks_nobody_out_and_a_copy_is_seen() {
        let worker = |dice| certificate(dice, CertRole::Worker);
        let mut lineage = Lineage::new(id(1));
        // The answer with 2 is lost: the node asks again under 1, and gets 3.
        lineage = lineage.given(id(2));
        assert_eq!(lineage.shown(id(1)), Shown::Current);
        assert_eq!(check_renewal(&worker(1), Some(&lineage)), Ok(()));
        lineage = lineage.given(id(3));
        assert_eq!(lineage.shown(id(3)), Shown::Taken);
        assert_eq!(lineage.shown(id(3)), Shown::Current);
        assert_eq!(check_renewal(&worker(3), Some(&lineage)), Ok(()));
        // A copy of the node as it was.
        for old in [1, 2] {
            assert_eq!(lineage.shown(id(old)), Shown::Superseded);
            assert_eq!(check_renewal(&worker(old), Some(&lineage)), Err(NoRenewal::Superseded));
        }
        assert_eq!(check_renewal(&worker(3), None), Err(NoRenewal::Unknown));
        for role in [CertRole::Admin, CertRole::View] {
            assert_eq!(check_renewal(&certificate(3, role), Some(&lineage)), Err(NoRenewal::NotANode));
        }
    }

    proptest! {
        #[test]
        fn the_point_is_within_50_and_80_percent(dice: u32, life in 0_i64..10 * YEAR) {
            let mut certificate = certificate(dice, CertRole::Manager);
            certificate.not_after = Time::from_ms(T0 + life);
            let after = point(&certificate).ms() - T0;
            prop_assert!(after >= life / 2 && after <= life * 4 / 5 + 1, "{after} of {life}");
        }

        #[test]
        fn nothing_waits_longer_than_an_hour(dice: u32, now: i64, since: Option<u64>) {
            match due(&certificate(dice, CertRole::Worker), Time::from_ms(now), since.map(Span::from_ms)) {
                Due::In(span) => prop_assert!(span <= LOOK_MAX && span > Span::from_ms(0)),
                Due::Now(_) => {}
            }
        }
    }
}
