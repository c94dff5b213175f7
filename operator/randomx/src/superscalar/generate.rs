//! How a program is drawn: a processor of three ports is imagined, and filled.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the instruction set is closed, and each function has its part of it"
)]

use super::ports::{LONG_PRODUCT, MOVE, MacroOp, PRODUCT, Ports, ROTATION, SHIFTED, SIMPLE};
use super::{Instruction, NO_SHORT_ADDITION, Operation, extend, reciprocal};
use crate::blake::Generator;

/// Cycles for which an operand is waited for before another instruction is drawn.
const PATIENCE_CYCLES: usize = 4;
/// Instructions thrown away in a row before the rest of a decoding group is given up.
const MOST_THROWN_AWAY: u32 = 256;

/// How an instruction is decoded, and at which macro-op its registers are needed.
#[derive(Clone, Copy, Debug)]
struct Shape {
    ops: &'static [MacroOp],
    source: Option<usize>,
    destination: usize,
    result: usize,
}

const fn one(ops: &'static [MacroOp], has_source: bool) -> Shape {
    Shape { ops, source: if has_source { Some(0) } else { None }, destination: 0, result: 0 }
}

const fn shape(operation: Operation) -> Shape {
    match operation {
        Operation::Subtract | Operation::Xor => one(&[SIMPLE], true),
        Operation::AddShifted => one(&[SHIFTED], true),
        Operation::Multiply => one(&[PRODUCT], true),
        Operation::Rotate => one(&[ROTATION], false),
        Operation::AddConstant | Operation::XorConstant => one(&[SIMPLE], false),
        Operation::MultiplyHigh | Operation::MultiplyHighSigned => {
            Shape { ops: &[MOVE, LONG_PRODUCT, MOVE], source: Some(1), destination: 0, result: 1 }
        }
        Operation::MultiplyReciprocal => Shape {
            ops: &[SIMPLE, MacroOp { is_dependent: true, ..PRODUCT }],
            source: None,
            destination: 1,
            result: 1,
        },
    }
}

/// Sizes in bytes of the instructions that are decoded in one cycle.
type Group = &'static [u8];

const PRODUCTS: Group = &[4, 4, 4, 4];
const AFTER_LONG_PRODUCT: Group = &[3, 3, 10];
const GROUPS: [Group; 4] = [&[4, 8, 4], &[7, 3, 3, 3], &[3, 7, 3, 3], &[4, 9, 3]];

fn next_group(
    last: Option<Operation>,
    cycle: usize,
    products: usize,
    draw: &mut Generator,
) -> Group {
    match last {
        Some(Operation::MultiplyHigh | Operation::MultiplyHighSigned) => AFTER_LONG_PRODUCT,
        _ if products < cycle + 1 => PRODUCTS,
        Some(Operation::MultiplyReciprocal) => GROUPS[if draw.byte() & 1 == 1 { 0 } else { 3 }],
        _ => GROUPS[usize::from(draw.byte() & 3)],
    }
}

/// What was last done to a register, so that the same is not done twice in a row.
type Trace = (Operation, Option<u32>);

/// An instruction that is being placed.
#[derive(Clone, Copy, Debug)]
struct Draft {
    operation: Operation,
    shape: Shape,
    src: Option<u8>,
    dst: Option<u8>,
    shift: u8,
    constant: u64,
    /// What tells its trace from another of the same operation: the source, a number drawn, or nothing.
    mark: Option<u32>,
}

impl Draft {
    /// Draws the instruction for a slot of a group.
    fn draw(group: Group, slot: usize, draw: &mut Generator) -> Self {
        let is_last = slot + 1 == group.len();
        let operation = match group[slot] {
            3 if is_last => [
                Operation::Subtract,
                Operation::Xor,
                Operation::MultiplyHigh,
                Operation::MultiplyHighSigned,
            ][usize::from(draw.byte() & 3)],
            3 => [Operation::Subtract, Operation::Xor][usize::from(draw.byte() & 1)],
            4 if core::ptr::eq(group, PRODUCTS) && !is_last => Operation::Multiply,
            4 => [Operation::Rotate, Operation::AddShifted][usize::from(draw.byte() & 1)],
            10 => Operation::MultiplyReciprocal,
            _ => [Operation::XorConstant, Operation::AddConstant][usize::from(draw.byte() & 1)],
        };
        let mut drafted = Self {
            operation,
            shape: shape(operation),
            src: None,
            dst: None,
            shift: 0,
            constant: 0,
            mark: None,
        };
        drafted.draw_rest(draw);
        drafted
    }

    fn draw_rest(&mut self, draw: &mut Generator) {
        match self.operation {
            Operation::AddShifted => self.shift = (draw.byte() >> 2) & 3,
            Operation::Rotate => {
                while self.constant == 0 {
                    self.constant = u64::from(draw.byte() & 63);
                }
            }
            Operation::AddConstant | Operation::XorConstant => self.constant = extend(draw.word()),
            Operation::MultiplyHigh | Operation::MultiplyHighSigned => {
                self.mark = Some(draw.word());
            }
            Operation::MultiplyReciprocal => {
                self.constant = loop {
                    if let Some(found) = reciprocal(draw.word()) {
                        break found;
                    }
                };
            }
            Operation::Subtract | Operation::Xor | Operation::Multiply => {}
        }
    }

    /// A subtraction and an addition undo each other, so they count as one.
    const fn trace(&self) -> Trace {
        match self.operation {
            Operation::Subtract => (Operation::AddShifted, self.mark),
            operation => (operation, self.mark),
        }
    }

    const fn is_long_product(&self) -> bool {
        matches!(self.operation, Operation::MultiplyHigh | Operation::MultiplyHighSigned)
    }

    fn choose_source(&mut self, cycle: usize, registers: &Registers, draw: &mut Generator) -> bool {
        let ready = registers.that(|register| register.ready <= cycle);
        let is_only_source = self.operation == Operation::AddShifted
            && ready.len() == 2
            && ready.contains(&NO_SHORT_ADDITION);
        self.src = if is_only_source { Some(NO_SHORT_ADDITION) } else { pick(&ready, draw) };
        if !self.is_long_product() && self.src.is_some() {
            self.mark = self.src.map(u32::from);
        }
        self.src.is_some()
    }

    fn choose_destination(
        &mut self,
        cycle: usize,
        may_chain: bool,
        registers: &Registers,
        draw: &mut Generator,
    ) -> bool {
        let trace = self.trace();
        let is_fit = |number: u8, register: &Register| {
            let is_source = !self.is_long_product() && self.src == Some(number);
            let is_chained = !may_chain
                && trace.0 == Operation::Multiply
                && register.last.is_some_and(|(operation, _)| operation == Operation::Multiply);
            let lacks_form = self.operation == Operation::AddShifted && number == NO_SHORT_ADDITION;
            register.ready <= cycle
                && !is_source
                && !is_chained
                && register.last != Some(trace)
                && !lacks_form
        };
        let fit: Vec<_> = (0..8).filter(|number| is_fit(*number, registers.at(*number))).collect();
        self.dst = pick(&fit, draw);
        self.dst.is_some()
    }

    fn finish(&self) -> Option<Instruction> {
        let dst = self.dst?;
        Some(Instruction {
            operation: self.operation,
            dst,
            src: self.src.unwrap_or(dst),
            shift: self.shift,
            constant: self.constant,
        })
    }

    const fn is_product(&self) -> bool {
        matches!(
            self.operation,
            Operation::Multiply
                | Operation::MultiplyHigh
                | Operation::MultiplyHighSigned
                | Operation::MultiplyReciprocal
        )
    }
}

fn pick(from: &[u8], draw: &mut Generator) -> Option<u8> {
    match from.len() {
        0 => None,
        1 => Some(from[0]),
        many => Some(from[draw.word() as usize % many]),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Register {
    /// The cycle from which its value can be read.
    ready: usize,
    last: Option<Trace>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Registers([Register; 8]);

impl Registers {
    fn that(&self, is_fit: impl Fn(&Register) -> bool) -> Vec<u8> {
        (0..8).filter(|number| is_fit(self.at(*number))).collect()
    }

    fn at(&self, number: u8) -> &Register {
        &self.0[usize::from(number)]
    }
}

/// What came of placing one macro-op.
enum Placed {
    /// It has its place; the cycle counts from the group's again.
    Well,
    /// No register is to be had: another instruction is drawn.
    ThrownAway,
    /// The same, too many times: the rest of the group is given up.
    GivenUp,
    /// No port is free any more: the program is full.
    Full,
}

/// The processor while it is filled.
struct Processor<'draw> {
    draw: &'draw mut Generator,
    latency: usize,
    ports: Ports,
    registers: Registers,
    cycle: usize,
    /// When the last macro-op's result is there.
    done: usize,
    thrown_away: u32,
    is_full: bool,
    products: usize,
    program: Vec<Instruction>,
}

pub(super) fn generate(latency: u32, draw: &mut Generator) -> Vec<Instruction> {
    let latency = latency as usize;
    let mut processor = Processor {
        draw,
        latency,
        ports: Ports(vec![0; latency + PATIENCE_CYCLES]),
        registers: Registers::default(),
        cycle: 0,
        done: 0,
        thrown_away: 0,
        is_full: false,
        products: 0,
        program: Vec::new(),
    };
    processor.fill();
    processor.program
}

impl Processor<'_> {
    fn has_room(&self) -> bool {
        !self.is_full && self.program.len() < 3 * self.latency + 2
    }

    fn fill(&mut self) {
        let mut drafted: Option<Draft> = None;
        let mut at = 0;
        for decoded in 0..self.latency {
            if !self.has_room() {
                break;
            }
            let last = drafted.as_ref().map(|draft| draft.operation);
            let group = next_group(last, decoded, self.products, self.draw);
            let mut slot = 0;
            while slot < group.len() {
                let started = self.cycle;
                if drafted.as_ref().is_none_or(|draft| at >= draft.shape.ops.len()) {
                    if !self.has_room() {
                        break;
                    }
                    drafted = Some(Draft::draw(group, slot, self.draw));
                    at = 0;
                }
                let Some(draft) = drafted.as_mut() else { break };
                match self.place(draft, at) {
                    Placed::ThrownAway => {
                        at = draft.shape.ops.len();
                        continue;
                    }
                    Placed::GivenUp => {
                        drafted = None;
                        break;
                    }
                    Placed::Full => {
                        self.is_full = true;
                        break;
                    }
                    Placed::Well => {}
                }
                (slot, at, self.cycle) = (slot + 1, at + 1, started);
                if at >= draft.shape.ops.len() {
                    self.products += usize::from(draft.is_product());
                    self.program.extend(draft.finish());
                }
            }
            self.cycle += 1;
        }
    }

    /// Gives one macro-op of an instruction its cycle, and the instruction its registers when they are needed.
    fn place(&mut self, draft: &mut Draft, at: usize) -> Placed {
        let op = draft.shape.ops[at];
        let Some((mut cycle, _)) = self.ports.place(&op, self.cycle, self.done) else {
            return Placed::Full;
        };
        if draft.shape.source == Some(at)
            && !self
                .wait(&mut cycle, |it, cycle| draft.choose_source(cycle, &it.registers, it.draw))
        {
            return self.throw_away();
        }
        let may_chain = self.thrown_away > 0;
        if draft.shape.destination == at
            && !self.wait(&mut cycle, |it, cycle| {
                draft.choose_destination(cycle, may_chain, &it.registers, it.draw)
            })
        {
            return self.throw_away();
        }
        self.thrown_away = 0;
        let Some(cycle) = self.ports.take(&op, cycle) else { return Placed::Full };
        self.done = cycle + op.latency;
        if draft.shape.result == at
            && let Some(dst) = draft.dst
        {
            self.registers.0[usize::from(dst)] =
                Register { ready: self.done, last: Some(draft.trace()) };
        }
        self.is_full |= cycle >= self.latency;
        Placed::Well
    }

    /// Tries for some cycles; each that passes in vain passes for the processor too.
    fn wait(
        &mut self,
        cycle: &mut usize,
        mut choose: impl FnMut(&mut Self, usize) -> bool,
    ) -> bool {
        for _ in 0..PATIENCE_CYCLES {
            if choose(self, *cycle) {
                return true;
            }
            *cycle += 1;
            self.cycle += 1;
        }
        false
    }

    fn throw_away(&mut self) -> Placed {
        if self.thrown_away < MOST_THROWN_AWAY {
            self.thrown_away += 1;
            return Placed::ThrownAway;
        }
        Placed::GivenUp
    }
}
