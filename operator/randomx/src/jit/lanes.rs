//! Four items of the dataset at once: each lane of a vector register belongs to one.
//!
//! An item waits for memory three quarters of the time, since each program's line is known only when the program before it is
//! through; four items wait together. The registers of the items are `ymm0` to `ymm7`, `ymm15` is zero, and the others are free.
//! `rdi` is the cache, `rsi` the items to be written, `rbp` the number of the first of the four, `rbx` where to end, and `r8` to
//! `r11` hold the lines that are wanted, as distances from `rdi`.

#![expect(clippy::many_single_char_names, reason = "free registers have no meaning of their own")]

use super::emit::{Emitter, RBP, RDI, RSI};
use crate::cache::{Cache, SPREAD, START};
use crate::superscalar::{Instruction, Operation, Program};

/// Items that are made at once.
pub(super) const LANES: usize = 4;

/// More than the code for one instruction takes.
pub(super) const INSTRUCTION_BYTES: usize = 128;

/// Registers without a fixed meaning, and the one that is zero.
const FREE: [u8; 7] = [8, 9, 10, 11, 12, 13, 14];
const ZERO: u8 = 15;

/// General registers that hold lines.
const LINES: [u8; LANES] = [8, 9, 10, 11];

/// An operation of AVX2: opcode map, opcode.
#[derive(Clone, Copy, Debug)]
struct Vector(u8, u8);

const ADD: Vector = Vector(1, 0xd4);
const SUB: Vector = Vector(1, 0xfb);
const XOR: Vector = Vector(1, 0xef);
const OR: Vector = Vector(1, 0xeb);
const AND: Vector = Vector(1, 0xdb);
const MULTIPLY_LOW_HALVES: Vector = Vector(1, 0xf4);
const LOW_OF_PAIRS: Vector = Vector(1, 0x6c);
const HIGH_OF_PAIRS: Vector = Vector(1, 0x6d);
const GREATER: Vector = Vector(2, 0x37);
const BLEND_WORDS: Vector = Vector(3, 0x02);
const PICK_HALVES: Vector = Vector(3, 0x46);

/// Digits of the group of shifts.
const RIGHT: u8 = 2;
const LEFT: u8 = 6;

/// Both lower halves, or both upper halves, for [`PICK_HALVES`].
const LOWER: u8 = 0x20;
const UPPER: u8 = 0x31;

/// Code for vectors, with the constants that it reads before it.
struct Lanes<'code, 'bytes> {
    code: &'code mut Emitter<'bytes>,
    /// Where the next constant lies.
    constant: usize,
}

/// Writes `fn(lines: rdi, items: rsi, first: rdx, end: rcx)`, for a multiple of four items; gives where it begins.
pub(super) fn several(code: &mut Emitter<'_>, cache: &Cache) -> usize {
    code.align(64);
    let constants = code.at();
    let mask = cache.lines().len() as u64 - 1;
    let steps = (0..LANES as u64).map(|lane| lane.wrapping_mul(SPREAD));
    for constant in (0..LANES as u64).chain(steps).chain([mask]).chain(START[1..].iter().copied()) {
        code.put_64(constant);
    }
    for constant in cache.programs().iter().flat_map(needed) {
        code.put_64(constant);
    }
    code.align(64);
    let start = code.at();
    let mut lanes = Lanes { code, constant: constants };
    lanes.whole(cache.programs(), constants);
    start
}

/// How many constants the programs need, and the frame.
pub(super) fn constants(cache: &Cache) -> usize {
    2 * LANES + START.len() + cache.programs().iter().flat_map(needed).count()
}

/// The constants of a program in the order in which they are read.
fn needed(program: &Program) -> impl Iterator<Item = u64> + '_ {
    program.instructions.iter().filter(|step| is_needed(step)).map(|step| step.constant)
}

const fn is_needed(step: &Instruction) -> bool {
    matches!(
        step.operation,
        Operation::AddConstant | Operation::XorConstant | Operation::MultiplyReciprocal
    )
}

impl Lanes<'_, '_> {
    fn whole(&mut self, programs: &[Program], constants: usize) {
        self.code.put([0x53, 0x55, 0x48, 0x89, 0xd5, 0x48, 0x89, 0xcb]);
        self.three(XOR, ZERO, ZERO, ZERO);
        self.code.align(32);
        let next = self.code.at();
        self.constant = constants;
        self.begin();
        let mut address = None;
        for program in programs {
            if let Some(register) = address {
                self.move_to(FREE[0], register);
            }
            self.find_lines(constants);
            for step in &program.instructions {
                self.instruction(step);
            }
            self.mix();
            address = Some(program.address_register);
        }
        self.write();
        self.code.put([0x48, 0x83, 0xc5, 4, 0x48, 0x81, 0xc6, 0x00, 0x01, 0x00, 0x00]);
        self.code.put([0x48, 0x39, 0xdd, 0x0f, 0x82]);
        self.code.distance_to(next);
        self.code.put([0xc5, 0xf8, 0x77, 0x5d, 0x5b, 0xc3]);
    }

    /// Numbers in the first free register, and what the items start from in theirs.
    fn begin(&mut self) {
        let (numbers, spread) = (FREE[0], FREE[1]);
        self.copy_from_general(numbers, RBP);
        self.broadcast(numbers, numbers);
        self.with_memory(ADD, numbers, numbers);
        self.constant += 8 * LANES;
        self.code.put([0x48, 0x8d, 0x45, 1, 0x48, 0xb9]);
        self.code.put_64(SPREAD);
        self.code.put([0x48, 0x0f, 0xaf, 0xc1]);
        self.copy_from_general(spread, 0);
        self.broadcast(spread, spread);
        self.with_memory(ADD, 0, spread);
        self.constant += 8 * LANES + 8;
        for register in 1..8 {
            self.next_constant(spread);
            self.three(XOR, register, 0, spread);
        }
    }

    /// Turns the numbers in the first free register into places of lines, and asks for them.
    fn find_lines(&mut self, constants: usize) {
        let (numbers, upper) = (FREE[0], FREE[1]);
        self.constant_at(upper, constants + 16 * LANES);
        self.three(AND, numbers, numbers, upper);
        self.shift(LEFT, numbers, numbers, 6);
        self.copy_to_general(LINES[0], numbers);
        self.copy_upper_to_general(LINES[1], numbers);
        self.upper_half(upper, numbers);
        self.copy_to_general(LINES[2], upper);
        self.copy_upper_to_general(LINES[3], upper);
        for line in LINES {
            // A prefetch of `[rdi + line]`.
            self.code.put([0x42, 0x0f, 0x18, 0x04, (line & 7) << 3 | RDI]);
        }
    }

    /// Mixes each item's line into it.
    fn mix(&mut self) {
        for half in 0..2 {
            for (lane, line) in LINES.into_iter().enumerate() {
                self.load(FREE[lane], line, 32 * half);
            }
            let [a, b, c, d, e, f, g] = FREE;
            self.three(LOW_OF_PAIRS, e, a, b);
            self.three(HIGH_OF_PAIRS, f, a, b);
            self.three(LOW_OF_PAIRS, g, c, d);
            self.three(HIGH_OF_PAIRS, a, c, d);
            for (word, (left, right, halves)) in
                [(e, g, LOWER), (f, a, LOWER), (e, g, UPPER), (f, a, UPPER)].into_iter().enumerate()
            {
                self.three(PICK_HALVES, b, left, right);
                self.code.put([halves]);
                let register = 4 * half + [0, 1, 2, 3][word];
                self.three(XOR, register, register, b);
            }
        }
    }

    fn write(&mut self) {
        for half in 0..2 {
            let [a, b, c, d, e, ..] = FREE;
            let first = 4 * half;
            self.three(LOW_OF_PAIRS, a, first, first + 1);
            self.three(HIGH_OF_PAIRS, b, first, first + 1);
            self.three(LOW_OF_PAIRS, c, first + 2, first + 3);
            self.three(HIGH_OF_PAIRS, d, first + 2, first + 3);
            for (lane, (left, right, halves)) in
                [(a, c, LOWER), (b, d, LOWER), (a, c, UPPER), (b, d, UPPER)].into_iter().enumerate()
            {
                self.three(PICK_HALVES, e, left, right);
                self.code.put([halves]);
                self.store(e, [0_u32, 64, 128, 192][lane] + 32 * u32::from(half));
            }
        }
    }

    fn instruction(&mut self, step: &Instruction) {
        let (dst, src) = (step.dst, step.src);
        let [a, b, ..] = FREE;
        match step.operation {
            Operation::Subtract => self.three(SUB, dst, dst, src),
            Operation::Xor => self.three(XOR, dst, dst, src),
            Operation::AddShifted if step.shift == 0 => self.three(ADD, dst, dst, src),
            Operation::AddShifted => {
                self.shift(LEFT, a, src, step.shift);
                self.three(ADD, dst, dst, a);
            }
            Operation::Rotate => {
                let by = (step.constant & 63) as u8;
                self.shift(RIGHT, a, dst, by);
                self.shift(LEFT, b, dst, 64 - by);
                self.three(OR, dst, a, b);
            }
            Operation::AddConstant => {
                self.next_constant(a);
                self.three(ADD, dst, dst, a);
            }
            Operation::XorConstant => {
                self.next_constant(a);
                self.three(XOR, dst, dst, a);
            }
            Operation::Multiply => self.multiply(dst, src),
            Operation::MultiplyReciprocal => {
                self.next_constant(FREE[2]);
                self.multiply(dst, FREE[2]);
            }
            Operation::MultiplyHigh => {
                self.multiply_high(dst, src);
                self.three(ADD, dst, FREE[5], FREE[4]);
            }
            Operation::MultiplyHighSigned => self.multiply_high_signed(dst, src),
        }
    }

    /// From three products of halves: the fourth lies above what is kept.
    fn multiply(&mut self, dst: u8, src: u8) {
        let [a, b, ..] = FREE;
        self.shift(RIGHT, a, dst, 32);
        self.three(MULTIPLY_LOW_HALVES, a, a, src);
        self.shift(RIGHT, b, src, 32);
        self.three(MULTIPLY_LOW_HALVES, b, b, dst);
        self.three(ADD, a, a, b);
        self.shift(LEFT, a, a, 32);
        self.three(MULTIPLY_LOW_HALVES, b, dst, src);
        self.three(ADD, dst, a, b);
    }

    /// Leaves two numbers in free registers 4 and 5 whose sum is the upper half of the product; the operands stay.
    fn multiply_high(&mut self, dst: u8, src: u8) {
        let [a, b, low, middle, other, high, cut] = FREE;
        self.shift(RIGHT, a, dst, 32);
        self.shift(RIGHT, b, src, 32);
        self.three(MULTIPLY_LOW_HALVES, low, dst, src);
        self.three(MULTIPLY_LOW_HALVES, middle, a, src);
        self.three(MULTIPLY_LOW_HALVES, other, dst, b);
        self.three(MULTIPLY_LOW_HALVES, high, a, b);
        self.shift(RIGHT, low, low, 32);
        self.three(ADD, middle, middle, low);
        self.three(BLEND_WORDS, cut, middle, ZERO);
        self.code.put([0xaa]);
        self.three(ADD, other, other, cut);
        self.shift(RIGHT, middle, middle, 32);
        self.shift(RIGHT, other, other, 32);
        self.three(ADD, high, high, middle);
    }

    /// The unsigned product, less each operand where the other is negative.
    fn multiply_high_signed(&mut self, dst: u8, src: u8) {
        self.multiply_high(dst, src);
        let [a, b, _, _, other, high, _] = FREE;
        self.three(GREATER, a, ZERO, dst);
        self.three(AND, a, a, src);
        self.three(GREATER, b, ZERO, src);
        self.three(AND, b, b, dst);
        self.three(ADD, high, high, other);
        self.three(SUB, high, high, a);
        self.three(SUB, dst, high, b);
    }

    /// The bytes before the operands: `reg`, `index` and `rm` are extended by a bit each.
    fn prefix(&mut self, (map, opcode): (u8, u8), bits: [u8; 3], other: u8, wide_long_kind: u8) {
        let [reg, index, rm] = bits.map(|register| u8::from(register < 8));
        self.code.put([
            0xc4,
            reg << 7 | index << 6 | rm << 5 | map,
            wide_long_kind ^ (!other & 15) << 3,
            opcode,
        ]);
    }

    fn three(&mut self, operation: Vector, dst: u8, left: u8, right: u8) {
        self.prefix((operation.0, operation.1), [dst, 0, right], left, 0b101);
        self.code.put([0xc0 | (dst & 7) << 3 | right & 7]);
    }

    fn shift(&mut self, digit: u8, dst: u8, src: u8, by: u8) {
        self.prefix((1, 0x73), [0, 0, src], dst, 0b101);
        self.code.put([0xc0 | digit << 3 | src & 7, by]);
    }

    /// `dst <- left operation` the constants at hand, one for each lane.
    fn with_memory(&mut self, operation: Vector, dst: u8, left: u8) {
        self.prefix((operation.0, operation.1), [dst, 0, 0], left, 0b101);
        self.code.put([(dst & 7) << 3 | 5]);
        self.code.distance_to(self.constant);
    }

    /// `dst <-` the next constant, in all lanes.
    fn next_constant(&mut self, dst: u8) {
        self.constant_at(dst, self.constant);
        self.constant += 8;
    }

    fn constant_at(&mut self, dst: u8, place: usize) {
        self.prefix((2, 0x59), [dst, 0, 0], 0, 0b101);
        self.code.put([(dst & 7) << 3 | 5]);
        self.code.distance_to(place);
    }

    fn broadcast(&mut self, dst: u8, src: u8) {
        self.prefix((2, 0x59), [dst, 0, src], 0, 0b101);
        self.code.put([0xc0 | (dst & 7) << 3 | src & 7]);
    }

    fn move_to(&mut self, dst: u8, src: u8) {
        self.prefix((1, 0x6f), [dst, 0, src], 0, 0b101);
        self.code.put([0xc0 | (dst & 7) << 3 | src & 7]);
    }

    /// `dst <- [rdi + line + offset]`
    fn load(&mut self, dst: u8, line: u8, offset: u8) {
        self.prefix((1, 0x6f), [dst, line, 0], 0, 0b110);
        self.code.put([0x44 | (dst & 7) << 3, (line & 7) << 3 | RDI, offset]);
    }

    /// `[rsi + offset] <- src`
    fn store(&mut self, src: u8, offset: u32) {
        self.prefix((1, 0x7f), [src, 0, 0], 0, 0b110);
        self.code.put([0x80 | (src & 7) << 3 | RSI]);
        self.code.put_32(offset);
    }

    fn copy_from_general(&mut self, dst: u8, general: u8) {
        self.prefix((1, 0x6e), [dst, 0, general], 0, 0b1000_0001);
        self.code.put([0xc0 | (dst & 7) << 3 | general & 7]);
    }

    fn copy_to_general(&mut self, general: u8, src: u8) {
        self.prefix((1, 0x7e), [src, 0, general], 0, 0b1000_0001);
        self.code.put([0xc0 | (src & 7) << 3 | general & 7]);
    }

    fn copy_upper_to_general(&mut self, general: u8, src: u8) {
        self.prefix((3, 0x16), [src, 0, general], 0, 0b1000_0001);
        self.code.put([0xc0 | (src & 7) << 3 | general & 7, 1]);
    }

    /// The upper two lanes of `src`.
    fn upper_half(&mut self, dst: u8, src: u8) {
        self.prefix((3, 0x39), [src, 0, dst], 0, 0b101);
        self.code.put([0xc0 | (src & 7) << 3 | dst & 7, 1]);
    }
}
