use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use crate::node::{Node, body, meet, node, until};

/// A window of 256 KiB, and what HTTP reads and writes ahead on both sides.
const MOST_ON_THE_WAY: u64 = 512 * 1024;

/// The connection is busy with others for a while.
async fn others_go_on(one: &Node, two: &Node) {
    for number in 0..500 {
        one.get(two, &format!("/{number}")).await.unwrap();
        two.get(one, &format!("/{number}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_stops_its_writer_and_nobody_else() {
    let mut tasks = JoinSet::new();
    let (one, two) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&one, &two]).await;
    let mut unread = one.ask(&two, "/endless", body("")).await.unwrap();
    until(&two.counts.pushed, |bytes| *bytes >= 256 * 1024).await;
    others_go_on(&one, &two).await;
    let pushed = *two.counts.pushed.borrow();
    assert!(pushed <= MOST_ON_THE_WAY, "{pushed} bytes were taken from the writer");

    let mut read = 0;
    while read < 4 * MOST_ON_THE_WAY {
        read += unread.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64;
    }
    let pushed = *two.counts.pushed.borrow();
    assert!(pushed - read <= MOST_ON_THE_WAY, "{} bytes are on the way", pushed - read);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_reads_stops_its_writer_and_nobody_else() {
    let mut tasks = JoinSet::new();
    let (one, two) = (Arc::new(node(&mut tasks).await), node(&mut tasks).await);
    meet(&[&one, &two]).await;
    let endless = one.counts.endless();
    let (writer, swallower) = (Arc::clone(&one), two.member());
    let asking = async move {
        let request = http::Request::post("/swallow").header("host", "member").body(endless);
        drop(writer.client.request(swallower.key, request.unwrap()).await);
    };
    tasks.spawn(asking);
    until(&one.counts.pushed, |bytes| *bytes >= 256 * 1024).await;
    others_go_on(&one, &two).await;
    let pushed = *one.counts.pushed.borrow();
    assert!(pushed <= MOST_ON_THE_WAY, "{pushed} bytes were taken from the writer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_are_answered_together() {
    let mut tasks = JoinSet::new();
    let two = Arc::new(node(&mut tasks).await);
    let mut callers = Vec::new();
    for _ in 0..20 {
        callers.push(Arc::new(node(&mut tasks).await));
    }
    let all: Vec<&Node> = callers.iter().chain([&two]).map(AsRef::as_ref).collect();
    meet(&all).await;
    let mut requests = JoinSet::new();
    for caller in callers {
        for _ in 0..50 {
            let (caller, two) = (Arc::clone(&caller), Arc::clone(&two));
            requests.spawn(async move { caller.get(&two, "/together").await.unwrap() });
        }
    }
    // None is answered before all of them are there.
    until(&two.counts.together, |count| *count == 1000).await;
    let answers = requests.join_all().await;
    assert_eq!(answers.iter().filter(|answer| *answer == "together").count(), 1000);
}
