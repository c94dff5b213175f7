//! The Fluence function beside the C++ engine that the market was built with.

mod common;

use ccp_randomx::{Cache, RandomXFlags, RandomXVM};
use coreward_randomx::Fluence;

#[test]
fn hashes_are_those_of_the_markets_engine() {
    common::compare::<Fluence>(|key, inputs| {
        let flags = RandomXFlags::recommended();
        let cache = Cache::new(key, flags).expect("memory for the other engine");
        let machine = RandomXVM::light(cache.handle(), flags).expect("memory for a machine");
        inputs.iter().map(|input| machine.hash(input).into_slice()).collect()
    });
}
