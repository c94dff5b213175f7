//! Machine code for x86-64: for programs, and for items of the dataset.

#![expect(unsafe_code, reason = "generated code is mapped and called")]

mod emit;
mod frame;
mod items;
mod lanes;
mod memory;
mod program;

pub(crate) use items::ItemCode;
pub use memory::CodeError;
pub(crate) use program::{ItemSource, ProgramCode};
