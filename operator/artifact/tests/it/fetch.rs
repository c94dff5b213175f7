use core::time::Duration;
use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use coreward_artifact::{Blocks, Cid, Error, Fault, Gateways, Limits, parse, raw, unixfs};
use rstest::rstest;
use tokio::net::TcpListener;

use crate::tree::{blocks, chain, directory, node, two_leaves};

const LIMITS: Limits = Limits { block_time: Duration::from_millis(200), ..Limits::of_bytes(4096) };

/// How a gateway behaves.
#[derive(Clone, Debug)]
enum Temper {
    Honest(Arc<Blocks>),
    Empty,
    Gone,
    Broken,
    Lying,
    Endless,
    Silent,
    Away,
}

async fn answer(temper: Temper, cid: Cid) -> Response {
    match temper {
        Temper::Honest(blocks) => match blocks.get(&cid) {
            Some(bytes) => bytes.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Temper::Empty => StatusCode::NOT_FOUND.into_response(),
        Temper::Gone => StatusCode::GONE.into_response(),
        Temper::Broken => StatusCode::BAD_GATEWAY.into_response(),
        Temper::Lying => "something else".into_response(),
        Temper::Endless => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1024]));
            Body::from_stream(futures::stream::repeat_with(chunk)).into_response()
        }
        Temper::Silent | Temper::Away => pending().await,
    }
}

/// Runs a gateway for as long as the test's runtime lives and returns its address.
async fn gateway(temper: Temper) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    if matches!(temper, Temper::Away) {
        return base;
    }
    let handler = move |Path(cid): Path<String>, Query(query): Query<Vec<(String, String)>>| async move {
        assert_eq!(query, [("format".to_owned(), "raw".to_owned())]);
        answer(temper, parse(&cid).unwrap()).await
    };
    let router = Router::new().route("/ipfs/{cid}", get(handler));
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

async fn gateways(tempers: Vec<Temper>) -> Gateways {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut bases = Vec::new();
    for temper in tempers {
        bases.push(gateway(temper).await);
    }
    Gateways::new(reqwest::Client::new(), &bases)
}

fn honest() -> Temper {
    Temper::Honest(Arc::new(two_leaves().1))
}

#[rstest]
#[case::the_only_gateway(vec![honest()])]
#[case::the_second_when_the_first_has_nothing(vec![Temper::Empty, honest()])]
#[case::the_second_when_the_first_is_broken(vec![Temper::Broken, honest()])]
#[case::the_second_when_the_first_lies(vec![Temper::Lying, honest()])]
#[case::the_second_when_the_first_never_stops(vec![Temper::Endless, honest()])]
#[case::the_second_when_the_first_is_silent(vec![Temper::Silent, honest()])]
#[case::the_second_when_the_first_is_away(vec![Temper::Away, honest()])]
#[tokio::test]
async fn comes_from(#[case] tempers: Vec<Temper>) {
    let (root, blocks, text) = two_leaves();
    let fetched = gateways(tempers).await.fetch(&root, &LIMITS).await.unwrap();
    assert_eq!(fetched, blocks);
    assert_eq!(unixfs::file(&root, &fetched, &LIMITS).unwrap(), text);
}

#[rstest]
#[case::nobody_has_it(vec![Temper::Empty, Temper::Gone], Fault::NotFound)]
#[case::one_is_broken(vec![Temper::Empty, Temper::Broken], Fault::GatewayUnreachable)]
#[case::one_is_silent(vec![Temper::Silent, Temper::Empty], Fault::GatewayUnreachable)]
#[case::one_is_away(vec![Temper::Away, Temper::Empty], Fault::GatewayUnreachable)]
#[case::there_is_none(vec![], Fault::GatewayUnreachable)]
#[case::one_lies(vec![Temper::Lying, Temper::Empty], Fault::DigestMismatch)]
#[case::one_never_stops(vec![Temper::Endless], Fault::TooLarge)]
#[tokio::test]
async fn fails_when(#[case] tempers: Vec<Temper>, #[case] fault: Fault) {
    let error = gateways(tempers).await.fetch(&raw(b"hello"), &LIMITS).await.unwrap_err();
    assert_eq!(error.fault(), fault, "{error}");
}

#[tokio::test]
async fn an_artifact_in_small_blocks_is_too_large_together() {
    let (root, blocks, _) = two_leaves();
    let limits = Limits { bytes: blocks.bytes() - 1, ..LIMITS };
    let gateways = gateways(vec![Temper::Honest(Arc::new(blocks))]).await;
    let error = gateways.fetch(&root, &limits).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "bytes", .. }), "{error}");
}

#[rstest]
#[case::levels(Limits { depth: 5, ..LIMITS }, "levels")]
#[case::blocks(Limits { blocks: 5, ..LIMITS }, "blocks")]
#[tokio::test]
async fn a_deep_tree_has_too_many(#[case] limits: Limits, #[case] unit: &str) {
    let (root, blocks) = chain(10);
    let gateways = gateways(vec![Temper::Honest(Arc::new(blocks))]).await;
    let error = gateways.fetch(&root, &limits).await.unwrap_err();
    assert!(error.to_string().contains(unit), "{error}");
}

#[tokio::test]
async fn a_directory_is_fetched_with_all_that_is_in_it() {
    let (file, parts, _) = two_leaves();
    let below = directory(&[("file", file)]);
    let root = directory(&[("below", below.0), ("again", file)]);
    let mut all = blocks([below, root.clone()]);
    for (cid, bytes) in parts.iter() {
        all.insert(*cid, bytes.clone(), "the test").unwrap();
    }
    let gateways = gateways(vec![Temper::Honest(Arc::new(all.clone()))]).await;
    assert_eq!(gateways.fetch(&root.0, &LIMITS).await, Ok(all));
}

#[tokio::test]
async fn a_sharded_directory_is_refused_where_it_is_met() {
    let root = node(&[], &[0x08, 5]);
    let all = Arc::new(blocks([root.clone()]));
    let error = gateways(vec![Temper::Honest(all)]).await.fetch(&root.0, &LIMITS).await;
    let error = error.unwrap_err();
    assert_eq!(error.fault(), Fault::Malformed);
    assert!(error.to_string().contains("sharded directory (HAMT)"), "{error}");
}

#[tokio::test]
async fn a_slow_tree_ends_with_its_time() {
    let gateways = gateways(vec![Temper::Silent]).await;
    let limits = Limits {
        block_time: Duration::from_hours(1),
        total_time: Duration::from_millis(50),
        ..LIMITS
    };
    let error = gateways.fetch(&raw(b"hello"), &limits).await.unwrap_err();
    assert_eq!(error.fault(), Fault::GatewayUnreachable, "{error}");
}
