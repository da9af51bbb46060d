//! Exponential costs in whole numbers.
//!
//! A resource of a node that is used to the fraction `u` has the price `2^(6 u)`: 1 when empty, 64 when
//! full. Prices and growths are kept in units of 2⁻²⁰, costs in units of 2⁻³², so two machines of any make
//! compute the same choice. A price is below 2²⁸, a growth below 2³², so a cost is below 2⁵⁴, and points multiply it by at most 2⁸: no sum
//! or product here can overflow. The error of [`exp2`] is below one part in 500,000.

/// log₂ of the price of a full resource. The paper uses log₂ of the number of machines; see `README.md`.
pub(crate) const OCTAVES: u64 = 6;
/// 1.0 as an exponent.
const EXPONENT_ONE: u64 = 1 << 24;
/// 1.0 as a price.
pub(crate) const PRICE_ONE: u32 = 1 << 20;
/// The highest exponent of a price: what is used by more than 5/4 costs no more.
const EXPONENT_MAX: u64 = EXPONENT_ONE * OCTAVES * 5 / 4;

/// 2^(i/256) in units of 2⁻³⁰, for i from 0 to 256.
const POWERS: [u32; 257] = powers();

const fn powers() -> [u32; 257] {
    // roots[k] = 2^(1/2^(k+1)) in units of 2⁻⁶²
    let mut roots = [0u128; 8];
    let mut square: u128 = 2 << 62;
    let mut k = 0;
    while k < 8 {
        square = (square << 62).isqrt();
        roots[k] = square;
        k += 1;
    }
    let mut table = [0u32; 257];
    let mut i = 0;
    while i < 256 {
        let mut value: u128 = 1 << 62;
        let mut k = 0;
        while k < 8 {
            if i & (128 >> k) != 0 {
                value = (value * roots[k]) >> 62;
            }
            k += 1;
        }
        table[i] = (value >> 32) as u32;
        i += 1;
    }
    table[256] = 2 << 30;
    table
}

/// 2^x in units of 2⁻²⁰, for an exponent in units of 2⁻²⁴ below 11.
fn exp2(exponent: u64) -> u32 {
    let whole = exponent >> 24;
    let index = (exponent >> 16 & 255) as usize;
    let rest = exponent & 0xffff;
    let (low, high) = (u64::from(POWERS[index]), u64::from(POWERS[index + 1]));
    let value = low + (((high - low) * rest) >> 16);
    (value << whole >> 10) as u32
}

/// The exponent `6 × part / whole`, in units of 2⁻²⁴, at most 7.5. Both amounts below 2³⁶.
fn exponent(part: u64, whole: u64) -> u64 {
    if part == 0 {
        return 0;
    }
    match (part * (OCTAVES * EXPONENT_ONE)).checked_div(whole) {
        Some(exponent) => exponent.min(EXPONENT_MAX),
        None => EXPONENT_MAX,
    }
}

/// The price of a resource of which `used` of `whole` is used and which stalls `pressure` per mille of the time.
pub(crate) fn price(used: u64, whole: u64, pressure: u16) -> u32 {
    let stalled = u64::from(pressure.min(1000)) * (OCTAVES * EXPONENT_ONE) / 1000;
    exp2((exponent(used, whole) + stalled).min(EXPONENT_MAX))
}

/// What a price is multiplied by when `part` of `whole` is added, less one: in units of 2⁻²⁰.
pub(crate) fn growth(part: u64, whole: u64) -> u32 {
    exp2(exponent(part, whole)) - PRICE_ONE
}

/// How big a resource of a machine is beside the mean of all: units of 2⁻⁸, from 1/64 to 64.
pub(crate) fn size(whole: u64, mean: u64) -> u64 {
    (whole << 8).checked_div(mean).map_or(1 << 8, |size| size.clamp(4, 64 << 8))
}

/// A growth on a machine of that size: as many machines of the mean size would have it together.
pub(crate) fn sized(growth: u32, size: u64) -> u32 {
    // below 63 × 64 in units of 2⁻²⁰, which is below 2³²
    ((u64::from(growth) * size) >> 8) as u32
}

/// 10^(free / whole) in units of 2⁻²⁰: the term of Nomad's bin packing. `free` at most `whole`.
pub(crate) fn ten_to_the_free(free: u64, whole: u64) -> u32 {
    /// log₂ 10 in units of 2⁻²⁴.
    const LOG2_TEN: u64 = 55_732_705;
    let fraction = (free.min(whole) * EXPONENT_ONE).checked_div(whole).unwrap_or(0);
    exp2((fraction * LOG2_TEN) >> 24)
}

/// 1.0 as a cost.
pub(crate) const ONE: u64 = 1 << 32;
/// Points that double a cost.
pub(crate) const POINTS_DOUBLE: i64 = 50;
/// At most so many doublings or halvings.
const DOUBLINGS_MAX: i64 = 8;

/// The cost of a rise (Σ growth × price, units of 2⁻⁴⁰): never zero, so that points always matter.
pub(crate) fn of_rise(rise: u64) -> u64 {
    (rise >> 8).max(1)
}

/// The highest rise that costs at most so much; of a rise of nothing that is told by [`of_rise`] alone.
pub(crate) fn most_rise(most: u64) -> u64 {
    most.saturating_mul(1 << 8).saturating_add((1 << 8) - 1)
}

/// A cost with points: fifty points away double it, fifty points towards halve it; at most 8 times.
pub(crate) fn with_points(cost: u64, points: i64) -> u64 {
    if points == 0 {
        return cost;
    }
    let (factor, doublings) = factor_of(points);
    let scaled = (u128::from(cost) * u128::from(factor)) << doublings >> (20 + DOUBLINGS_MAX);
    scaled as u64
}

/// The highest cost that with these points is at most so much.
pub(crate) fn without_points(most: u64, points: i64) -> u64 {
    if points == 0 {
        return most;
    }
    let (factor, doublings) = factor_of(points);
    // with_points is ⌊cost × factor × 2^doublings / 2²⁸⌋
    let least_above = (u128::from(most) + 1) << (20 + DOUBLINGS_MAX);
    let highest = least_above.div_ceil(u128::from(factor) << doublings) - 1;
    u64::try_from(highest).unwrap_or(u64::MAX)
}

/// What points multiply a cost by: units of 2⁻²⁸, times two to the power of the second.
fn factor_of(points: i64) -> (u32, i64) {
    const POINTS_MAX: i64 = DOUBLINGS_MAX * POINTS_DOUBLE;
    let points = points.clamp(-POINTS_MAX, POINTS_MAX) + POINTS_MAX;
    let factor = exp2((points % POINTS_DOUBLE) as u64 * EXPONENT_ONE / POINTS_DOUBLE as u64);
    (factor, points / POINTS_DOUBLE)
}

/// A cost in millionths, for people.
pub(crate) fn millionths(cost: u64) -> i64 {
    i64::try_from((u128::from(cost) * 1_000_000) >> 32).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        for step in 0..=7500u64 {
            let exponent = EXPONENT_ONE * step / 1000;
            let exact = (exponent as f64 / EXPONENT_ONE as f64).exp2() * f64::from(PRICE_ONE);
            let error = (f64::from(exp2(exponent)) - exact).abs() / exact;
            assert!(error < 2e-6, "2^{step}/1000 is off by {error}");
        }
    }

    #[test]
    fn prices_rise_from_1_to_64() {
        assert_eq!(price(0, 4000, 0), PRICE_ONE);
        assert_eq!(price(4000, 4000, 0), 64 * PRICE_ONE);
        assert_eq!(price(2000, 4000, 0), 8 * PRICE_ONE);
        assert_eq!(price(2000, 4000, 500), 64 * PRICE_ONE);
        assert_eq!(price(1, 0, 0), price(u64::from(u32::MAX), 1, 0));
    }

    #[test]
    fn growth_of_half_a_node() {
        assert_eq!(growth(2000, 4000), 7 * PRICE_ONE);
        assert_eq!(growth(0, 4000), 0);
        assert_eq!(growth(0, 0), 0);
    }

    #[test]
    fn a_machine_twice_the_size_counts_as_two() {
        assert_eq!(size(8000, 4000), 2 << 8);
        assert_eq!(sized(growth(1, 4), size(8000, 4000)), 2 * growth(1, 4));
        assert_eq!(size(8000, 0), 1 << 8);
        assert_eq!(size(1, 1 << 35), 4);
        assert_eq!(sized(growth(1, 1), size(1 << 35, 1)), 63 * 64 * PRICE_ONE);
    }

    #[test]
    fn nomads_terms() {
        assert_eq!(ten_to_the_free(0, 10), PRICE_ONE);
        let ten = f64::from(ten_to_the_free(10, 10)) / f64::from(PRICE_ONE);
        assert!((ten - 10.0).abs() < 1e-4, "{ten}");
    }

    #[test]
    fn points_are_undone_exactly() {
        for points in (-450..=450).step_by(7) {
            for most in [0, 1, 2, 1000, ONE - 1, ONE, 5 * ONE + 17, (1 << 54) - 1] {
                let highest = without_points(most, points);
                assert!(with_points(highest, points) <= most, "{points} points, {most}");
                assert!(with_points(highest + 1, points) > most, "{points} points, {most}");
            }
        }
        assert_eq!(without_points(u64::MAX, -100), u64::MAX);
    }

    #[test]
    fn fifty_points_double() {
        for (points, expected) in
            [(0, 1 << 20), (50, 2 << 20), (-50, 1 << 19), (100, 4 << 20), (4000, 256 << 20)]
        {
            assert_eq!(with_points(1 << 20, points), expected, "{points}");
        }
        let quarter = with_points(1_000_000, 25);
        assert!((1_414_000..1_414_300).contains(&quarter), "{quarter}");
    }
}
