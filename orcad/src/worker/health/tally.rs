//! Counting answers: when a container is well, and when it is not any more.

use orca_api::units::Span;
use orca_core::worker::io::{CheckTarget, Health};

/// What is known of a container's answers.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    every: Span,
    retries: u32,
    /// It was well, and has not been found unhealthy since.
    well: bool,
    /// Failures in a row that count.
    failures: u32,
    /// While it was never well: its age at the last failure that counted, at first the end of its start period.
    counted: Span,
    /// What was last told of the failing check.
    told: Option<String>,
}

impl Tally {
    /// Of a container that runs since before, or has just begun.
    pub(super) fn new(target: &CheckTarget) -> Self {
        Self {
            every: target.check.every(),
            retries: target.check.failures(),
            well: !target.starting,
            failures: 0,
            counted: target.check.grace(),
            told: None,
        }
    }

    /// Whether it is asked each interval, and not more often.
    pub(super) fn is_well(&self) -> bool {
        self.well
    }

    /// Takes an answer of a container of some age: what it is now, and what the check complains of, where one of them is
    /// news.
    pub(super) fn on_answer(
        &mut self,
        answer: Result<(), String>,
        age: Span,
    ) -> Option<(Health, Option<String>)> {
        let Err(said) = answer else {
            let news = !self.well || self.told.is_some();
            self.well = true;
            self.failures = 0;
            self.told = None;
            return news.then_some((Health::Healthy, None));
        };
        if self.well {
            self.failures += 1;
        } else if age.ms() >= self.counted.ms().saturating_add(self.every.ms()) {
            self.failures += 1;
            self.counted = age;
        }
        if self.failures >= self.retries {
            let text = match (self.well, self.failures) {
                (false, _) => format!("not healthy within {}: {said}", whole_seconds(age)),
                (true, 1) => said,
                (true, n) => format!("{n} failures in a row, the last: {said}"),
            };
            return Some((Health::Unhealthy(text), None));
        }
        let news = self.told.as_ref() != Some(&said);
        self.told = Some(said);
        let health = if self.well { Health::Healthy } else { Health::Starting };
        news.then(|| (health, self.told.clone()))
    }
}

fn whole_seconds(span: Span) -> Span {
    Span::from_secs(span.ms() / 1000)
}

#[cfg(test)]
mod tests {
    use orca_api::spec::HealthCheck;

    use super::*;

    fn tally(starting: bool, start_period: u64) -> Tally {
        let check = HealthCheck {
            tcp: Some(80),
            interval: Some(Span::from_secs(10)),
            retries: Some(3),
            start_period: Some(Span::from_secs(start_period)),
            ..HealthCheck::default()
        };
        Tally::new(&CheckTarget { container: "c".into(), address: None, check, started_at: None, starting })
    }

    fn no(said: &str) -> Result<(), String> {
        Err(said.to_owned())
    }

    /// The age at which one that is asked each second, and never answers, is unhealthy.
    fn given_up_at(tally: &mut Tally, from: u64) -> (u64, String) {
        (from..from + 1000)
            .find_map(|s| match tally.on_answer(no("refused"), Span::from_secs(s)) {
                Some((Health::Unhealthy(said), None)) => Some((s, said)),
                Some((Health::Starting, Some(said))) => {
                    assert_eq!((said.as_str(), s), ("refused", from), "told once");
                    None
                }
                None => None,
                other => panic!("{other:?}"),
            })
            .unwrap()
    }

    #[test]
    fn a_slow_start_has_its_start_period_and_retries_intervals() {
        for (start_period, at) in [(0, 30), (60, 90)] {
            let (age, said) = given_up_at(&mut tally(true, start_period), 0);
            assert_eq!((age, said), (at, format!("not healthy within {}: refused", Span::from_secs(at))));
        }
        // One that is found starting at an age has at least two intervals more.
        assert_eq!(given_up_at(&mut tally(true, 0), 100).0, 120);
    }

    #[test]
    fn the_first_answer_makes_it_well_and_failures_in_a_row_make_it_unhealthy() {
        let mut tally = tally(true, 3600);
        let age = Span::from_secs(1);
        assert_eq!(tally.on_answer(Ok(()), age), Some((Health::Healthy, None)));
        assert_eq!(tally.on_answer(Ok(()), age), None);
        for _ in 0..5 {
            // The start period ends with the first answer.
            assert_eq!(tally.on_answer(no("a"), age), Some((Health::Healthy, Some("a".into()))));
            assert_eq!(tally.on_answer(no("a"), age), None);
            assert_eq!(tally.on_answer(Ok(()), age), Some((Health::Healthy, None)));
        }
        tally.on_answer(no("a"), age);
        assert_eq!(tally.on_answer(no("b"), age), Some((Health::Healthy, Some("b".into()))));
        let text = "3 failures in a row, the last: c".to_owned();
        assert_eq!(tally.on_answer(no("c"), age), Some((Health::Unhealthy(text), None)));
    }

    #[test]
    fn one_that_ran_before_runs_until_it_is_proven_unhealthy() {
        let mut tally = tally(false, 0);
        let age = Span::from_secs(1000);
        assert!(tally.is_well());
        assert_eq!(tally.on_answer(Ok(()), age), None);
        assert_eq!(tally.on_answer(no("a"), age), Some((Health::Healthy, Some("a".into()))));
    }
}
