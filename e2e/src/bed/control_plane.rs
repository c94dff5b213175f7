//! etcd, API server, controller manager, scheduler, and the IPFS gateway.

use std::{path::Path, time::Duration};

use super::{
    addresses::Addresses,
    error::{Error, Result},
    paths::{self, Paths},
    process::{self, Room},
    progress, rights,
};

/// On two busy cores; alone it takes three seconds.
const API_LIMIT: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_millis(50);
/// The name of its process in the bed.
pub(super) const API_SERVER: &str = "kube-apiserver";

/// Starts what needs nothing else: etcd, the API server, the gateway.
///
/// # Errors
/// [`Error::Start`], [`Error::File`].
pub(super) fn start_store(paths: &Paths, addresses: Addresses, programs: &Path) -> Result<()> {
    let room = Room::network(paths.control_namespace());
    process::start(paths, "etcd", Some(&room), &etcd(paths, programs))?;
    start_api_server(paths, addresses, programs)?;
    paths::make_folder(&paths.artifacts())?;
    let gateway = [
        programs.join("ipfs-gateway").display().to_string(),
        format!("-listen={}:8088", addresses.control()),
        format!("-folder={}", paths.artifacts().display()),
    ];
    process::start(paths, "ipfs-gateway", Some(&room), &gateway).map(drop)
}

/// Starts the API server on what its store holds.
///
/// # Errors
/// [`Error::Start`], [`Error::File`].
pub(super) fn start_api_server(paths: &Paths, addresses: Addresses, programs: &Path) -> Result<()> {
    let room = Room::network(paths.control_namespace());
    let mut words = api_server(paths, addresses, programs);
    words.extend(rights::audit(paths)?);
    process::start(paths, API_SERVER, Some(&room), &words).map(drop)
}

/// Starts the controller manager and the scheduler; both want an API server that answers.
///
/// # Errors
/// [`Error::Start`], [`Error::File`].
pub(super) fn start_controllers(
    paths: &Paths,
    addresses: Addresses,
    programs: &Path,
) -> Result<()> {
    let room = Room::network(paths.control_namespace());
    let folder = paths.certificates();
    let file = |name: &str| folder.join(name).display().to_string();
    let manager = [
        programs.join("kube-controller-manager").display().to_string(),
        format!("--kubeconfig={}", file("controller-manager.kubeconfig")),
        "--leader-elect=false".into(),
        "--use-service-account-credentials".into(),
        format!("--root-ca-file={}", file("ca.crt")),
        format!("--service-account-private-key-file={}", file("service-accounts.key")),
        format!("--cluster-signing-cert-file={}", file("ca.crt")),
        format!("--cluster-signing-key-file={}", file("ca.key")),
        format!("--cluster-cidr={}", addresses.pods()),
        "--bind-address=127.0.0.1".into(),
        // Each controller fetches credentials first; the usual limit makes that take four seconds.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=500".into(),
    ];
    process::start(paths, "kube-controller-manager", Some(&room), &manager)?;
    let scheduler = [
        programs.join("kube-scheduler").display().to_string(),
        format!("--kubeconfig={}", file("scheduler.kubeconfig")),
        "--leader-elect=false".into(),
        "--bind-address=127.0.0.1".into(),
        "--kube-api-qps=500".into(),
        "--kube-api-burst=500".into(),
    ];
    process::start(paths, "kube-scheduler", Some(&room), &scheduler).map(drop)
}

/// Waits until the API server says that it is ready.
///
/// # Errors
/// [`Error::Late`] with the place of its log.
pub(super) async fn ready(paths: &Paths, client: &kube::Client) -> Result<()> {
    let started = progress::now();
    while started.elapsed() < API_LIMIT {
        if says_ready(client).await {
            return Ok(());
        }
        for name in ["etcd", API_SERVER] {
            if process::alive(paths, name).is_none() {
                return Err(ended(paths, name));
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(Error::Late {
        what: "an answer from the API server".into(),
        seconds: API_LIMIT.as_secs(),
        look: format!("see {}", paths.log(API_SERVER).display()),
    })
}

/// Whether the API server answers that it is ready.
pub(super) async fn says_ready(client: &kube::Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
    let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
    matches!(answer, Ok(Ok(text)) if text == "ok")
}

/// The error for a process of the bed that ended by itself, with its last lines.
pub(super) fn ended(paths: &Paths, name: &str) -> Error {
    let log = std::fs::read_to_string(paths.log(name)).unwrap_or_default();
    Error::Failed {
        program: name.to_owned(),
        operation: format!("keep {name} running"),
        output: super::command::last_lines(&log),
    }
}

fn services(paths: &Paths, addresses: Addresses) -> String {
    let first = addresses.services();
    if paths.enforced { format!("{first},{}", addresses.services_v6()) } else { first }
}

fn etcd(paths: &Paths, programs: &Path) -> Vec<String> {
    vec![
        programs.join("etcd").display().to_string(),
        format!("--data-dir={}", paths.state.join("etcd").display()),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
    ]
}

fn api_server(paths: &Paths, addresses: Addresses, programs: &Path) -> Vec<String> {
    let folder = paths.certificates();
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        programs.join("kube-apiserver").display().to_string(),
        "--etcd-servers=http://127.0.0.1:2379".into(),
        format!("--advertise-address={}", addresses.control()),
        format!("--service-cluster-ip-range={}", services(paths, addresses)),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--tls-cert-file={}", file("api-server.crt")),
        format!("--tls-private-key-file={}", file("api-server.key")),
        format!("--kubelet-certificate-authority={}", file("ca.crt")),
        format!("--kubelet-client-certificate={}", file("api-to-kubelet.crt")),
        format!("--kubelet-client-key={}", file("api-to-kubelet.key")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={}", file("service-accounts.key")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
    ]
}
