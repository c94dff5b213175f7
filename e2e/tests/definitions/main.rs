//! The definitions against the real API server: what it refuses by itself, and in which words.
#![expect(clippy::unwrap_used, reason = "what a test cannot do ends it there")]

mod wrong;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coreward_e2e::bed::{self, Bed};
use serde_json::Value;
use tokio::sync::Mutex;

use wrong::Wrong;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs `kubectl`; its words on success, and on failure.
fn kubectl(bed: &Bed, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(bed.programs().join("kubectl"));
    let output = command.env("KUBECONFIG", bed.kubeconfig()).args(words).output().unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(error.into_owned()) }
}

/// Helm does one thing at a time to a release.
static HELM: Mutex<()> = Mutex::const_new(());

/// The bed, with the definitions of this tree in force.
async fn with_definitions() -> Bed {
    let bed = bed::up().await.unwrap();
    // By Helm: it would not take over what somebody else made, and the stories install the product into the same bed.
    let _turn = HELM.lock().await;
    bed::define(&bed).await.unwrap();
    kubectl(&bed, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
        .unwrap();
    bed
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect()
}

/// The API server's words on an object that it does not take.
fn refusal(bed: &Bed, object: &Value) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("object.json");
    fs::write(&file, object.to_string()).unwrap();
    kubectl(bed, &["apply", "--dry-run=server", "-f", file.to_str().unwrap()]).err()
}

#[tokio::test]
async fn every_wrong_object_is_refused_with_words_that_name_the_field_and_the_fault() {
    let bed = with_definitions().await;
    assert_eq!(refusal(&bed, &wrong::good()), None, "the offer with nothing wrong is taken");
    let rows: Vec<_> = wrong::offers().into_iter().chain(wrong::mirrors()).collect();
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    let mut failures = Vec::new();
    for Wrong { name, object, words } in rows {
        let refusal = refusal(&bed, &object).unwrap_or_else(|| "nothing".to_owned());
        if !words.iter().all(|word| refusal.contains(word)) {
            failures.push(format!("{name}: wanted {words:?}, got {refusal}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn the_samples_for_people_are_taken() {
    let bed = with_definitions().await;
    for sample in yaml_files(&tree().join("manifests/samples")) {
        let text = fs::read_to_string(&sample)
            .unwrap()
            .replace("namespace: provider", "namespace: default");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sample.yaml");
        fs::write(&file, text).unwrap();
        kubectl(&bed, &["apply", "--dry-run=server", "-f", file.to_str().unwrap()]).unwrap();
    }
}

#[tokio::test]
async fn what_is_fixed_cannot_be_changed() {
    let bed = with_definitions().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offer.yaml");
    let sample = fs::read_to_string(tree().join("manifests/samples/provideroffer.yaml")).unwrap();
    // A network that no operator has: a running one leaves it alone.
    let text = sample
        .replace("namespace: provider", "namespace: default")
        .replace("name: fra1", "name: fixed-fields")
        .replace("network: local", "network: none");
    fs::write(&file, text).unwrap();
    kubectl(&bed, &["apply", "-f", file.to_str().unwrap()]).unwrap();
    let patch = |body: &str| {
        kubectl(
            &bed,
            &[
                "patch",
                "provideroffer",
                "fixed-fields",
                "-n",
                "default",
                "--type=merge",
                "--dry-run=server",
                "-p",
                body,
            ],
        )
    };
    let id = |digit: &str| format!(r#"{{"spec":{{"offerID":"0x{}"}}}}"#, digit.repeat(64));
    assert!(
        patch(r#"{"spec":{"network":"other"}}"#).unwrap_err().contains("network cannot change")
    );
    let address =
        r#"{"spec":{"provider":{"address":"0x0000000000000000000000000000000000000001"}}}"#;
    assert!(patch(address).unwrap_err().contains("provider.address cannot change"));
    patch(&id("a")).unwrap();
    kubectl(
        &bed,
        &[
            "patch",
            "provideroffer",
            "fixed-fields",
            "-n",
            "default",
            "--type=merge",
            "-p",
            &id("a"),
        ],
    )
    .unwrap();
    patch(&id("A")).unwrap();
    assert!(patch(&id("b")).unwrap_err().contains("offerID is set once"));
    assert!(patch(r#"{"spec":{"offerID":null}}"#).unwrap_err().contains("offerID is set once"));
    kubectl(&bed, &["delete", "provideroffer", "fixed-fields", "-n", "default", "--timeout=30s"])
        .unwrap();
}
