//! Rates of counters that only rise.

/// A counter's last value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate(Option<u64>);

impl Rate {
    /// The increase a second since the last value; `None` at the first one, and where the counter began anew.
    pub(super) fn take(&mut self, value: Option<u64>, seconds: f64) -> Option<f64> {
        let last = std::mem::replace(&mut self.0, value);
        let increase = value?.checked_sub(last?)?;
        (seconds > 0.0).then(|| increase as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let mut rate = Rate::default();
        assert_eq!(rate.take(Some(100), 5.0), None);
        assert_eq!(rate.take(Some(150), 5.0), Some(10.0));
        assert_eq!(rate.take(Some(150), 0.0), None, "no time has passed");
        assert_eq!(rate.take(Some(20), 5.0), None, "it began anew");
        assert_eq!(rate.take(None, 5.0), None, "it is gone");
        assert_eq!(rate.take(Some(40), 5.0), None, "it is back");
    }
}
