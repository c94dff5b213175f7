use std::sync::Arc;
use std::time::Duration;

use coreward_overlay::{Error, Member};
use tokio::task::JoinSet;

use crate::node::{meet, node};

#[tokio::test(flavor = "multi_thread")]
async fn members_answer_each_other_and_lose_nothing() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two]).await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut requests = JoinSet::new();
    for number in 0..2000 {
        for (from, to) in [(&one, &two), (&two, &one)] {
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            requests.spawn(async move {
                let answer = from.get(&to, &format!("/{number}")).await.unwrap();
                assert_eq!(answer, format!("{} /{number}", from.key[0]));
            });
        }
    }
    let mut answered = 0;
    while let Some(result) = requests.join_next().await {
        result.unwrap();
        answered += 1;
    }
    assert_eq!(answered, 4000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_listed_gets_no_stream() {
    let mut tasks = JoinSet::new();
    let (member, stranger) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&member]).await;
    // The stranger believes that it is one of them.
    stranger.client.set_members(vec![member.member()]).await.unwrap();
    let refused = stranger.get(&member, "/").await;
    assert!(matches!(refused, Err(Error::Unreachable(_) | Error::Broken(_))), "{refused:?}");
    let seen = *member.client.strangers().wait_for(|count| *count > 0).await.unwrap();
    assert!(seen > 0, "the member was told that somebody unknown knocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_is_cut_off() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two]).await;
    one.get(&two, "/before").await.unwrap();
    two.client.set_members(vec![two.member()]).await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(20), async {
        while one.get(&two, "/after").await.is_ok() {}
    });
    cut.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_key_is_skipped_alone() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    let broken = Member { key: [0xff; 32], addresses: vec!["nonsense".to_owned()] };
    one.client.set_members(vec![broken.clone(), two.member()]).await.unwrap();
    two.client.set_members(vec![one.member(), broken]).await.unwrap();
    assert_eq!(one.get(&two, "/").await.unwrap(), format!("{} /", one.key[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_away_is_unreachable_and_nothing_else() {
    let mut tasks = JoinSet::new();
    let (one, two, three) =
        (node(&mut tasks).await, node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two, &three]).await;
    two.stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert!(matches!(one.get(&two, "/").await, Err(Error::Unreachable(_))));
    one.client.probe(three.key).await.unwrap();
}
