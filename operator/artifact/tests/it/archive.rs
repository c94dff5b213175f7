use bytes::Bytes;
use coreward_artifact::{Cid, Error, Fault, Limits, car, raw, unixfs};
use rstest::rstest;

use crate::tree::{blocks, chain, file_node, node, two_leaves};

const LIMITS: Limits = Limits::of_bytes(1 << 20);

#[test]
fn a_file_of_two_leaves_comes_back_through_an_archive() {
    let (root, blocks, text) = two_leaves();
    let archive = Bytes::from(car::write(&root, &blocks));
    let read = car::read(archive, &root, &LIMITS).unwrap();
    assert_eq!(read, blocks);
    assert_eq!(unixfs::file(&root, &read, &LIMITS).unwrap(), text);
}

#[test]
fn a_raw_root_is_the_file() {
    let text = Bytes::from_static(b"hello");
    let root = raw(&text);
    assert_eq!(unixfs::file(&root, &blocks([(root, text.clone())]), &LIMITS), Ok(text));
}

#[test]
fn the_header_is_the_one_that_other_tools_write() {
    let root = raw(b"");
    let archive = car::write(&root, &blocks([]));
    let mut expected = vec![0x3a, 0xa2, 0x65];
    expected.extend_from_slice(b"roots\x81\xd8\x2a\x58\x25\x00");
    expected.extend_from_slice(&root.to_bytes());
    expected.extend_from_slice(b"gversion\x01");
    assert_eq!(archive, expected);
}

fn flipped() -> (Cid, Vec<u8>) {
    let (root, blocks, _) = two_leaves();
    let mut archive = car::write(&root, &blocks);
    *archive.last_mut().unwrap() ^= 1;
    (root, archive)
}

fn cut() -> (Cid, Vec<u8>) {
    let (root, blocks, _) = two_leaves();
    let mut archive = car::write(&root, &blocks);
    archive.pop();
    (root, archive)
}

fn of_another_root() -> (Cid, Vec<u8>) {
    let (root, blocks, _) = two_leaves();
    (raw(b"other"), car::write(&root, &blocks))
}

fn without_a_leaf() -> (Cid, Vec<u8>) {
    let (root, all, _) = two_leaves();
    (root, car::write(&root, &blocks([(root, all.get(&root).unwrap().clone())])))
}

fn with_a_stranger() -> (Cid, Vec<u8>) {
    let (root, mut all, _) = two_leaves();
    all.insert(raw(b"stranger"), Bytes::from_static(b"stranger"), "the test").unwrap();
    (root, car::write(&root, &all))
}

fn too_large() -> (Cid, Vec<u8>) {
    let text = Bytes::from(vec![0; (1 << 20) + 1]);
    let root = raw(&text);
    (root, car::write(&root, &blocks([(root, text)])))
}

#[rstest]
#[case::with_a_flipped_bit(flipped(), Fault::DigestMismatch)]
#[case::cut_short(cut(), Fault::Malformed)]
#[case::of_another_root(of_another_root(), Fault::Malformed)]
#[case::without_a_leaf(without_a_leaf(), Fault::Malformed)]
#[case::with_a_stranger(with_a_stranger(), Fault::Malformed)]
#[case::too_large(too_large(), Fault::TooLarge)]
#[case::empty((raw(b""), Vec::new()), Fault::Malformed)]
fn refuses_an_archive(#[case] (root, archive): (Cid, Vec<u8>), #[case] fault: Fault) {
    assert_eq!(
        car::read(Bytes::from(archive), &root, &LIMITS).map_err(|error| error.fault()),
        Err(fault)
    );
}

#[test]
fn small_blocks_that_unfold_without_end_are_cut() {
    let mut all = vec![file_node(0, &[], b"")];
    for _ in 0..30 {
        let below = all.last().unwrap().0;
        all.push(file_node(0, &[below, below], b""));
    }
    let root = all.last().unwrap().0;
    let limits = Limits { depth: 64, ..LIMITS };
    let error = unixfs::file(&root, &blocks(all), &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "links", .. }), "{error}");
}

#[test]
fn a_tree_deeper_than_allowed_is_refused() {
    let (root, blocks) = chain(LIMITS.depth + 1);
    let error = unixfs::file(&root, &blocks, &LIMITS).unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "levels", .. }), "{error}");
}

#[rstest]
#[case::a_directory(node(&[], &[0x08, 1]), "directory")]
#[case::no_unixfs(node(&[], &[0x18, 1]), "not a UnixFS node")]
#[case::a_lie_about_the_size(file_node(7, &[], b"abc"), "not as long")]
fn refuses_a_node(#[case] (root, bytes): (Cid, Bytes), #[case] reason: &str) {
    let error = unixfs::file(&root, &blocks([(root, bytes)]), &LIMITS).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}
