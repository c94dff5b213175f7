//! Instructions of x86-64 as bytes.
//!
//! The machine's integer register `n` is `r8 + n`, additive and multiplicative registers are `xmm0` to `xmm7`, constant ones
//! `xmm8` to `xmm11`. A register number below is one of those; the processor's own registers have names.

/// Code under construction.
#[derive(Debug)]
pub(super) struct Emitter<'bytes> {
    bytes: &'bytes mut [u8],
    at: usize,
}

/// Registers of the processor that the generated code uses besides `r8` to `r15`.
pub(super) const RAX: u8 = 0;
pub(super) const RCX: u8 = 1;
pub(super) const RDX: u8 = 2;
pub(super) const RBX: u8 = 3;
pub(super) const RBP: u8 = 5;
pub(super) const RSI: u8 = 6;
pub(super) const RDI: u8 = 7;

/// What an integer instruction does with memory or a register: the byte for `register <- register, memory`.
pub(super) const ADD: u8 = 0x03;
pub(super) const SUB: u8 = 0x2b;
pub(super) const XOR: u8 = 0x33;
pub(super) const LOAD: u8 = 0x8b;

/// The same byte for `memory <- register`.
pub(super) const STORE: u8 = 0x89;

/// The same with a constant: the digit of the instruction's group.
pub(super) const ADD_CONSTANT: u8 = 0;
pub(super) const SUB_CONSTANT: u8 = 5;
pub(super) const XOR_CONSTANT: u8 = 6;

/// Rotations: digits of their group.
pub(super) const ROTATE_LEFT: u8 = 0;
pub(super) const ROTATE_RIGHT: u8 = 1;

/// Digits of the group of one operand.
pub(super) const NEGATE: u8 = 3;
pub(super) const MULTIPLY: u8 = 4;
pub(super) const MULTIPLY_SIGNED: u8 = 5;

const fn pair(reg: u8, rm: u8) -> u8 {
    0xc0 | reg << 3 | rm
}

impl<'bytes> Emitter<'bytes> {
    pub(super) const fn new(bytes: &'bytes mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }

    pub(super) fn put_32(&mut self, constant: u32) {
        self.put(constant.to_le_bytes());
    }

    pub(super) fn put_64(&mut self, constant: u64) {
        self.put(constant.to_le_bytes());
    }

    /// Begins at a multiple of `bytes`, with what does nothing before.
    pub(super) fn align(&mut self, bytes: usize) {
        while !self.at.is_multiple_of(bytes) {
            self.put([0x90]);
        }
    }

    /// A distance from the next byte but three to `target`: what jumps and calls take.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "code is smaller than 2 GiB"
    )]
    pub(super) fn distance_to(&mut self, target: usize) {
        let distance = target as i64 - (self.at as i64 + 4);
        self.put_32((distance as i32).cast_unsigned());
    }

    /// Writes the distance from the place at `from`, left open before, to here.
    pub(super) fn land(&mut self, from: usize) {
        let here = self.at;
        self.at = from;
        self.distance_to(here);
        self.at = here;
    }

    pub(super) fn registers(&mut self, operation: u8, dst: u8, src: u8) {
        self.put([0x4d, operation, pair(dst, src)]);
    }

    pub(super) fn constant(&mut self, digit: u8, dst: u8, constant: u32) {
        self.put([0x49, 0x81, pair(digit, dst)]);
        self.put_32(constant);
    }

    /// `dst <- dst + (src << shift) + constant`; a constant is given for register 5 only, which has no form without.
    pub(super) fn add_shifted(&mut self, dst: u8, src: u8, shift: u8, constant: Option<u32>) {
        let mode = if constant.is_some() { 0x84 } else { 0x04 };
        self.put([0x4f, 0x8d, mode | dst << 3, shift << 6 | src << 3 | dst]);
        if let Some(constant) = constant {
            self.put_32(constant);
        }
    }

    pub(super) fn multiply(&mut self, dst: u8, src: u8) {
        self.put([0x4d, 0x0f, 0xaf, pair(dst, src)]);
    }

    pub(super) fn multiply_constant(&mut self, dst: u8, constant: u32) {
        self.put([0x4d, 0x69, pair(dst, dst)]);
        self.put_32(constant);
    }

    pub(super) fn multiply_wide_constant(&mut self, dst: u8, constant: u64) {
        self.put([0x48, 0xb8]);
        self.put_64(constant);
        self.put([0x4c, 0x0f, 0xaf, pair(dst, RAX)]);
    }

    /// `rax <- src`
    pub(super) fn copy_to_rax(&mut self, src: u8) {
        self.put([0x4c, 0x89, pair(src, RAX)]);
    }

    /// `dst <- rdx`
    pub(super) fn copy_from_rdx(&mut self, dst: u8) {
        self.put([0x49, 0x89, pair(RDX, dst)]);
    }

    /// One operand: the digit's operation on a register, and on `rax` and `rdx` where it multiplies.
    pub(super) fn one(&mut self, digit: u8, register: u8) {
        self.put([0x49, 0xf7, pair(digit, register)]);
    }

    pub(super) fn rotate(&mut self, digit: u8, dst: u8, by: u8) {
        self.put([0x49, 0xc1, pair(digit, dst), by]);
    }

    pub(super) fn rotate_by_register(&mut self, digit: u8, dst: u8, src: u8) {
        self.put([0x44, 0x89, pair(src, RCX), 0x49, 0xd3, pair(digit, dst)]);
    }

    pub(super) fn exchange(&mut self, dst: u8, src: u8) {
        self.put([0x4d, 0x87, pair(dst, src)]);
    }

    /// `into <- (base + constant) & mask`, in 32 bits; `into` is one of the processor's first eight.
    pub(super) fn address(&mut self, into: u8, base: u8, constant: u32, mask: u32) {
        self.put([0x41, 0x8d, 0x80 | into << 3 | base]);
        if base == 4 {
            self.put([0x24]);
        }
        self.put_32(constant);
        self.mask(into, mask);
    }

    /// `register <- register & mask`, in 32 bits.
    pub(super) fn mask(&mut self, register: u8, mask: u32) {
        if register == RAX {
            self.put([0x25]);
        } else {
            self.put([0x81, pair(4, register)]);
        }
        self.put_32(mask);
    }

    /// `dst <- dst operation [rsi + rax]`
    pub(super) fn memory(&mut self, operation: u8, dst: u8) {
        self.put([0x4c, operation, 0x04 | dst << 3, RSI]);
    }

    /// `dst <- dst operation [rsi + offset]`
    pub(super) fn memory_at(&mut self, operation: u8, dst: u8, offset: u32) {
        self.put([0x4c, operation, 0x80 | dst << 3 | RSI]);
        self.put_32(offset);
    }

    /// `dst <- dst operation [base + offset]`, the offset less than 128.
    pub(super) fn line(&mut self, operation: u8, dst: u8, base: u8, offset: u8) {
        self.put([0x4c, operation, 0x40 | dst << 3 | base, offset]);
    }

    /// A packed operation on doubles: `dst <- dst operation xmm(8 + src)`.
    pub(super) fn packed(&mut self, operation: u8, dst: u8, src: u8) {
        self.put([0x66, 0x41, 0x0f, operation, pair(dst, src)]);
    }
}
