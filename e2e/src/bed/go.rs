//! The cluster's programs, built from their Go modules and kept by version outside the checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::{
    command::Run,
    error::{Error, Result},
    paths::{self, Paths},
    progress::step,
};

/// A registry that says nothing for this long does not answer.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
/// Kubernetes calls itself v0.0.0-master without these, and Helm's checks of versions go wrong.
const KUBERNETES_VERSION: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.35.4 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35 \
    -X k8s.io/client-go/pkg/version.gitVersion=v1.35.4 -X k8s.io/client-go/pkg/version.gitMajor=1 -X k8s.io/client-go/pkg/version.gitMinor=35";
const PLAIN: &str = "-s -w";

/// A Go module of `e2e/bed-go` and what is built from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Module {
    folder: &'static str,
    flags: &'static str,
    /// Packages and the programs' names.
    programs: &'static [(&'static str, &'static str)],
}

/// Every program of the cluster.
pub(super) const CLUSTER: [Module; 7] = [
    Module {
        folder: "kubernetes",
        flags: KUBERNETES_VERSION,
        programs: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
            ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
            ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
            ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
            ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
            ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
        ],
    },
    Module { folder: "etcd", flags: PLAIN, programs: &[("go.etcd.io/etcd/server/v3", "etcd")] },
    Module {
        folder: "coredns",
        flags: PLAIN,
        programs: &[("github.com/coredns/coredns", "coredns")],
    },
    HELM,
    Module { folder: "ipfs-gateway", flags: PLAIN, programs: &[(".", "ipfs-gateway")] },
    Module { folder: "probe", flags: PLAIN, programs: &[(".", "probe")] },
    // Judges what NetworkPolicies let through, apart from any network that enforces them.
    Module {
        folder: "cyclonus",
        flags: PLAIN,
        programs: &[("github.com/mattfenwick/cyclonus/cmd/cyclonus", "cyclonus")],
    },
];

const HELM: Module =
    Module { folder: "helm", flags: PLAIN, programs: &[("helm.sh/helm/v3/cmd/helm", "helm")] };

/// Checks Prometheus' rules; built only for those who ask.
const PROMTOOL: Module = Module {
    folder: "promtool",
    flags: PLAIN,
    programs: &[("github.com/prometheus/prometheus/cmd/promtool", "promtool")],
};
/// Without what finds targets in two dozen clouds, promtool is built in half the time; no other program knows the tag.
const TAGS: &str = "remove_all_sd";

/// Enforces network policies; built only for those who ask.
const CILIUM: Module = Module {
    folder: "cilium",
    flags: PLAIN,
    programs: &[
        ("github.com/cilium/cilium/daemon", "cilium-agent"),
        ("github.com/cilium/cilium/plugins/cilium-cni", "cilium-cni"),
    ],
};

/// Plays nodes by the hundred; built only for those who ask.
const KWOK: Module =
    Module { folder: "kwok", flags: PLAIN, programs: &[("sigs.k8s.io/kwok/cmd/kwok", "kwok")] };

/// The program that plays nodes by the hundred, built if it is not there.
///
/// # Errors
/// As [`programs`].
pub(super) async fn kwok(paths: &Paths) -> Result<PathBuf> {
    let folder = KWOK.ensure(paths).await?;
    tidy(paths);
    Ok(folder.join("kwok"))
}

/// Helm, built if it is not there.
///
/// # Errors
/// As [`programs`].
pub(super) async fn helm(paths: &Paths) -> Result<PathBuf> {
    Ok(HELM.ensure(paths).await?.join("helm"))
}

/// The program that checks Prometheus' rules, built if it is not there.
///
/// # Errors
/// As [`programs`].
pub(super) async fn promtool(paths: &Paths) -> Result<PathBuf> {
    let folder = PROMTOOL.ensure(paths).await?;
    tidy(paths);
    Ok(folder.join("promtool"))
}

/// The programs that enforce policies, and what they compile and define at run time: the folders `bpf` and `crds`.
///
/// # Errors
/// As [`programs`].
pub(super) async fn cilium(paths: &Paths) -> Result<PathBuf> {
    let folder = CILIUM.ensure_from(paths, changed_cilium).await?;
    tidy(paths);
    let _ = fs::remove_dir_all(folder.join("source"));
    Ok(folder)
}

/// A copy of Cilium's module with our file in place of its own, and a module that builds from the copy: Go replaces no
/// file of what it has downloaded.
async fn changed_cilium(source: PathBuf, building: PathBuf) -> Result<PathBuf> {
    let list = Run::new("go", "find the Go module of cilium").folder(&source);
    let words = ["list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium"];
    let original = list.args(words).output().await?;
    let script = format!(
        "rm -rf source bpf crds\n\
         cp -r --no-preserve=mode '{original}' source\n\
         cp '{ours}/modules_linux.go' source/pkg/datapath/linux/modules/\n\
         cp '{ours}/go.mod' '{ours}/go.sum' .\n\
         go mod edit -replace github.com/cilium/cilium=./source\n\
         cp -r source/bpf bpf\n\
         cp -r source/pkg/k8s/apis/cilium.io/client/crds crds\n",
        original = original.trim(),
        ours = source.display(),
    );
    let copy = Run::new("sh", "copy the Go module of cilium").args(["-e"]).folder(&building);
    copy.input(script).output().await?;
    Ok(building)
}

/// Whether every program of the bed is there.
///
/// # Errors
/// [`Error::File`] where a module's files cannot be read.
pub(super) fn are_built(paths: &Paths) -> Result<bool> {
    let engine = paths.enforced.then_some(CILIUM);
    for module in CLUSTER.into_iter().chain(engine) {
        let (_, target) = module.places(paths)?;
        if !target.exists() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Builds what is not there and returns a folder with links to all programs.
///
/// # Errors
/// [`Error::Missing`] where the module proxy does not answer, [`Error::Failed`] with the compiler's words.
pub(super) async fn programs(paths: &Paths) -> Result<PathBuf> {
    let mut all = Sha256::new();
    let mut built = Vec::new();
    for module in CLUSTER {
        let folder = module.ensure(paths).await?;
        all.update(folder.as_os_str().as_encoded_bytes());
        built.extend(module.programs.iter().map(|(_, name)| folder.join(name)));
    }
    tidy(paths);
    let together = paths.cache.join("programs").join(&hex::encode(all.finalize())[..16]);
    paths::make_folder(&together)?;
    for program in built {
        let link = together.join(program.file_name().unwrap_or_default());
        if !link.exists() {
            // A dangling link of a cleared cache is in the way.
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&program, &link).map_err(Error::file("link", &link))?;
        }
    }
    Ok(together)
}

impl Module {
    /// The folder with this module's programs, built if need be.
    ///
    /// # Errors
    /// As [`programs`].
    pub(super) async fn ensure(self, paths: &Paths) -> Result<PathBuf> {
        self.ensure_from(paths, async |source, _| Ok(source)).await
    }

    /// The same, built in the folder that `prepare` makes of the module's own and of the one that is being filled.
    async fn ensure_from(
        self,
        paths: &Paths,
        prepare: impl AsyncFnOnce(PathBuf, PathBuf) -> Result<PathBuf>,
    ) -> Result<PathBuf> {
        let (source, target) = self.places(paths)?;
        if target.exists() {
            return Ok(target);
        }
        download(self.folder, &source).await?;
        // An interrupted build goes on here; the lock of the set-up keeps others out.
        let building = target.with_extension("building");
        paths::make_folder(&building)?;
        let source = prepare(source, building.clone()).await?;
        for (package, name) in self.programs {
            let finished = building.join(name);
            if finished.exists() {
                continue;
            }
            step(
                format_args!("building {name} from its Go module"),
                self.build(paths, (&source, package), &finished),
            )
            .await?;
        }
        fs::rename(&building, &target).map_err(Error::file("rename to", &target))?;
        Ok(target)
    }

    /// Where its sources are, and where its programs are or will be: a folder that is there is whole.
    fn places(self, paths: &Paths) -> Result<(PathBuf, PathBuf)> {
        let source = paths.checkout.join("e2e/bed-go").join(self.folder);
        let target = paths.cache.join("bin").join(self.version(&source)?);
        Ok((source, target))
    }

    async fn build(
        self,
        paths: &Paths,
        (source, package): (&Path, &str),
        finished: &Path,
    ) -> Result<()> {
        let partial = finished.with_extension("partial");
        Run::new("go", format!("build {package}"))
            .folder(source)
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", scratch(paths))
            .args(["build", "-trimpath", "-tags", TAGS, "-ldflags", self.flags, "-o"])
            .args([&partial])
            .args([package])
            .output()
            .await?;
        fs::rename(&partial, finished).map_err(Error::file("rename to", finished))
    }

    /// A hash of everything that the programs are made of: sums, sources, flags.
    fn version(self, source: &Path) -> Result<String> {
        let mut files: Vec<PathBuf> = fs::read_dir(source)
            .map_err(Error::file("list", source))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "go" || e == "mod" || e == "sum"))
            .collect();
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            hash.update(fs::read(&file).map_err(Error::file("read", &file))?);
        }
        hash.update(self.flags);
        Ok(format!("{}-{}", self.folder, &hex::encode(hash.finalize())[..12]))
    }
}

/// Where the compiler keeps what the modules share while they are built.
fn scratch(paths: &Paths) -> PathBuf {
    paths.cache.join("go-build")
}

/// Removes the gigabytes that nobody needs once all is built; what cannot be removed harms nobody.
fn tidy(paths: &Paths) {
    let _ = fs::remove_dir_all(scratch(paths));
}

/// Fetches the sources first, so that a proxy that does not answer is told from a compiler that refuses.
async fn download(name: &str, source: &Path) -> Result<()> {
    let fetch = Run::new("go", format!("fetch the Go module {name}"))
        .folder(source)
        .args(["mod", "download"])
        .output();
    let fetch = async {
        let told = match tokio::time::timeout(DOWNLOAD_LIMIT, fetch).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(Error::Failed { output, .. })) => output,
            Ok(Err(other)) => return Err(other),
            Err(_) => format!("nothing for {} s", DOWNLOAD_LIMIT.as_secs()),
        };
        Err(Error::Missing {
            missing: format!("the Go modules of {name} cannot be fetched: {told}"),
            remedy: "Check the network, and what `go env GOPROXY` names; then try again.".into(),
        })
    };
    step(format_args!("fetching the Go modules of {name}"), fetch).await
}
