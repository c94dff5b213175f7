//! `UnixFS` directories, as `ipfs add` makes them.

use std::collections::BTreeMap;

use bytes::Bytes;
use coreward_artifact::{Blocks, Cid, DAG_PB, raw};

/// What is in a directory.
enum Item {
    File(Bytes),
    Folder(BTreeMap<String, Self>),
}

/// The blocks of a directory that holds these files, by paths.
pub(crate) fn folder(files: &[(&str, Bytes)]) -> (Cid, Blocks) {
    let mut top = BTreeMap::new();
    for (path, bytes) in files {
        put(&mut top, path, bytes.clone());
    }
    let mut blocks = Blocks::default();
    let root = store(&Item::Folder(top), &mut blocks);
    (root, blocks)
}

fn put(folder: &mut BTreeMap<String, Item>, path: &str, bytes: Bytes) {
    let Some((name, rest)) = path.split_once('/') else {
        folder.insert(path.to_owned(), Item::File(bytes));
        return;
    };
    let below = folder.entry(name.to_owned()).or_insert_with(|| Item::Folder(BTreeMap::new()));
    if let Item::Folder(below) = below {
        put(below, rest, bytes);
    }
}

fn store(item: &Item, blocks: &mut Blocks) -> Cid {
    let (cid, bytes) = match item {
        Item::File(bytes) => (raw(bytes), bytes.clone()),
        Item::Folder(items) => {
            let links = items.iter().map(|(name, item)| (name, store(item, blocks)));
            directory(links.collect::<Vec<_>>())
        }
    };
    blocks.insert(cid, bytes, "the test").unwrap();
    cid
}

fn directory(entries: Vec<(&String, Cid)>) -> (Cid, Bytes) {
    let mut message = Vec::new();
    for (name, target) in entries {
        let hash = target.to_bytes();
        let mut link = vec![0x0a, u8::try_from(hash.len()).unwrap()];
        link.extend_from_slice(&hash);
        link.extend_from_slice(&[0x12, u8::try_from(name.len()).unwrap()]);
        link.extend_from_slice(name.as_bytes());
        message.extend_from_slice(&[0x12, u8::try_from(link.len()).unwrap()]);
        message.extend_from_slice(&link);
    }
    message.extend_from_slice(&[0x0a, 2, 0x08, 1]);
    (Cid::new_v1(DAG_PB, *raw(&message).hash()), message.into())
}
