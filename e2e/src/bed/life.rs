//! How a bed comes up and goes down.

use std::{fs, net::SocketAddr, time::Duration};

use futures::future;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node as ClusterNode, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Bed,
    addresses::Addresses,
    control_plane, cores,
    deploy::is_rolled_out,
    dns, engine,
    error::{Error, Result},
    image, lock, network,
    node::{self, NODES, Node},
    paths::{self, Paths},
    pki, process,
    progress::{self, say, step},
    setup::{self, Parts},
};
use crate::chain::{self, AnvilConfig, Contracts, Parameters};

const READY_LIMIT: Duration = Duration::from_mins(2);
const INTERVAL: Duration = Duration::from_millis(50);
const CHAIN: &str = "anvil";

/// What is written down of a bed that is up.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    addresses: Addresses,
    programs: std::path::PathBuf,
    contracts: Contracts,
}

/// Starts the bed, or finds it up already; builds what it needs first. Safe to call from several processes at once.
///
/// # Errors
/// The first thing that went wrong; nothing is left running then, and the logs stay.
pub async fn up() -> Result<Bed> {
    super::preflight::machine()?;
    let paths = Paths::read()?;
    let _lock = lock(&paths).await?;
    let parts = setup::parts(&paths).await?;
    if let Some(mut bed) = standing(&paths).await {
        say(format_args!("the bed {} is up already", paths.name));
        // A newer harness may bring newer programs and images than the one that started it.
        bed.programs = parts.programs;
        image::ensure(&bed, &image::CLUSTER).await?;
        write_record(&bed)?;
        return Ok(bed);
    }
    if network::exists(&paths) || !process::names(&paths).is_empty() {
        step("removing what is left of an earlier bed", remove(&paths)).await?;
    }
    let _ = fs::remove_dir_all(&paths.state);
    super::preflight::watchers();
    let started = progress::now();
    match start(&paths, &parts).await {
        Ok(bed) => {
            say(format_args!(
                "the bed {} is up after {:.1} s",
                paths.name,
                started.elapsed().as_secs_f32()
            ));
            Ok(bed)
        }
        Err(error) => {
            end(&paths).await;
            say(format_args!(
                "the bed did not come up and was taken down; its logs are in {}",
                paths.log("").display()
            ));
            Err(error)
        }
    }
}

/// As [`up`], for a program with a terminal: an interrupt or a request to end leaves nothing half-started running.
///
/// # Errors
/// [`Error::Interrupted`], and those of [`up`].
pub async fn up_unless_interrupted() -> Result<Bed> {
    let mut ended = signal(SignalKind::terminate()).map_err(|source| Error::Start {
        program: "the bed".into(),
        operation: "hear signals".into(),
        source,
    })?;
    tokio::select! {
        bed = Box::pin(up()) => return bed,
        _ = tokio::signal::ctrl_c() => {}
        _ = ended.recv() => {}
    }
    say("interrupted; taking down what was started");
    Box::pin(down()).await?;
    Err(Error::Interrupted)
}

/// Ends the bed and removes every trace but the cache.
///
/// # Errors
/// [`Error::File`] where something cannot be removed.
pub async fn down() -> Result<()> {
    super::preflight::machine()?;
    let paths = Paths::read()?;
    let _lock = lock(&paths).await?;
    step("ending the bed", remove(&paths)).await?;
    say(format_args!("the bed {} is down", paths.name));
    Ok(())
}

/// The bed of this name, if it is up and answers.
pub(super) async fn standing(paths: &Paths) -> Option<Bed> {
    let text = fs::read_to_string(paths.state.join("bed.json")).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    let all_alive = process::names(paths).iter().all(|name| process::alive(paths, name).is_some());
    let client = client(paths).await.ok()?;
    let answers = all_alive && control_plane::says_ready(&client).await;
    answers.then(|| bed(paths, record, client))
}

fn bed(paths: &Paths, record: Record, client: Client) -> Bed {
    Bed {
        paths: paths.clone(),
        addresses: record.addresses,
        programs: record.programs,
        contracts: record.contracts,
        client,
    }
}

async fn start(paths: &Paths, parts: &Parts) -> Result<Bed> {
    let addresses =
        Addresses::choose(&paths.name, network::taken).ok_or_else(|| Error::Missing {
            missing: "no range of addresses is free for another bed".into(),
            remedy: "Take a bed down: `bed down` with its COREWARD_BED.".into(),
        })?;
    paths::make_folder(&paths.state)?;
    node::make_mount_points()?;
    let cluster_images = image::build(paths, &parts.programs, &image::CLUSTER).await?;
    let nodes = NODES.map(|node| (node.name, addresses.node(node.number)));
    if let Some(folder) = &parts.engine {
        engine::prepare(paths, folder).await?;
    }
    tokio::try_join!(pki::make(paths, addresses, &nodes), network::make(paths, addresses))?;
    control_plane::start_store(paths, addresses, &parts.programs)?;
    let client = client(paths).await?;
    let containers = NODES.map(|node| {
        let images = &cluster_images;
        async move {
            node.start_containerd(paths, addresses).await?;
            image::import(paths, node, images).await
        }
    });
    let api = async {
        control_plane::ready(paths, &client).await?;
        control_plane::start_controllers(paths, addresses, &parts.programs)
    };
    let (contracts, (), _) = tokio::try_join!(
        step("starting the chain", start_chain(paths, addresses, parts)),
        step("starting the control plane", api),
        step("starting containerd on three nodes", future::try_join_all(containers)),
    )?;
    for node in NODES {
        node.start_kubelet(paths, addresses, &parts.programs)?;
        node.start_proxy(paths, &parts.programs)?;
    }
    if let Some(folder) = &parts.engine {
        let start = engine::start(paths, addresses, (folder, &parts.programs), &client);
        step("starting the policy engine", start).await?;
    }
    let dns_image = cluster_images.iter().find(|image| image.reference.contains("coredns"));
    let dns_image = dns_image.map(|image| image.reference.clone()).unwrap_or_default();
    step("starting DNS", dns::deploy(&client, addresses, &dns_image)).await?;
    step("waiting for three nodes and DNS", ready(paths, &client)).await?;
    let record = Record { addresses, programs: parts.programs.clone(), contracts };
    let bed = bed(paths, record, client);
    write_record(&bed)?;
    Ok(bed)
}

fn write_record(bed: &Bed) -> Result<()> {
    let record = Record {
        addresses: bed.addresses,
        programs: bed.programs.clone(),
        contracts: bed.contracts,
    };
    let text = serde_json::to_string(&record).map_err(Error::malformed("the bed's record"))?;
    paths::write(&bed.paths.state.join("bed.json"), text)
}

async fn start_chain(paths: &Paths, addresses: Addresses, parts: &Parts) -> Result<Contracts> {
    let failed = |source| Error::Chain { operation: "start", source: Box::new(source) };
    let room = process::Room::network(paths.control_namespace());
    let log = paths.log(CHAIN);
    paths::make_folder(log.parent().unwrap_or(&paths.state))?;
    let states = paths.state.join("chain-states");
    paths::make_folder(&states)?;
    let config = AnvilConfig {
        program: parts.packages.anvil(),
        prefix: room.enter(),
        listen: SocketAddr::from((addresses.control(), 8545)),
        first_timestamp: None,
        reached_at: None,
        log: Some(log),
        states: Some(states),
        outlives_us: true,
    };
    let (anvil, contracts) =
        chain::start(&config, &parts.packages, &Parameters::for_stories(), &paths.cache)
            .await
            .map_err(failed)?;
    // Blocks come by themselves, as on any chain: finality needs them.
    anvil.mine_by_interval(1).await.map_err(failed)?;
    if let Some(id) = anvil.process_id() {
        process::remember(paths, CHAIN, id)?;
    }
    Ok(contracts)
}

async fn client(paths: &Paths) -> Result<Client> {
    // Whoever came first has chosen; there is one provider per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let what = || format!("the client configuration {}", paths.kubeconfig().display());
    let file = Kubeconfig::read_from(paths.kubeconfig()).map_err(Error::malformed(what()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(Error::malformed(what()))?;
    Client::try_from(config).map_err(Error::cluster("connect to the API server"))
}

/// Waits for three Ready nodes, for DNS, and for the account that every pod of the first namespace needs.
async fn ready(paths: &Paths, client: &Client) -> Result<()> {
    let started = progress::now();
    let mut missing = String::new();
    while started.elapsed() < READY_LIMIT {
        missing = what_is_missing(client).await;
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(name) =
            process::names(paths).iter().find(|name| process::alive(paths, name).is_none())
        {
            return Err(control_plane::ended(paths, name));
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(Error::Late {
        what: missing,
        seconds: READY_LIMIT.as_secs(),
        look: format!("see {}", paths.log("n1-kubelet").display()),
    })
}

async fn what_is_missing(client: &Client) -> String {
    let nodes: Api<ClusterNode> = Api::all(client.clone());
    let ready = nodes
        .list(&ListParams::default())
        .await
        .map(|list| list.items.iter().filter(|node| is_ready(node)).count());
    if ready.as_ref().ok() != Some(&NODES.len()) {
        return format!("{} Ready nodes (there are {})", NODES.len(), ready.unwrap_or_default());
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    if !matches!(accounts.get_opt("default").await, Ok(Some(_))) {
        return "the default ServiceAccount".into();
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    match deployments.get("coredns").await {
        Ok(deployment) if is_rolled_out(&deployment) => String::new(),
        _ => "a ready CoreDNS".into(),
    }
}

pub(super) fn is_ready(node: &ClusterNode) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn remove(paths: &Paths) -> Result<()> {
    end(paths).await;
    if paths.state.exists() {
        fs::remove_dir_all(&paths.state).map_err(Error::file("remove", &paths.state))?;
    }
    Ok(())
}

/// Ends every process of the bed and deletes its namespaces, links and groups; files stay.
async fn end(paths: &Paths) {
    // Nothing may start a container again while containers are killed.
    process::end(paths, &["kube-controller-manager", "kube-scheduler"].map(str::to_owned)).await;
    future::join_all(NODES.map(|node: Node| node.end(paths))).await;
    process::end(paths, &process::names(paths)).await;
    process::kill_inside(&network::namespaces(paths));
    network::remove(paths).await;
    future::join_all(
        NODES.map(|node| async move { cores::remove_cgroup(&paths.cgroup(node.name)).await }),
    )
    .await;
    // Only where nothing of the machine's own is in it.
    let _ = fs::remove_dir(node::CNI_STATE);
}

/// One process at a time starts or ends a bed.
async fn lock(paths: &Paths) -> Result<fs::File> {
    lock::take(
        &paths.cache.join(format!("{}.lock", paths.name)),
        "another start or end of this bed",
    )
    .await
}
