//! The bed on the command line.

fn main() {}
