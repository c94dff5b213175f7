//! The crate from outside: archives, files, and gateways of every temper.

mod archive;
mod fetch;
mod tree;
