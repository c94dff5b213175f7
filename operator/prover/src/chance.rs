//! How many proofs an epoch will bring, and how likely it brings too few: proofs come like the drops of a Poisson process.

use core::time::Duration;

use alloy_primitives::B256;

/// 2^256, the number of all hashes.
const HASHES: f64 = 1.157_920_892_373_162e77;

/// What an epoch asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    /// A hash, read as a big-endian number, that is not greater is a proof.
    pub(crate) difficulty: B256,
    /// Time of hashing in an epoch.
    pub(crate) time: Duration,
    /// Proofs without which the epoch is missed.
    pub(crate) minimum: u32,
}

impl Expectation {
    /// The probability to find fewer proofs than the minimum at so many hashes per second.
    pub(crate) fn chance_of_missing(self, per_second: f64) -> f64 {
        fewer_than(self.minimum, expected_proofs(per_second, self))
    }
}

/// Proofs that are found on average at so many hashes per second.
pub(crate) fn expected_proofs(per_second: f64, expectation: Expectation) -> f64 {
    let bytes = expectation.difficulty.0;
    let proofs = bytes.iter().fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte)) + 1.0;
    per_second * expectation.time.as_secs_f64() * proofs / HASHES
}

/// The probability of fewer than `count` events where `mean` are expected.
fn fewer_than(count: u32, mean: f64) -> f64 {
    let mut logarithm = -mean;
    let mut sum = 0.0;
    for number in 0..count {
        sum += logarithm.exp();
        logarithm += mean.ln() - (f64::from(number) + 1.0).ln();
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use rstest::rstest;

    use super::*;

    /// The market's difficulty, a day less 400 s, 30 proofs: the table in the protocol's description.
    const MARKET: Expectation = Expectation {
        difficulty: b256!("0x0000241f00000000000000000000000000000000000000000000000000000000"),
        time: Duration::from_secs(86_000),
        minimum: 30,
    };

    #[rstest]
    #[case(200.0, 1.1e-1)]
    #[case(250.0, 4.4e-3)]
    #[case(275.0, 6e-4)]
    #[case(300.0, 7e-5)]
    #[case(350.0, 5e-7)]
    fn the_chance_is_that_of_the_table(#[case] per_second: f64, #[case] chance: f64) {
        let told = MARKET.chance_of_missing(per_second);
        assert!((told / chance - 1.0).abs() < 0.15, "{told:e}, not {chance:e}");
    }

    #[test]
    fn a_proof_takes_so_many_hashes_on_average() {
        let hashes =
            1.0 / expected_proofs(1.0, Expectation { time: Duration::from_secs(1), ..MARKET });
        assert!((hashes / 464_421.0 - 1.0).abs() < 1e-3, "{hashes}");
    }

    #[rstest]
    #[case::nothing_is_hashed(0.0, 1.0)]
    #[case::very_fast(1e9, 0.0)]
    fn the_ends_hold(#[case] per_second: f64, #[case] chance: f64) {
        let told = MARKET.chance_of_missing(per_second);
        assert!((told - chance).abs() < 1e-12, "{told}");
    }

    #[test]
    fn no_minimum_is_never_missed() {
        assert!(Expectation { minimum: 0, ..MARKET }.chance_of_missing(0.0).abs() < 1e-12);
    }
}
