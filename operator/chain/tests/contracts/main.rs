//! This crate against the real contracts: the whole life of an offer, and each trap of the contracts by name.
//!
//! Wants a fresh chain of the test bed at 127.0.0.1:18546, a block per transaction:
//! `cargo run -p coreward-e2e --example chain -- up --listen 127.0.0.1:18546 --block-time 0`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests from end to end"
)]

mod batches;
mod clock_traps;
mod clusters;
mod deal_traps;
mod end_traps;
mod ends;
mod gateways;
mod key_traps;
mod life;
mod limits;
mod market;
mod market_traps;
mod plans;
mod reorg;
mod shelf;
mod stake_traps;
mod world;
