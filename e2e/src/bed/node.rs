//! A node of the bed: namespaces of its own, with its own containerd, kubelet and kube-proxy.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    addresses::Addresses,
    command::Run,
    cores, engine,
    error::{Error, Result},
    node_files,
    paths::{self, Paths},
    process::{self, Room},
    progress,
};

/// containerd's socket, inside a node's mounts.
const SOCKET: &str = "/run/containerd/containerd.sock";
const CONTAINERD_LIMIT: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_millis(30);
/// Left by an orderly end: containerd's folder then holds images and no container.
const CLEAN: &str = "clean";

/// One of the bed's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its name in the cluster.
    pub name: &'static str,
    /// Its number, from 1; addresses are made from it.
    pub number: u8,
    /// What it is for.
    pub pool: Pool,
}

/// What a node is for; the value of its label `coreward.dev/pool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// One exclusive core, handed out whole; tainted `coreward.dev/compute=:NoSchedule`.
    Compute,
    /// No exclusive cores: DNS, the operator, and units only where an offer says so.
    Shared,
}

impl Pool {
    /// The label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Shared => "shared",
        }
    }
}

/// The nodes of every bed.
pub const NODES: [Node; 3] = [
    Node { name: "n1", number: 1, pool: Pool::Compute },
    Node { name: "n2", number: 2, pool: Pool::Compute },
    Node { name: "n3", number: 3, pool: Pool::Shared },
];

impl Node {
    /// The names of its processes, in the order in which they end.
    #[must_use]
    pub fn processes(self) -> [String; 4] {
        ["kubelet", "kube-proxy", "containerd", "mounts"].map(|program| self.process(program))
    }

    pub(super) fn process(self, program: &str) -> String {
        format!("{}-{program}", self.name)
    }

    /// Its network and mounts.
    ///
    /// # Errors
    /// [`Error::Down`] where it is not running.
    pub fn room(self, paths: &Paths) -> Result<Room> {
        let holder = process::alive(paths, &self.process("mounts"))
            .ok_or_else(|| Error::Down(paths.name.clone()))?;
        Ok(Room::network(paths.node_namespace(self.name)).with_mounts_of(holder))
    }

    /// Makes its mounts and starts containerd; returns when containerd answers.
    ///
    /// # Errors
    /// [`Error::Start`], [`Error::Late`], [`Error::Failed`].
    pub async fn start_containerd(self, paths: &Paths, addresses: Addresses) -> Result<()> {
        let root = paths.containerd(self.name);
        if root.exists() && fs::remove_file(root.join(CLEAN)).is_err() {
            fs::remove_dir_all(&root).map_err(Error::file("remove what is left in", &root))?;
        }
        paths::make_folder(&root)?;
        node_files::write(self, paths, addresses)?;
        cores::make_cgroup(&paths.cgroup(self.name))?;
        self.make_mounts(paths).await?;
        let config = paths.node(self.name).join("containerd.toml");
        let words = ["containerd", "--config", &config.display().to_string()].map(str::to_owned);
        let name = self.process("containerd");
        process::start(paths, &name, Some(&self.room(paths)?), &words)?;
        let started = progress::now();
        while started.elapsed() < CONTAINERD_LIMIT {
            if self.ctr(paths, "ask containerd", &["version"]).await.is_ok() {
                return Ok(());
            }
            if process::alive(paths, &name).is_none() {
                return Err(super::control_plane::ended(paths, &name));
            }
            tokio::time::sleep(INTERVAL).await;
        }
        Err(Error::Late {
            what: format!("an answer from containerd of {}", self.name),
            seconds: CONTAINERD_LIMIT.as_secs(),
            look: format!("see {}", paths.log(&name).display()),
        })
    }

    /// Starts the kubelet; the node is Ready some three seconds later.
    ///
    /// # Errors
    /// [`Error::Start`], [`Error::File`].
    pub fn start_kubelet(self, paths: &Paths, addresses: Addresses, programs: &Path) -> Result<()> {
        let room = self.room(paths)?;
        let folder = paths.node(self.name);
        let file = |name: &str| folder.join(name).display().to_string();
        let mut kubelet = vec![
            programs.join("kubelet").display().to_string(),
            format!("--config={}", file("kubelet.yaml")),
            format!("--root-dir={}", file("kubelet")),
            format!(
                "--kubeconfig={}",
                paths.certificates().join(format!("{}.kubeconfig", self.name)).display()
            ),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={}", self.addresses(paths, addresses)),
            format!("--node-labels=coreward.dev/pool={}", self.pool.label()),
        ];
        if self.pool == Pool::Compute {
            kubelet.push("--register-with-taints=coreward.dev/compute=:NoSchedule".into());
        }
        process::start(paths, &self.process("kubelet"), Some(&room), &kubelet).map(drop)
    }

    fn addresses(self, paths: &Paths, addresses: Addresses) -> String {
        let first = addresses.node(self.number).to_string();
        if paths.enforced { format!("{first},{}", addresses.node_v6(self.number)) } else { first }
    }

    /// Starts the proxy.
    ///
    /// # Errors
    /// [`Error::Start`], [`Error::File`].
    pub fn start_proxy(self, paths: &Paths, programs: &Path) -> Result<()> {
        let room = self.room(paths)?;
        let config = paths.node(self.name).join("kube-proxy.yaml");
        let proxy = [
            programs.join("kube-proxy").display().to_string(),
            format!("--config={}", config.display()),
        ];
        process::start(paths, &self.process("kube-proxy"), Some(&room), &proxy).map(drop)
    }

    /// Runs `ctr` against this node's containerd, in Kubernetes' namespace.
    ///
    /// # Errors
    /// [`Error::Failed`] with its words.
    pub async fn ctr(self, paths: &Paths, operation: &str, args: &[&str]) -> Result<String> {
        let room = self.room(paths)?.enter();
        let Some((program, rest)) = room.split_first() else { return Ok(String::new()) };
        Run::new(program, format!("{operation} on {}", self.name))
            .args(rest)
            .args(["ctr", "--address", SOCKET, "--namespace", "k8s.io"])
            .args(args)
            .output()
            .await
    }

    /// Ends the node: kubelet, containers, containerd. Images stay.
    pub async fn end(self, paths: &Paths) {
        let first = ["kubelet", "kube-proxy", engine::AGENT].map(|program| self.process(program));
        process::end(paths, &first).await;
        cores::remove_cgroup(&paths.cgroup(self.name)).await;
        let emptied = self.remove_containers(paths).await;
        process::end(paths, &[self.process("containerd")]).await;
        if emptied.is_ok() {
            // Without the mark the next start throws the images away and imports them again; no harm.
            let _ = fs::write(paths.containerd(self.name).join(CLEAN), "");
        }
        process::end(paths, &[self.process("mounts")]).await;
        cores::remove_cgroup(&paths.cgroup(self.name)).await;
    }

    async fn remove_containers(self, paths: &Paths) -> Result<()> {
        let list = self.ctr(paths, "list containers", &["containers", "list", "--quiet"]).await?;
        let names: Vec<&str> = list.split_whitespace().collect();
        if names.is_empty() {
            return Ok(());
        }
        for task in &names {
            // Its process is dead already; this makes containerd notice.
            let _ = self.ctr(paths, "delete a task", &["tasks", "delete", "--force", task]).await;
        }
        let mut words = vec!["containers", "delete"];
        words.extend(&names);
        self.ctr(paths, "delete containers", &words).await.map(drop)
    }

    /// A process that holds the node's mount namespace, with what must not be shared mounted over.
    async fn make_mounts(self, paths: &Paths) -> Result<()> {
        let done = paths.node(self.name).join("mounted");
        let script = format!(
            "mount -t tmpfs -o mode=755 tmpfs /run\n\
             mount -t tmpfs -o mode=755 tmpfs /var/log\n\
             mount -t tmpfs -o mode=755 tmpfs {CNI_STATE}\n\
             {engine}\n\
             mkdir -p /run/containerd /run/lock\n\
             touch {done}\n\
             exec sleep infinity\n",
            engine = if paths.enforced { engine::MOUNTS } else { "" },
            done = done.display(),
        );
        let words = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", &script]
            .map(str::to_owned);
        let room = Room::network(paths.node_namespace(self.name));
        let name = self.process("mounts");
        process::start(paths, &name, Some(&room), &words)?;
        let started = progress::now();
        while !done.exists() {
            if process::alive(paths, &name).is_none() || started.elapsed() > CONTAINERD_LIMIT {
                return Err(super::control_plane::ended(paths, &name));
            }
            tokio::time::sleep(INTERVAL).await;
        }
        Ok(())
    }
}

/// Where the CNI library keeps results, whatever its configuration says; covered in each node's mounts.
pub(super) const CNI_STATE: &str = "/var/lib/cni";

/// The mount points that nodes need on the machine: an empty folder where there was none.
///
/// # Errors
/// [`Error::File`].
pub(super) fn make_mount_points() -> Result<()> {
    paths::make_folder(&PathBuf::from(CNI_STATE))
}
