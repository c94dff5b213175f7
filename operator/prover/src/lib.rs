//! The pod of an idle unit: takes puzzles, gives proofs.
