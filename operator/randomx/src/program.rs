//! A program as it is drawn, and as it is understood (specification, 4.5 and 5).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the instruction set is closed, and each function has its part of it"
)]

mod configuration;
mod raw;

use crate::float::Arithmetic;
use crate::parameters::{Frequencies, ITEM_BYTES, Parameters};
use crate::superscalar::reciprocal;

pub(crate) use configuration::Configuration;
use raw::{Raw, Written};

/// Words before a program's instructions.
const CONFIGURATION_WORDS: usize = 16;

/// A register to which the processor's short addition adds a constant as well.
const ADDS_A_CONSTANT: u8 = 5;

/// Stores of this condition or above go anywhere in the scratchpad.
const STORES_ANYWHERE: u8 = 14;

/// Masks that bring any number within a level of the scratchpad, or within the dataset's window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks {
    pub(crate) l1: u32,
    pub(crate) l2: u32,
    pub(crate) l3: u32,
    /// To a line of 64 bytes in the scratchpad.
    pub(crate) line: u32,
    /// To an item of the dataset.
    pub(crate) item: u32,
}

impl Masks {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked: the base is at most 2^32, so the mask fits"
    )]
    pub(crate) const fn of(parameters: &Parameters) -> Self {
        Self {
            l1: parameters.scratchpad_l1 - 8,
            l2: parameters.scratchpad_l2 - 8,
            l3: parameters.scratchpad_l3 - 8,
            line: parameters.scratchpad_l3 - 64,
            item: (parameters.dataset_base_bytes - ITEM_BYTES as u64) as u32,
        }
    }
}

/// Where in the scratchpad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The register that it counts from; `None` counts from the start.
    pub(crate) base: Option<u8>,
    pub(crate) constant: u32,
    pub(crate) mask: u32,
}

/// What an integer instruction takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Register(u8),
    Constant(u32),
    Memory(Address),
}

/// What an integer instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integer {
    Add,
    Subtract,
    Multiply,
    MultiplyHigh,
    MultiplyHighSigned,
    Xor,
    RotateRight,
    RotateLeft,
}

/// What a floating-point instruction takes: a constant register, or two integers in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatOperand {
    Constant(u8),
    Memory(Address),
}

/// One instruction, understood. Floating-point registers count from 0: four additive ones, then four multiplicative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    AddShifted {
        dst: u8,
        src: u8,
        shift: u8,
        constant: u32,
    },
    Integer {
        operation: Integer,
        dst: u8,
        from: Operand,
    },
    MultiplyReciprocal {
        dst: u8,
        factor: u64,
    },
    Negate {
        dst: u8,
    },
    Swap {
        dst: u8,
        src: u8,
    },
    SwapHalves {
        dst: u8,
    },
    Float {
        operation: Arithmetic,
        dst: u8,
        from: FloatOperand,
    },
    Scale {
        dst: u8,
    },
    Root {
        dst: u8,
    },
    /// Jumps to `target` if the bits of `mask` are zero after the addition.
    Branch {
        dst: u8,
        constant: u32,
        mask: u32,
        target: u16,
    },
    Round {
        src: u8,
        rotation: u8,
    },
    Store {
        to: Address,
        src: u8,
    },
    Nothing,
}

/// The instructions in the order of their opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    AddShifted,
    AddMemory,
    Subtract,
    SubtractMemory,
    Multiply,
    MultiplyMemory,
    MultiplyHigh,
    MultiplyHighMemory,
    MultiplyHighSigned,
    MultiplyHighSignedMemory,
    MultiplyReciprocal,
    Negate,
    Xor,
    XorMemory,
    RotateRight,
    RotateLeft,
    Swap,
    SwapHalves,
    FloatAdd,
    FloatAddMemory,
    FloatSubtract,
    FloatSubtractMemory,
    Scale,
    FloatMultiply,
    FloatDivideMemory,
    Root,
    Branch,
    Round,
    Store,
}

const CODES: [Code; 29] = [
    Code::AddShifted,
    Code::AddMemory,
    Code::Subtract,
    Code::SubtractMemory,
    Code::Multiply,
    Code::MultiplyMemory,
    Code::MultiplyHigh,
    Code::MultiplyHighMemory,
    Code::MultiplyHighSigned,
    Code::MultiplyHighSignedMemory,
    Code::MultiplyReciprocal,
    Code::Negate,
    Code::Xor,
    Code::XorMemory,
    Code::RotateRight,
    Code::RotateLeft,
    Code::Swap,
    Code::SwapHalves,
    Code::FloatAdd,
    Code::FloatAddMemory,
    Code::FloatSubtract,
    Code::FloatSubtractMemory,
    Code::Scale,
    Code::FloatMultiply,
    Code::FloatDivideMemory,
    Code::Root,
    Code::Branch,
    Code::Round,
    Code::Store,
];

/// Understands the instructions of one function.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    codes: [Code; 256],
    masks: Masks,
    jump_bits: u32,
    jump_offset: u32,
}

impl Decoder {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self {
            codes: table(&parameters.frequencies),
            masks: Masks::of(parameters),
            jump_bits: parameters.jump_bits,
            jump_offset: parameters.jump_offset,
        }
    }

    pub(crate) const fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Understands a program's instructions one by one.
    pub(crate) fn decode<'words>(
        &'words self,
        program: &'words [u64],
    ) -> impl Iterator<Item = Instruction> + 'words {
        let mut written = Written::default();
        let words = program.get(CONFIGURATION_WORDS..).unwrap_or_default();
        (0_u16..).zip(words).map(move |(at, word)| self.one(Raw(*word), at, &mut written))
    }

    #[inline]
    fn one(&self, raw: Raw, at: u16, written: &mut Written) -> Instruction {
        let (dst, src) = (raw.dst(), raw.src());
        let code = self.codes[raw.opcode()];
        let instruction = match code {
            Code::AddShifted => {
                let constant = if dst == ADDS_A_CONSTANT { raw.constant() } else { 0 };
                Instruction::AddShifted { dst, src, shift: raw.shift(), constant }
            }
            Code::MultiplyReciprocal => match reciprocal(raw.constant()) {
                Some(factor) => Instruction::MultiplyReciprocal { dst, factor },
                None => return Instruction::Nothing,
            },
            Code::Negate => Instruction::Negate { dst },
            Code::Swap if dst == src => return Instruction::Nothing,
            Code::Swap => {
                written.mark(src, at);
                Instruction::Swap { dst, src }
            }
            Code::Branch => return self.branch(raw, at, written),
            Code::Round => {
                return Instruction::Round { src, rotation: (raw.constant() & 63) as u8 };
            }
            Code::Store => return Instruction::Store { to: self.store_address(raw), src },
            _ => match self.integer(code, raw) {
                Some((operation, from)) => Instruction::Integer { operation, dst, from },
                None => return self.float(code, raw),
            },
        };
        written.mark(dst, at);
        instruction
    }

    #[inline]
    fn integer(&self, code: Code, raw: Raw) -> Option<(Integer, Operand)> {
        let (dst, src) = (raw.dst(), raw.src());
        let other =
            if dst == src { Operand::Constant(raw.constant()) } else { Operand::Register(src) };
        let memory = || {
            Operand::Memory(if dst == src {
                Address { base: None, constant: raw.constant(), mask: self.masks.l3 }
            } else {
                self.address(raw, src)
            })
        };
        Some(match code {
            Code::AddMemory => (Integer::Add, memory()),
            Code::Subtract => (Integer::Subtract, other),
            Code::SubtractMemory => (Integer::Subtract, memory()),
            Code::Multiply => (Integer::Multiply, other),
            Code::MultiplyMemory => (Integer::Multiply, memory()),
            Code::MultiplyHigh => (Integer::MultiplyHigh, Operand::Register(src)),
            Code::MultiplyHighMemory => (Integer::MultiplyHigh, memory()),
            Code::MultiplyHighSigned => (Integer::MultiplyHighSigned, Operand::Register(src)),
            Code::MultiplyHighSignedMemory => (Integer::MultiplyHighSigned, memory()),
            Code::Xor => (Integer::Xor, other),
            Code::XorMemory => (Integer::Xor, memory()),
            Code::RotateRight => (Integer::RotateRight, other),
            Code::RotateLeft => (Integer::RotateLeft, other),
            _ => return None,
        })
    }

    #[inline]
    fn float(&self, code: Code, raw: Raw) -> Instruction {
        let (dst, src) = (raw.dst(), raw.src());
        let (additive, multiplicative) = (dst % 4, 4 + dst % 4);
        let constant = FloatOperand::Constant(src % 4);
        let memory = FloatOperand::Memory(self.address(raw, src));
        let (operation, dst, from) = match code {
            Code::SwapHalves => return Instruction::SwapHalves { dst },
            Code::Scale => return Instruction::Scale { dst: additive },
            Code::Root => return Instruction::Root { dst: multiplicative },
            Code::FloatAdd => (Arithmetic::Add, additive, constant),
            Code::FloatAddMemory => (Arithmetic::Add, additive, memory),
            Code::FloatSubtract => (Arithmetic::Subtract, additive, constant),
            Code::FloatSubtractMemory => (Arithmetic::Subtract, additive, memory),
            Code::FloatMultiply => (Arithmetic::Multiply, multiplicative, constant),
            _ => (Arithmetic::Divide, multiplicative, memory),
        };
        Instruction::Float { operation, dst, from }
    }

    fn branch(&self, raw: Raw, at: u16, written: &mut Written) -> Instruction {
        let lowest = u32::from(raw.condition()) + self.jump_offset;
        let mut constant = raw.constant() | 1 << lowest;
        if lowest > 0 {
            constant &= !(1 << (lowest - 1));
        }
        let mask = ((1_u32 << self.jump_bits) - 1) << lowest;
        let target = written.after(raw.dst());
        written.mark_all(at);
        Instruction::Branch { dst: raw.dst(), constant, mask, target }
    }

    fn address(&self, raw: Raw, base: u8) -> Address {
        let mask = if raw.is_near() { self.masks.l1 } else { self.masks.l2 };
        Address { base: Some(base), constant: raw.constant(), mask }
    }

    fn store_address(&self, raw: Raw) -> Address {
        let near = self.address(raw, raw.dst());
        if raw.condition() >= STORES_ANYWHERE {
            Address { mask: self.masks.l3, ..near }
        } else {
            near
        }
    }
}

fn table(frequencies: &Frequencies) -> [Code; 256] {
    let mut codes = CODES
        .iter()
        .zip(frequencies)
        .flat_map(|(code, count)| core::iter::repeat_n(*code, usize::from(*count)));
    core::array::from_fn(|_| codes.next().unwrap_or(Code::Store))
}

/// The words of a program: its configuration, and its instructions.
pub(crate) const fn words(parameters: &Parameters) -> usize {
    CONFIGURATION_WORDS + parameters.program_size as usize
}
