//! Instructions as eight bytes, and what is remembered while they are read.

/// For each register, the instruction after the last one that wrote it; 0 where none did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written([u16; 8]);

impl Written {
    pub(super) const fn mark(&mut self, register: u8, at: u16) {
        self.0[register as usize] = at + 1;
    }

    pub(super) const fn mark_all(&mut self, at: u16) {
        self.0 = [at + 1; 8];
    }

    pub(super) const fn after(&self, register: u8) -> u16 {
        self.0[register as usize]
    }
}

/// An instruction as eight bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw(pub(super) u64);

impl Raw {
    pub(super) const fn opcode(self) -> usize {
        (self.0 & 0xff) as usize
    }

    pub(super) const fn dst(self) -> u8 {
        (self.0 >> 8 & 7) as u8
    }

    pub(super) const fn src(self) -> u8 {
        (self.0 >> 16 & 7) as u8
    }

    /// Whether memory is meant to be the first level.
    pub(super) const fn is_near(self) -> bool {
        self.0 >> 24 & 3 != 0
    }

    pub(super) const fn shift(self) -> u8 {
        (self.0 >> 26 & 3) as u8
    }

    pub(super) const fn condition(self) -> u8 {
        (self.0 >> 28 & 15) as u8
    }

    pub(super) const fn constant(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
