//! A nonce that somebody else's transaction took.

use super::*;

#[tokio::test]
async fn a_foreign_transaction_displaces_only_when_final() {
    let world = World::new();
    world.submit(finish(1)).await.unwrap();
    world.ledger().mine(WORD);
    assert!(world.tick().await.is_empty());
    world.ledger().head += 2;
    assert_eq!(world.tick().await[0].1, "Displaced");
}

#[tokio::test]
async fn proofs_of_a_leader_that_keeps_nothing_replace() {
    let world = World::new();
    let blind = Shelf::default();
    blind.inside().is_away = true;
    let kept_and_not_sent = Mutex::new(0);
    let lost = |_: &Call| {
        let mut asked = kept_and_not_sent.lock().unwrap();
        *asked += 1;
        *asked < 3
    };
    world.sender.submit(&order(finish(1)), &lost).await.unwrap();
    let other = sender(&world.node, blind);
    let sent = other.submit(&order(proofs(5)), &|_| true).await.unwrap();
    let Submitted::Unkept { hash } = sent else { panic!("{sent:?}") };
    world.ledger().mine(hash);
    world.ledger().head += 7;
    assert_eq!(world.tick().await[0].1, "Replaced");
    let State::Replaced(receipt) = world.only().state else { panic!() };
    assert_eq!((receipt.hash, receipt.block), (hash, 101));
    world.shelf.settle();
    assert_eq!(
        world.sender.in_flight(100).await.unwrap(),
        [],
        "the call is free to be asked again"
    );
}

/// Has somebody else send and mine a call with our key, of which our list knows nothing.
async fn stranger(world: &World, call: Call) {
    let other = sender(&world.node, Shelf::default());
    let Submitted::Kept { hash, .. } = other.submit(&order(call), &|_| true).await.unwrap() else {
        panic!()
    };
    world.ledger().mine(hash);
}

/// Keeps a first transaction, mined and final.
async fn begun() -> World {
    let world = World::new();
    let Submitted::Kept { hash, .. } = world.submit(finish(1)).await.unwrap() else { panic!() };
    world.ledger().mine(hash);
    world.ledger().head += 2;
    assert_eq!(world.tick().await[0].1, "Final");
    world
}

#[tokio::test]
async fn a_stranger_beyond_all_that_was_kept_is_found_by_the_next_order() {
    let world = begun().await;
    stranger(&world, finish(9)).await;
    world.ledger().send_refusal = Some("nonce too low");
    let Submitted::Kept { name, sent, .. } = world.submit(finish(2)).await.unwrap() else {
        panic!()
    };
    world.ledger().send_refusal = None;
    assert!(name.ends_with("-1") && !sent, "kept under the stranger's nonce: {name}");
    world.ledger().head += 2;
    assert_eq!(world.tick().await, [(name, "Displaced")]);
    world.shelf.settle();
    let Submitted::Kept { name, .. } = world.submit(finish(2)).await.unwrap() else { panic!() };
    assert!(name.ends_with("-2"), "and once: {name}");
}

#[tokio::test]
async fn proofs_that_nobody_kept_are_no_stranger() {
    let world = begun().await;
    stranger(&world, proofs(5)).await;
    let Submitted::Kept { name, sent, .. } = world.submit(finish(2)).await.unwrap() else {
        panic!()
    };
    assert!(name.ends_with("-2") && sent, "{name}");
}

#[tokio::test]
async fn proofs_do_not_wait_for_a_stranger() {
    let world = begun().await;
    stranger(&world, finish(9)).await;
    let Submitted::Kept { name, sent, .. } = world.submit(proofs(5)).await.unwrap() else {
        panic!()
    };
    assert!(name.ends_with("-2") && sent, "{name}");
}

#[tokio::test]
async fn what_was_before_this_process_is_the_past() {
    let world = begun().await;
    stranger(&world, finish(9)).await;
    let next = sender(&world.node, world.shelf.clone());
    let Submitted::Kept { name, sent, .. } =
        next.submit(&order(finish(2)), &|_| true).await.unwrap()
    else {
        panic!()
    };
    assert!(name.ends_with("-2") && sent, "{name}");
}
