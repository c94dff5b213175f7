use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use libp2p::Stream;
use tokio::sync::oneshot;
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

/// Reads one request of no length and answers it; the stream stays.
async fn answer_one(stream: &mut Stream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        request.extend(byte);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkept").await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_stream_is_used_again_and_one_that_was_closed_meanwhile_is_replaced() {
    let mut tasks = JoinSet::new();
    let one = node(&mut tasks).await;
    let mut bare = Bare::start(&mut tasks, &one).await;
    one.client.set_members(vec![bare.member.clone()]).await.unwrap();
    let (closed, close) = oneshot::channel();
    let answering = async {
        let (_, mut stream) = bare.incoming.next().await.unwrap();
        answer_one(&mut stream).await;
        answer_one(&mut stream).await;
        stream.close().await.unwrap();
        closed.send(()).unwrap();
        let (_, _probe) = bare.incoming.next().await.unwrap();
        let mut rest = Vec::new();
        // Nothing was asked on it after its end.
        stream.read_to_end(&mut rest).await.unwrap();
        let (_, mut other) = bare.incoming.next().await.unwrap();
        answer_one(&mut other).await;
        (rest, other)
    };
    let mut close = Some(close);
    let asking = async {
        for number in 0..3 {
            let request = http::Request::get("/").header("host", "member").body(body("")).unwrap();
            let answer = one.client.request(bare.member.key, request).await.unwrap();
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&bytes[..], b"kept", "request {number}");
            if let Some(close) = close.take_if(|_| number == 1) {
                close.await.unwrap();
                // The end of their side is there before what comes after it: this has been answered.
                one.client.probe(bare.member.key).await.unwrap();
            }
        }
    };
    let ((rest, _), ()) = tokio::join!(answering, asking);
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_after_the_head_of_its_answer() {
    const LENGTH: usize = 4 << 20;
    let mut tasks = JoinSet::new();
    let one = node(&mut tasks).await;
    let mut bare = Bare::start(&mut tasks, &one).await;
    one.client.set_members(vec![bare.member.clone()]).await.unwrap();
    let reading = async {
        let (_, mut stream) = bare.incoming.next().await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.flush().await.unwrap();
        // More than all windows and buffers hold: it comes only if somebody sends on.
        stream.read_exact(&mut vec![0; LENGTH]).await.unwrap();
        stream.write_all(b"read").await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let asking = async {
        let request = http::Request::post("/").header("host", "member");
        let request = request.body(body(vec![7; LENGTH])).unwrap();
        let answer = one.client.request(bare.member.key, request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    let (_stream, answer) = tokio::join!(reading, asking);
    assert_eq!(&answer[..], b"read");
}
