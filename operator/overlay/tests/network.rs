//! Members over loopback TCP.

#![expect(clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coreward_overlay::{Body, Client, Config, Error, Handler, Key, Member, start};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use libp2p::identity::ed25519;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Answers with the first byte of the caller's key and the path it asked for.
struct Echo;

impl Handler for Echo {
    fn handle(
        &self,
        caller: Key,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>> {
        let path = request.uri().path().to_owned();
        Box::pin(async move { Response::new(body(format!("{} {path}", caller[0]))) })
    }
}

fn body(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed()
}

struct Node {
    key: Key,
    client: Client,
    address: String,
    stop: CancellationToken,
}

impl Node {
    fn member(&self) -> Member {
        Member { key: self.key, addresses: vec![self.address.clone()] }
    }

    async fn get(&self, from: &Self, path: &str) -> Result<String, Error> {
        let request = Request::get(path).header("host", "member").body(body("")).unwrap();
        let answer = self.client.request(from.key, request).await?;
        let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }
}

async fn node(tasks: &mut JoinSet<()>) -> Node {
    let pair = ed25519::Keypair::generate();
    let seed = pair.secret().as_ref().try_into().unwrap();
    let config = Config { seed, listen: "/ip4/127.0.0.1/tcp/0".to_owned() };
    let (client, event_loop) = start(&config, Arc::new(Echo)).unwrap();
    let stop = CancellationToken::new();
    tasks.spawn(event_loop.run(stop.clone()));
    let mut listening = client.listening();
    let address = listening.wait_for(|list| !list.is_empty()).await.unwrap()[0].clone();
    Node { key: pair.public().to_bytes(), client, address, stop }
}

async fn meet(nodes: &[&Node]) {
    let members: Vec<_> = nodes.iter().map(|node| node.member()).collect();
    for node in nodes {
        node.client.set_members(members.clone()).await.unwrap();
    }
}

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
