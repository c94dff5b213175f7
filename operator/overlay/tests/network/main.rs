//! Members over loopback TCP.

#![expect(clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

mod admission;
mod bare;
mod foreign;
mod members;
mod node;
mod pressure;
mod removal;
