use std::collections::BTreeMap;

use bytes::Bytes;
use coreward_artifact::unixfs::{Content, content};
use coreward_artifact::{Blocks, Cid, Error, Fault, Limits, car, parse, raw};
use rstest::rstest;

use crate::tree::{blocks, directory, file_node, node, two_leaves};

const LIMITS: Limits = Limits::of_bytes(1 << 20);

fn leaf(text: &'static str) -> (Cid, Bytes) {
    (raw(text.as_bytes()), Bytes::from_static(text.as_bytes()))
}

#[test]
fn a_directory_of_directories_comes_back_through_an_archive() {
    let (index, style) = (leaf("<p>hello</p>"), leaf("p {}"));
    let (large, parts, text) = two_leaves();
    let assets = directory(&[("style.css", style.0), ("large.txt", large), ("copy.css", style.0)]);
    let root = directory(&[("index.html", index.0), ("assets", assets.0)]);
    let mut all = blocks([index.clone(), style.clone(), assets, root.clone()]);
    for (cid, bytes) in parts.iter() {
        all.insert(*cid, bytes.clone(), "the test").unwrap();
    }
    let archive = Bytes::from(car::write(&root.0, &all));
    let read = car::read(archive, &root.0, &LIMITS).unwrap();
    let Content::Directory(files) = content(&root.0, &read, &LIMITS).unwrap() else {
        panic!("a directory");
    };
    let found: BTreeMap<_, _> =
        files.iter().map(|(path, entry)| (path.as_str(), (entry.cid, &entry.bytes[..]))).collect();
    let expected = BTreeMap::from([
        ("assets/copy.css", (style.0, &style.1[..])),
        ("assets/large.txt", (large, &text[..])),
        ("assets/style.css", (style.0, &style.1[..])),
        ("index.html", (index.0, &index.1[..])),
    ]);
    assert_eq!(found, expected);
}

/// The archive is what `npx ipfs-car pack app --no-wrap` made of three files.
#[test]
fn a_directory_that_a_stock_tool_packed_is_read() {
    let root = parse("bafybeihdta5fw6xcpjgjraeb4tpcrz7qown7wqtwgg37o363efgslf3mmi").unwrap();
    let archive = Bytes::from_static(include_bytes!("app.car"));
    let blocks = car::read(archive, &root, &LIMITS).unwrap();
    let Content::Directory(files) = content(&root, &blocks, &LIMITS).unwrap() else {
        panic!("a directory");
    };
    let paths: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["coreward.yaml", "public/index.html", "public/style.css"]);
    assert_eq!(files["public/index.html"].bytes, "<p>hello</p>\n");
}

#[test]
fn a_file_is_no_directory() {
    let (root, blocks, text) = two_leaves();
    assert_eq!(content(&root, &blocks, &LIMITS), Ok(Content::File(text.into())));
}

fn named(name: &str) -> (Cid, Blocks) {
    let file = leaf("x");
    let root = directory(&[(name, file.0)]);
    (root.0, blocks([file, root]))
}

fn twice() -> (Cid, Blocks) {
    let (one, other) = (leaf("1"), leaf("2"));
    let root = directory(&[("a", one.0), ("a", other.0)]);
    (root.0, blocks([one, other, root]))
}

fn of_kind(kind: u8) -> (Cid, Blocks) {
    let below = node(&[], &[0x08, kind]);
    let root = directory(&[("a", below.0)]);
    (root.0, blocks([below, root]))
}

/// A file that has a directory among its parts.
fn confused() -> (Cid, Blocks) {
    let below = directory(&[]);
    let file = file_node(0, &[below.0], b"");
    let root = directory(&[("a", file.0)]);
    (root.0, blocks([below, file, root]))
}

fn many() -> (Cid, Blocks) {
    let file = leaf("x");
    let names: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
    let root = directory(&names.iter().map(|name| (name.as_str(), file.0)).collect::<Vec<_>>());
    (root.0, blocks([file, root]))
}

/// Directories that hold each other twice: few blocks, 2^14 paths.
fn unfolding() -> (Cid, Blocks) {
    let mut all = vec![leaf("x")];
    for _ in 0..14 {
        let below = all.last().unwrap().0;
        all.push(directory(&[("a", below), ("b", below)]));
    }
    (all.last().unwrap().0, blocks(all))
}

fn deep() -> (Cid, Blocks) {
    let mut all = vec![leaf("x")];
    for _ in 0..=LIMITS.depth {
        let below = all.last().unwrap().0;
        all.push(directory(&[("a", below)]));
    }
    (all.last().unwrap().0, blocks(all))
}

/// Small blocks that make files which are too large together, but not each.
fn large_together() -> (Cid, Blocks) {
    let piece = Bytes::from(vec![7; 200 << 10]);
    let piece = (raw(&piece), piece);
    let files = [1_u64, 2, 3].map(|count| {
        let links = vec![piece.0; usize::try_from(count).unwrap()];
        file_node(count * (200 << 10), &links, b"")
    });
    let root = directory(&[("a", files[0].0), ("b", files[1].0), ("c", files[2].0)]);
    (root.0, blocks([piece, root].into_iter().chain(files)))
}

#[rstest]
#[case::a_way_out(named(".."), Fault::Malformed, "not a plain file name")]
#[case::itself(named("."), Fault::Malformed, "not a plain file name")]
#[case::a_path(named("a/../../b"), Fault::Malformed, "not a plain file name")]
#[case::no_name(named(""), Fault::Malformed, "not a plain file name")]
#[case::a_line_break(named("a\nb"), Fault::Malformed, "not a plain file name")]
#[case::a_long_name(named(&"a".repeat(256)), Fault::Malformed, "not a plain file name")]
#[case::a_name_twice(twice(), Fault::Malformed, "two files in it are called \"a\"")]
#[case::a_link(of_kind(4), Fault::Malformed, "symbolic link")]
#[case::a_sharded_directory(of_kind(5), Fault::Malformed, "sharded directory (HAMT)")]
#[case::a_directory_in_a_file(confused(), Fault::Malformed, "a directory, not a file")]
#[case::many_files(many(), Fault::TooLarge, "4096 files")]
#[case::that_unfolds(unfolding(), Fault::TooLarge, "4096 files")]
#[case::a_deep_one(deep(), Fault::TooLarge, "16 levels")]
#[case::files_too_large_together(large_together(), Fault::TooLarge, "1048576 bytes")]
fn refuses_a_directory(
    #[case] (root, blocks): (Cid, Blocks),
    #[case] fault: Fault,
    #[case] words: &str,
) {
    let error: Error = content(&root, &blocks, &LIMITS).unwrap_err();
    assert_eq!(error.fault(), fault, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}
