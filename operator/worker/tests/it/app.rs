//! Apps that are directories, and what the host keeps for components.

use bytes::Bytes;
use coreward_artifact::raw;
use coreward_wire::{ArtifactFault, WorkerStage};
use reqwest::Method;
use rstest::rstest;

use crate::guest::{GOOD, Guest};
use crate::keeper::keeper;
use crate::process::Worker;
use crate::world::World;

const MANIFEST: &str = "
components: { shop: shop.wasm, keeper: parts/keeper.wasm }
routes:
  - { path: /, component: shop }
  - { path: /cfg, component: keeper }
  - { path: /get, component: keeper }
  - { path: /set, component: keeper }
  - { path: /add, component: keeper }
  - { path: /site, static: public }
config: { greeting: good morning }
";

const PAGE: &[u8] = b"<p>hello</p>\n";

fn app(world: &World, manifest: &'static str, shop: u16) -> String {
    world.publish_folder(&[
        ("coreward.yaml", Bytes::from_static(manifest.as_bytes())),
        ("shop.wasm", Guest { status: shop, ..GOOD }.build()),
        ("parts/keeper.wasm", keeper(100)),
        ("public/index.html", Bytes::from_static(PAGE)),
        ("public/img/red dot.svg", Bytes::from_static(b"<svg/>")),
        ("public/docs/index.html", Bytes::from_static(b"docs")),
        ("secret.txt", Bytes::from_static(b"nobody is told")),
    ])
}

async fn serving() -> (World, Worker, String) {
    let world = World::new().await;
    let cid = app(&world, MANIFEST, 201);
    let worker = world.start(world.duty(1, &cid)).await;
    worker.serves(&cid).await;
    (world, worker, cid)
}

async fn of_component(size: usize) -> (World, Worker) {
    let world = World::new().await;
    let cid = world.publish(keeper(size));
    let worker = world.start(world.duty(1, &cid)).await;
    worker.serves(&cid).await;
    (world, worker)
}

#[tokio::test]
async fn a_path_leads_to_its_component_which_is_told_its_configuration() {
    let (_world, worker, _) = serving().await;
    assert_eq!(worker.get("/anything").await, 201, "the shop");
    assert_eq!(worker.read("/cfg/greeting").await, (200, "good morning".to_owned()));
    assert_eq!(worker.get("/cfg/secret").await, 404);
    assert_eq!(worker.get("/cfgs").await, 201, "the shop again");
    assert_eq!(worker.get("/out/self.subnet.internal/site/").await, 200, "itself, by its routes");
}

#[tokio::test]
async fn static_files_are_answered_by_the_host() {
    let (_world, worker, _) = serving().await;
    let page = worker.ask(Method::GET, "/site/", &[]).await;
    assert_eq!((page.status, page.text.as_bytes()), (200, PAGE));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("content-length"), PAGE.len().to_string());
    let tag = format!("\"{}\"", raw(PAGE));
    assert_eq!(page.header("etag"), tag);
    let head = worker.ask(Method::HEAD, "/site/index.html", &[]).await;
    assert_eq!((head.status, &*head.text), (200, ""));
    assert_eq!(head.header("content-length"), PAGE.len().to_string());
    let known = worker.ask(Method::GET, "/site/", &[("if-none-match", &tag)]).await;
    assert_eq!((known.status, &*known.text), (304, ""));
    let dot = worker.ask(Method::GET, "/site/img/red%20dot.svg?v=1", &[]).await;
    assert_eq!((dot.status, dot.header("content-type")), (200, "image/svg+xml"));
    for directory in ["/site", "/site/docs"] {
        let moved = worker.ask(Method::GET, directory, &[]).await;
        assert_eq!((moved.status, moved.header("location")), (308, &*format!("{directory}/")));
    }
    assert_eq!(worker.ask(Method::POST, "/site/", &[]).await.status, 405);
}

#[rstest]
#[case("/site/../secret.txt")]
#[case("/site/%2e%2e/secret.txt")]
#[case("/site/..%2fsecret.txt")]
#[case("/site//index.html")]
#[case("/site/img")]
#[case("/site/%00")]
#[case("/site/%ff")]
#[tokio::test]
async fn no_path_leads_out_of_a_static_directory(#[case] path: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let (_world, worker, _) = serving().await;
    let address = worker.public.trim_start_matches("http://");
    // By hand: clients put paths in order before they send them.
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn a_broken_directory_leaves_the_version_before_it_in_service_even_after_a_crash() {
    let (world, mut worker, old) = serving().await;
    let new = app(&world, MANIFEST, 202);
    worker.order("2", world.duty(1, &new));
    worker.serves(&new).await;
    assert_eq!(worker.get("/").await, 202);
    let broken = app(&world, "routes: [{ path: /, component: cart }]", 203);
    worker.order("3", world.duty(1, &broken));
    let report = worker.until(|report| report.stage == WorkerStage::Failed).await;
    assert_eq!((report.cid, report.serving), (broken, Some(new)));
    assert_eq!(worker.get("/").await, 202);
    worker.restart_alone().await;
    worker.is_ready().await;
    assert_eq!(worker.get("/").await, 202);
    assert_eq!(worker.read("/site/").await, (200, "<p>hello</p>\n".to_owned()));
    assert_eq!(worker.read("/cfg/greeting").await, (200, "good morning".to_owned()));
    assert!(!worker.directory.path().join("code").join(old).exists(), "the oldest is gone");
}

const ONE: &str = "{ components: { a: a.wasm }, routes: [{ path: /a, component: a }] }";

#[rstest]
#[case::without_a_manifest(&[], "no file `coreward.yaml`")]
#[case::a_bad_manifest(&[("coreward.yaml", "routes: 7")], "coreward.yaml: routes: invalid type")]
#[case::a_missing_component(&[("coreward.yaml", ONE)], "components.a: there is no file `a.wasm`")]
#[case::no_component(
    &[("coreward.yaml", ONE), ("a.wasm", "#!/bin/sh")],
    "component `a`: not a usable component"
)]
#[tokio::test]
async fn a_directory_that_cannot_be_served_says_why(
    #[case] files: &[(&str, &'static str)],
    #[case] words: &str,
) {
    let world = World::new().await;
    let files: Vec<_> =
        files.iter().map(|(path, text)| (*path, Bytes::from_static(text.as_bytes()))).collect();
    let worker = world.start(world.duty(1, &world.publish_folder(&files))).await;
    let failure = worker.fails().await;
    assert_eq!(failure.fault, ArtifactFault::InvalidWasm);
    assert!(failure.message.contains(words), "{}", failure.message);
}

#[tokio::test]
async fn every_component_is_asked_before_a_directory_serves() {
    let world = World::new().await;
    let traps = Guest { first: "unreachable", ..GOOD }.build();
    let manifest = "{ components: { a: a.wasm, b: b.wasm }, routes: [
        { path: /, component: a }, { path: /b, component: b } ] }";
    let cid = world.publish_folder(&[
        ("coreward.yaml", Bytes::from_static(manifest.as_bytes())),
        ("a.wasm", GOOD.build()),
        ("b.wasm", traps),
    ]);
    let failure = world.start(world.duty(1, &cid)).await.fails().await.message;
    assert!(failure.starts_with("component `b`: it traps at start"), "{failure}");
    assert!(failure.contains("GET /b"), "{failure}");
}

#[tokio::test]
async fn what_one_instance_keeps_the_next_one_finds_even_after_a_crash() {
    let (_world, mut worker) = of_component(100).await;
    assert_eq!(worker.get("/get/visits").await, 404);
    for _ in 0..3 {
        assert_eq!(worker.get("/add/visits").await, 200);
    }
    assert_eq!(worker.read("/get/visits").await, (200, "3".to_owned()));
    worker.restart_alone().await;
    worker.is_ready().await;
    assert_eq!(worker.read("/get/visits").await, (200, "3".to_owned()));
    assert_eq!(worker.get("/add/visits").await, 200);
    assert_eq!(worker.read("/get/visits").await, (200, "4".to_owned()));
}

#[tokio::test]
async fn a_full_store_says_so_and_harms_nobody() {
    let (_world, worker) = of_component(512 << 10).await;
    for at in 0..31 {
        assert_eq!(worker.get(&format!("/set/{at}")).await, 200);
    }
    let (status, words) = worker.read("/set/31").await;
    assert_eq!(status, 507);
    assert!(words.starts_with("the key-value store is full: it holds 16"), "{words}");
    assert_eq!(worker.get("/set/3").await, 200, "what is there can be replaced");
    assert_eq!(worker.get("/add/visits").await, 200, "and small things have room");
    let metrics = worker.page("/metrics").await.1;
    let line = "coreward_worker_keyvalue_refusals_total{bound=\"bytes\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused() {
    let (_world, worker) = of_component((512 << 10) + 1).await;
    let (status, words) = worker.read("/set/a").await;
    assert_eq!(status, 507);
    assert!(words.starts_with("a value of 524289 bytes is larger than"), "{words}");
}
