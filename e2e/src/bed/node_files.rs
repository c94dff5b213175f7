//! The configuration files of a node.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    addresses::Addresses,
    cores, engine,
    error::Result,
    node::{Node, Pool},
    paths::{self, Paths},
};

/// Where Debian keeps network plugins.
pub(super) const PLUGINS: &str = "/usr/lib/cni";
/// The pause image, which every sandbox runs.
pub(super) const PAUSE: &str = "coreward.local/pause:dev";

/// Writes all configuration of a node into its folder.
///
/// # Errors
/// [`Error::File`](super::Error::File), and what [`cores::reserved_on`] reports.
pub(super) fn write(node: Node, paths: &Paths, addresses: Addresses) -> Result<()> {
    let folder = paths.node(node.name);
    paths::write(&folder.join("containerd.toml"), containerd(node, paths))?;
    let network = if paths.enforced { engine::network() } else { network(node, addresses) };
    paths::write(&folder.join("cni/10-bed.conflist"), network.to_string())?;
    // No name server of the machine: what CoreDNS does not know does not exist in here.
    paths::write(&folder.join("resolv.conf"), "")?;
    paths::write(&folder.join("kubelet.yaml"), kubelet(node, paths, addresses)?.to_string())?;
    paths::write(&folder.join("kube-proxy.yaml"), proxy(node, paths, addresses).to_string())
}

fn containerd(node: Node, paths: &Paths) -> String {
    let root = paths.containerd(node.name);
    let cni = paths.node(node.name).join("cni");
    let plugins = if paths.enforced { engine::plugins(paths) } else { PathBuf::from(PLUGINS) };
    format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Without CAP_SYS_RESOURCE every sandbox dies otherwise: the kernel refuses to lower the score.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{cni}"
"#,
        root = root.display(),
        cni = cni.display(),
        plugins = plugins.display(),
    )
}

/// Pods by veth pairs that the node routes: a bridge would need the kernel's bridge filter for Services on one node.
fn network(node: Node, addresses: Addresses) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "bed",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni/networks",
                    "ranges": [[{ "subnet": addresses.pods_of(node.number) }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

fn kubelet(node: Node, paths: &Paths, addresses: Addresses) -> Result<Value> {
    let certificates = paths.certificates();
    let folder = paths.node(node.name);
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": certificates.join("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": certificates.join(format!("{}-server.crt", node.name)),
        "tlsPrivateKeyFile": certificates.join(format!("{}-server.key", node.name)),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", paths.cgroup(node.name)),
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "resolvConf": folder.join("resolv.conf"),
        "clusterDNS": [addresses.dns_service().to_string()],
        "clusterDomain": "cluster.local",
        "volumePluginDir": folder.join("volume-plugins"),
        // The machine's disk is the user's matter, not a reason to evict.
        "evictionHard": { "imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%" },
        "imageGCHighThresholdPercent": 100,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
        // Secrets and config maps reach volumes at once.
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        // Stories end programs by the dozen, and do not wait for the kubelet's patience each time.
        "crashLoopBackOff": { "maxContainerRestartPeriod": "1s" },
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "maxPods": 200,
        "shutdownGracePeriod": "0s",
    });
    if node.pool == Pool::Compute
        && let Some(fields) = config.as_object_mut()
    {
        fields.insert("cpuManagerPolicy".into(), "static".into());
        fields.insert("cpuManagerPolicyOptions".into(), json!({ "full-pcpus-only": "true" }));
        fields.insert("cpuManagerReconcilePeriod".into(), "1s".into());
        fields.insert("reservedSystemCPUs".into(), cores::reserved_on(node.number)?.into());
    }
    Ok(config)
}

fn proxy(node: Node, paths: &Paths, addresses: Addresses) -> Value {
    let mut pods = addresses.pods();
    if paths.enforced {
        pods = format!("{pods},{}", addresses.pods_v6());
    }
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": paths.certificates().join("proxy.kubeconfig") },
        "hostnameOverride": node.name,
        "mode": "nftables",
        "clusterCIDR": pods,
        // The machine's own limits stay as they are.
        "conntrack": { "maxPerCore": 0, "min": 0 },
        "oomScoreAdj": 0,
    })
}
