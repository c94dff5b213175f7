//! Apps that no worker can serve, and what a deal must say of each.

use std::path::Path;

use super::{
    BlockFolder, read,
    unixfs::{self, Block},
};
use crate::chain::{Error, Result};

/// An app that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongApp {
    /// What is wrong with it.
    pub name: &'static str,
    /// As a deal names it.
    pub cid: String,
    /// The reason of the deal's condition `ArtifactAvailable`.
    pub reason: &'static str,
    /// Words of its message.
    pub words: &'static str,
}

const NO_COMPONENT: &str = "not a usable component";
/// Levels of a tree that is far deeper than a file of any size needs.
const LEVELS: usize = 200;
/// Levels of nodes that name the one below twice: unfolded, a million leaves.
const DOUBLINGS: usize = 20;

/// Puts them all into `folder`; `hello` is a good component, `built` the folder of those that cargo made.
pub(super) async fn publish(
    folder: &BlockFolder,
    hello: &[u8],
    built: &Path,
) -> Result<Vec<WrongApp>> {
    let mut apps = vec![WrongApp {
        name: "a missing CID",
        cid: BlockFolder::cid_of(b"Nobody ever published these words.\n"),
        reason: "NotFound",
        words: "not found",
    }];
    let add = |name, cid, reason, words| WrongApp { name, cid, reason, words };
    for (name, bytes, words) in files(hello)? {
        apps.push(add(name, folder.add(&bytes).await?, "InvalidWasm", words));
    }
    for (name, file, words) in BROKEN {
        let bytes = read(&built.join("examples").join(file)).await?;
        apps.push(add(name, folder.add(&bytes).await?, "InvalidWasm", words));
    }
    let lie = BlockFolder::cid_of(b"What was promised.\n");
    folder.add_under_foreign_cid(&lie, b"What is delivered.\n").await?;
    apps.push(add("a wrong digest", lie, "DigestMismatch", "another digest"));
    for (name, blocks, reason, words) in trees() {
        let root = blocks.last().map(Block::name).unwrap_or_default();
        for block in &blocks {
            folder.write(block).await?;
        }
        apps.push(add(name, root, reason, words));
    }
    Ok(apps)
}

/// Components that cargo made, each broken at its first request.
const BROKEN: [(&str, &str, &str); 5] = [
    ("an app that traps at its start", "traps.wasm", "traps at start"),
    ("an endless loop", "never_ends.wasm", "did not answer within its time limit"),
    ("an app that eats all memory", "eats_memory.wasm", "ran out of memory"),
    ("an app without an answer", "gives_no_answer.wasm", "without an answer"),
    ("an app that fails", "fails.wasm", "answered its first request (GET /) with 500"),
];

type File = (&'static str, Vec<u8>, &'static str);

/// Files that are no component, or not one that can be served.
fn files(hello: &[u8]) -> Result<Vec<File>> {
    let many =
        |part: &str, count: usize| format!("(component (core module {}))", part.repeat(count));
    let text = |name: &'static str, text: &str, words: &'static str| {
        let bytes = wat::parse_str(text);
        let bytes =
            bytes.map_err(|error| Error::Text { what: "component", text: error.to_string() });
        bytes.map(|bytes| (name, bytes, words))
    };
    let mut files = vec![
        ("no bytes at all", Vec::new(), NO_COMPONENT),
        ("no Wasm", b"This is a letter, not a program.\n".to_vec(), NO_COMPONENT),
        ("a script", b"#!/bin/sh\nexec true\n".to_vec(), NO_COMPONENT),
        ("half a component", hello[..hello.len() / 2].to_vec(), NO_COMPONENT),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), NO_COMPONENT),
    ];
    files.push(text("a component without a handler", "(component)", "incoming-handler")?);
    files.push(("an import that nobody grants", renamed(hello), "acme:cli/environment"));
    files.push(text("many tables", &many("(table 1 funcref)", 5), "limit of 4")?);
    files.push(text("a large table", &many("(table 1000000 funcref)", 1), "limit of 100000")?);
    files.push(text("many memories", &many("(memory 1)", 3), "limit of 2")?);
    Ok(files)
}

/// The same component, but for one interface that it imports by another name.
fn renamed(hello: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"wasi:cli/environment";
    let mut renamed = hello.to_vec();
    for place in 0..hello.len().saturating_sub(NAME.len()) {
        if hello[place..].starts_with(NAME) {
            renamed[place..place + 4].copy_from_slice(b"acme");
        }
    }
    renamed
}

type Tree = (&'static str, Vec<Block>, &'static str, &'static str);

/// Trees of blocks that are no file; the root comes last.
fn trees() -> Vec<Tree> {
    let leaf = unixfs::raw(b"A leaf.\n");
    let nowhere = unixfs::raw(b"A leaf that nobody has.\n");
    let mut deep = vec![leaf.clone()];
    let mut unfolding = vec![leaf.clone()];
    for level in 0..LEVELS {
        deep.push(unixfs::node(unixfs::FILE, &[&deep[level]]));
    }
    for level in 0..DOUBLINGS {
        unfolding.push(unixfs::node(unixfs::FILE, &[&unfolding[level], &unfolding[level]]));
    }
    // What hashes to itself cannot be, so it is a lie about one of the two.
    let named = unixfs::node(unixfs::FILE, &[&leaf, &leaf]);
    let cycle = Block { cid: named.cid.clone(), ..unixfs::node(unixfs::FILE, &[&named]) };
    vec![
        ("a directory", vec![unixfs::node(unixfs::DIRECTORY, &[])], "InvalidWasm", "directory"),
        (
            "a leaf that is missing",
            vec![unixfs::node(unixfs::FILE, &[&nowhere])],
            "NotFound",
            "not found",
        ),
        ("a tree without end", deep, "TooLarge", "levels"),
        ("a tree that unfolds", unfolding, "TooLarge", "more than"),
        ("a cycle", vec![cycle], "DigestMismatch", "another digest"),
    ]
}
