//! The engine that enforces network policies in a bed that was asked for with it: a Cilium agent in each node's own
//! namespaces, with Cilium's plugin for pods' links. What an agent changes stays in there, but for one setting of the whole
//! machine: `kernel.unprivileged_bpf_disabled` is 1 until it restarts.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::core::v1::Node as ClusterNode;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    addresses::Addresses,
    command::Run,
    error::{Error, Result},
    node::{NODES, Node},
    node_files::PLUGINS,
    paths::{self, Paths},
    process, progress,
};

/// The name of its process on a node.
pub(super) const AGENT: &str = "cilium";
/// What a node mounts for it: its rules must not outlive the node, nor meet those of another.
pub(super) const MOUNTS: &str = "mount -t bpf bpf /sys/fs/bpf";
/// The agent compiles its rules at run time, for a kernel's view of C that newer compilers warn of.
const COMPILER: &str = "#!/bin/sh\nexec clang-19 \"$@\" -Wno-error -w\n";
/// Kubelets say who they are within seconds.
const NODE_LIMIT: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_millis(50);

/// Its part of a node's configuration of networks.
#[must_use]
pub(super) fn network() -> Value {
    json!({ "cniVersion": "0.4.0", "name": "bed", "plugins": [{ "type": "cilium-cni" }] })
}

/// The folder of network plugins.
#[must_use]
pub(super) fn plugins(paths: &Paths) -> PathBuf {
    paths.state.join("plugins")
}

/// Lays out what nodes need before they start: plugins, the compiler, and the agents' C sources, which each agent adds to.
///
/// # Errors
/// [`Error::File`].
pub(super) async fn prepare(paths: &Paths, engine: &Path) -> Result<()> {
    let folder = plugins(paths);
    paths::make_folder(&folder)?;
    let loopback = Path::new(PLUGINS).join("loopback");
    for plugin in [loopback, engine.join("cilium-cni")] {
        let link = folder.join(plugin.file_name().unwrap_or_default());
        symlink(&plugin, &link).map_err(Error::file("link", &link))?;
    }
    let compiler = compiler(paths).join("clang");
    paths::write(&compiler, COMPILER)?;
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755))
        .map_err(Error::file("make executable", &compiler))?;
    for node in NODES {
        let library = library(paths, node);
        paths::make_folder(&library)?;
        let copy = Run::new("cp", "copy the agent's sources").args(["-r"]);
        copy.args([&engine.join("bpf"), &library]).output().await?;
    }
    Ok(())
}

/// Defines its objects, gives each node its ranges of pods, and starts the agents.
///
/// # Errors
/// kubectl's words, [`Error::Late`] where a node does not register, [`Error::Start`].
pub(super) async fn start(
    paths: &Paths,
    addresses: Addresses,
    (engine, programs): (&Path, &Path),
    client: &Client,
) -> Result<()> {
    let definitions = engine.join("crds").display().to_string();
    let define = Run::new(programs.join("kubectl"), "define the policy engine's objects");
    let words = ["apply", "--server-side", "--recursive", "--filename", &definitions];
    define.env("KUBECONFIG", paths.kubeconfig()).args(words).output().await?;
    for node in NODES {
        give_ranges(paths, addresses, node, client).await?;
        process::start(
            paths,
            &node.process(AGENT),
            Some(&node.room(paths)?),
            &agent(paths, addresses, node, engine),
        )?;
    }
    Ok(())
}

/// Nobody gives ranges out in the bed: each node has its own by its number.
async fn give_ranges(
    paths: &Paths,
    addresses: Addresses,
    node: Node,
    client: &Client,
) -> Result<()> {
    let nodes: Api<ClusterNode> = Api::all(client.clone());
    let ranges = [addresses.pods_of(node.number), addresses.pods_v6_of(node.number)];
    let spec = Patch::Merge(json!({ "spec": { "podCIDR": ranges[0], "podCIDRs": ranges } }));
    let started = progress::now();
    loop {
        match nodes.patch(node.name, &PatchParams::default(), &spec).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            Err(error) => return Err(Error::cluster("give a node its ranges of pods")(error)),
        }
        if started.elapsed() > NODE_LIMIT {
            return Err(Error::Late {
                what: format!("the node {}", node.name),
                seconds: NODE_LIMIT.as_secs(),
                look: format!("see {}", paths.log(&node.process("kubelet")).display()),
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn agent(paths: &Paths, addresses: Addresses, node: Node, engine: &Path) -> Vec<String> {
    let kubeconfig = paths.certificates().join("admin.kubeconfig");
    let path = format!("PATH={}:{}", compiler(paths).display(), paths::search_path());
    let mut words = vec!["env".to_owned(), path, format!("K8S_NODE_NAME={}", node.name)];
    words.push(engine.join("cilium-agent").display().to_string());
    words.extend([
        format!("--k8s-kubeconfig-path={}", kubeconfig.display()),
        format!("--lib-dir={}", library(paths, node).display()),
        format!("--ipv4-native-routing-cidr={}", addresses.pods()),
        format!("--ipv6-native-routing-cidr={}", addresses.pods_v6()),
    ]);
    words.extend(FLAGS.map(str::to_owned));
    words
}

/// Routes and policies, and nothing of all else that it can do.
const FLAGS: [&str; 22] = [
    "--enable-ipv4=true",
    "--enable-ipv6=true",
    "--enable-policy=default",
    "--ipam=kubernetes",
    "--identity-allocation-mode=crd",
    "--routing-mode=native",
    "--auto-direct-node-routes=true",
    "--devices=e0",
    "--enable-ipv4-masquerade=false",
    "--enable-ipv6-masquerade=false",
    "--kube-proxy-replacement=false",
    "--enable-l7-proxy=false",
    "--enable-hubble=false",
    "--enable-health-checking=false",
    "--enable-endpoint-health-checking=false",
    "--prepend-iptables-chains=false",
    "--monitor-queue-size=0",
    "--cni-exclusive=false",
    "--state-dir=/run/cilium",
    "--socket-path=/run/cilium/cilium.sock",
    "--bpf-root=/sys/fs/bpf",
    "--cgroup-root=/run/cilium/cgroup",
];

fn compiler(paths: &Paths) -> PathBuf {
    paths.state.join("compiler")
}

fn library(paths: &Paths, node: Node) -> PathBuf {
    paths.node(node.name).join("engine")
}
