//! Programs as any processor runs them: two instructions are found out together, and done for two items.
//!
//! To find out which instruction comes next costs several times what it does: no processor guesses a program of hundreds right.

use core::fmt;

use super::{Instruction, Operation, Program, multiply_high, multiply_high_signed};

/// The eight registers of two items.
pub(crate) type Registers = [[u64; 2]; 8];

/// Two instructions, and the code that is for just these two operations.
#[derive(Clone, Copy)]
struct Step {
    run: fn(&mut Registers, &[Instruction; 2]),
    instructions: [Instruction; 2],
}

/// One program, ready to run.
#[derive(Clone)]
pub(crate) struct Steps {
    steps: Vec<Step>,
    address_register: u8,
}

impl fmt::Debug for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Steps").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

/// Changes nothing.
const NOTHING: Instruction =
    Instruction { operation: Operation::XorConstant, dst: 0, src: 0, shift: 0, constant: 0 };

impl Steps {
    pub(crate) fn of(program: &Program) -> Self {
        let pairs = program.instructions.chunks(2);
        let steps = pairs.map(|pair| {
            let instructions = [pair[0], pair.get(1).copied().unwrap_or(NOTHING)];
            Step { run: code(instructions.map(|each| each.operation)), instructions }
        });
        Self { steps: steps.collect(), address_register: program.address_register }
    }

    /// Runs the program.
    pub(crate) fn run(&self, registers: &mut Registers) {
        for step in &self.steps {
            (step.run)(registers, &step.instructions);
        }
    }

    /// The lines of the cache that are next, one for each item.
    pub(crate) const fn addresses(&self, registers: &Registers) -> [u64; 2] {
        registers[(self.address_register & 7) as usize]
    }
}

/// What an operation does to one item's register, given another.
trait Apply {
    fn apply(value: u64, other: u64, instruction: &Instruction) -> u64;
}

macro_rules! operations {
    ($($name:ident: |$value:ident, $other:ident, $instruction:ident| $result:expr;)*) => {
        $(
            struct $name;
            impl Apply for $name {
                #[inline]
                fn apply($value: u64, $other: u64, $instruction: &Instruction) -> u64 {
                    $result
                }
            }
        )*

        /// The code of two operations.
        fn code([first, second]: [Operation; 2]) -> fn(&mut Registers, &[Instruction; 2]) {
            match first {
                $(Operation::$name => after::<$name>(second),)*
            }
        }

        fn after<First: Apply>(second: Operation) -> fn(&mut Registers, &[Instruction; 2]) {
            match second {
                $(Operation::$name => both::<First, $name>,)*
            }
        }
    };
}

operations! {
    Subtract: |value, other, _instruction| value.wrapping_sub(other);
    Xor: |value, other, _instruction| value ^ other;
    AddShifted: |value, other, instruction| value.wrapping_add(other << (instruction.shift & 3));
    Multiply: |value, other, _instruction| value.wrapping_mul(other);
    Rotate: |value, _other, instruction| value.rotate_right((instruction.constant & 63) as u32);
    AddConstant: |value, _other, instruction| value.wrapping_add(instruction.constant);
    XorConstant: |value, _other, instruction| value ^ instruction.constant;
    MultiplyHigh: |value, other, _instruction| multiply_high(value, other);
    MultiplyHighSigned: |value, other, _instruction| multiply_high_signed(value, other);
    MultiplyReciprocal: |value, _other, instruction| value.wrapping_mul(instruction.constant);
}

fn both<First: Apply, Second: Apply>(registers: &mut Registers, pair: &[Instruction; 2]) {
    one::<First>(registers, &pair[0]);
    one::<Second>(registers, &pair[1]);
}

#[inline]
fn one<It: Apply>(registers: &mut Registers, instruction: &Instruction) {
    // Less than 8 as they are; said here, no bound is checked.
    let (dst, src) = (usize::from(instruction.dst & 7), usize::from(instruction.src & 7));
    let others = registers[src];
    for (value, other) in registers[dst].iter_mut().zip(others) {
        *value = It::apply(*value, other, instruction);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::extend;
    use super::*;

    /// Registers 2 and 6 of both items.
    fn ran(instructions: Vec<Instruction>, [dst, src]: [u64; 2]) -> Registers {
        let mut registers = [[0; 2]; 8];
        (registers[2], registers[6]) = ([dst; 2], [src; 2]);
        Steps::of(&Program { instructions, address_register: 0 }).run(&mut registers);
        registers
    }

    #[rstest]
    #[case(Operation::Subtract, 0, 1, u64::MAX)]
    #[case(Operation::Subtract, 1 << 63, 1, u64::MAX >> 1)]
    #[case(Operation::Xor, u64::MAX, 1 << 63, u64::MAX >> 1)]
    #[case(Operation::AddShifted, 1, 1 << 63, 1)]
    #[case(Operation::AddShifted, u64::MAX, u64::MAX, u64::MAX - 8)]
    #[case(Operation::Multiply, u64::MAX, u64::MAX, 1)]
    #[case(Operation::Multiply, 1 << 63, 2, 0)]
    #[case(Operation::Rotate, 1, 0, 1 << 1)]
    #[case(Operation::Rotate, 1 << 63, 0, 1)]
    #[case(Operation::AddConstant, 0, 0, u64::MAX)]
    #[case(Operation::AddConstant, 1 << 63, 0, u64::MAX >> 1)]
    #[case(Operation::XorConstant, 1, 0, u64::MAX - 1)]
    #[case(Operation::MultiplyHigh, 0, u64::MAX, 0)]
    #[case(Operation::MultiplyHigh, u64::MAX, u64::MAX, u64::MAX - 1)]
    #[case(Operation::MultiplyHighSigned, u64::MAX, u64::MAX, 0)]
    #[case(Operation::MultiplyHighSigned, 1 << 63, 1 << 63, 1 << 62)]
    #[case(Operation::MultiplyHighSigned, 1 << 63, 1, u64::MAX)]
    #[case(Operation::MultiplyHighSigned, 1 << 63, u64::MAX >> 1, 0xc000_0000_0000_0000)]
    #[case(Operation::MultiplyReciprocal, 2, 0, u64::MAX - 1)]
    fn an_operation_at_its_edge(
        #[case] operation: Operation,
        #[case] dst: u64,
        #[case] src: u64,
        #[case] want: u64,
    ) {
        let instruction =
            Instruction { operation, dst: 2, src: 6, shift: 3, constant: extend(u32::MAX) };
        let mut all = [[0; 2]; 8];
        (all[2], all[6]) = ([want; 2], [src; 2]);
        assert_eq!(ran(vec![instruction], [dst, src]), all);
        let undone = Instruction { operation: Operation::XorConstant, ..instruction };
        all[2] = [!want; 2];
        assert_eq!(ran(vec![instruction, undone], [dst, src]), all, "with another after it");
        let before = ran(vec![undone, instruction], [!dst, src]);
        assert_eq!(before[2], [want; 2], "with another before it");
    }

    #[test]
    fn an_instruction_reads_what_the_one_before_wrote() {
        let add = |dst, src| Instruction {
            operation: Operation::AddShifted,
            dst,
            src,
            shift: 0,
            constant: 0,
        };
        let registers = ran(vec![add(2, 6), add(6, 2), add(2, 6)], [1, 2]);
        assert_eq!((registers[2], registers[6]), ([8; 2], [5; 2]));
    }
}
