//! Amounts as people write them and as the chain counts them; never through floating point.

use alloy_primitives::U256;

/// Decimals of the native coin.
pub const FLT_DECIMALS: u8 = 18;

/// The contract's denominator of rates: this much is everything.
pub const FULL_RATE: u64 = 10_000_000;

/// Decimals of a gwei in wei.
const GWEI_DECIMALS: u8 = 9;

/// A rate in percent has five places: `FULL_RATE` / 100 percent.
const PERCENT_DECIMALS: u8 = 5;

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not digits with at most one point between them.
    #[error("`{text}` is not a decimal number")]
    NotDecimal {
        /// The text.
        text: String,
    },
    /// More places than the unit has, and they are not zero.
    #[error("`{text}` is finer than the smallest unit, which has {decimals} decimal places")]
    TooFine {
        /// The text.
        text: String,
        /// Places of the unit.
        decimals: u8,
    },
    /// Does not fit.
    #[error("`{text}` is too large")]
    TooLarge {
        /// The text.
        text: String,
    },
}

/// Reads a decimal string such as `0.010` as base units of a token with so many decimals.
///
/// # Errors
///
/// [`InvalidAmount`]: the text itself is wrong; only its author can help.
pub fn to_base_units(text: &str, decimals: u8) -> Result<U256, InvalidAmount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(InvalidAmount::NotDecimal { text: text.to_owned() });
    }
    let places = usize::from(decimals);
    let significant = fraction.trim_end_matches('0');
    if significant.len() > places {
        return Err(InvalidAmount::TooFine { text: text.to_owned(), decimals });
    }
    let digits = format!("{whole}{significant:0<places$}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    U256::from_str_radix(digits, 10).map_err(|_| InvalidAmount::TooLarge { text: text.to_owned() })
}

/// Writes base units as a decimal string without superfluous zeros.
#[must_use]
pub fn from_base_units(amount: U256, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{:0>width$}", amount.to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

/// Writes wei as FLT.
#[must_use]
pub fn flt(wei: U256) -> String {
    from_base_units(wei, FLT_DECIMALS)
}

/// Reads gwei, such as `0.5`, as wei per gas.
///
/// # Errors
///
/// [`InvalidAmount`]: the text itself is wrong.
pub fn gwei_to_wei(text: &str) -> Result<u128, InvalidAmount> {
    let wei = to_base_units(text, GWEI_DECIMALS)?;
    u128::try_from(wei).map_err(|_| InvalidAmount::TooLarge { text: text.to_owned() })
}

/// Reads a percentage, such as `15`, as a rate of the contract; see [`FULL_RATE`].
///
/// # Errors
///
/// [`InvalidAmount`]: the text itself is wrong, or above 100.
pub fn percent_to_rate(text: &str) -> Result<u64, InvalidAmount> {
    let rate = to_base_units(text, PERCENT_DECIMALS)?;
    u64::try_from(rate)
        .ok()
        .filter(|rate| *rate <= FULL_RATE)
        .ok_or_else(|| InvalidAmount::TooLarge { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_price("0.010", 6, 10_000)]
    #[case::a_whole("50", 6, 50_000_000)]
    #[case::zeros_beyond_the_unit_are_harmless("1.5000000000", 6, 1_500_000)]
    #[case::nothing("0", 18, 0)]
    #[case::no_decimals("7", 0, 7)]
    #[case::leading_zeros("007.1", 1, 71)]
    fn is_read(#[case] text: &str, #[case] decimals: u8, #[case] expected: u64) {
        assert_eq!(to_base_units(text, decimals), Ok(U256::from(expected)));
    }

    #[rstest]
    #[case::empty("")]
    #[case::no_whole(".5")]
    #[case::no_fraction("5.")]
    #[case::signed("-5")]
    #[case::two_points("1.2.3")]
    #[case::scientific("1e6")]
    #[case::other_digits("٣")]
    fn is_no_decimal(#[case] text: &str) {
        assert_eq!(
            to_base_units(text, 6),
            Err(InvalidAmount::NotDecimal { text: text.to_owned() })
        );
    }

    #[rstest]
    fn a_price_finer_than_the_token_is_refused_and_not_rounded() {
        let refused = InvalidAmount::TooFine { text: "0.0000021".to_owned(), decimals: 6 };
        assert_eq!(to_base_units("0.0000021", 6), Err(refused));
    }

    #[rstest]
    fn what_does_not_fit_is_refused() {
        let text = "9".repeat(90);
        assert_eq!(to_base_units(&text, 18), Err(InvalidAmount::TooLarge { text }));
    }

    #[rstest]
    #[case::half(500_000_000_000_000_000, "0.5")]
    #[case::one(1_000_000_000_000_000_000, "1")]
    #[case::a_wei(1, "0.000000000000000001")]
    #[case::nothing(0, "0")]
    fn is_written(#[case] wei: u64, #[case] expected: &str) {
        assert_eq!(flt(U256::from(wei)), expected);
    }

    #[rstest]
    fn fees_and_rates_are_read() {
        assert_eq!(gwei_to_wei("0.5"), Ok(500_000_000));
        assert_eq!(percent_to_rate("15"), Ok(1_500_000));
        assert_eq!(percent_to_rate("100"), Ok(FULL_RATE));
        assert!(percent_to_rate("100.1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(amount: u128, decimals in 0_u8..30) {
            let text = from_base_units(U256::from(amount), decimals);
            prop_assert_eq!(to_base_units(&text, decimals), Ok(U256::from(amount)));
        }

        #[test]
        fn any_text_has_an_answer(text in ".*", decimals: u8) {
            let _ = to_base_units(&text, decimals);
        }
    }
}
