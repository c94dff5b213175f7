//! Which crate may use which: the table of the design, as a test over `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Our crates, and what of ours each may use at run time. Names without the prefix `coreward-`.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("crds", &[]),
    ("randomx", &[]),
    ("overlay", &[]),
    ("telemetry", &[]),
    ("wire", &["domain"]),
    ("link", &["wire", "telemetry"]),
    ("chain", &["domain"]),
    ("controllers", &["domain", "wire", "link", "crds", "chain", "telemetry"]),
    ("artifact", &[]),
    ("node", &["wire", "artifact", "link", "telemetry"]),
    ("gateway", &["wire", "overlay", "link", "telemetry"]),
    ("prover", &["domain", "wire", "randomx", "link", "telemetry"]),
    ("worker", &["domain", "wire", "artifact", "overlay", "link", "telemetry"]),
    ("e2e", &["crds"]),
];

/// Outside worlds that only the named crates may touch.
const OUTSIDE: [(&str, &[&str]); 7] = [
    ("alloy", &["chain", "e2e"]),
    ("libp2p", &["overlay", "e2e"]),
    ("wasmtime", &["worker"]),
    ("ccp-randomx", &["e2e"]),
    ("kube", &["controllers", "crds", "e2e"]),
    ("k8s-openapi", &["controllers", "crds", "e2e"]),
    (
        "tokio",
        &[
            "artifact",
            "chain",
            "controllers",
            "e2e",
            "gateway",
            "link",
            "node",
            "overlay",
            "prover",
            "telemetry",
            "worker",
        ],
    ),
];

/// Run-time dependencies of every crate of the workspace, by name without prefix.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
            manifest,
        ])
        .output()
        .expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| (short(&package["name"]), runtime_dependencies(package)))
        .collect()
}

fn runtime_dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    // A null kind is a run-time dependency; tests may reach further.
    all.iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| short(&dependency["name"]))
        .collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().expect("a name");
    name.strip_prefix("coreward-").unwrap_or(name).to_owned()
}

#[test]
fn every_crate_has_its_row() {
    let rows: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let crates: BTreeSet<_> = dependencies().into_keys().collect();
    assert_eq!(crates, rows);
}

#[test]
fn crates_use_each_other_as_the_table_says() {
    let dependencies = dependencies();
    for (name, allowed) in ALLOWED {
        let ours = |used: &&String| dependencies.contains_key(*used);
        for used in dependencies.get(name).into_iter().flatten().filter(ours) {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} uses {used}, which the table does not allow"
            );
        }
    }
}

#[test]
fn each_outside_has_its_crates() {
    let dependencies = dependencies();
    for (outside, allowed) in OUTSIDE {
        let users =
            dependencies.iter().filter(|(_, used)| used.contains(outside)).map(|(name, _)| name);
        for user in users {
            assert!(
                allowed.contains(&user.as_str()),
                "{user} touches {outside}, which the table does not allow"
            );
        }
    }
}
