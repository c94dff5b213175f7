//! Members, gateways and the gateway's process, on loopback.

#![expect(clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

mod chart;
mod members;
mod process;
mod relay;
