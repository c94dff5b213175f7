//! The pod of a deal's worker: hosts its Wasm component within limits.

fn main() {}
