//! A hash of the published function, in light mode.

#![expect(clippy::print_stdout, reason = "an example shows what it has")]

use std::num::NonZeroUsize;

use coreward_randomx::{Engine, Mode, Progress, Stock, Work};

fn main() -> Result<(), coreward_randomx::Error> {
    let work =
        Work { threads: NonZeroUsize::MIN, stopped: &|| false, progress: &Progress::default() };
    let loaded = Engine::<Stock>::new(Mode::Light).load(b"test key 000", &work)?;
    let mut hasher = loaded.hasher()?;
    println!("{}", hasher.hash(b"This is a test"));
    Ok(())
}
