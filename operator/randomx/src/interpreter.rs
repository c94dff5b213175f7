//! Runs a program instruction by instruction, on any processor.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the instruction set is closed, and each function has its part of it"
)]

use crate::cache::Item;
use crate::float::{Arithmetic, Pair, Rounding};
use crate::machine::Registers;
use crate::program::{
    Address, Configuration, Decoder, FloatOperand, Instruction, Integer, Masks, Operand,
};
use crate::superscalar::{extend, multiply_high, multiply_high_signed};

/// Bits of a multiplicative operand that come from memory.
pub(crate) const OPERAND_BITS: u64 = (1 << 56) - 1;

/// What a scaling flips: the sign, and four bits of the exponent.
pub(crate) const SCALE_BITS: u64 = 0x80f0_0000_0000_0000;

/// Gives items of the dataset by their number.
pub(crate) trait Items {
    fn pair(&self, numbers: [u64; 2]) -> [Item; 2];
}

/// One program on its way.
struct Run<'run> {
    instructions: &'run [Instruction],
    scratchpad: &'run mut [u64],
    masks: Masks,
    integers: [u64; 8],
    floats: [Pair; 8],
    constants: [Pair; 4],
    operand_bits: Pair,
    rounding: Rounding,
}

/// Runs the program `iterations` times over the scratchpad; `rounding` goes on from program to program.
pub(crate) fn run(
    (decoder, program): (&Decoder, &[u64]),
    (configuration, iterations): (&Configuration, u32),
    items: &impl Items,
    scratchpad: &mut [u64],
    registers: &mut Registers,
    rounding: &mut Rounding,
) {
    let instructions: Vec<_> = decoder.decode(program).collect();
    let mut run = Run {
        instructions: &instructions,
        scratchpad,
        masks: *decoder.masks(),
        integers: [0; 8],
        floats: [Pair::default(); 8],
        constants: configuration.constants.map(Pair),
        operand_bits: Pair(configuration.masks),
        rounding: *rounding,
    };
    let mut addresses = (configuration.memory_next, configuration.memory_address);
    let (mut here, mut next) = (configuration.memory_address, configuration.memory_next);
    let number = |address: u32| (configuration.dataset_offset + u64::from(address)) / 64;
    // Which item comes after this one is known already: both are made at once.
    let mut ahead = None;
    for _ in 0..iterations {
        let (first, second) = run.load(addresses, configuration.readers);
        run.all();
        let [_, _, c, d] = configuration.readers.map(|reader| run.integers[usize::from(reader)]);
        next = (next ^ low(c) ^ low(d)) & run.masks.item;
        let item = ahead.take().unwrap_or_else(|| {
            let [item, after] = items.pair([number(here), number(next)]);
            ahead = Some(after);
            item
        });
        for (register, word) in run.integers.iter_mut().zip(item) {
            *register ^= word;
        }
        (here, next) = (next, here);
        run.store(first, second);
        addresses = (0, 0);
    }
    *rounding = run.rounding;
    registers.integers = run.integers;
    registers.floats = run.floats;
    registers.constants = run.constants;
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low(word: u64) -> u32 {
    word as u32
}

impl Run<'_> {
    /// Mixes two lines of the scratchpad into the registers; gives where they begin, in words.
    fn load(&mut self, addresses: (u32, u32), readers: [u8; 4]) -> (usize, usize) {
        let mixed = self.integers[usize::from(readers[0])] ^ self.integers[usize::from(readers[1])];
        let first = ((addresses.0 ^ low(mixed)) & self.masks.line) as usize / 8;
        let second = ((addresses.1 ^ low(mixed >> 32)) & self.masks.line) as usize / 8;
        for (at, register) in self.integers.iter_mut().enumerate() {
            *register ^= self.scratchpad[first + at];
        }
        for at in 0..8 {
            let pair = Pair::of_integers(self.scratchpad[second + at]);
            self.floats[at] = if at < 4 { pair } else { self.operand(pair) };
        }
        (first, second)
    }

    fn store(&mut self, first: usize, second: usize) {
        self.scratchpad[second..second + 8].copy_from_slice(&self.integers);
        for at in 0..4 {
            self.floats[at] = self.floats[at].xor(self.floats[4 + at]);
            self.scratchpad[first + 2 * at..first + 2 * at + 2].copy_from_slice(&self.floats[at].0);
        }
    }

    fn operand(&self, pair: Pair) -> Pair {
        pair.masked(OPERAND_BITS, self.operand_bits)
    }

    fn word_at(&self, address: Address) -> usize {
        let base = address.base.map_or(0, |base| low(self.integers[usize::from(base)]));
        (base.wrapping_add(address.constant) & address.mask) as usize / 8
    }

    fn all(&mut self) {
        let mut at = 0;
        while let Some(instruction) = self.instructions.get(at) {
            at = self.one(*instruction).unwrap_or(at + 1);
        }
    }

    /// Runs one instruction; gives where a branch goes.
    #[inline]
    fn one(&mut self, instruction: Instruction) -> Option<usize> {
        match instruction {
            Instruction::AddShifted { dst, src, shift, constant } => {
                let added =
                    (self.integers[usize::from(src)] << shift).wrapping_add(extend(constant));
                let register = &mut self.integers[usize::from(dst)];
                *register = register.wrapping_add(added);
            }
            Instruction::Integer { operation, dst, from } => self.integer(operation, dst, from),
            Instruction::MultiplyReciprocal { dst, factor } => {
                let register = &mut self.integers[usize::from(dst)];
                *register = register.wrapping_mul(factor);
            }
            Instruction::Negate { dst } => {
                let register = &mut self.integers[usize::from(dst)];
                *register = register.wrapping_neg();
            }
            Instruction::Swap { dst, src } => {
                self.integers.swap(usize::from(dst), usize::from(src));
            }
            Instruction::Branch { dst, constant, mask, target } => {
                let register = &mut self.integers[usize::from(dst)];
                *register = register.wrapping_add(extend(constant));
                return (low(*register) & mask == 0).then_some(usize::from(target));
            }
            Instruction::Round { src, rotation } => {
                self.rounding =
                    Rounding::of(self.integers[usize::from(src)].rotate_right(rotation.into()));
            }
            Instruction::Store { to, src } => {
                self.scratchpad[self.word_at(to)] = self.integers[usize::from(src)];
            }
            Instruction::Nothing => {}
            float => self.float(float),
        }
        None
    }

    #[inline]
    fn integer(&mut self, operation: Integer, dst: u8, from: Operand) {
        let other = match from {
            Operand::Register(src) => self.integers[usize::from(src)],
            Operand::Constant(constant) => extend(constant),
            Operand::Memory(address) => self.scratchpad[self.word_at(address)],
        };
        let register = &mut self.integers[usize::from(dst)];
        *register = match operation {
            Integer::Add => register.wrapping_add(other),
            Integer::Subtract => register.wrapping_sub(other),
            Integer::Multiply => register.wrapping_mul(other),
            Integer::MultiplyHigh => multiply_high(*register, other),
            Integer::MultiplyHighSigned => multiply_high_signed(*register, other),
            Integer::Xor => *register ^ other,
            Integer::RotateRight => register.rotate_right(low(other) & 63),
            Integer::RotateLeft => register.rotate_left(low(other) & 63),
        };
    }

    #[inline]
    fn float(&mut self, instruction: Instruction) {
        match instruction {
            Instruction::SwapHalves { dst } => {
                let register = &mut self.floats[usize::from(dst)];
                *register = register.swapped();
            }
            Instruction::Scale { dst } => {
                let register = &mut self.floats[usize::from(dst)];
                *register = register.xor_both(SCALE_BITS);
            }
            Instruction::Root { dst } => {
                let register = &mut self.floats[usize::from(dst)];
                *register = register.root(self.rounding);
            }
            Instruction::Float { operation, dst, from } => {
                let other = match from {
                    FloatOperand::Constant(src) => self.constants[usize::from(src)],
                    FloatOperand::Memory(address) => {
                        let pair = Pair::of_integers(self.scratchpad[self.word_at(address)]);
                        if operation == Arithmetic::Divide { self.operand(pair) } else { pair }
                    }
                };
                let register = &mut self.floats[usize::from(dst)];
                *register = register.apply(operation, other, self.rounding);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;
