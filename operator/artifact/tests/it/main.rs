//! The crate from outside: archives, files, and gateways of every temper.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic, in its helpers too")]

mod archive;
mod directory;
mod fetch;
mod tree;
