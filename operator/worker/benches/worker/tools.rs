//! What the comparison needs: the reference's program, a component, and the worker's state.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use coreward_artifact::{Blocks, Cid, car, raw};
use coreward_wire::{
    ArtifactOrder, Assignment, Duty, Egress, Gateways, Member, RequestLimits, SecretSeed,
    WorkerDuty, WorkerLimits,
};

/// The reference's release, which is that of our own engine.
const VERSION: &str = "48.0.8";
/// What its `serve` has of the published program's features; what is left out (debuggers, other compilers, `wast`) only makes it larger.
const FEATURES: &str = "serve,run,compile,cranelift,pooling-allocator,parallel-compilation,component-model,component-model-async,\
    cache,logging,backtrace,demangle,addr2line,threads,gc,gc-drc,gc-null,coredump";

/// The seed of the worker's key.
pub(crate) const WORKER_SEED: [u8; 32] = [1; 32];

/// A member of the worker's deal that is only asked for by its key.
pub(crate) fn member(key: B256) -> Member {
    Member {
        onchain_worker_id: B256::with_last_byte(2),
        offchain_worker_id: key,
        addresses: Vec::new(),
    }
}

fn cache() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let root = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    root.expect("XDG_CACHE_HOME or HOME").join("coreward")
}

/// `wasmtime`, built from its published source; once, a quarter of an hour.
pub(crate) fn wasmtime() -> PathBuf {
    let root = cache().join(format!("wasmtime-{VERSION}"));
    let program = root.join("bin/wasmtime");
    if !program.exists() {
        println!("building wasmtime-cli {VERSION} (a quarter of an hour, once)");
        let mut cargo = Command::new("cargo");
        cargo.args([
            "install",
            "--quiet",
            "--locked",
            "--no-default-features",
            "--features",
            FEATURES,
        ]);
        cargo.arg("--root").arg(&root).arg(format!("wasmtime-cli@{VERSION}"));
        run(&mut cargo);
    }
    program
}

/// The sample app that answers `hello`.
pub(crate) fn hello() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/components/Cargo.toml");
    let target = cache().join("components");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--release", "--locked", "--lib", "--package", "hello"])
        .args(["--target", "wasm32-wasip2", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        // Flags meant for this machine's programs must not reach another target.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut cargo);
    target.join("wasm32-wasip2/release/hello.wasm")
}

/// The component compiled for `wasmtime serve --allow-precompiled`.
pub(crate) fn precompiled(wasmtime: &Path, component: &Path, directory: &Path) -> PathBuf {
    let code = directory.join("hello.cwasm");
    run(Command::new(wasmtime).arg("compile").arg(component).arg("--output").arg(&code));
    code
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {status:?}"
    );
}

/// A node agent that knows one artifact.
pub(crate) struct Node {
    root: Cid,
    address: String,
}

impl Node {
    pub(crate) fn with(component: &Path) -> Self {
        let bytes: Bytes = fs::read(component).expect("the component").into();
        let (root, mut blocks) = (raw(&bytes), Blocks::default());
        blocks.insert(root, bytes, "the bench").expect("bytes that hash to their name");
        let archive = car::write(&root, &blocks);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("a free port"));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let _asked = stream.read(&mut [0; 4096]);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", archive.len());
                let _sent =
                    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&archive));
            }
        });
        Self { root, address }
    }

    /// Writes the order that a worker goes on with to its state directory.
    pub(crate) fn order(&self, state: &Path, reuses: bool, members: Vec<Member>) {
        let duty = WorkerDuty {
            deal: Address::repeat_byte(0xdd),
            onchain_worker_id: B256::with_last_byte(1),
            key_seed: SecretSeed(WORKER_SEED.into()),
            artifact: ArtifactOrder {
                cid: self.root.to_string(),
                max_bytes: 16 << 20,
                from: self.address.clone(),
            },
            limits: WorkerLimits {
                memory_mib: 1024,
                request_milliseconds: 30_000,
                connections: 500,
                storage_mib: 0,
                request: RequestLimits::default(),
                reuse_instances: reuses,
            },
            egress: Egress::None,
            members,
            members_block: 1,
            gateways: Gateways::default(),
        };
        let assignment = Assignment {
            revision: "1".to_owned(),
            leader: "bench".to_owned(),
            duty: Duty::Worker(Box::new(duty)),
        };
        let text = serde_json::to_vec(&assignment).expect("an order");
        fs::write(state.join("assignment.json"), text).expect("the state directory");
    }
}
