use crate::cache::Item;
use crate::interpreter::{self, Items};
use crate::program;

use super::*;

const PARAMETERS: Parameters = Parameters {
    scratchpad_l1: 1 << 10,
    scratchpad_l2: 1 << 12,
    scratchpad_l3: 1 << 14,
    dataset_base_bytes: 1 << 12,
    dataset_extra_bytes: 64,
    ..Parameters::STOCK
};

const WORDS: usize = PARAMETERS.scratchpad_l3 as usize / 8;

/// What registers and memory hold at the edges: as integers, and as pairs of integers that become doubles.
const EDGES: [u64; 16] = [
    0,
    1,
    u64::MAX,
    1 << 63,
    (1 << 63) - 1,
    0x8000_0000,
    0x7fff_ffff,
    0x8000_0000_8000_0000,
    0x7fff_ffff_8000_0000,
    0xffff_ffff,
    0xffff_ffff_0000_0000,
    2,
    64,
    0x5555_5555_5555_5555,
    1 << 32,
    0x0000_0001_ffff_ffff,
];

struct Memory(Vec<Item>);

impl Items for Memory {
    fn pair(&self, numbers: [u64; 2]) -> [Item; 2] {
        numbers.map(|number| self.0[usize::try_from(number).unwrap()])
    }
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn edge(&mut self) -> u64 {
        if self.next().is_multiple_of(4) {
            self.next()
        } else {
            EDGES[(self.next() >> 32) as usize % EDGES.len()]
        }
    }
}

/// A program whose instructions have opcodes of `opcodes`, with constants at the edges.
fn draw(dice: &mut Dice, opcodes: core::ops::Range<u64>) -> Vec<u64> {
    let mut words: Vec<_> = (0..program::words(&PARAMETERS)).map(|_| dice.next()).collect();
    for word in &mut words[16..] {
        let opcode = opcodes.start + dice.next() % (opcodes.end - opcodes.start);
        *word = *word & 0xffff_ff00 | opcode | dice.edge() << 32;
    }
    words
}

/// Runs a program both ways from the same state, and compares everything that it leaves.
fn compare(words: &[u64], dice: &mut Dice) {
    let (decoder, configuration) =
        (Decoder::new(&PARAMETERS), Configuration::of(words, &PARAMETERS));
    let items = Memory((0..66).map(|_| core::array::from_fn(|_| dice.edge())).collect());
    let scratchpad: Vec<_> = (0..WORDS).map(|_| dice.edge()).collect();
    for rounding in (0..4).map(Rounding::of) {
        let (mut a, mut b) = (scratchpad.clone(), scratchpad.clone());
        let (mut a_registers, mut b_registers) = (Registers::default(), Registers::default());
        let (mut a_rounding, mut b_rounding) = (rounding, rounding);
        interpreter::run(
            (&decoder, words),
            (&configuration, 20),
            &items,
            &mut a,
            &mut a_registers,
            &mut a_rounding,
        );
        let source = ItemSource::Read(items.0.as_ptr().cast());
        let mut code = ProgramCode::new(&PARAMETERS).unwrap();
        code.run(
            (&decoder, words),
            (&configuration, 20),
            source,
            &mut b,
            &mut b_registers,
            &mut b_rounding,
        );
        assert_eq!(
            a_registers.words().collect::<Vec<_>>(),
            b_registers.words().collect::<Vec<_>>()
        );
        assert_eq!((a_rounding, &a), (b_rounding, &b));
    }
}

#[test]
fn each_instruction_does_the_same_at_its_edges() {
    let mut first = 0;
    for (number, count) in PARAMETERS.frequencies.into_iter().enumerate() {
        let opcodes = first..first + u64::from(count);
        first = opcodes.end;
        let mut dice = Dice(number as u64 + 1);
        for _ in 0..4 {
            let words = draw(&mut dice, opcodes.clone());
            compare(&words, &mut dice);
        }
    }
}

#[test]
fn whole_programs_do_the_same() {
    let mut dice = Dice(99);
    for _ in 0..60 {
        let words = draw(&mut dice, 0..256);
        compare(&words, &mut dice);
    }
}

#[test]
fn the_callers_rounding_is_what_it_was() {
    let mut dice = Dice(7);
    let words = draw(&mut dice, 0..256);
    compare(&words, &mut dice);
    let third = core::hint::black_box(1.0_f64) / core::hint::black_box(3.0);
    assert_eq!(third.to_bits(), 0x3fd5_5555_5555_5555);
}
