//! The bounds of a gateway.

use std::time::Duration;

use crate::muxer::STREAMS_PER_CONNECTION;

/// Circuits that one member may have: they are streams of its connection, which needs some for other things too.
pub const MOST_CIRCUITS_PER_MEMBER: u16 = 192;
const _: () = assert!((MOST_CIRCUITS_PER_MEMBER as usize) < STREAMS_PER_CONNECTION);

/// What a gateway carries at most. The library's own limits are for hole punching, which needs seconds; these circuits
/// carry all requests between two clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: u32,
    /// Reservations in all, one per member and gateway.
    pub reservations: usize,
    /// Circuits in all.
    pub circuits: usize,
    /// Circuits that one member may have before it opens another, in both directions together; no more than
    /// [`MOST_CIRCUITS_PER_MEMBER`] count.
    pub circuits_per_member: usize,
    /// Bytes that one circuit carries, both directions together, before it is ended.
    pub circuit_bytes: u64,
    /// How long a circuit may stand; whole seconds, at most `u32::MAX` of them.
    pub circuit_duration: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            reservations: 1024,
            circuits: 4096,
            circuits_per_member: MOST_CIRCUITS_PER_MEMBER.into(),
            circuit_bytes: 1 << 40,
            circuit_duration: Duration::from_hours(24),
        }
    }
}
