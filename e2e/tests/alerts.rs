//! The alerts of the product's chart, as Helm renders them and as Prometheus reads them.
#![expect(clippy::unwrap_used, reason = "what cannot be checked ends the test there")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use coreward_e2e::bed::{self, Paths};
use serde::Deserialize as _;
use serde_json::{Value, json};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/coreward")
}

/// Runs a program with this on its standard input; what it wrote to its standard output.
fn run(program: &Path, words: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(words).current_dir(chart());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {words:?}: {text}{errors}", program.display());
    text
}

/// The objects of kind `PrometheusRule` that the chart makes with these values for its alerts.
async fn rules(alerts: Value) -> Vec<Value> {
    let helm = bed::helm(&Paths::read().unwrap()).await.unwrap();
    let address = "0x0000000000000000000000000000000000000001";
    let values = json!({
        "alerts": alerts,
        "networks": [{
            "name": "local", "chainId": 1,
            "endpoints": [{ "name": "first", "url": "http://chain" }],
            "contracts": { "diamond": address, "multicall3": address },
            "tokens": [{ "symbol": "USDC", "address": address, "decimals": 6 }],
        }],
    });
    let words = ["template", "coreward", ".", "--kube-version", "1.35.0", "--values", "-"];
    let rendered = run(&helm, &words, &values.to_string());
    let objects = serde_yaml::Deserializer::from_str(&rendered).map(Value::deserialize);
    objects.map(Result::unwrap).filter(|object| object["kind"] == "PrometheusRule").collect()
}

#[tokio::test]
async fn rules_are_made_when_they_are_asked_for() {
    assert_eq!(rules(json!({})).await, Vec::<Value>::new());
    let asked = json!({
        "enabled": true,
        "labels": { "release": "prometheus" },
        "annotations": { "team": "market" },
        "runbookUrl": "https://wiki.example/alerts",
    });
    let made = rules(asked).await;
    let [rule] = made.as_slice() else { panic!("{} objects", made.len()) };
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(rule["metadata"]["labels"]["app.kubernetes.io/name"], "coreward");
    assert_eq!(rule["metadata"]["annotations"]["team"], "market");
    let first = &rule["spec"]["groups"][0]["rules"][0];
    assert_eq!(first["annotations"]["runbook_url"], "https://wiki.example/alerts#chainheadstale");
}

#[tokio::test]
#[ignore = "builds promtool, some minutes once; `make alerts` asks for it"]
async fn prometheus_takes_the_rules_and_their_tests_pass() {
    let promtool = bed::promtool(&Paths::read().unwrap()).await.unwrap();
    let made = rules(json!({ "enabled": true })).await;
    run(&promtool, &["check", "rules", "--lint=all", "--lint-fatal"], &made[0]["spec"].to_string());
    run(&promtool, &["test", "rules", "alerts_test.yaml"], "");
}
