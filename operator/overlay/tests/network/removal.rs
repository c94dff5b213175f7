use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::node::{body, meet, node, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_members_stream_ends_although_it_does_not_read() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two]).await;
    let mut unread = one.ask(&two, "/endless", body("")).await.unwrap();
    until(&two.counts.pushed, |bytes| *bytes >= 256 * 1024).await;
    two.client.set_members(vec![two.member()]).await.unwrap();
    until(&two.counts.endless, |bodies| *bodies == 0).await;
    let end = async { while matches!(unread.frame().await, Some(Ok(_))) {} };
    timeout(Duration::from_mins(1), end).await.expect("the removed side sees the end too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_reads_from_a_removed_member_ends() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two]).await;
    let mut answer = two.ask(&one, "/endless", body("")).await.unwrap();
    answer.frame().await.unwrap().unwrap();
    two.client.set_members(vec![two.member()]).await.unwrap();
    let end = async {
        loop {
            if let Err(error) =
                answer.frame().await.expect("an answer that was cut is no whole one")
            {
                return error;
            }
        }
    };
    timeout(Duration::from_mins(1), end).await.expect("it ends");
    until(&one.counts.endless, |bodies| *bodies == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_work_for_a_removed_member_is_given_up() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two]).await;
    let endless = one.counts.endless();
    let asking = one.ask(&two, "/swallow", endless);
    let removing = async {
        until(&one.counts.pushed, |bytes| *bytes >= 256 * 1024).await;
        two.client.set_members(vec![two.member()]).await.unwrap();
    };
    let (answer, ()) = tokio::join!(timeout(Duration::from_mins(1), asking), removing);
    answer.expect("it ends").expect_err("nobody answers");
    until(&one.counts.endless, |bodies| *bodies == 0).await;
}
