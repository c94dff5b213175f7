//! What the bed promises to every other story, and that it leaves nothing behind.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a visit cannot do ends the test there"
)]

use std::{path::Path, process::Command};

use coreward_e2e::bed::{self, Bed, NODES, Node};
use serde_json::json;

/// A namespace with a few pods of the probe image, removed at the end of the test even if it fails.
struct Visit<'a> {
    bed: &'a Bed,
    namespace: &'static str,
}

impl<'a> Visit<'a> {
    fn new(bed: &'a Bed, namespace: &'static str) -> Self {
        let visit = Self { bed, namespace };
        visit.kubectl(&["create", "namespace", namespace]).unwrap();
        visit
            .kubectl(&["wait", "--for=create", "serviceaccount/default", "--timeout=20s"])
            .unwrap();
        visit
    }

    fn kubectl(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.bed.programs().join("kubectl"));
        command
            .env("KUBECONFIG", self.bed.kubeconfig())
            .args(["--namespace", self.namespace])
            .args(words);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Starts a pod and waits until it is Ready; with `cpu` it is Guaranteed.
    fn start(&self, name: &str, node: Node, cpu: Option<u32>) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": name } },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "nodeSelector": { "kubernetes.io/hostname": node.name },
                "tolerations": [{ "operator": "Exists" }],
                "containers": [{
                    "name": "probe", "image": "coreward.local/probe:dev", "imagePullPolicy": "Never",
                    "args": ["serve", ":8080", format!("this is {name}")],
                    "resources": cpu.map(|cpu| json!({ "limits": { "cpu": cpu, "memory": "64Mi" } })),
                    "readinessProbe": { "httpGet": { "port": 8080, "path": "/" }, "periodSeconds": 1 },
                    "securityContext": {
                        "runAsNonRoot": true, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
                    },
                }],
            },
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pod.to_string()).unwrap();
        self.kubectl(&["apply", "--filename", file.path().to_str().unwrap()]).unwrap();
        let ready = self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            &format!("pod/{name}"),
            "--timeout=30s",
        ]);
        ready.unwrap_or_else(|error| {
            panic!("{error}\n{}", self.kubectl(&["describe", "pod", name]).unwrap_or_default())
        });
    }

    /// Runs a word of the probe inside a pod.
    fn inside(&self, pod: &str, words: &[&str]) -> Result<String, String> {
        let mut all = vec!["exec", pod, "--", "/probe"];
        all.extend(words);
        self.kubectl(&all)
    }

    fn address(&self, kind: &str, name: &str, path: &str) -> String {
        self.kubectl(&["get", kind, name, "--output", &format!("jsonpath={{{path}}}")]).unwrap()
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let _ = self.kubectl(&["delete", "namespace", self.namespace, "--wait=false"]);
    }
}

#[tokio::test]
async fn a_pod_of_a_whole_core_has_it_alone_on_compute_nodes_only() {
    let bed = bed::up().await.unwrap();
    let visit = Visit::new(&bed, "bed-cores");
    for node in NODES {
        visit.start(node.name, node, Some(1));
    }
    let [first, second, third] = NODES.map(|node| visit.inside(node.name, &["cpus"]).unwrap());
    assert!(first.parse::<u32>().is_ok(), "one CPU on n1, not {first}");
    assert!(second.parse::<u32>().is_ok(), "one CPU on n2, not {second}");
    assert_ne!(first, second, "the two units of the bed must not share a core");
    assert!(third.parse::<u32>().is_err(), "n3 hands out no exclusive core, and gave {third}");
}

#[tokio::test]
async fn pods_reach_each_other_services_the_chain_and_the_gateway() {
    let bed = bed::up().await.unwrap();
    let visit = Visit::new(&bed, "bed-paths");
    visit.start("one", NODES[0], None);
    visit.start("three", NODES[2], None);
    visit
        .kubectl(&[
            "expose",
            "pod",
            "three",
            "--name=door",
            "--port=80",
            "--target-port=8080",
            "--type=NodePort",
        ])
        .unwrap();
    let pod = visit.address("pod", "one", ".status.podIP");
    assert_eq!(
        visit.inside("three", &["get", &format!("http://{pod}:8080/")]).as_deref(),
        Ok("200 this is one")
    );
    let service = visit.address("service", "door", ".spec.clusterIP");
    let by_name = visit.inside("one", &["resolve", "door.bed-paths.svc"]);
    assert_eq!(by_name.as_ref(), Ok(&service));
    for caller in ["one", "three"] {
        let answer = visit.inside(caller, &["get", "http://door/"]);
        assert_eq!(answer.as_deref(), Ok("200 this is three"), "called by {caller}");
    }
    for url in [bed.chain_url(), bed.gateway_url()] {
        let address = url.trim_start_matches("http://");
        assert_eq!(visit.inside("one", &["dial", address]).as_deref(), Ok(""), "to {url}");
    }
    let port = visit.address("service", "door", ".spec.ports[0].nodePort");
    let outside = [
        format!("http://{pod}:8080/"),
        format!("http://{service}/"),
        format!("http://{}:{port}/", bed.node_address(NODES[0])),
    ];
    for url in outside {
        let answer = reqwest::get(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(answer.text().await.unwrap().starts_with("this is "), "from this machine to {url}");
    }
}

#[test]
fn a_second_bed_comes_and_goes_and_leaves_nothing() {
    let paths = bed::Paths::read().unwrap();
    let name = format!("{}-2", paths.name);
    let trace = paths.node_namespace("2");
    let run = |word: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coreward-e2e"));
        command.args(["bed", word]).env(bed::NAME_VARIABLE, &name).output().unwrap()
    };
    let up = run("up");
    let down = run("down");
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let left: Vec<_> = namespaces
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&trace))
        .collect();
    assert!(left.is_empty(), "network namespaces are left: {left:?}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&trace), "mounts are left");
    let words = |id: &std::ffi::OsStr| {
        std::fs::read(Path::new("/proc").join(id).join("cmdline")).unwrap_or_default()
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let left: Vec<_> = processes
        .map(|entry| String::from_utf8_lossy(&words(&entry.file_name())).replace('\0', " "))
        .filter(|line| line.contains(&format!("coreward/{name}/")) || line.contains(&trace))
        .collect();
    assert!(left.is_empty(), "processes are left: {left:?}");
    assert!(!Path::new("/sys/fs/cgroup/cpuset").join(format!("{trace}-n1")).exists());
}
