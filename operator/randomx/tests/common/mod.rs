//! Keys and inputs for comparisons with another engine, and our side of them.

#![expect(clippy::print_stdout, reason = "a comparison of hours says how far it is")]

use core::num::NonZeroUsize;
use std::env;
use std::thread;

use coreward_randomx::{Engine, Execution, Function, Mode, Options, Pages, Progress, Work};

/// How much is compared; `make test-randomx-long` asks for more, and goes on with the key that it is told.
const KEYS: usize = 25;
const INPUTS: usize = 20;

/// Keys after which a worker says how far it is.
const TOLD_EVERY: usize = 25;

/// A whole comparison: `theirs` gives the hashes of a key's inputs.
pub(crate) fn compare<F: Function>(theirs: impl Fn(&[u8], &[Vec<u8>]) -> Vec<[u8; 32]> + Sync) {
    let (keys, inputs, first) = (
        number("COREWARD_RANDOMX_KEYS", KEYS),
        number("COREWARD_RANDOMX_INPUTS", INPUTS),
        number("COREWARD_RANDOMX_FIRST", 0),
    );
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(keys);
    thread::scope(|scope| {
        for worker in 0..workers {
            let theirs = &theirs;
            scope.spawn(move || {
                for key in (first + worker..keys).step_by(workers) {
                    if key % TOLD_EVERY == 0 && key > 0 {
                        println!("key {key} of {keys}, {inputs} inputs each");
                    }
                    one::<F>(&bytes(key as u64, 1 + key % 60), &many(key, inputs), theirs);
                }
            });
        }
    });
}

fn one<F: Function>(
    key: &[u8],
    inputs: &[Vec<u8>],
    theirs: &impl Fn(&[u8], &[Vec<u8>]) -> Vec<[u8; 32]>,
) {
    let want = theirs(key, inputs);
    assert_eq!(ours::<F>(Execution::Compiled, key, inputs), want, "compiled, key {key:02x?}");
    // The interpreter is slower by far: a part of the inputs, another for each key.
    let part = inputs.len().div_ceil(INTERPRETED);
    let from = usize::from(key[0]) % (inputs.len() - part + 1);
    let range = from..from + part;
    assert_eq!(
        ours::<F>(Execution::Interpreted, key, &inputs[range.clone()]),
        want[range],
        "interpreted, key {key:02x?}"
    );
}

/// One input of so many is interpreted as well.
const INTERPRETED: usize = 10;

fn ours<F: Function>(execution: Execution, key: &[u8], inputs: &[Vec<u8>]) -> Vec<[u8; 32]> {
    let options = Options { mode: Mode::Light, pages: Pages::Transparent, execution };
    let progress = Progress::default();
    let work = Work { threads: NonZeroUsize::MIN, stopped: &|| false, progress: &progress };
    let loaded = Engine::<F>::new(options).load(key, &work).expect("memory for the engine");
    let mut hasher = loaded.hasher().expect("memory for a machine");
    let mut found: Vec<_> = inputs.iter().filter_map(|input| hasher.advance(input)).collect();
    found.extend(hasher.finish());
    found.into_iter().map(|hash| hash.bytes()).collect()
}

/// Inputs of all lengths but none: one of the other engines refuses the empty one.
fn many(key: usize, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|input| bytes((key << 20 | input) as u64 + 1_000_003, 1 + input * 13 % 200))
        .collect()
}

/// Bytes that a number stands for.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[7]
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "how long a comparison takes is the caller's choice")]
fn number(name: &str, usual: usize) -> usize {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}
