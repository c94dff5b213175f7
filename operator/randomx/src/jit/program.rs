//! Programs as machine code.
//!
//! Besides the registers that `emit` names: `rsi` is the scratchpad, `rdi` the items that are read, `rbx` the iterations left,
//! `rbp` the dataset's addresses (low: to be read now, high: the next), `xmm12` is free, `xmm13` and `xmm14` make operands of
//! divisions, `xmm15` scales. On the stack: the caller's control word, room for ours, the two lines of this
//! iteration, and what `frame` keeps while items are made.

use super::emit::{
    ADD, ADD_CONSTANT, Emitter, MULTIPLY, MULTIPLY_SIGNED, NEGATE, RAX, RCX, ROTATE_LEFT,
    ROTATE_RIGHT, RSI, SUB, SUB_CONSTANT, XOR, XOR_CONSTANT,
};
use super::items::ItemCode;
use super::memory::{CodeError, CodeMemory};
use crate::float::{Arithmetic, Pair, Rounding, hardware::CONTROL};
use crate::interpreter::{OPERAND_BITS, SCALE_BITS};
use crate::machine::Registers;
use crate::parameters::Parameters;
use crate::program::{
    Address, Configuration, Decoder, FloatOperand, Instruction, Integer, Masks, Operand,
};

/// More than any instruction, any prologue, and what surrounds the instructions takes.
const INSTRUCTION_BYTES: usize = 48;
const FRAME_BYTES: usize = 2048;

/// Where a control word is kept on the stack until it is loaded.
const CONTROL_WORD: u8 = 4;

/// What generated code is called with.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Context {
    pub(super) registers: Registers,
    pub(super) keep: Pair,
    pub(super) set: Pair,
    pub(super) scale: Pair,
    pub(super) control: u32,
    pub(super) iterations: u64,
    /// Low: the dataset's address to be read first; high: the one after it.
    pub(super) addresses: u64,
    pub(super) scratchpad: *mut u64,
    pub(super) items: *const u8,
}

/// Code for one program at a time.
#[derive(Debug)]
pub(crate) struct ProgramCode {
    memory: CodeMemory,
    /// Where each instruction begins.
    starts: Vec<usize>,
}

/// Where items come from, as generated code reaches them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ItemSource<'source> {
    /// A call for two, which reads these lines of the cache.
    Made(&'source ItemCode, *const u8),
    /// A read from the dataset.
    Read(*const u8),
}

impl ProgramCode {
    pub(crate) fn new(parameters: &Parameters) -> Result<Self, CodeError> {
        let instructions = parameters.program_size as usize;
        Ok(Self {
            memory: CodeMemory::new(instructions * INSTRUCTION_BYTES + FRAME_BYTES)?,
            starts: Vec::with_capacity(instructions),
        })
    }

    /// Compiles a program and runs it, as the interpreter would.
    pub(crate) fn run(
        &mut self,
        (decoder, program): (&Decoder, &[u64]),
        (configuration, iterations): (&Configuration, u32),
        source: ItemSource<'_>,
        scratchpad: &mut [u64],
        registers: &mut Registers,
        rounding: &mut Rounding,
    ) {
        let starts = &mut self.starts;
        starts.clear();
        self.memory.write(|bytes| {
            let mut code = Compiler { code: Emitter::new(bytes), masks: decoder.masks(), starts };
            code.program((decoder, program), (configuration, iterations), source);
        });
        let items = match source {
            ItemSource::Made(_, lines) => lines,
            ItemSource::Read(items) => items
                .wrapping_add(usize::try_from(configuration.dataset_offset).unwrap_or(usize::MAX)),
        };
        let mut context = Context {
            registers: Registers { constants: configuration.constants.map(Pair), ..*registers },
            keep: Pair([OPERAND_BITS; 2]),
            set: Pair(configuration.masks),
            scale: Pair([SCALE_BITS; 2]),
            control: CONTROL | (*rounding as u32) << 13,
            iterations: iterations.into(),
            addresses: u64::from(configuration.memory_next) << 32
                | u64::from(configuration.memory_address),
            scratchpad: scratchpad.as_mut_ptr(),
            items,
        };
        // SAFETY: the code was just compiled from a program by `Compiler`, which masks each address into the scratchpad (which
        // is as long as its parameters say: the machine allocates it so) or into the dataset or cache behind `items`; it
        // keeps what the calling convention says, and puts the control word back.
        unsafe {
            let run = core::mem::transmute::<*const u8, extern "sysv64" fn(*mut Context)>(
                self.memory.at(0),
            );
            run(&raw mut context);
        }
        *registers = context.registers;
        *rounding = Rounding::of(u64::from(context.control) >> 13);
    }
}

pub(super) struct Compiler<'code> {
    pub(super) code: Emitter<'code>,
    pub(super) masks: &'code Masks,
    starts: &'code mut Vec<usize>,
}

impl Compiler<'_> {
    fn program(
        &mut self,
        (decoder, program): (&Decoder, &[u64]),
        (configuration, iterations): (&Configuration, u32),
        source: ItemSource<'_>,
    ) {
        self.prologue();
        self.code.put([0xe9]);
        let skip = self.code.at();
        self.code.put_32(0);
        let epilogue = self.code.at();
        self.epilogue();
        self.code.align(64);
        self.code.land(skip);
        let start = self.code.at();
        self.load();
        for instruction in decoder.decode(program) {
            self.starts.push(self.code.at());
            self.instruction(instruction);
        }
        self.item((configuration, iterations), source);
        self.store(configuration.readers);
        self.code.put([0x83, 0xeb, 1, 0x0f, 0x85]);
        self.code.distance_to(start);
        self.code.put([0xe9]);
        self.code.distance_to(epilogue);
    }

    #[inline]
    fn instruction(&mut self, instruction: Instruction) {
        let code = &mut self.code;
        match instruction {
            Instruction::AddShifted { dst, src, shift, constant } => {
                code.add_shifted(dst, src, shift, (dst == 5).then_some(constant));
            }
            Instruction::Integer { operation, dst, from } => self.integer(operation, dst, from),
            Instruction::MultiplyReciprocal { dst, factor } => {
                code.multiply_wide_constant(dst, factor);
            }
            Instruction::Negate { dst } => code.one(NEGATE, dst),
            Instruction::Swap { dst, src } => code.exchange(dst, src),
            Instruction::SwapHalves { dst } => {
                code.put([0x66, 0x0f, 0xc6, 0xc0 | dst << 3 | dst, 1]);
            }
            Instruction::Float { operation, dst, from } => self.float(operation, dst, from),
            Instruction::Scale { dst } => code.put([0x41, 0x0f, 0x57, 0xc0 | dst << 3 | 7]),
            Instruction::Root { dst } => code.put([0x66, 0x0f, 0x51, 0xc0 | dst << 3 | dst]),
            Instruction::Branch { dst, constant, mask, target } => {
                code.constant(ADD_CONSTANT, dst, constant);
                code.put([0x41, 0xf7, 0xc0 | dst]);
                code.put_32(mask);
                code.put([0x0f, 0x84]);
                code.distance_to(self.starts[usize::from(target)]);
            }
            Instruction::Round { src, rotation } => {
                code.copy_to_rax(src);
                code.put([0x48, 0xc1, 0xc0, 13_u8.wrapping_sub(rotation) & 63]);
                code.put([0x25, 0x00, 0x60, 0x00, 0x00, 0x0d]);
                code.put_32(CONTROL);
                code.put([0x89, 0x44, 0x24, CONTROL_WORD, 0x0f, 0xae, 0x54, 0x24, CONTROL_WORD]);
            }
            Instruction::Store { to, src } => {
                self.reach(RAX, to);
                self.code.memory(0x89, src);
            }
            Instruction::Nothing => {}
        }
    }

    /// Brings an address to a register.
    fn reach(&mut self, into: u8, address: Address) {
        if let Some(base) = address.base {
            self.code.address(into, base, address.constant, address.mask);
        } else {
            self.code.put([0xb8 | into]);
            self.code.put_32(address.constant & address.mask);
        }
    }

    fn integer(&mut self, operation: Integer, dst: u8, from: Operand) {
        match (operation, from) {
            (Integer::Add, from) => self.plain(ADD, ADD_CONSTANT, dst, from),
            (Integer::Subtract, from) => self.plain(SUB, SUB_CONSTANT, dst, from),
            (Integer::Xor, from) => self.plain(XOR, XOR_CONSTANT, dst, from),
            (Integer::Multiply, Operand::Register(src)) => self.code.multiply(dst, src),
            (Integer::Multiply, Operand::Constant(constant)) => {
                self.code.multiply_constant(dst, constant);
            }
            (Integer::Multiply, Operand::Memory(address)) => {
                self.reach(RAX, address);
                self.code.put([0x4c, 0x0f, 0xaf, 0x04 | dst << 3, RSI]);
            }
            (Integer::MultiplyHigh, from) => self.multiply_high(MULTIPLY, dst, from),
            (Integer::MultiplyHighSigned, from) => self.multiply_high(MULTIPLY_SIGNED, dst, from),
            (Integer::RotateRight, from) => self.rotate(ROTATE_RIGHT, dst, from),
            (Integer::RotateLeft, from) => self.rotate(ROTATE_LEFT, dst, from),
        }
    }

    fn plain(&mut self, operation: u8, digit: u8, dst: u8, from: Operand) {
        match from {
            Operand::Register(src) => self.code.registers(operation, dst, src),
            Operand::Constant(constant) => self.code.constant(digit, dst, constant),
            Operand::Memory(Address { base: None, constant, mask }) => {
                self.code.memory_at(operation, dst, constant & mask);
            }
            Operand::Memory(address) => {
                self.reach(RAX, address);
                self.code.memory(operation, dst);
            }
        }
    }

    fn multiply_high(&mut self, digit: u8, dst: u8, from: Operand) {
        match from {
            Operand::Memory(address) => {
                self.reach(RCX, address);
                self.code.copy_to_rax(dst);
                self.code.put([0x48, 0xf7, 0x04 | digit << 3, RCX << 3 | RSI]);
            }
            Operand::Register(src) => {
                self.code.copy_to_rax(dst);
                self.code.one(digit, src);
            }
            // No instruction multiplies so by a constant.
            Operand::Constant(_) => return,
        }
        self.code.copy_from_rdx(dst);
    }

    fn rotate(&mut self, digit: u8, dst: u8, from: Operand) {
        match from {
            Operand::Register(src) => self.code.rotate_by_register(digit, dst, src),
            Operand::Constant(constant) => self.code.rotate(digit, dst, (constant & 63) as u8),
            // No instruction rotates by what is in memory.
            Operand::Memory(_) => {}
        }
    }

    fn float(&mut self, operation: Arithmetic, dst: u8, from: FloatOperand) {
        let byte = match operation {
            Arithmetic::Add => 0x58,
            Arithmetic::Subtract => 0x5c,
            Arithmetic::Multiply => 0x59,
            Arithmetic::Divide => 0x5e,
        };
        let src = match from {
            FloatOperand::Constant(src) => src,
            FloatOperand::Memory(address) => {
                self.reach(RAX, address);
                self.code.put([0xf3, 0x44, 0x0f, 0xe6, 0x24, RSI]);
                if operation == Arithmetic::Divide {
                    self.code.put([0x45, 0x0f, 0x54, 0xe5, 0x45, 0x0f, 0x56, 0xe6]);
                }
                4
            }
        };
        self.code.packed(byte, dst, src);
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
