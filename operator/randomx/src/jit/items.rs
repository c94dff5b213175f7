//! A key's superscalar programs as machine code.

use super::emit::{
    ADD_CONSTANT, Emitter, MULTIPLY, MULTIPLY_SIGNED, RBX, ROTATE_RIGHT, RSI, SUB, XOR,
    XOR_CONSTANT,
};
use super::lanes;
use super::memory::{CodeError, CodeMemory};
use crate::cache::{Cache, Item, SPREAD, START};
use crate::superscalar::{Instruction, Operation};

/// More than any instruction takes, and more than what surrounds them.
const INSTRUCTION_BYTES: usize = 16;
const FRAME_BYTES: usize = 1024;

/// Code that makes items of one key's dataset.
#[derive(Debug)]
pub(crate) struct ItemCode {
    memory: CodeMemory,
    /// Where the code for a run of items begins.
    run: usize,
    /// The same for several items at once, where the processor has vectors for it.
    lanes: Option<usize>,
}

impl ItemCode {
    pub(crate) fn new(cache: &Cache) -> Result<Self, CodeError> {
        let instructions: usize =
            cache.programs().iter().map(|program| program.instructions.len() + 16).sum();
        let has_lanes = is_x86_feature_detected!("avx2");
        let lane_bytes = if has_lanes {
            instructions * lanes::INSTRUCTION_BYTES + 8 * lanes::constants(cache)
        } else {
            0
        };
        let mut memory =
            CodeMemory::new(instructions * INSTRUCTION_BYTES + lane_bytes + 2 * FRAME_BYTES)?;
        let (mut run, mut lanes) = (0, None);
        memory.write(|bytes| {
            let mut code = Emitter::new(bytes);
            one(&mut code, cache);
            code.align(64);
            run = code.at();
            several(&mut code);
            lanes = has_lanes.then(|| lanes::several(&mut code, cache));
        });
        Ok(Self { memory, run, lanes })
    }

    /// Code for one item, for generated code to call: the number is in `rbx`, the cache in `rdi`, and the item comes in `r8` to
    /// `r15`; `rax`, `rcx`, `rdx` and `rbx` are lost.
    pub(crate) fn one(&self) -> *const u8 {
        self.memory.at(0)
    }

    /// Makes the items from `first` on.
    pub(crate) fn fill(&self, cache: &Cache, first: u64, items: &mut [Item]) {
        let together =
            if self.lanes.is_some() { items.len() - items.len() % lanes::LANES } else { 0 };
        let (together, single) = items.split_at_mut(together);
        if let Some(lanes) = self.lanes {
            self.call(lanes, cache, first, together);
        }
        self.call(self.run, cache, first.saturating_add(together.len() as u64), single);
    }

    fn call(&self, code: usize, cache: &Cache, first: u64, items: &mut [Item]) {
        if items.is_empty() {
            return;
        }
        // SAFETY: the code was compiled for this cache's programs and its number of lines, writes as many items as it is told (a
        // multiple of its lanes), and keeps what the calling convention says.
        unsafe {
            let run = core::mem::transmute::<
                *const u8,
                extern "sysv64" fn(*const Item, *mut Item, u64, u64),
            >(self.memory.at(code));
            let end = first.saturating_add(items.len() as u64);
            run(cache.lines().as_ptr(), items.as_mut_ptr(), first, end);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked parameters have at most 2^25 lines")]
fn one(code: &mut Emitter<'_>, cache: &Cache) {
    let mask = (cache.lines().len() - 1) as u32;
    code.put([0x4c, 0x8d, 0x43, 1]);
    line(code, mask);
    code.multiply_wide_constant(0, SPREAD);
    for register in 1..8_u8 {
        code.put([0x49, 0xb8 | register]);
        code.put_64(START[usize::from(register)]);
        code.registers(XOR, register, 0);
    }
    let mut next: Option<u8> = None;
    for program in cache.programs() {
        if let Some(register) = next {
            code.put([0x4c, 0x89, 0xc0 | register << 3 | RBX]);
            line(code, mask);
        }
        for step in &program.instructions {
            instruction(code, step);
        }
        for register in 0..8 {
            code.line(XOR, register, RBX, 8 * register);
        }
        next = Some(program.address_register);
    }
    code.put([0xc3]);
}

/// Finds the line that `rbx` names, and asks for it: it is needed when the program is through.
fn line(code: &mut Emitter<'_>, mask: u32) {
    code.put([0x81, 0xe3]);
    code.put_32(mask);
    code.put([0x48, 0xc1, 0xe3, 6, 0x48, 0x01, 0xfb, 0x0f, 0x18, 0x03]);
}

#[expect(clippy::cast_possible_truncation, reason = "such constants are 32 bits wide, extended")]
fn instruction(code: &mut Emitter<'_>, step: &Instruction) {
    let (dst, src) = (step.dst, step.src);
    let constant = step.constant as u32;
    match step.operation {
        Operation::Subtract => code.registers(SUB, dst, src),
        Operation::Xor => code.registers(XOR, dst, src),
        Operation::AddShifted => code.add_shifted(dst, src, step.shift, None),
        Operation::Multiply => code.multiply(dst, src),
        Operation::Rotate => code.rotate(ROTATE_RIGHT, dst, (constant & 63) as u8),
        Operation::AddConstant => code.constant(ADD_CONSTANT, dst, constant),
        Operation::XorConstant => code.constant(XOR_CONSTANT, dst, constant),
        Operation::MultiplyHigh | Operation::MultiplyHighSigned => {
            let is_signed = step.operation == Operation::MultiplyHighSigned;
            code.copy_to_rax(dst);
            code.one(if is_signed { MULTIPLY_SIGNED } else { MULTIPLY }, src);
            code.copy_from_rdx(dst);
        }
        Operation::MultiplyReciprocal => code.multiply_wide_constant(dst, step.constant),
    }
}

/// `fn(lines: rdi, items: rsi, first: rdx, end: rcx)`: one item after another.
fn several(code: &mut Emitter<'_>) {
    code.put([0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x51]);
    code.put([0x48, 0x89, 0xd5]);
    let next = code.at();
    code.put([0x48, 0x89, 0xeb, 0xe8]);
    code.distance_to(0);
    for register in 0..8 {
        code.put([0x4c, 0x89, 0x40 | register << 3 | RSI, 8 * register]);
    }
    code.put([0x48, 0xff, 0xc5, 0x48, 0x83, 0xc6, 64, 0x48, 0x3b, 0x2c, 0x24, 0x0f, 0x82]);
    code.distance_to(next);
    code.put([0x58, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3]);
}
