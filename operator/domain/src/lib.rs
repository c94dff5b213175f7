//! What the market's words mean and what follows from them.
//!
//! Pure: no I/O, no clock, no randomness. Everything that a decision needs is in its `Seen`; everything that was decided is
//! in its plan. A value that could not be read is a variant or a missing entry, never a default: *unknown is never dead*.

pub mod call;
pub mod chain;
pub mod commitment;
pub mod condition;
pub mod deal;
pub mod epoch;
pub mod gate;
pub mod id;
pub mod money;
pub mod offer;
pub mod payout;
pub mod proof;
pub mod renewal;
pub mod unit;
