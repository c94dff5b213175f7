//! Stories told from outside, and the bed that runs them.

pub mod apps;
pub mod bed;
pub mod chain;
pub mod world;
