//! The ports of the imagined processor, and what runs on them.

/// Execution ports as bits.
const P0: u8 = 1;
const P1: u8 = 2;
const P5: u8 = 4;
const ANY: u8 = P0 | P1 | P5;
/// The order in which ports are tried; the multiplier's comes last, to be left free.
const PORTS: [u8; 3] = [P5, P0, P1];

/// What the imagined decoder makes of an instruction's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct MacroOp {
    pub(super) latency: usize,
    /// Ports that each of its parts can use; 0 is no part.
    pub(super) ports: [u8; 2],
    /// Whether it waits for the macro-op before it.
    pub(super) is_dependent: bool,
}

const fn op(latency: usize, first: u8, second: u8) -> MacroOp {
    MacroOp { latency, ports: [first, second], is_dependent: false }
}

pub(super) const SIMPLE: MacroOp = op(1, ANY, 0);
pub(super) const SHIFTED: MacroOp = op(1, P0 | P1, 0);
pub(super) const PRODUCT: MacroOp = op(3, P1, 0);
pub(super) const LONG_PRODUCT: MacroOp = op(4, P1, P5);
pub(super) const ROTATION: MacroOp = op(1, P0 | P5, 0);
pub(super) const MOVE: MacroOp = op(0, 0, 0);

/// Which ports are taken in which cycle.
#[derive(Clone, Debug)]
pub(super) struct Ports(pub(super) Vec<u8>);

impl Ports {
    /// The first cycle from `from` on in which one of `ports` is free, and which.
    fn first_free(&self, ports: u8, from: usize) -> Option<(usize, u8)> {
        (from..self.0.len()).find_map(|cycle| {
            let free = ports & !self.0[cycle];
            PORTS.into_iter().find(|port| free & port != 0).map(|port| (cycle, port))
        })
    }

    /// The cycle in which a macro-op can run: both parts at once.
    pub(super) fn place(&self, op: &MacroOp, from: usize, after: usize) -> Option<(usize, u8)> {
        let from = if op.is_dependent { from.max(after) } else { from };
        match op.ports {
            [0, _] => Some((from, 0)),
            [one, 0] => self.first_free(one, from),
            [first, second] => (from..self.0.len()).find_map(|cycle| {
                let (a, b) = (self.first_free(first, cycle)?, self.first_free(second, cycle)?);
                (a.0 == b.0).then_some((a.0, a.1 | b.1))
            }),
        }
    }

    pub(super) fn take(&mut self, op: &MacroOp, from: usize) -> Option<usize> {
        let (cycle, ports) = self.place(op, from, from)?;
        if let Some(taken) = self.0.get_mut(cycle) {
            *taken |= ports;
        }
        Some(cycle)
    }
}
