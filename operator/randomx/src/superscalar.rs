//! The programs that make dataset items from the cache (specification, 6).

mod generate;
mod ports;
mod steps;

use crate::blake::Generator;
use crate::parameters::Parameters;

pub(crate) use steps::Steps;

/// The register that an addition with shift cannot write: the imagined processor's `lea` has no short form for it.
const NO_SHORT_ADDITION: u8 = 5;

/// What an instruction does to its destination register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `dst - src`
    Subtract,
    /// `dst ^ src`
    Xor,
    /// `dst + (src << shift)`
    AddShifted,
    /// `dst * src`
    Multiply,
    /// `dst >>> constant`
    Rotate,
    /// `dst + constant`
    AddConstant,
    /// `dst ^ constant`
    XorConstant,
    /// `(dst * src) >> 64`
    MultiplyHigh,
    /// The same with signs.
    MultiplyHighSigned,
    /// `dst * constant`, the constant being a divisor's reciprocal
    MultiplyReciprocal,
}

/// All of them.
#[cfg(all(test, feature = "jit", target_arch = "x86_64"))]
pub(crate) const OPERATIONS: [Operation; 10] = [
    Operation::Subtract,
    Operation::Xor,
    Operation::AddShifted,
    Operation::Multiply,
    Operation::Rotate,
    Operation::AddConstant,
    Operation::XorConstant,
    Operation::MultiplyHigh,
    Operation::MultiplyHighSigned,
    Operation::MultiplyReciprocal,
];

/// One instruction, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) operation: Operation,
    pub(crate) dst: u8,
    /// Equals `dst` where the operation has no source.
    pub(crate) src: u8,
    /// 0 to 3, for [`Operation::AddShifted`].
    pub(crate) shift: u8,
    /// Extended to 64 bits: what is added, multiplied or combined with, or by how much is rotated.
    pub(crate) constant: u64,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) instructions: Vec<Instruction>,
    /// The register whose value chooses the next line of the cache.
    pub(crate) address_register: u8,
}

impl Program {
    /// The programs of a key: one for each access to the cache.
    pub(crate) fn all(parameters: &Parameters, key: &[u8]) -> Vec<Self> {
        let mut generator = Generator::new(key);
        (0..parameters.cache_accesses)
            .map(|_| Self::of(generate::generate(parameters.superscalar_latency, &mut generator)))
            .collect()
    }

    fn of(instructions: Vec<Instruction>) -> Self {
        let mut depths = [0_u32; 8];
        for instruction in &instructions {
            let (dst, src) = (usize::from(instruction.dst), usize::from(instruction.src));
            depths[dst] = depths[dst].max(depths[src]) + 1;
        }
        let mut address_register = 0;
        for register in 1..8 {
            if depths[usize::from(register)] > depths[usize::from(address_register)] {
                address_register = register;
            }
        }
        Self { instructions, address_register }
    }
}

/// The upper half of the product.
pub(crate) const fn multiply_high(left: u64, right: u64) -> u64 {
    ((left as u128 * right as u128) >> 64) as u64
}

/// The upper half of the product of signed numbers.
#[expect(clippy::cast_possible_truncation, reason = "the lower half of what was shifted")]
pub(crate) const fn multiply_high_signed(left: u64, right: u64) -> u64 {
    ((left.cast_signed() as i128 * right.cast_signed() as i128) >> 64).cast_unsigned() as u64
}

/// The largest `2^x / divisor` that fits in 64 bits; `None` for 0 and powers of two, which have no use as divisors here.
#[expect(clippy::cast_possible_truncation, reason = "the power is chosen so that it fits")]
pub(crate) const fn reciprocal(divisor: u32) -> Option<u64> {
    if divisor == 0 || divisor.is_power_of_two() {
        return None;
    }
    let bits = u32::BITS - divisor.leading_zeros();
    Some(((1_u128 << (63 + bits)) / divisor as u128) as u64)
}

/// A 32-bit constant as all instructions take it: sign and all.
pub(crate) const fn extend(constant: u32) -> u64 {
    (constant.cast_signed() as i64).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(3, Some(12_297_829_382_473_034_410))]
    #[case(13, Some(11_351_842_506_898_185_609))]
    #[case(33, Some(17_887_751_829_051_686_415))]
    #[case(65_537, Some(18_446_462_603_027_742_720))]
    #[case(15_000_001, Some(10_316_166_306_300_415_204))]
    #[case(3_845_182_035, Some(10_302_264_209_224_146_340))]
    #[case(0xffff_ffff, Some(9_223_372_039_002_259_456))]
    #[case(0, None)]
    #[case(1, None)]
    #[case(0x8000_0000, None)]
    fn reciprocals_are_those_of_the_reference(#[case] divisor: u32, #[case] want: Option<u64>) {
        assert_eq!(reciprocal(divisor), want);
    }
}
