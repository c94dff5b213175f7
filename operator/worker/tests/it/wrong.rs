//! Apps that cannot be served: each ends in the reason that its deal's condition tells, and what served before serves on.

use bytes::Bytes;
use coreward_artifact::{Blocks, Cid, DAG_PB, car, raw};
use coreward_wire::{ArtifactFault, WorkerDuty};
use rstest::rstest;

use crate::guest::{GOOD, Guest};
use crate::world::World;

/// Grows its memory as long as there is some, then traps.
const HOG: &str =
    "(loop $all (br_if $all (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";

/// What makes an order for an app that cannot be served.
type Make = fn(&World) -> WorkerDuty;

fn of(world: &World, bytes: impl Into<Bytes>) -> WorkerDuty {
    world.duty(1, &world.publish(bytes.into()))
}

fn of_text(world: &World, text: &str) -> WorkerDuty {
    of(world, wat::parse_str(text).unwrap())
}

fn of_guest(world: &World, first: &'static str) -> WorkerDuty {
    of(world, Guest { first, ..GOOD }.build())
}

fn with_an_import(world: &World) -> WorkerDuty {
    let first = "(drop (call $multiply (i32.const 2) (i32.const 3)))";
    of(world, Guest { wants_gpu: true, first, ..GOOD }.build())
}

/// A component that imports one function of a WASI interface and calls it never.
fn importing(interface: &str, function: &str) -> Vec<u8> {
    let text =
        format!(r#"(component (import "{interface}" (instance (export "{function}" (func)))))"#);
    wat::parse_str(text).unwrap()
}

fn truncated(world: &World) -> WorkerDuty {
    let whole = GOOD.build();
    of(world, whole.slice(..whole.len() / 2))
}

fn large(world: &World) -> WorkerDuty {
    let mut duty = of(world, Guest { status: 201, ..GOOD }.build());
    duty.artifact.max_bytes = 100;
    duty
}

/// A component whose only module has so many of something.
fn module_of(world: &World, part: &str, count: usize) -> WorkerDuty {
    of_text(world, &format!("(component (core module {}))", part.repeat(count)))
}

/// A function that takes long to compile, and has more bytes than it may.
fn a_long_function(world: &World) -> WorkerDuty {
    let text = "(drop (i32.const 1))".repeat(400_000);
    of_text(world, &format!("(component (core module (func {text})))"))
}

/// A `dag-pb` node with these links and this UnixFS message.
fn node(links: &[Cid], content: &[u8]) -> (Cid, Bytes) {
    let mut message = Vec::new();
    for link in links {
        let hash = link.to_bytes();
        let length = u8::try_from(hash.len()).unwrap();
        message.extend_from_slice(&[0x12, length + 2, 0x0a, length]);
        message.extend_from_slice(&hash);
    }
    message.extend_from_slice(&[0x0a, u8::try_from(content.len()).unwrap()]);
    message.extend_from_slice(content);
    (Cid::new_v1(DAG_PB, *raw(&message).hash()), message.into())
}

fn blocks(of: impl IntoIterator<Item = (Cid, Bytes)>) -> Blocks {
    let mut blocks = Blocks::default();
    for (cid, bytes) in of {
        blocks.insert(cid, bytes, "the test").unwrap();
    }
    blocks
}

fn of_archive(world: &World, root: Cid, archive: Vec<u8>) -> WorkerDuty {
    world.forge(&root.to_string(), archive.into());
    world.duty(1, &root.to_string())
}

fn other_bytes(world: &World) -> WorkerDuty {
    let root = raw(b"good");
    let mut archive = car::write(&root, &blocks([(root, Bytes::from_static(b"good"))]));
    *archive.last_mut().unwrap() ^= 1;
    of_archive(world, root, archive)
}

fn cut_archive(world: &World) -> WorkerDuty {
    let root = raw(b"good");
    let mut archive = car::write(&root, &blocks([(root, Bytes::from_static(b"good"))]));
    archive.pop();
    of_archive(world, root, archive)
}

fn no_archive(world: &World) -> WorkerDuty {
    of_archive(world, raw(b"good"), vec![0xff; 4096])
}

fn directory(world: &World) -> WorkerDuty {
    let (root, bytes) = node(&[], &[0x08, 1]);
    let archive = car::write(&root, &blocks([(root, bytes)]));
    of_archive(world, root, archive)
}

/// A node that names itself; what hashes to itself cannot be, so it is a lie about one of the two.
fn cycle(world: &World) -> WorkerDuty {
    let other = raw(b"other");
    let (root, bytes) = node(&[other], &[0x08, 2, 0x18, 0]);
    let mut archive = car::write(&root, &blocks([(root, bytes)]));
    let (from, to) = (other.to_bytes(), root.to_bytes());
    let at = archive.windows(from.len()).position(|window| window == from).unwrap();
    archive[at..at + to.len()].copy_from_slice(&to);
    of_archive(world, root, archive)
}

/// A chain of nodes without end, nearly.
fn deep(world: &World) -> WorkerDuty {
    let leaf = Bytes::from_static(b"x");
    let mut all = vec![(raw(&leaf), leaf)];
    for _ in 0..200 {
        let below = all.last().unwrap().0;
        all.push(node(&[below], &[0x08, 2, 0x18, 1]));
    }
    let root = all.last().unwrap().0;
    let archive = car::write(&root, &blocks(all));
    of_archive(world, root, archive)
}

/// Few nodes that name each other twice unfold into more than any machine holds.
fn unfolding(world: &World) -> WorkerDuty {
    let mut all = vec![node(&[], &[0x08, 2, 0x18, 0])];
    for _ in 0..20 {
        let below = all.last().unwrap().0;
        all.push(node(&[below, below], &[0x08, 2, 0x18, 0]));
    }
    let root = all.last().unwrap().0;
    let archive = car::write(&root, &blocks(all));
    of_archive(world, root, archive)
}

#[rstest]
#[case::no_cid(|world: &World| world.duty(1, "hello"), ArtifactFault::InvalidWasm, "not a CID")]
#[case::a_path(|world: &World| world.duty(1, "../../../etc/passwd"), ArtifactFault::InvalidWasm, "not a CID")]
#[case::missing(|world: &World| world.duty(1, &raw(b"nobody has this").to_string()), ArtifactFault::NotFound, "not found")]
#[case::other_bytes(other_bytes, ArtifactFault::DigestMismatch, "another digest")]
#[case::a_cycle(cycle, ArtifactFault::DigestMismatch, "another digest")]
#[case::a_cut_archive(cut_archive, ArtifactFault::InvalidWasm, "cut short")]
#[case::no_archive(no_archive, ArtifactFault::InvalidWasm, "cut short")]
#[case::a_directory(directory, ArtifactFault::InvalidWasm, "directory")]
#[case::a_deep_tree(deep, ArtifactFault::TooLarge, "levels")]
#[case::a_tree_that_unfolds(unfolding, ArtifactFault::TooLarge, "more than")]
#[case::too_large(large, ArtifactFault::TooLarge, "100 bytes")]
#[case::empty(|world: &World| of(world, Bytes::new()), ArtifactFault::InvalidWasm, "not a usable component")]
#[case::not_wasm(|world: &World| of(world, Bytes::from_static(b"#!/bin/sh")), ArtifactFault::InvalidWasm, "not a usable component")]
#[case::truncated(truncated, ArtifactFault::InvalidWasm, "not a usable component")]
#[case::a_core_module(|world: &World| of_text(world, "(module)"), ArtifactFault::InvalidWasm, "not a usable component")]
#[case::without_a_handler(|world: &World| of_text(world, "(component)"), ArtifactFault::InvalidWasm, "no exported instance named `wasi:http/incoming-handler")]
#[case::with_an_import(with_an_import, ArtifactFault::InvalidWasm, "acme:gpu/compute")]
#[case::with_sockets(|world: &World| of(world, importing("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket")), ArtifactFault::InvalidWasm, "wasi:sockets/tcp-create-socket@0.2.0")]
#[case::with_a_method_of_sockets(|world: &World| of(world, importing("wasi:sockets/tcp@0.2.0", "start-connect")), ArtifactFault::InvalidWasm, "start-connect")]
#[case::with_name_lookup(|world: &World| of(world, importing("wasi:sockets/ip-name-lookup@0.2.0", "resolve-addresses")), ArtifactFault::InvalidWasm, "wasi:sockets/ip-name-lookup@0.2.0")]
#[case::with_wasi_of_another_version(|world: &World| of(world, importing("wasi:cli/exit@0.3.0", "exit")), ArtifactFault::InvalidWasm, "wasi:cli/exit@0.3.0")]
#[case::with_a_long_function(a_long_function, ArtifactFault::CompileLimit, "has 1200002 bytes")]
#[case::many_tables(|world: &World| module_of(world, "(table 1 funcref)", 5), ArtifactFault::InvalidWasm, "5 exceeds the per-instance limit of 4")]
#[case::a_large_table(|world: &World| module_of(world, "(table 1000000 funcref)", 1), ArtifactFault::InvalidWasm, "1000000 which exceeds the limit of 100000")]
#[case::many_memories(|world: &World| module_of(world, "(memory 1)", 3), ArtifactFault::InvalidWasm, "3 exceeds the per-instance limit of 2")]
#[case::with_more_memory_than_it_is_given(|world: &World| of(world, Guest { pages: 2000, ..GOOD }.build()), ArtifactFault::InvalidWasm, "ran out of memory")]
#[case::that_traps(|world: &World| of_guest(world, "unreachable"), ArtifactFault::InvalidWasm, "traps at start")]
#[case::that_never_ends(|world: &World| of_guest(world, "(loop $all (br $all))"), ArtifactFault::InvalidWasm, "did not answer within its time limit")]
#[case::that_eats_all_memory(|world: &World| of_guest(world, HOG), ArtifactFault::InvalidWasm, "ran out of memory")]
#[case::that_gives_no_answer(|world: &World| of_guest(world, "return"), ArtifactFault::InvalidWasm, "without an answer")]
#[case::that_answers_with_an_error(|world: &World| of(world, Guest { status: 500, ..GOOD }.build()), ArtifactFault::InvalidWasm, "answered its first request (GET /) with 500")]
#[tokio::test]
async fn an_app_that_cannot_be_served_says_why(
    #[case] make: Make,
    #[case] fault: ArtifactFault,
    #[case] words: &str,
) {
    let world = World::new().await;
    let good = world.publish(GOOD.build());
    let worker = world.start(world.duty(1, &good)).await;
    worker.serves(&good).await;
    worker.order("2", make(&world));
    let failure = worker.fails().await;
    assert_eq!(failure.fault, fault, "{}", failure.message);
    assert!(failure.message.contains(words), "{}", failure.message);
    let counter = format!("coreward_worker_versions_rejected_total{{fault=\"{fault:?}\"}}");
    worker.is_well_and_counted(&counter).await;
}

#[tokio::test]
async fn a_worker_whose_first_app_cannot_be_served_is_not_ready() {
    let world = World::new().await;
    let worker = world.start(of_text(&world, "(module)")).await;
    worker.fails().await;
    assert_eq!((worker.page("/readyz").await.0, worker.get("/").await), (503, 503));
}
