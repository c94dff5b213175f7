//! Pairs of doubles under the four rounding modes (specification, 4.3).

/// Which way results are rounded; the numbers are the specification's and those of the processor's control word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rounding {
    #[default]
    Nearest = 0,
    Down = 1,
    Up = 2,
    Zero = 3,
}

impl Rounding {
    /// The mode of the two lowest bits.
    pub(crate) const fn of(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// Two doubles, as their bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub(crate) struct Pair(pub(crate) [u64; 2]);

/// What is done to pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Pair {
    /// Two 32-bit integers as doubles, exactly.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
    pub(crate) fn of_integers(word: u64) -> Self {
        let double = |half: u32| f64::from(half.cast_signed()).to_bits();
        Self([double(word as u32), double((word >> 32) as u32)])
    }

    pub(crate) const fn swapped(self) -> Self {
        Self([self.0[1], self.0[0]])
    }

    pub(crate) const fn xor(self, other: Self) -> Self {
        Self([self.0[0] ^ other.0[0], self.0[1] ^ other.0[1]])
    }

    pub(crate) const fn xor_both(self, bits: u64) -> Self {
        self.xor(Self([bits; 2]))
    }

    /// Keeps the bits of `keep`, and sets those of `set`.
    pub(crate) const fn masked(self, keep: u64, set: Self) -> Self {
        Self([self.0[0] & keep | set.0[0], self.0[1] & keep | set.0[1]])
    }

    pub(crate) fn apply(self, arithmetic: Arithmetic, other: Self, rounding: Rounding) -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        return hardware::apply(self, arithmetic, other, rounding);
        #[cfg(any(not(target_arch = "x86_64"), miri))]
        return portable::apply(self, arithmetic, other, rounding);
    }

    pub(crate) fn root(self, rounding: Rounding) -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        return hardware::root(self, rounding);
        #[cfg(any(not(target_arch = "x86_64"), miri))]
        return portable::root(self, rounding);
    }
}

/// The processor's arithmetic. Each block sets the rounding mode and puts it back: the compiler counts on the usual one.
#[cfg(target_arch = "x86_64")]
pub(crate) mod hardware {
    #![expect(
        unsafe_code,
        reason = "the rounding mode is set by instructions that have no name in the language"
    )]

    use core::arch::asm;
    use core::arch::x86_64::{__m128d, _mm_castpd_si128, _mm_loadu_pd, _mm_storeu_si128};

    use super::{Arithmetic, Pair, Rounding};

    /// Exceptions masked, denormals taken and given as zero; the mode goes to bits 13 and 14.
    pub(crate) const CONTROL: u32 = 0x9fc0;

    fn load(pair: &Pair) -> __m128d {
        // SAFETY: 16 bytes are read from 16 bytes.
        unsafe { _mm_loadu_pd(pair.0.as_ptr().cast()) }
    }

    fn store(value: __m128d) -> Pair {
        let mut pair = Pair::default();
        // SAFETY: 16 bytes are written to 16 bytes.
        unsafe { _mm_storeu_si128(pair.0.as_mut_ptr().cast(), _mm_castpd_si128(value)) };
        pair
    }

    macro_rules! rounded {
        ($instruction:literal, $left:expr, $right:expr, $rounding:expr) => {{
            let mut left = $left;
            let mut usual = 0_u32;
            let control = CONTROL | ($rounding as u32) << 13;
            // SAFETY: the control word is saved, set, and put back within the block; memory is read and written at the two
            // addresses given; SSE2 is part of every x86-64.
            unsafe {
                asm!(
                    "stmxcsr [{usual}]",
                    "ldmxcsr [{control}]",
                    concat!($instruction, " {left}, {right}"),
                    "ldmxcsr [{usual}]",
                    usual = in(reg) &raw mut usual,
                    control = in(reg) &raw const control,
                    left = inout(xmm_reg) left,
                    right = in(xmm_reg) $right,
                    options(nostack, preserves_flags),
                );
            }
            store(left)
        }};
    }

    pub(crate) fn apply(
        left: Pair,
        arithmetic: Arithmetic,
        right: Pair,
        rounding: Rounding,
    ) -> Pair {
        let (left, right) = (load(&left), load(&right));
        match arithmetic {
            Arithmetic::Add => rounded!("addpd", left, right, rounding),
            Arithmetic::Subtract => rounded!("subpd", left, right, rounding),
            Arithmetic::Multiply => rounded!("mulpd", left, right, rounding),
            Arithmetic::Divide => rounded!("divpd", left, right, rounding),
        }
    }

    pub(crate) fn root(pair: Pair, rounding: Rounding) -> Pair {
        let value = load(&pair);
        rounded!("sqrtpd", value, value, rounding)
    }
}

/// Arithmetic from roundings to nearest alone: the exact error of each says whether the neighbour is wanted.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{Arithmetic, Pair, Rounding};

    /// Below this, errors of products and quotients are themselves inexact; scaled by [`UP`] they are not.
    const SMALL: f64 = f64::from_bits(0x0c80_0000_0000_0000);
    const UP: f64 = f64::from_bits(0x7000_0000_0000_0000);

    pub(super) fn apply(
        left: Pair,
        arithmetic: Arithmetic,
        right: Pair,
        rounding: Rounding,
    ) -> Pair {
        let one = |at: usize| {
            let (left, right) = (taken(left.0[at]), taken(right.0[at]));
            let result = match arithmetic {
                Arithmetic::Add => add(left, right, rounding),
                Arithmetic::Subtract => add(left, -right, rounding),
                Arithmetic::Multiply => multiply(left, right, rounding),
                Arithmetic::Divide => divide(left, right, rounding),
            };
            let is_exact = arithmetic == Arithmetic::Divide && right == 0.0;
            let has_overflown =
                result.is_infinite() && left.is_finite() && right.is_finite() && !is_exact;
            given(if has_overflown { overflown(result, rounding) } else { result })
        };
        Pair([one(0), one(1)])
    }

    pub(super) fn root(pair: Pair, rounding: Rounding) -> Pair {
        let one = |bits: u64| {
            let value = taken(bits);
            let root = value.sqrt();
            given(settled(root, -root.mul_add(root, -value), rounding))
        };
        Pair(pair.0.map(one))
    }

    /// Denormals count as zero.
    fn taken(bits: u64) -> f64 {
        let value = f64::from_bits(bits);
        if value.is_subnormal() { 0.0_f64.copysign(value) } else { value }
    }

    fn given(value: f64) -> u64 {
        if value.is_subnormal() { 0.0_f64.copysign(value).to_bits() } else { value.to_bits() }
    }

    fn add(left: f64, right: f64, rounding: Rounding) -> f64 {
        let sum = left + right;
        // A zero of two signs, or of two numbers that cancel out, is negative when it is rounded down.
        if sum == 0.0 && left.to_bits() != right.to_bits() && rounding == Rounding::Down {
            return -0.0;
        }
        let seen = sum - left;
        settled(sum, (left - (sum - seen)) + (right - seen), rounding)
    }

    fn multiply(left: f64, right: f64, rounding: Rounding) -> f64 {
        let product = left * right;
        let error = if product.abs() < SMALL {
            (left * UP).mul_add(right, -(product * UP))
        } else {
            left.mul_add(right, -product)
        };
        settled(product, error, rounding)
    }

    fn divide(left: f64, right: f64, rounding: Rounding) -> f64 {
        let quotient = left / right;
        // What is left over has the sign of the error if the divisor is positive.
        let over = if left.abs() < SMALL {
            (-quotient * UP).mul_add(right, left * UP)
        } else {
            (-quotient).mul_add(right, left)
        };
        settled(quotient, if right.is_sign_negative() { -over } else { over }, rounding)
    }

    /// The result that `rounding` wants, given the nearest and by how much the exact one is greater.
    fn settled(nearest: f64, error: f64, rounding: Rounding) -> f64 {
        if !nearest.is_finite() {
            return nearest;
        }
        let (below, above) = (error < 0.0, error > 0.0);
        match rounding {
            Rounding::Down if below => nearest.next_down(),
            Rounding::Up if above => nearest.next_up(),
            Rounding::Zero if nearest > 0.0 && below => nearest.next_down(),
            Rounding::Zero if nearest < 0.0 && above => nearest.next_up(),
            Rounding::Nearest | Rounding::Down | Rounding::Up | Rounding::Zero => nearest,
        }
    }

    fn overflown(infinite: f64, rounding: Rounding) -> f64 {
        match rounding {
            Rounding::Zero => f64::MAX.copysign(infinite),
            Rounding::Down if infinite > 0.0 => f64::MAX,
            Rounding::Up if infinite < 0.0 => f64::MIN,
            Rounding::Nearest | Rounding::Down | Rounding::Up => infinite,
        }
    }
}

#[cfg(all(test, target_arch = "x86_64", not(miri)))]
mod tests {
    use super::*;

    const MODES: [Rounding; 4] = [Rounding::Nearest, Rounding::Down, Rounding::Up, Rounding::Zero];
    const ALL: [Arithmetic; 4] =
        [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply, Arithmetic::Divide];

    /// Values as they come up in programs, and at the edges of them.
    fn values() -> Vec<f64> {
        let mut values = vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.0,
            3.0,
            f64::from(i32::MAX),
            f64::from(i32::MIN),
            1e300,
            1e-300,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            f64::MIN_POSITIVE.next_up(),
            f64::from_bits(1),
            -f64::from_bits(1),
            f64::MIN_POSITIVE.next_down(),
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let mut seed = 1_u64;
        for _ in 0..40 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            values.push(f64::from(((seed >> 32) as u32).cast_signed()));
            values.push(f64::from_bits(seed & ((1 << 56) - 1) | 0x3f0 << 52));
            values.push(1.0 / f64::from((seed >> 33) as u32 | 1));
        }
        values
    }

    fn pair(value: f64) -> Pair {
        Pair([value.to_bits(), (value * 0.7).to_bits()])
    }

    /// Whether they have the same bits; what is no number has no one pattern.
    fn are_same(left: Pair, right: Pair) -> bool {
        let is_none = |bits: u64| f64::from_bits(bits).is_nan();
        left.0.iter().zip(right.0).all(|(a, b)| *a == b || is_none(*a) && is_none(b))
    }

    #[test]
    fn the_portable_arithmetic_is_the_processors() {
        for left in values() {
            for right in values() {
                for (arithmetic, mode) in ALL.iter().flat_map(|a| MODES.map(|mode| (*a, mode))) {
                    let fast = pair(left).apply(arithmetic, pair(right), mode);
                    let slow = portable::apply(pair(left), arithmetic, pair(right), mode);
                    assert!(
                        are_same(fast, slow),
                        "{left:e} {arithmetic:?} {right:e} {mode:?}: {fast:x?} {slow:x?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_portable_root_is_the_processors() {
        for value in values().into_iter().filter(|value| *value >= 0.0) {
            for mode in MODES {
                assert_eq!(
                    pair(value).root(mode),
                    portable::root(pair(value), mode),
                    "{value:e} {mode:?}"
                );
            }
        }
    }

    #[test]
    fn the_modes_differ_where_they_must() {
        let (one, three) = (Pair([1.0_f64.to_bits(); 2]), Pair([3.0_f64.to_bits(); 2]));
        let third = MODES.map(|mode| one.apply(Arithmetic::Divide, three, mode).0[0]);
        assert_eq!(
            third,
            [
                0x3fd5_5555_5555_5555,
                0x3fd5_5555_5555_5555,
                0x3fd5_5555_5555_5556,
                0x3fd5_5555_5555_5555
            ]
        );
        let usual = core::hint::black_box(1.0_f64) / core::hint::black_box(3.0);
        assert_eq!(usual.to_bits(), 0x3fd5_5555_5555_5555, "the usual mode is back");
    }
}
