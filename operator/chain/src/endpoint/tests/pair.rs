//! Two nodes, one of which tells more than it shows.

use std::sync::atomic::AtomicU8;

use super::*;

/// A node that tells a head of 1000 while the chain is at 9, of the fork that is set, which may be another one each time.
fn boaster(mark: &Arc<AtomicU8>) -> FakeNode {
    let mark = Arc::clone(mark);
    FakeNode::new(move |method, params| {
        tell((1000, mark.load(atomic::Ordering::Relaxed)), 1, (method, params))
    })
}

/// Whom the pool asks now, by what each node was asked.
async fn asks(pool: &Pool, nodes: [&FakeNode; 2]) -> usize {
    let before = nodes.map(|node| node.asked.lock().unwrap().len());
    assert!(pool.nonce(Address::ZERO, BlockId::latest()).await.is_err());
    let asked = |index: &usize| nodes[*index].asked.lock().unwrap().len() > before[*index];
    (0..2).find(asked).unwrap()
}

async fn told(pool: &Pool) -> (u64, bool) {
    let told = pool.told().await.unwrap();
    (told.head.number, told.is_believed)
}

#[rstest]
#[case::of_the_same_fork(0)]
#[case::of_another_fork_by_then(1)]
#[tokio::test(start_paused = true)]
async fn a_made_up_head_keeps_nobody_from_the_other(#[case] later: u8) {
    let mark = Arc::default();
    let (liar, other) = (boaster(&mark), at_height(9));
    let pool = pool(&[("liar", &liar), ("other", &other)]);
    assert_eq!(told(&pool).await, (1000, true), "nothing speaks against it yet");
    pool.distrust();
    mark.store(later, atomic::Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(told(&pool).await, (9, false), "the other may be stuck");
        assert_eq!(asks(&pool, [&liar, &other]).await, 1);
    }
    tokio::time::advance(DEMOTION).await;
    mark.store(0, atomic::Ordering::Relaxed);
    assert_eq!(told(&pool).await, (1000, true), "it has a new chance");
    pool.distrust();
    assert_eq!(told(&pool).await, (9, false), "once");
}

#[tokio::test]
async fn a_made_up_head_close_to_the_others_is_no_reason_to_go_back_to_it() {
    let (liar, other) = (at_height(11), at_height(9));
    let pool = pool(&[("liar", &liar), ("other", &other)]);
    assert_eq!(told(&pool).await, (11, true));
    pool.distrust();
    assert_eq!(told(&pool).await, (9, true), "both have that block");
    assert_eq!(asks(&pool, [&liar, &other]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_only_failed_is_followed_where_the_other_is_stuck() {
    let (failed, stuck) = (at_height(1000), at_height(9));
    let pool = pool(&[("failed", &failed), ("stuck", &stuck)]);
    pool.standing().pass_over(0);
    assert_eq!(told(&pool).await, (1000, true));
}

#[tokio::test]
async fn one_that_does_not_show_its_blocks_keeps_nobody_from_the_other() {
    let other = at_height(9);
    let empty = FakeNode::new(|method, params| match params[0].as_str() {
        Some("latest") => tell((1000, 0), 1, (method, params)),
        _ => Err(refused(method)),
    });
    let pool = pool(&[("empty", &empty), ("other", &other)]);
    assert!(matches!(pool.told().await, Err(Error::Disagree { height: 9 })));
    assert_eq!(told(&pool).await, (9, false));
    assert_eq!(asks(&pool, [&empty, &other]).await, 1);
}
