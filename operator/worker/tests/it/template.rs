//! The template for developers: it builds with stock tools, and answers.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use reqwest::Method;
use tokio::process::Command;

use crate::world::World;

/// Builds the component, as the README says it.
async fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-wasip2"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("template"))
        // Flags meant for the machine's own programs must not reach another target.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    assert!(cargo.status().await.unwrap().success(), "cargo build of the template");
    target.join("wasm32-wasip2/release/app.wasm")
}

#[tokio::test]
async fn the_template_builds_and_is_served() {
    let read = |path: PathBuf| Bytes::from(std::fs::read(path).unwrap());
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("template/app");
    let component = read(build().await);
    let page = read(app.join("public/index.html"));
    let world = World::new().await;
    let cid = world.publish_folder(&[
        ("coreward.yaml", read(app.join("coreward.yaml"))),
        ("public/index.html", page.clone()),
        ("api.wasm", component),
    ]);
    let worker = world.start(world.duty(1, &cid)).await;
    worker.serves(&cid).await;
    // The worker's own first request was a visit too.
    assert_eq!(worker.read("/api").await, (200, "good morning, visit 2\n".to_owned()));
    assert_eq!(worker.read("/api").await, (200, "good morning, visit 3\n".to_owned()));
    assert_eq!(worker.get("/api/note").await, 404);
    assert_eq!(worker.put("/api/note", "buy milk").await, 204);
    assert_eq!(worker.read("/api/note").await, (200, "buy milk".to_owned()));
    let index = worker.ask(Method::GET, "/", &[]).await;
    assert_eq!((index.status, index.text.as_bytes()), (200, &page[..]));
}
