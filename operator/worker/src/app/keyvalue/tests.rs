use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use prometheus::Registry;
use rstest::rstest;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::bounds::{Bounds, Refusal};
use super::store::{Change, KeyValues, Pair};
use crate::metrics::StoreMetrics;

const BOUNDS: Bounds = Bounds { bytes: 1 << 20 };

fn open(directory: &Path) -> KeyValues {
    let metrics = StoreMetrics::register(&Registry::new()).unwrap();
    KeyValues::start(directory.join("store"), BOUNDS, metrics).unwrap()
}

fn pair(key: &str, bytes: usize) -> Pair {
    (key.to_owned(), vec![7; bytes])
}

async fn set(store: &KeyValues, bucket: &str, key: &str, bytes: usize) -> Result<u64, Refusal> {
    store.change(bucket.into(), Change::Set(vec![pair(key, bytes)])).await
}

async fn length(store: &KeyValues, bucket: &str, key: &str) -> Option<usize> {
    let found = store.get(bucket.into(), vec![key.to_owned()]).await.unwrap();
    found[0].as_ref().map(|(_, value)| value.len())
}

#[tokio::test]
async fn buckets_do_not_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    set(&store, "a", "key", 1).await.unwrap();
    set(&store, "b", "key", 2).await.unwrap();
    assert_eq!(length(&store, "a", "key").await, Some(1));
    store.change("a".into(), Change::Delete(vec!["key".to_owned()])).await.unwrap();
    assert_eq!(length(&store, "a", "key").await, None);
    assert!(store.exists("b".into(), "key".to_owned()).await.unwrap());
}

#[tokio::test]
async fn numbers_grow_by_each_of_many_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let add = || store.change("a".into(), Change::Increment("n".to_owned(), 3));
    let mut sums: Vec<_> = join_all((0..100).map(|_| add())).await;
    sums.sort_by_key(|sum| sum.clone().unwrap());
    assert_eq!(sums, (1..=100).map(|at| Ok(at * 3)).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_no_number_does_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    set(&store, "a", "n", 3).await.unwrap();
    let grown = store.change("a".into(), Change::Increment("n".to_owned(), 1)).await;
    assert_eq!(grown, Err(Refusal::NotANumber { delta: 1 }));
    let large = |delta| Change::Increment("m".to_owned(), delta);
    store.change("a".into(), large(u64::MAX)).await.unwrap();
    let grown = store.change("a".into(), large(1)).await;
    assert_eq!(grown, Err(Refusal::NotANumber { delta: 1 }));
}

#[tokio::test]
async fn a_full_store_takes_nothing_more_until_something_goes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    set(&store, "a", "half", 500_000).await.unwrap();
    set(&store, "b", "other half", 500_000).await.unwrap();
    let refused = set(&store, "a", "more", 100_000).await;
    assert!(matches!(refused, Err(Refusal::Full { most: 1_048_576, .. })), "{refused:?}");
    assert_eq!(length(&store, "a", "more").await, None);
    set(&store, "a", "half", 400_000).await.expect("smaller than before");
    set(&store, "a", "more", 100_000).await.expect("there is room now");
}

/// Of many pairs at once, all are kept or none.
#[tokio::test]
async fn a_batch_over_the_bound_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for key in ["1", "2"] {
        set(&store, "x", key, 400_000).await.unwrap();
    }
    let pairs = vec![pair("a", 200_000), pair("b", 200_000)];
    let refused = store.change("x".into(), Change::Set(pairs)).await;
    assert!(matches!(refused, Err(Refusal::Full { .. })), "{refused:?}");
    assert_eq!(length(&store, "x", "a").await, None);
}

#[tokio::test]
async fn the_seventeenth_bucket_has_no_room_until_one_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for at in 0..16 {
        set(&store, &at.to_string(), "key", 1).await.unwrap();
    }
    assert_eq!(set(&store, "new", "key", 1).await, Err(Refusal::Buckets));
    store.change("3".into(), Change::Delete(vec!["key".to_owned()])).await.unwrap();
    set(&store, "new", "key", 1).await.unwrap();
}

#[rstest]
#[case::an_empty_key(Change::Set(vec![pair("", 1)]), Refusal::Key { bytes: 0 })]
#[case::a_long_key(Change::Delete(vec!["k".repeat(1025)]), Refusal::Key { bytes: 1025 })]
#[case::a_large_value(Change::Set(vec![pair("k", (512 << 10) + 1)]), Refusal::Value { bytes: (512 << 10) + 1 })]
#[case::many_keys(Change::Set((0..257).map(|at| pair(&at.to_string(), 1)).collect()), Refusal::Batch)]
#[case::many_bytes(Change::Set((0..3).map(|at| pair(&at.to_string(), 256 << 10)).collect()), Refusal::Batch)]
#[tokio::test]
async fn a_change_beyond_the_bounds_is_refused(#[case] change: Change, #[case] refusal: Refusal) {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(open(directory.path()).change("a".into(), change).await, Err(refusal));
}

#[tokio::test]
async fn keys_are_told_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for batch in 0..6 {
        let keys = (0..200).map(|at| pair(&format!("{batch}-{at}"), 1));
        store.change("b".into(), Change::Set(keys.collect())).await.unwrap();
    }
    set(&store, "a", "before", 1).await.unwrap();
    set(&store, "c", "after", 1).await.unwrap();
    let (mut keys, next) = store.keys("b".into(), 0).await.unwrap();
    assert_eq!((keys.len(), next), (1000, Some(1000)));
    let (rest, end) = store.keys("b".into(), 1000).await.unwrap();
    keys.extend(rest);
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), end), (1200, None));
    assert_eq!(store.keys("b".into(), u64::MAX).await.unwrap(), (Vec::new(), None));
}

/// Values of every size, replaced over and over: pages are used again, and the file stays within its share of the volume.
#[tokio::test]
async fn a_store_that_is_written_over_and_over_does_not_outgrow_the_volume() {
    use std::os::unix::fs::MetadataExt as _;

    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for round in 0..20 {
        for at in 0..30 {
            // Just over a half of what is set aside for one: the worst fit.
            set(&store, "a", &at.to_string(), 33_000 + round).await.unwrap();
        }
    }
    let file = directory.path().join("store").metadata().unwrap();
    // What the file takes when it is empty comes on top; beside the least store it is little.
    let (taken, most) = (file.blocks() * 512, BOUNDS.bytes * 4 + (1 << 20));
    assert!(taken <= most, "{taken} of {most}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_process_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    set(&store, "a", "key", 5).await.unwrap();
    // The file as a killed process leaves it: not closed.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("store"), copy.path().join("store")).unwrap();
    assert_eq!(length(&open(copy.path()), "a", "key").await, Some(5));
}

#[tokio::test]
async fn a_file_that_is_no_store_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("store"), vec![b'?'; 1 << 20]).unwrap();
    let store = open(directory.path());
    set(&store, "a", "key", 5).await.unwrap();
    assert_eq!(length(&store, "a", "key").await, Some(5));
}

#[tokio::test]
async fn a_store_that_another_process_has_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    set(&store, "a", "key", 5).await.unwrap();
    let other = open(directory.path());
    let refused = set(&other, "a", "key", 6).await;
    assert!(matches!(refused, Err(Refusal::Broken(_))), "{refused:?}");
    assert_eq!(length(&store, "a", "key").await, Some(5));
    drop(store);
    // Its file is closed by the thread that writes, in its own time.
    let in_time = async {
        while set(&other, "a", "key", 7).await.is_err() {
            yield_now().await;
        }
    };
    timeout(Duration::from_mins(1), in_time).await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_yet_is_opened_when_it_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("later");
    let store = open(&place);
    assert!(matches!(set(&store, "a", "key", 5).await, Err(Refusal::Broken(_))));
    std::fs::create_dir(&place).unwrap();
    set(&store, "a", "key", 5).await.unwrap();
    assert_eq!(length(&store, "a", "key").await, Some(5));
}
