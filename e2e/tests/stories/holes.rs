//! The table of network holes against the policies of the live cluster.

use std::collections::{BTreeMap, BTreeSet};

use coreward_e2e::{
    bed::NAMESPACE,
    story::{
        deal, ensure,
        holes::{Hole, PORTS, same, written},
        pods,
        referee::{Connection, Inside, Peer, judge},
    },
    world::{Error, Result, World, cluster},
};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, ResourceExt};

/// Ends of both IP families by the table's words.
const ADDRESSES: [(&str, &str); 6] = [
    ("public address", "8.8.8.8"),
    ("public address", "2600:1f18::5"),
    ("private address", "10.77.0.1"),
    ("private address", "fd12:3456::1"),
    ("metadata address", "169.254.169.254"),
    ("metadata address", "fe80::a9fe:a9fe"),
];
/// Whose own policies are not ours: as one end of a connection they are judged by the other's.
const FOREIGN: [&str; 6] = [
    "worker of another deal",
    "stranger",
    "cluster DNS",
    "public address",
    "private address",
    "metadata address",
];

type Ends = Vec<(&'static str, Peer)>;

/// Judges every connection between any two of those that the table names, and compares.
pub(super) async fn are_as_written(
    world: &World,
    (one, other): (&deal::Served, &deal::Served),
) -> Result<usize> {
    let ends = ends(world, one, other).await?;
    let mut wanted = Vec::new();
    for (from, source) in &ends {
        for (to, destination) in &ends {
            // Between two foreign ends no policy of ours decides, nor within one pod; whom another deal's worker lets in is what
            // this deal's own workers show.
            let is_foreign = FOREIGN.contains(from) && FOREIGN.contains(to);
            if source == destination || is_foreign || *to == "worker of another deal" {
                continue;
            }
            wanted.extend(PORTS.map(|(protocol, port)| {
                let connection = Connection {
                    source: source.clone(),
                    destination: destination.clone(),
                    resolved_port: port,
                    resolved_port_name: String::new(),
                    protocol: protocol.to_owned(),
                };
                let hole = ((*from).to_owned(), (*to).to_owned(), format!("{protocol} {port}"));
                (hole, connection)
            }));
        }
    }
    let connections: Vec<_> = wanted.iter().map(|(_, connection)| connection.clone()).collect();
    let judged = judge(world, &connections).await?;
    let open: BTreeSet<Hole> = wanted
        .iter()
        .zip(&judged)
        .filter(|(_, open)| **open)
        .map(|((hole, _), _)| hole.clone())
        .collect();
    let pairs = wanted.iter().map(|((from, to, _), _)| (from.as_str(), to.as_str())).collect();
    same(&open, &written(&pairs)?)?;
    Ok(connections.len())
}

/// One of each whom the table names.
async fn ends(world: &World, one: &deal::Served, other: &deal::Served) -> Result<Ends> {
    let client = world.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let of = async |pod: &Pod| -> Result<Peer> {
        let name = pod.namespace().unwrap_or_default();
        let namespace = namespaces.get(&name).await.map_err(cluster("read a namespace"))?;
        let inside = Inside {
            pod_labels: pod.labels().clone(),
            namespace_labels: namespace.labels().clone(),
            namespace: name,
        };
        let ip = pod.status.as_ref().and_then(|it| it.pod_ip.clone()).unwrap_or_default();
        Ok(Peer { internal: Some(inside), ip })
    };
    let mut ends: Ends =
        vec![("worker", of(&one.pod).await?), ("worker of the same deal", of(&other.pod).await?)];
    for (name, component) in [("operator", "operator"), ("node agent", "node")] {
        let pods = pods::of_component(&client, component).await?;
        let pod = pods.first().ok_or_else(|| Error::Finding(format!("there is no {name}")))?;
        ends.push((name, of(pod).await?));
    }
    // Not every cluster has one.
    if let Some(pod) = pods::of_component(&client, "gateway").await?.first() {
        ends.insert(0, ("gateway", of(pod).await?));
    }
    // Both live too shortly, or not now, and differ from an agent by this label alone.
    let agent = ends.last().map(|(_, peer)| peer.clone());
    for name in ["probe", "prover"] {
        let mut peer = agent.clone().ok_or_else(|| Error::Finding("no agent".to_owned()))?;
        if let Some(inside) = &mut peer.internal {
            inside.pod_labels.insert("coreward.dev/component".to_owned(), name.to_owned());
            ensure(inside.namespace == NAMESPACE, || format!("an agent in {}", inside.namespace))?;
        }
        peer.ip = format!("10.244.250.{}", name.len());
        ends.push((name, peer));
    }
    let worker = of(&one.pod).await?;
    ends.extend(foreign(&worker));
    Ok(ends)
}

/// Those whose pods and namespaces are not ours, and addresses outside.
fn foreign(worker: &Peer) -> Ends {
    let mut of_another_deal = Peer { ip: "10.244.250.20".to_owned(), ..worker.clone() };
    if let Some(inside) = &mut of_another_deal.internal {
        "deal-0000000000-000000".clone_into(&mut inside.namespace);
        inside.namespace_labels.insert("coreward.dev/deal".to_owned(), "00".repeat(20));
    }
    let pod = |namespace: &str, ip: &str| {
        let name = ("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        let inside = Inside {
            pod_labels: BTreeMap::new(),
            namespace_labels: BTreeMap::from([name]),
            namespace: namespace.to_owned(),
        };
        Peer { internal: Some(inside), ip: ip.to_owned() }
    };
    let mut ends = vec![
        ("worker of another deal", of_another_deal),
        ("stranger", pod("somebody-elses", "10.244.250.30")),
        ("cluster DNS", pod("kube-system", "10.244.250.31")),
    ];
    let outside = ADDRESSES.map(|(name, ip)| (name, Peer { internal: None, ip: ip.to_owned() }));
    ends.extend(outside);
    ends
}
