//! The Fluence function beside the C++ engine that the market was built with.

mod common;

use core::num::NonZeroUsize;

use ccp_randomx::{Cache, Dataset, RandomXFlags, RandomXVM};
use coreward_randomx::{Engine, Fluence, Function as _, ITEM_BYTES, Mode, Progress, Work};

#[test]
fn hashes_are_those_of_the_markets_engine() {
    common::compare::<Fluence>(|key, inputs| {
        let flags = RandomXFlags::recommended();
        let cache = Cache::new(key, flags).expect("memory for the other engine");
        let machine = RandomXVM::light(cache.handle(), flags).expect("memory for a machine");
        inputs.iter().map(|input| machine.hash(input).into_slice()).collect()
    });
}

/// Items in a row that are compared at each place, and places, the first and the last among them.
const RUN: u64 = 40;
const PLACES: u64 = 25;

#[test]
#[expect(unsafe_code, reason = "the other engine gives its dataset as an address")]
fn items_of_the_dataset_are_those_of_the_markets_engine() {
    let key = b"items, one by one";
    let flags = RandomXFlags::recommended();
    let cache = Cache::new(key, flags).expect("memory for the other engine");
    let dataset = Dataset::allocate(false).expect("addresses for the other engine's dataset");
    let items = Fluence::PARAMETERS.dataset_items();
    assert_eq!(dataset.items_count(), items);
    let work =
        Work { threads: NonZeroUsize::MIN, stopped: &|| false, progress: &Progress::default() };
    let ours = Engine::<Fluence>::new(Mode::Light).load(key, &work).expect("memory");
    for place in 0..PLACES {
        let first = (items - RUN) / (PLACES - 1) * place
            + (items - RUN) % (PLACES - 1) * (place / (PLACES - 1));
        dataset.handle().initialize(&cache.handle(), first, RUN);
        for number in first..first + RUN {
            let at = usize::try_from(number).expect("a number of an item") * ITEM_BYTES;
            // SAFETY: the item lies within the dataset's memory, which stands, is aligned to its items, and was just written.
            let theirs: [u64; 8] =
                unsafe { dataset.handle().memory().byte_add(at).cast::<[u64; 8]>().read() };
            assert_eq!(ours.item(number), Some(theirs), "item {number}");
        }
    }
    assert_eq!(ours.item(items), None);
}
