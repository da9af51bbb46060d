//! Exponential moving averages over uneven steps.

/// The time constant in seconds: what happened that long ago counts 1/e of what happens now.
const CONSTANT_S: f64 = 30.0;

/// One moving average.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Average(Option<f64>);

impl Average {
    /// Takes a value that held for the last `seconds`, and tells the average. The first value is the average.
    pub(super) fn take(&mut self, value: f64, seconds: f64) -> f64 {
        let next = match self.0 {
            None => value,
            Some(old) => old + (1.0 - (-seconds.max(0.0) / CONSTANT_S).exp()) * (value - old),
        };
        self.0 = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_time_and_not_the_number_of_samples() {
        let (mut one, mut many) = (Average::default(), Average::default());
        one.take(0.0, 1.0);
        many.take(0.0, 1.0);
        let whole = one.take(8.0, 30.0);
        let parts = (0..30).map(|_| many.take(8.0, 1.0)).last();
        assert!((whole - 8.0 * (1.0 - (-1.0f64).exp())).abs() < 1e-9);
        assert!(parts.is_some_and(|p| (p - whole).abs() < 1e-9));
    }

    #[test]
    fn a_clock_that_stands_still_changes_nothing() {
        let mut average = Average::default();
        average.take(4.0, 5.0);
        assert!((average.take(100.0, 0.0) - 4.0).abs() < 1e-9);
    }
}
