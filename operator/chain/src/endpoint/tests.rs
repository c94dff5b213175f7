use serde_json::json;

use super::*;
use crate::fake::{FakeNode, block, refused, reverted};

fn pool(nodes: &[(&str, &FakeNode)]) -> Pool {
    let endpoints = nodes.iter().map(|(name, node)| node.endpoint(name)).collect();
    Pool::new(endpoints, Timeouts::default(), Arc::new(Unobserved)).unwrap()
}

fn at_height(number: u64) -> FakeNode {
    FakeNode::new(move |method, _| match method {
        "eth_getBlockByNumber" => Ok(block(number, 7)),
        "eth_chainId" => Ok(json!(format!("0x{number:x}"))),
        other => Err(refused(other)),
    })
}

#[tokio::test]
async fn the_node_that_is_ahead_is_asked() {
    let (behind, ahead) = (at_height(4), at_height(9));
    let pool = pool(&[("behind", &behind), ("ahead", &ahead)]);
    assert_eq!(pool.head().await.unwrap().number, 9);
    let error = pool.block_hash(1).await.map(|_| ());
    assert!(error.is_ok());
    assert_eq!(ahead.asked.lock().unwrap().len(), 2);
    assert_eq!(behind.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_over() {
    let (away, there) = (at_height(9), at_height(4));
    *away.is_away.lock().unwrap() = true;
    assert_eq!(pool(&[("away", &away), ("there", &there)]).head().await.unwrap().number, 4);
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
async fn a_node_of_another_chain_is_refused() {
    let error = pool(&[("other", &at_height(5))]).check_chain(31337).await.unwrap_err();
    assert_eq!(error.to_string(), "endpoint `other` is of chain 5, not 31337");
}

#[tokio::test]
async fn a_revert_is_told_from_a_refusal_of_the_node() {
    let node = FakeNode::new(|method, _| {
        Err(if method == "eth_chainId" { refused("busy") } else { reverted(&[]) })
    });
    let pool = pool(&[("node", &node)]);
    assert!(matches!(pool.check_chain(1).await, Err(Error::Refused { .. })));
    assert!(matches!(pool.block_hash(1).await, Err(Error::Reverted(Revert::Unknown))));
}
