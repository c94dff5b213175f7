//! The worker from outside: real processes, with an operator and a node agent that do as told.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails may panic, in its helpers too"
)]

mod app;
mod artifact;
mod folder;
mod guest;
mod hostile;
mod hostile_guests;
mod hostile_requests;
mod keeper;
mod malformed;
mod process;
mod request;
mod reuse;
mod subnet;
mod template;
mod threads;
mod world;
mod wrong;
