//! A key's superscalar programs as machine code.
//!
//! An item waits for memory most of the time, since each program's line is known only when the program before it is through. So
//! two are made at once, program by program in turn: while one waits, the other computes.

use super::emit::{
    ADD_CONSTANT, Emitter, LOAD, MULTIPLY, MULTIPLY_SIGNED, RBP, RBX, RCX, ROTATE_RIGHT, STORE,
    SUB, XOR, XOR_CONSTANT,
};
use super::lanes;
use super::memory::{CodeError, CodeMemory};
use crate::cache::{Cache, Item, SPREAD, START};
use crate::superscalar::{Instruction, Operation};

/// More than any instruction takes, than what surrounds a program, and than what surrounds them all.
const INSTRUCTION_BYTES: usize = 16;
const PROGRAM_BYTES: usize = 512;
const FRAME_BYTES: usize = 1024;

/// Items that generated code makes at once without vectors, the general registers that hold their lines, and where they are
/// kept, from `rbp` on.
const TOGETHER: usize = 2;
const LINES: [u8; TOGETHER] = [RBX, RCX];
const PLACES: [i8; TOGETHER] = [-64, 0];

/// Code that makes items of one key's dataset.
#[derive(Debug)]
pub(crate) struct ItemCode {
    memory: CodeMemory,
    /// Where the code for two items begins, and that for a run of them.
    two: usize,
    run: usize,
    /// The same for several items at once, where the processor has vectors for it.
    lanes: Option<usize>,
}

impl ItemCode {
    pub(crate) fn new(cache: &Cache) -> Result<Self, CodeError> {
        let programs = cache.programs();
        let instructions: usize =
            programs.iter().map(|program| program.instructions.len() + 16).sum();
        let has_lanes = is_x86_feature_detected!("avx2");
        let lane_bytes = if has_lanes {
            instructions * lanes::INSTRUCTION_BYTES + 8 * lanes::constants(cache)
        } else {
            0
        };
        let plain_bytes = instructions * INSTRUCTION_BYTES + programs.len() * PROGRAM_BYTES;
        let mut memory = CodeMemory::new(plain_bytes + lane_bytes + 2 * FRAME_BYTES)?;
        let (mut two, mut run, mut lanes) = (0, 0, None);
        memory.write(|bytes| {
            let mut code = Emitter::new(bytes);
            two = both(&mut code, cache);
            run = several(&mut code, two);
            lanes = has_lanes.then(|| lanes::several(&mut code, cache));
        });
        Ok(Self { memory, two, run, lanes })
    }

    /// Code for two items, for generated code to call: their numbers are in `rbx` and `rcx`, the cache in `rdi`, and they come to
    /// the 64 bytes before `rbp` and those from it on; `rax`, `rbx`, `rcx`, `rdx` and `r8` to `r15` are lost.
    pub(crate) fn two(&self) -> *const u8 {
        self.memory.at(self.two)
    }

    /// Makes the items from `first` on.
    pub(crate) fn fill(&self, cache: &Cache, first: u64, items: &mut [Item]) {
        let lanes = if self.lanes.is_some() { items.len() - items.len() % lanes::LANES } else { 0 };
        let (by_lanes, rest) = items.split_at_mut(lanes);
        let (pairs, last) = rest.split_at_mut(rest.len() - rest.len() % TOGETHER);
        let second = first.saturating_add(by_lanes.len() as u64);
        if let Some(lanes) = self.lanes {
            self.call(lanes, cache, first, by_lanes);
        }
        self.call(self.run, cache, second, pairs);
        if let [last] = last {
            let mut both = [*last; TOGETHER];
            self.call(self.run, cache, second.saturating_add(pairs.len() as u64), &mut both);
            [*last, _] = both;
        }
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

/// Writes a function for each program, and one that makes two items with them; gives where that begins.
#[expect(clippy::cast_possible_truncation, reason = "checked parameters have at most 2^25 lines")]
fn both(code: &mut Emitter<'_>, cache: &Cache) -> usize {
    let mask = (cache.lines().len() - 1) as u32;
    let mut programs = Vec::with_capacity(cache.programs().len());
    for program in cache.programs() {
        code.align(16);
        programs.push((code.at(), program.address_register));
        for step in &program.instructions {
            instruction(code, step);
        }
        code.put([0xc3]);
    }
    code.align(64);
    let start = code.at();
    for (line, place) in LINES.into_iter().zip(PLACES) {
        begin(code, line);
        find_line(code, line, mask);
        keep(code, place);
    }
    let mut next: Option<u8> = None;
    for (program, address_register) in programs {
        for (line, place) in LINES.into_iter().zip(PLACES) {
            take(code, place);
            if let Some(register) = next {
                mix(code, line);
                code.put([0x4c, 0x89, 0xc0 | register << 3 | line]);
                find_line(code, line, mask);
            }
            code.put([0xe8]);
            code.distance_to(program);
            keep(code, place);
        }
        next = Some(address_register);
    }
    for (line, place) in LINES.into_iter().zip(PLACES) {
        take(code, place);
        mix(code, line);
        keep(code, place);
    }
    code.put([0xc3]);
    start
}

/// What an item starts from, by the number in `line`.
fn begin(code: &mut Emitter<'_>, line: u8) {
    code.put([0x4c, 0x8d, 0x40 | line, 1]);
    code.multiply_wide_constant(0, SPREAD);
    for register in 1..8_u8 {
        code.put([0x49, 0xb8 | register]);
        code.put_64(START[usize::from(register)]);
        code.registers(XOR, register, 0);
    }
}

/// Finds the line that a register names, and asks for it: it is needed when the program is through.
fn find_line(code: &mut Emitter<'_>, line: u8, mask: u32) {
    code.mask(line, mask);
    code.put([0x48, 0xc1, 0xe0 | line, 6, 0x48, 0x01, 0xf8 | line, 0x0f, 0x18, line]);
}

fn mix(code: &mut Emitter<'_>, line: u8) {
    for register in 0..8 {
        code.line(XOR, register, line, 8 * register);
    }
}

fn take(code: &mut Emitter<'_>, place: i8) {
    for register in 0..8 {
        code.line(LOAD, register, RBP, place.cast_unsigned().wrapping_add(8 * register));
    }
}

fn keep(code: &mut Emitter<'_>, place: i8) {
    for register in 0..8 {
        code.line(STORE, register, RBP, place.cast_unsigned().wrapping_add(8 * register));
    }
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

/// Writes `fn(lines: rdi, items: rsi, first: rdx, end: rcx)`, for an even number of items; gives where it begins.
fn several(code: &mut Emitter<'_>, two: usize) -> usize {
    code.align(64);
    let start = code.at();
    code.put([0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x51, 0x52]);
    code.put([0x48, 0x8d, 0x6e, 64]);
    let next = code.at();
    code.put([0x48, 0x8b, 0x1c, 0x24, 0x48, 0x8d, 0x4b, 1, 0xe8]);
    code.distance_to(two);
    code.put([0x48, 0x83, 0xed, 0x80, 0x48, 0x83, 0x04, 0x24, 2]);
    code.put([0x48, 0x8b, 0x04, 0x24, 0x48, 0x3b, 0x44, 0x24, 8, 0x0f, 0x82]);
    code.distance_to(next);
    code.put([0x58, 0x59, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3]);
    start
}
