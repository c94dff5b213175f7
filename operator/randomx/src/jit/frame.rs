//! What surrounds a program's instructions: its frame, and the mixing with scratchpad and items in each iteration.

use core::mem::offset_of;

use super::emit::{LOAD, RAX, RBP, RBX, RCX, RDI, RDX, RSI, STORE, XOR};
use super::items::ItemCode;
use super::program::{Compiler, Context, ItemSource};
use crate::machine::Registers;
use crate::program::Configuration;

/// Where the lines of an iteration, the iterations left, and the dataset's addresses are kept on the stack.
const FIRST_LINE: u8 = 8;
const SECOND_LINE: u8 = 16;
const ITERATIONS: u8 = 24;
const ADDRESSES: u8 = 32;

/// The stack that a program has for itself, and where two items that were made lie in it; the integer registers are kept behind.
const STACK: u32 = 256;
const ITEMS: u32 = 128;

#[expect(clippy::cast_possible_truncation, reason = "offsets within a structure of half a KiB")]
const fn at(offset: usize) -> u32 {
    offset as u32
}

impl Compiler<'_> {
    pub(super) fn prologue(&mut self) {
        let code = &mut self.code;
        code.put([0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x57]);
        code.put([0x48, 0x81, 0xec]);
        code.put_32(STACK);
        code.put([0x0f, 0xae, 0x1c, 0x24, 0x0f, 0xae, 0x97]);
        code.put_32(at(offset_of!(Context, control)));
        let constants = offset_of!(Context, registers) + offset_of!(Registers, constants);
        let loads = [
            (0, constants),
            (1, constants + 16),
            (2, constants + 32),
            (3, constants + 48),
            (5, offset_of!(Context, keep)),
            (6, offset_of!(Context, set)),
            (7, offset_of!(Context, scale)),
        ];
        for (register, offset) in loads {
            code.put([0x66, 0x44, 0x0f, 0x28, 0x80 | register << 3 | RDI]);
            code.put_32(at(offset));
        }
        let loads = [
            (RBX, offset_of!(Context, iterations)),
            (RBP, offset_of!(Context, addresses)),
            (RSI, offset_of!(Context, scratchpad)),
            (RDI, offset_of!(Context, items)),
        ];
        for (register, offset) in loads {
            code.put([0x48, 0x8b, 0x80 | register << 3 | RDI]);
            code.put_32(at(offset));
        }
        for register in 0..8 {
            code.put([0x45, 0x31, 0xc0 | register << 3 | register]);
        }
        code.put([0x48, 0x89, 0xe8, 0x48, 0xc1, 0xe8, 32, 0x89, 0xea]);
        code.mask(RAX, self.masks.line);
        code.mask(RDX, self.masks.line);
    }

    pub(super) fn epilogue(&mut self) {
        let code = &mut self.code;
        code.put([0x48, 0x8b, 0xbc, 0x24]);
        code.put_32(STACK);
        for register in 0..8 {
            code.put([0x4c, 0x89, 0x40 | register << 3 | RDI, 8 * register]);
        }
        for register in 0..8 {
            let floats = offset_of!(Context, registers) + offset_of!(Registers, floats);
            code.put([0x66, 0x0f, 0x29, 0x80 | register << 3 | RDI]);
            code.put_32(at(floats + 16 * usize::from(register)));
        }
        code.put([0x0f, 0xae, 0x9f]);
        code.put_32(at(offset_of!(Context, control)));
        code.put([0x0f, 0xae, 0x14, 0x24, 0x48, 0x81, 0xc4]);
        code.put_32(STACK + 8);
        code.put([0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3]);
    }

    /// Mixes the lines at `rsi + rax` and `rsi + rdx` into the registers.
    pub(super) fn load(&mut self) {
        let code = &mut self.code;
        code.put([0x48, 0x8d, 0x0c, 0x06, 0x48, 0x89, 0x4c, 0x24, FIRST_LINE]);
        for register in 0..8 {
            code.line(XOR, register, RCX, 8 * register);
        }
        code.put([0x48, 0x8d, 0x0c, 0x16, 0x48, 0x89, 0x4c, 0x24, SECOND_LINE]);
        for register in 0..8 {
            code.put([0xf3, 0x0f, 0xe6, 0x40 | register << 3 | RCX, 8 * register]);
        }
        for register in 4..8 {
            code.put([0x41, 0x0f, 0x54, 0xc0 | register << 3 | 5]);
            code.put([0x41, 0x0f, 0x56, 0xc0 | register << 3 | 6]);
        }
    }

    /// Mixes an item into the registers, and asks for the next one.
    pub(super) fn item(
        &mut self,
        (configuration, iterations): (&Configuration, u32),
        source: ItemSource<'_>,
    ) {
        let [_, _, c, d] = configuration.readers;
        let code = &mut self.code;
        code.put([0x44, 0x89, 0xc0 | c << 3, 0x44, 0x31, 0xc0 | d << 3]);
        code.put([0x89, 0xe9]);
        code.mask(RCX, self.masks.item);
        code.put([0x48, 0xc1, 0xcd, 32, 0x48, 0x31, 0xc5]);
        match source {
            ItemSource::Read(_) => {
                code.put([0x89, 0xea]);
                code.mask(RDX, self.masks.item);
                code.put([0x0f, 0x18, 0x04, 0x17]);
                for register in 0..8 {
                    code.put([0x4c, XOR, 0x44 | register << 3, 0x0f, 8 * register]);
                }
            }
            ItemSource::Made(items, _) => self.made(configuration, iterations, items),
        }
    }

    /// The item after this one is known already: every other iteration makes both, and the one after it takes its own.
    fn made(&mut self, configuration: &Configuration, iterations: u32, items: &ItemCode) {
        let item_mask = self.masks.item;
        let code = &mut self.code;
        let is_odd = u8::from(!iterations.is_multiple_of(2));
        code.put([0xf6, 0xc3, 1, 0x0f, 0x84 | is_odd]);
        let make = code.at();
        code.put_32(0);
        code.put([0x48, 0x8d, 0x8c, 0x24]);
        code.put_32(ITEMS);
        for register in 0..8 {
            code.line(XOR, register, RCX, 8 * register);
        }
        code.put([0xe9]);
        let taken = code.at();
        code.put_32(0);
        code.land(make);
        code.put([0x48, 0x89, 0x5c, 0x24, ITERATIONS, 0x48, 0x89, 0x6c, 0x24, ADDRESSES]);
        code.put([0x89, 0xcb, 0x89, 0xe9]);
        code.mask(RCX, item_mask);
        // The window moves by less than the 16 GiB of the largest dataset: 2^28 items.
        let offset = u32::try_from(configuration.dataset_offset / 64).unwrap_or(0);
        for number in [RBX, RCX] {
            code.put([0xc1, 0xe8 | number, 6, 0x48, 0x81, 0xc0 | number]);
            code.put_32(offset);
        }
        code.put([0x48, 0x8d, 0xac, 0x24]);
        code.put_32(ITEMS);
        for register in 0..8 {
            code.line(STORE, register, RBP, 64 + 8 * register);
        }
        code.put([0x48, 0xb8]);
        code.put_64(items.two() as u64);
        code.put([0xff, 0xd0]);
        for register in 0..8 {
            code.line(LOAD, register, RBP, 64 + 8 * register);
            code.line(XOR, register, RBP, (8 * register).wrapping_sub(64));
        }
        code.put([0x48, 0x8b, 0x5c, 0x24, ITERATIONS, 0x48, 0x8b, 0x6c, 0x24, ADDRESSES]);
        code.land(taken);
    }

    /// Writes the registers to this iteration's lines, and finds the next.
    pub(super) fn store(&mut self, [a, b, _, _]: [u8; 4]) {
        let code = &mut self.code;
        code.copy_to_rax(a);
        code.put([0x4c, 0x31, 0xc0 | b << 3]);
        code.put([0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 32]);
        code.mask(RAX, self.masks.line);
        code.mask(RDX, self.masks.line);
        code.put([0x0f, 0x18, 0x0c, 0x06, 0x0f, 0x18, 0x0c, 0x16]);
        code.put([0x48, 0x8b, 0x4c, 0x24, SECOND_LINE]);
        for register in 0..8 {
            code.put([0x4c, 0x89, 0x40 | register << 3 | RCX, 8 * register]);
        }
        code.put([0x48, 0x8b, 0x4c, 0x24, FIRST_LINE]);
        for register in 0..4 {
            code.put([0x66, 0x0f, 0x57, 0xc0 | register << 3 | (4 + register)]);
        }
        for register in 0..4 {
            code.put([0x66, 0x0f, 0x29, 0x40 | register << 3 | RCX, 16 * register]);
        }
    }
}
