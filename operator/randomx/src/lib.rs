//! `RandomX` v1 in Rust: parameters as data, machine code for x86-64, an interpreter for every processor.
//!
//! An [`Engine`] is loaded with a key; what it gives is shared by threads, each of which makes its own [`Hasher`]. Which function
//! is computed is a type: [`Stock`], [`Fluence`], or one of your own [`Parameters`]. A [`struct@Hash`] of one is never held against the
//! [`Difficulty`] of another.

mod aes;
mod blake;
mod cache;
mod dataset;
mod engine;
mod float;
mod hash;
mod interpreter;
#[cfg(all(feature = "jit", target_arch = "x86_64"))]
mod jit;
mod limit;
mod machine;
mod mapping;
mod parameters;
mod program;
mod superscalar;

pub use dataset::Progress;
pub use engine::{Engine, Error, Execution, Hasher, Loaded, Mode, Options, Work, self_check};
pub use hash::{Difficulty, Hash};
#[cfg(all(feature = "jit", target_arch = "x86_64"))]
pub use jit::CodeError;
pub use mapping::{MapError, Pages};
pub use parameters::{
    Fluence, Frequencies, Function, ITEM_BYTES, Parameters, Stock, Unfit, Vector,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
