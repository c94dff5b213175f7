//! Stories told from outside, and the bed that runs them.

pub mod apps;
pub mod bed;
pub mod bench;
pub mod chain;
pub mod demo;
pub mod fault;
pub mod sources;
pub mod story;
pub mod world;
