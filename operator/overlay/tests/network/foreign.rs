use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use crate::bare::Bare;
use crate::node::{body, node, until};

/// The libp2p HTTP clients of other languages end their side of a stream with the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_half_closed_gets_a_late_answer() {
    let mut tasks = JoinSet::new();
    let two = node(&mut tasks).await;
    let mut bare = Bare::start(&mut tasks, &two).await;
    two.client.set_members(vec![bare.member.clone()]).await.unwrap();
    two.client.probe(bare.member.key).await.unwrap();
    let mut stream = bare.open(&two).await;
    let request = b"GET /late HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.close().await.unwrap();
    until(&two.counts.late, |count| *count == 1).await;
    // The end of their side is there before the answer: a request after it has been answered.
    two.client.probe(bare.member.key).await.unwrap();
    two.counts.late.send_replace(2);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("late"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_reset_is_no_whole_one() {
    let mut tasks = JoinSet::new();
    let one = node(&mut tasks).await;
    let mut bare = Bare::start(&mut tasks, &one).await;
    one.client.set_members(vec![bare.member.clone()]).await.unwrap();
    let answering = async {
        let (_, mut stream) = bare.incoming.next().await.unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).await.unwrap();
        // Without a length, only the end of the stream tells the end of the answer.
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
    };
    let request = http::Request::post("/").header("host", "member").body(body("")).unwrap();
    let asking = one.client.request(bare.member.key, request);
    let (answer, ()) = tokio::join!(asking, answering);
    answer.unwrap().into_body().collect().await.expect_err("it was cut");
}
