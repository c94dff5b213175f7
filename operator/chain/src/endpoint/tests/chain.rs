//! Nodes of another chain than the one that is configured, from the start or from some time on.

use crate::endpoint::standing::CHAIN_HOLDS;

use super::*;

/// A node at height 9 of the chain that is set, which may be another one each time.
fn of_chain(chain: &Arc<AtomicU64>) -> FakeNode {
    let chain = Arc::clone(chain);
    FakeNode::new(move |method, params| {
        tell((9, 0), chain.load(atomic::Ordering::Relaxed), (method, params))
    })
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused() {
    let error = pool(&[("other", &at_height(5))]).check_chain(31337).await.unwrap_err();
    assert_eq!(error.to_string(), "endpoint `other` is of chain 5, not 31337");
}

#[rstest]
#[case::was_away(|pool: &Pool| pool.demote(0, &Error::Timeout { endpoint: String::new(), ask: Ask::Block, limit: GRACE }))]
#[case::did_not_show_what_it_told_of(Pool::distrust)]
#[tokio::test]
async fn a_node_that_comes_back_is_asked_for_its_chain(#[case] fail: fn(&Pool)) {
    let chain = Arc::new(AtomicU64::new(1));
    let node = of_chain(&chain);
    let pool = pool(&[("node", &node)]);
    pool.check_chain(1).await.unwrap();
    pool.told().await.unwrap();
    assert_eq!(*node.asked.lock().unwrap(), ["eth_chainId", "eth_getBlockByNumber"]);

    fail(&pool);
    chain.store(2, atomic::Ordering::Relaxed);
    for _ in 0..2 {
        node.asked.lock().unwrap().clear();
        let error = pool.told().await.unwrap_err();
        assert_eq!(error.to_string(), "endpoint `node` is of chain 2, not 1");
        assert_eq!(*node.asked.lock().unwrap(), ["eth_chainId"], "nothing else is read from it");
    }

    chain.store(1, atomic::Ordering::Relaxed);
    pool.told().await.unwrap();
    node.asked.lock().unwrap().clear();
    pool.told().await.unwrap();
    assert_eq!(*node.asked.lock().unwrap(), ["eth_getBlockByNumber"], "once is enough");
}

#[tokio::test]
async fn a_node_that_was_away_at_the_start_is_not_read_before_it_said_its_chain() {
    let chain = Arc::new(AtomicU64::new(4));
    let (late, there) = (of_chain(&chain), at_height(4));
    *late.is_away.lock().unwrap() = true;
    let pool = pool(&[("late", &late), ("there", &there)]);
    pool.check_chain(4).await.unwrap();
    *late.is_away.lock().unwrap() = false;
    chain.store(2, atomic::Ordering::Relaxed);
    assert_eq!(pool.head().await.unwrap().number, 4);
    assert_eq!(*late.asked.lock().unwrap(), ["eth_chainId"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_of_another_chain_is_left_in_peace_for_a_while() {
    let chain = Arc::new(AtomicU64::new(9));
    let (moved, one, other) = (of_chain(&chain), at_height(9), at_height(9));
    let pool = pool(&[("moved", &moved), ("one", &one), ("other", &other)]);
    pool.check_chain(9).await.unwrap();
    pool.told().await.unwrap();
    pool.standing().pass_over(0);
    chain.store(2, atomic::Ordering::Relaxed);
    tokio::time::advance(DEMOTION).await;
    moved.asked.lock().unwrap().clear();
    for _ in 0..2 {
        assert!(pool.told().await.unwrap().is_believed);
        assert_eq!(*moved.asked.lock().unwrap(), ["eth_chainId"]);
    }
}

/// A node whose head is this one, of the chain that is set.
fn with_head(told: &Arc<Mutex<(u64, u8)>>, chain: &Arc<AtomicU64>) -> FakeNode {
    let (told, chain) = (Arc::clone(told), Arc::clone(chain));
    FakeNode::new(move |method, params| {
        let told = *told.lock().unwrap();
        tell(told, chain.load(atomic::Ordering::Relaxed), (method, params))
    })
}

#[rstest]
#[case::after_a_while((9, 0), CHAIN_HOLDS, "eth_chainId")]
#[case::when_its_head_goes_back((8, 0), Duration::ZERO, "eth_getBlockByNumber eth_chainId")]
#[case::when_its_block_is_another((9, 1), Duration::ZERO, "eth_getBlockByNumber eth_chainId")]
#[tokio::test(start_paused = true)]
async fn a_node_that_never_failed_is_asked_for_its_chain_again(
    #[case] later: (u64, u8),
    #[case] pause: Duration,
    #[case] asks: &str,
) {
    let (told, chain) = (Arc::new(Mutex::new((9, 0))), Arc::new(AtomicU64::new(9)));
    let (moved, one, other) = (with_head(&told, &chain), at_height(9), at_height(9));
    let pool = pool(&[("moved", &moved), ("one", &one), ("other", &other)]);
    pool.check_chain(9).await.unwrap();
    pool.told().await.unwrap();
    chain.store(2, atomic::Ordering::Relaxed);
    moved.asked.lock().unwrap().clear();
    pool.told().await.unwrap();
    assert_eq!(*moved.asked.lock().unwrap(), ["eth_getBlockByNumber"], "nothing speaks for it");
    *told.lock().unwrap() = later;
    tokio::time::advance(pause).await;
    moved.asked.lock().unwrap().clear();
    assert_eq!(pool.told().await.unwrap().head.number, 9);
    assert_eq!(moved.asked.lock().unwrap().join(" "), asks);
    pool.told().await.unwrap();
    assert_eq!(moved.asked.lock().unwrap().join(" "), asks, "it is left out");
}

#[tokio::test]
async fn of_two_that_disagree_the_one_of_another_chain_is_left_out() {
    let (told, chain) = (Arc::new(Mutex::new((9, 0))), Arc::new(AtomicU64::new(9)));
    let (moved, other) = (with_head(&told, &chain), at_height(9));
    let pool = pool(&[("moved", &moved), ("other", &other)]);
    pool.check_chain(9).await.unwrap();
    pool.told().await.unwrap();
    chain.store(2, atomic::Ordering::Relaxed);
    *told.lock().unwrap() = (12, 1);
    assert!(matches!(pool.told().await, Err(Error::Disagree { height: 9 })));
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (9, true));
}
