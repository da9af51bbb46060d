//! Amounts as people write them: CPUs, bytes, durations, instants.
//!
//! | type | unit inside | read from | written as |
//! |---|---|---|---|
//! | [`Cpu`] | thousandths of a CPU | `0.5`, `"500m"` | `0.5` |
//! | [`Bytes`] | bytes | `"512MiB"`, `"64m"`, `1048576` | `1048576` |
//! | [`Span`] | milliseconds | `"1m30s"`, `10` (seconds) | `"1m 30s"` |
//! | [`Time`] | milliseconds since 1970 UTC | RFC 3339 | RFC 3339, UTC |

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of CPU in thousandths of one CPU; at most 1,000,000 CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(u64);

/// An amount of bytes; at most 2⁵³ (what every JSON reader can hold).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// A length of time in milliseconds; at most 10 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// A point in time: milliseconds since the beginning of 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// An amount that cannot be read; says what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: write {like}")]
pub struct UnitError {
    /// What was given (shortened).
    pub text: String,
    /// What was wanted.
    pub what: &'static str,
    /// Examples of what is accepted.
    pub like: &'static str,
}

const CPU_MILLIS_MAX: u64 = 1_000_000_000;
const BYTES_MAX: u64 = 1 << 53;
const SPAN_MS_MAX: u64 = 10 * 366 * 24 * 3600 * 1000;

fn error(text: &str, what: &'static str, like: &'static str) -> UnitError {
    UnitError { text: text.chars().take(40).collect(), what, like }
}

impl Cpu {
    /// None.
    pub const ZERO: Self = Self(0);
    /// From thousandths of a CPU; more than the maximum becomes the maximum.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > CPU_MILLIS_MAX { CPU_MILLIS_MAX } else { millis })
    }
    /// Thousandths of a CPU.
    pub const fn millis(self) -> u64 {
        self.0
    }
    /// CPUs.
    pub fn cpus(self) -> f64 {
        self.0 as f64 / 1000.0
    }
    /// The difference, never below zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
    /// The sum, never above the maximum.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::from_millis(self.0.saturating_add(other.0))
    }
    fn from_cpus(cpus: f64, text: &str) -> Result<Self, UnitError> {
        let millis = (cpus * 1000.0).round();
        if !millis.is_finite() || millis < 0.0 || millis > CPU_MILLIS_MAX as f64 || cpus.is_sign_negative() {
            return Err(error(text, "an amount of CPU", "0.5, 2 or 250m"));
        }
        if cpus > 0.0 && millis < 1.0 {
            return Err(error(text, "an amount of CPU (the smallest is 1m)", "0.5, 2 or 250m"));
        }
        Ok(Self(millis as u64))
    }
}

impl FromStr for Cpu {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || error(text, "an amount of CPU", "0.5, 2 or 250m");
        let plain =
            |t: &str| !t.is_empty() && t.len() <= 16 && t.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if let Some(millis) = text.strip_suffix('m') {
            if !plain(millis) {
                return Err(bad());
            }
            return Self::from_cpus(millis.parse::<f64>().map_err(|_| bad())? / 1000.0, text);
        }
        if !plain(text) {
            return Err(bad());
        }
        Self::from_cpus(text.parse().map_err(|_| bad())?, text)
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.cpus());
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Bytes {
    /// None.
    pub const ZERO: Self = Self(0);
    /// From bytes; more than the maximum becomes the maximum.
    pub const fn new(bytes: u64) -> Self {
        Self(if bytes > BYTES_MAX { BYTES_MAX } else { bytes })
    }
    /// From mebibytes.
    pub const fn mib(mib: u64) -> Self {
        Self::new(mib.saturating_mul(1 << 20))
    }
    /// Bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// The difference, never below zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
    /// The sum, never above the maximum.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::new(self.0.saturating_add(other.0))
    }
}

impl FromStr for Bytes {
    type Err = UnitError;
    /// `k`, `m`, `g`, `t` and `KiB` … `TiB` are powers of 1024 (as in `docker run`), `kB` … `TB` powers of 1000.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || error(text, "an amount of bytes", "512MiB, 64m, 2g or 1.5GiB");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if number.is_empty() || number.len() > 20 {
            return Err(bad());
        }
        let scale: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "ki" | "kib" => 1 << 10,
            "m" | "mi" | "mib" => 1 << 20,
            "g" | "gi" | "gib" => 1 << 30,
            "t" | "ti" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(bad()),
        };
        let bytes = if number.contains('.') {
            (number.parse::<f64>().map_err(|_| bad())? * scale as f64).round() as u64
        } else {
            number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(bad)?
        };
        if bytes > BYTES_MAX {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes {
    /// For people: at most four digits and a binary unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let text = if value.fract() == 0.0 || value >= 100.0 {
            format!("{value:.0} {unit}")
        } else {
            format!("{value:.1} {unit}")
        };
        f.pad(&text)
    }
}

impl Span {
    /// None.
    pub const ZERO: Self = Self(0);
    /// From milliseconds; more than the maximum becomes the maximum.
    pub const fn from_ms(ms: u64) -> Self {
        Self(if ms > SPAN_MS_MAX { SPAN_MS_MAX } else { ms })
    }
    /// From seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_ms(secs.saturating_mul(1000))
    }
    /// Milliseconds.
    pub const fn ms(self) -> u64 {
        self.0
    }
    /// Whole seconds, rounded up.
    pub const fn secs_up(self) -> u64 {
        self.0.div_ceil(1000)
    }
    /// As the standard library's duration.
    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || error(text, "a length of time", "90s, 1m30s or 2h");
        if text.len() > 64 {
            return Err(bad());
        }
        let ms = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            text.parse::<u64>().ok().and_then(|s| s.checked_mul(1000)).ok_or_else(bad)?
        } else {
            let span: jiff::Span = text.parse().map_err(|_| bad())?;
            let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
            u64::try_from(duration.as_millis()).map_err(|_| bad())?
        };
        if ms > SPAN_MS_MAX {
            return Err(bad());
        }
        Ok(Self(ms))
    }
}

impl fmt::Display for Span {
    /// The two largest units: `1h 5m`, `12s`, `350ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
        let mut rest = self.0;
        let mut parts = Vec::new();
        for (unit, size) in units {
            if rest >= size {
                parts.push(format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        if parts.is_empty() {
            parts.push("0s".to_owned());
        }
        f.pad(&parts.join(" "))
    }
}

impl Time {
    /// From milliseconds since 1970.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }
    /// Milliseconds since 1970.
    pub const fn ms(self) -> i64 {
        self.0
    }
    /// Later by a span.
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0 as i64))
    }
    /// The time since an earlier instant; zero if that one is later.
    pub const fn since(self, earlier: Self) -> Span {
        let ms = self.0.saturating_sub(earlier.0);
        Span::from_ms(if ms < 0 { 0 } else { ms as u64 })
    }
}

impl FromStr for Time {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Some(ms) = instant::read(text.as_bytes()) {
            return Ok(Self(ms));
        }
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_millisecond()))
            .map_err(|_| error(text, "a point in time", "2026-11-24T18:30:00Z"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = instant::write(self.0) {
            return f.write_str(str::from_utf8(&text).unwrap_or_default());
        }
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

/// Instants in the one form that orca writes, `2026-11-24T18:30:00.000Z`, of the years 1970 to 9999. A list of ten
/// thousand tasks has thirty thousand of them, which took longer than everything else in it; any other form is jiff's.
mod instant {
    const LEN: usize = "2026-11-24T18:30:00.000Z".len();
    const DAY_MS: i64 = 86_400_000;
    /// The first millisecond of the year 10000.
    const END_MS: i64 = 253_402_300_800_000;
    /// Days of 400 years.
    const ERA: i64 = 146_097;
    /// Days from the first of March of the year 0, with which the eras begin, to 1970.
    const EPOCH: i64 = 719_468;
    /// Where the digits of a field stand: its first, and how many.
    const FIELDS: [(usize, usize); 7] = [(0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2), (20, 3)];

    /// Years here begin in March, so that the day that some of them lack is their last; see Howard Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days` and `days_from_civil`.
    fn date(days: i64) -> (i64, i64, i64) {
        let days = days + EPOCH;
        let (era, day) = (days / ERA, days % ERA);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let of_month = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (era * 400 + year + i64::from(month <= 2), month, of_month)
    }

    fn days(year: i64, month: i64, day: i64) -> i64 {
        let year = year - i64::from(month <= 2);
        let (era, of_era) = (year / 400, year % 400);
        let month = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * month + 2) / 5 + day - 1;
        era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
    }

    pub fn write(ms: i64) -> Option<[u8; LEN]> {
        if !(0..END_MS).contains(&ms) {
            return None;
        }
        let (year, month, day) = date(ms / DAY_MS);
        let of_day = ms % DAY_MS;
        let values =
            [year, month, day, of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000];
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for ((first, digits), mut value) in FIELDS.into_iter().zip(values) {
            for at in (first..first + digits).rev() {
                // One digit.
                text[at] += (value % 10) as u8;
                value /= 10;
            }
        }
        Some(text)
    }

    pub fn read(text: &[u8]) -> Option<i64> {
        let text: &[u8; LEN] = text.try_into().ok()?;
        let [.., b'Z'] = text else { return None };
        if [text[4], text[7], text[10], text[13], text[16], text[19]] != *b"--T::." {
            return None;
        }
        let mut values = [0; 7];
        for ((first, digits), value) in FIELDS.into_iter().zip(&mut values) {
            for c in &text[first..first + digits] {
                *value = *value * 10 + i64::from(char::from(*c).to_digit(10)?);
            }
        }
        let [year, month, day, hours, minutes, seconds, millis] = values;
        let sound = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
        // A leap second, or no time at all: for jiff to judge.
        if !sound || hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let days = days(year, month, day);
        // The 31st of a month that has 30 days is not the first of the next.
        (date(days) == (year, month, day))
            .then(|| days * DAY_MS + hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + millis)
    }
}

/// Reads a unit from text, or from a number by `number`.
struct UnitVisitor<T> {
    what: &'static str,
    number: fn(f64) -> Result<T, UnitError>,
}

impl<T: FromStr<Err = UnitError>> Visitor<'_> for UnitVisitor<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<T, E> {
        (self.number)(n as f64).map_err(E::custom)
    }
    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<T, E> {
        (self.number)(n as f64).map_err(E::custom)
    }
    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<T, E> {
        (self.number)(n).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Cpu {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(UnitVisitor::<Self> {
            what: "an amount of CPU such as 0.5 or \"250m\"",
            number: |n| Self::from_cpus(n, &n.to_string()),
        })
    }
}

impl Serialize for Cpu {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.cpus())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(UnitVisitor::<Self> {
            what: "an amount of bytes such as \"512MiB\" or 1048576",
            number: |n| {
                let like = "512MiB, 64m, 2g or 1.5GiB";
                if n.is_finite() && n >= 0.0 && n.fract() == 0.0 && n <= BYTES_MAX as f64 {
                    Ok(Self(n as u64))
                } else {
                    Err(error(&n.to_string(), "an amount of bytes", like))
                }
            },
        })
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(UnitVisitor::<Self> {
            what: "a length of time such as \"1m30s\" or a number of seconds",
            number: |n| {
                let ms = (n * 1000.0).round();
                if ms.is_finite() && ms >= 0.0 && ms <= SPAN_MS_MAX as f64 {
                    Ok(Self(ms as u64))
                } else {
                    Err(error(&n.to_string(), "a length of time", "90s, 1m30s or 2h"))
                }
            },
        })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(d)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cpu() {
        for (text, millis) in [("0.5", 500), ("2", 2000), ("250m", 250), ("0", 0), ("1m", 1)] {
            assert_eq!(text.parse::<Cpu>().map(Cpu::millis), Ok(millis), "{text}");
        }
        for bad in ["", "-1", "-0", "1e9", "NaN", "inf", "0.0001", "1000001", "m", "1 m", "٣"] {
            assert!(bad.parse::<Cpu>().is_err(), "{bad}");
        }
        assert_eq!(Cpu::from_millis(1500).to_string(), "1.5");
        assert_eq!(serde_json::from_str::<Cpu>("0.25").ok(), Some(Cpu(250)));
        assert!(serde_json::from_str::<Cpu>("-0.0").is_err());
    }

    #[test]
    fn bytes() {
        for (text, bytes) in [
            ("1", 1),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("64MB", 64_000_000),
            ("1.5g", 3 << 29),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(text.parse::<Bytes>().map(Bytes::get), Ok(bytes), "{text}");
        }
        for bad in ["", "m", "-1", "1e3", "1e400Gi", "99999999999999999999", "1.2.3", "1 zz"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
    }

    #[test]
    fn spans() {
        for (text, ms) in
            [("90s", 90_000), ("1m30s", 90_000), ("10", 10_000), ("350ms", 350), ("2h", 7_200_000)]
        {
            assert_eq!(text.parse::<Span>().map(Span::ms), Ok(ms), "{text}");
        }
        for bad in ["", "-1s", "x", "1000y", "1 parsec"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    /// As the crate would that knows all forms.
    fn by_jiff(ms: i64) -> String {
        format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap())
    }

    #[test]
    fn instants_at_the_edges() {
        let edges = [
            "1970-01-01T00:00:00.000Z",
            "1972-02-29T23:59:59.999Z",
            "2000-02-29T00:00:00.001Z",
            "2000-03-01T00:00:00.000Z",
            "2100-02-28T12:00:00.000Z",
            "2100-03-01T00:00:00.000Z",
            "9999-12-30T21:59:59.999Z",
        ];
        for text in edges {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(by_jiff(time.ms()), text);
            assert_eq!(instant::read(text.as_bytes()), Some(time.ms()), "{text} needs no jiff");
        }
        assert_eq!(Time::from_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
        for bad in ["2100-02-29T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2026-13-01T00:00:00.000Z"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
        let other = "2026-11-24T19:30:00+01:00".parse::<Time>().unwrap();
        assert_eq!(other.to_string(), "2026-11-24T18:30:00.000Z");
    }

    proptest! {
        #[test]
        fn instants_are_written_and_read_as_by_jiff(ms in 0..253_402_207_200_000_i64) {
            let text = Time::from_ms(ms).to_string();
            prop_assert_eq!(&text, &by_jiff(ms));
            prop_assert_eq!(instant::read(text.as_bytes()), Some(ms));
        }

        #[test]
        fn what_is_read_as_an_instant_is_read_so_by_jiff(
            text in "[12][09][0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z"
        ) {
            let Some(ms) = instant::read(text.as_bytes()) else { return Ok(()) };
            prop_assert_eq!(text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).ok(), Some(ms));
        }

        #[test]
        fn spans_survive_their_text(ms in 0..SPAN_MS_MAX) {
            let span = Span::from_ms(ms);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn times_survive_their_text(ms in 0i64..4_102_444_800_000) {
            let time = Time::from_ms(ms);
            prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Cpu>();
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Span>();
            let _ = text.parse::<Time>();
        }
    }
}
