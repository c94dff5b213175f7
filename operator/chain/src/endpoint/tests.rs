use std::sync::atomic::AtomicU64;

use alloy::primitives::Address;
use alloy::rpc::json_rpc::ErrorPayload;
use rstest::rstest;
use serde_json::{Value, json};

use super::standing::DEMOTION;
use super::*;
use crate::fake::{FakeNode, block, block_hash, refused, reverted};
use crate::revert::Revert;

mod chain;
mod pair;

fn pool(nodes: &[(&str, &FakeNode)]) -> Pool {
    let endpoints = nodes.iter().map(|(name, node)| node.endpoint(name)).collect();
    Pool::new(endpoints, Timeouts::default(), Arc::new(Unobserved)).unwrap()
}

fn at_height(number: u64) -> FakeNode {
    of_fork(number, 0)
}

/// A node whose blocks are those of every other node, but for the first byte of their hashes.
fn of_fork(height: u64, mark: u8) -> FakeNode {
    FakeNode::new(move |method, params| tell((height, mark), height, (method, params)))
}

fn tell(
    (height, mark): (u64, u8),
    chain: u64,
    (method, params): (&str, &Value),
) -> Result<Value, ErrorPayload> {
    match method {
        "eth_getBlockByNumber" => {
            let asked = params[0].as_str().and_then(|text| text.strip_prefix("0x"));
            let number = asked.map_or(height, |digits| u64::from_str_radix(digits, 16).unwrap());
            let mut block = block(number, 7);
            let mut hash = block_hash(number);
            hash[0] = mark;
            block["hash"] = json!(hash);
            Ok(if number <= height { block } else { Value::Null })
        }
        "eth_chainId" => Ok(json!(format!("0x{chain:x}"))),
        other => Err(refused(other)),
    }
}

#[tokio::test]
async fn the_node_that_is_ahead_is_asked() {
    let (behind, ahead) = (at_height(4), at_height(9));
    let pool = pool(&[("behind", &behind), ("ahead", &ahead)]);
    assert_eq!(pool.head().await.unwrap().number, 9);
    let asked = ahead.asked.lock().unwrap().len();
    assert!(pool.nonce(Address::ZERO, BlockId::latest()).await.is_err());
    assert_eq!(ahead.asked.lock().unwrap().len(), asked + 1);
    assert_eq!(behind.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_heads_again_need_no_second_question() {
    let (behind, ahead) = (at_height(4), at_height(9));
    let pool = pool(&[("behind", &behind), ("ahead", &ahead)]);
    pool.head().await.unwrap();
    let asked = ahead.asked.lock().unwrap().len();
    assert_eq!(pool.head().await.unwrap().number, 9);
    assert_eq!(ahead.asked.lock().unwrap().len(), asked + 1);
}

#[tokio::test]
async fn a_node_of_another_fork_is_outvoted_however_far_ahead_it_is() {
    let (liar, one, other) = (of_fork(1000, 1), at_height(9), at_height(9));
    let pool = pool(&[("liar", &liar), ("one", &one), ("other", &other)]);
    assert_eq!(pool.head().await.unwrap().number, 9);
}

#[tokio::test]
async fn what_one_of_three_tells_beyond_the_others_is_not_acted_by() {
    let (liar, one, other) = (at_height(1000), at_height(9), at_height(9));
    let pool = pool(&[("liar", &liar), ("one", &one), ("other", &other)]);
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (9, true));
    let again = pool.told().await.unwrap();
    assert_eq!(again, told, "the same heads again are the same block");
    let asked = liar.asked.lock().unwrap().len();
    assert!(pool.nonce(Address::ZERO, BlockId::latest()).await.is_err());
    assert_eq!(liar.asked.lock().unwrap().len(), asked, "it is not asked for more");
}

#[tokio::test(start_paused = true)]
async fn the_only_one_that_goes_on_is_read_for_proofs_after_a_while() {
    let (moving, stuck, other) = (at_height(30), at_height(9), at_height(9));
    let pool = pool(&[("moving", &moving), ("stuck", &stuck), ("other", &other)]);
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (9, true));
    tokio::time::advance(STUCK).await;
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (30, false));
}

#[tokio::test]
async fn a_node_that_falls_silent_is_no_step_back() {
    let (silent, ahead, behind) = (at_height(9), at_height(9), at_height(8));
    let pool = pool(&[("silent", &silent), ("ahead", &ahead), ("behind", &behind)]);
    assert_eq!(pool.head().await.unwrap().number, 9);
    *silent.is_away.lock().unwrap() = true;
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (9, true));
    *ahead.is_away.lock().unwrap() = true;
    assert_eq!(pool.head().await.unwrap().number, 8, "nobody else has it");
}

#[tokio::test]
async fn a_liar_is_counted_and_left_in_peace() {
    let (liar, one, other) = (of_fork(9, 1), at_height(9), at_height(9));
    let pool = pool(&[("liar", &liar), ("one", &one), ("other", &other)]);
    assert!(pool.told().await.unwrap().is_believed);
    let asked = liar.asked.lock().unwrap().len();
    assert!(pool.told().await.unwrap().is_believed);
    assert_eq!(liar.asked.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn a_node_that_does_not_show_what_it_told_of_is_passed_over() {
    let (empty, one, other) = (at_height(9), at_height(9), at_height(9));
    let pool = pool(&[("empty", &empty), ("one", &one), ("other", &other)]);
    pool.told().await.unwrap();
    pool.distrust();
    pool.told().await.unwrap();
    let asked = empty.asked.lock().unwrap().len();
    assert!(pool.nonce(Address::ZERO, BlockId::latest()).await.is_err());
    assert_eq!(empty.asked.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn one_of_three_is_followed_and_not_believed() {
    let (liar, one, other) = (of_fork(1000, 1), at_height(9), at_height(9));
    let pool = pool(&[("liar", &liar), ("one", &one), ("other", &other)]);
    for node in [&one, &other] {
        *node.is_away.lock().unwrap() = true;
    }
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (1000, false));
    *one.is_away.lock().unwrap() = false;
    assert!(matches!(pool.told().await, Err(Error::Disagree { .. })));
    *other.is_away.lock().unwrap() = false;
    let told = pool.told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (9, true));
}

#[tokio::test]
async fn one_of_two_is_believed_while_the_other_is_silent() {
    let (away, there) = (at_height(9), at_height(4));
    *away.is_away.lock().unwrap() = true;
    let told = pool(&[("away", &away), ("there", &there)]).told().await.unwrap();
    assert_eq!((told.head.number, told.is_believed), (4, true));
}

#[tokio::test]
async fn two_forks_with_a_node_each_are_no_knowledge() {
    let (one, other) = (of_fork(9, 1), at_height(9));
    let error = pool(&[("one", &one), ("other", &other)]).head().await.unwrap_err();
    assert!(matches!(error, Error::Disagree { height: 9 }), "{error:?}");
    assert!(error.retry().is_some());
}

#[tokio::test]
async fn a_node_that_fails_is_passed_over_at_the_next_head() {
    let (busy, there) = (
        FakeNode::new(|method, _| match method {
            "eth_getBlockByNumber" => Ok(block(9, 7)),
            _ => Err(ErrorPayload { code: -32005, message: "limit exceeded".into(), data: None }),
        }),
        at_height(9),
    );
    let pool = pool(&[("busy", &busy), ("there", &there)]);
    pool.head().await.unwrap();
    assert!(pool.nonce(Address::ZERO, BlockId::latest()).await.is_err());
    pool.head().await.unwrap();
    let asked = there.asked.lock().unwrap().len();
    assert!(pool.nonce(Address::ZERO, BlockId::latest()).await.is_err());
    assert_eq!(there.asked.lock().unwrap().len(), asked + 1, "the other is asked now");
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_over() {
    let (away, there) = (at_height(9), at_height(4));
    *away.is_away.lock().unwrap() = true;
    assert_eq!(pool(&[("away", &away), ("there", &there)]).head().await.unwrap().number, 4);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_failed_is_left_in_peace_for_a_while() {
    let (busy, one, other) = (at_height(9), at_height(9), at_height(9));
    *busy.is_away.lock().unwrap() = true;
    let pool = pool(&[("busy", &busy), ("one", &one), ("other", &other)]);
    pool.told().await.unwrap();
    *busy.is_away.lock().unwrap() = false;
    pool.told().await.unwrap();
    assert!(busy.asked.lock().unwrap().is_empty(), "two of three are enough");
    tokio::time::advance(DEMOTION).await;
    pool.told().await.unwrap();
    assert_eq!(busy.asked.lock().unwrap().len(), 1, "its time is over");
}

#[tokio::test]
async fn a_node_that_failed_is_asked_if_nobody_is_believed_without_it() {
    let (busy, one, other) = (at_height(9), of_fork(9, 1), at_height(9));
    *busy.is_away.lock().unwrap() = true;
    let pool = pool(&[("busy", &busy), ("one", &one), ("other", &other)]);
    assert!(matches!(pool.told().await, Err(Error::Disagree { .. })));
    *busy.is_away.lock().unwrap() = false;
    assert!(pool.told().await.unwrap().is_believed);
}

#[tokio::test]
async fn an_outage_is_a_value_that_says_when_to_try_again() {
    let away = at_height(9);
    *away.is_away.lock().unwrap() = true;
    let error = pool(&[("away", &away)]).head().await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert!(error.retry().is_some());
}

#[tokio::test]
async fn a_revert_is_told_from_a_refusal_of_the_node() {
    let node = FakeNode::new(|method, _| {
        Err(if method == "eth_chainId" { refused("busy") } else { reverted(&[]) })
    });
    let pool = pool(&[("node", &node)]);
    assert!(matches!(pool.check_chain(1).await, Err(Error::Refused { .. })));
    let nonce = pool.nonce(Address::ZERO, BlockId::latest()).await;
    assert!(matches!(nonce, Err(Error::Reverted(Revert::Unknown))));
}
