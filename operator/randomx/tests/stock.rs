//! The published function beside the C++ engine of another library.

mod common;

use coreward_randomx::Stock;
use randomx_rs::{RandomXCache, RandomXFlag, RandomXVM};

#[test]
fn hashes_are_those_of_the_published_function() {
    common::compare::<Stock>(|key, inputs| {
        let flags = RandomXFlag::get_recommended_flags();
        let cache = RandomXCache::new(flags, key).expect("memory for the other engine");
        let machine = RandomXVM::new(flags, Some(cache), None).expect("memory for a machine");
        let hash = |input: &Vec<u8>| machine.calculate_hash(input).expect("a hash");
        inputs.iter().map(|input| hash(input).try_into().expect("32 bytes")).collect()
    });
}
