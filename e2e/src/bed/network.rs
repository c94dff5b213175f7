//! The bed's network: a bridge in the control plane's namespace, every node a namespace of its own on it.

use std::{fs, net::Ipv4Addr, path::Path};

use super::{
    addresses::Addresses,
    command::Run,
    error::Result,
    node::{NODES, Node},
    paths::Paths,
};

const FORWARD_V6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

/// Makes namespaces, links, addresses and routes.
///
/// # Errors
/// What `ip` says.
pub(super) async fn make(paths: &Paths, addresses: Addresses) -> Result<()> {
    shell(None, "make the bed's links", &machine_script(paths, addresses)).await?;
    let control = paths.control_namespace();
    shell(Some(&control), "address the control plane", &control_script(paths, addresses)).await?;
    for node in NODES {
        let namespace = paths.node_namespace(node.name);
        shell(Some(&namespace), "address a node", &node_script(paths, addresses, node)).await?;
    }
    Ok(())
}

/// Deletes them; what is not there is no error.
pub(super) async fn remove(paths: &Paths) {
    let mut lines = vec![format!("ip link del {} 2>/dev/null || true", paths.link())];
    let namespaces = namespaces(paths).into_iter();
    lines.extend(namespaces.map(|name| format!("ip netns del {name} 2>/dev/null || true")));
    // What could not be deleted shows at the next start; there is nothing else to do about it here.
    let _ = shell(None, "delete the bed's namespaces", &lines.join("\n")).await;
}

/// All network namespaces of a bed.
#[must_use]
pub(super) fn namespaces(paths: &Paths) -> Vec<String> {
    let mut names = vec![paths.control_namespace()];
    names.extend(NODES.map(|node| paths.node_namespace(node.name)));
    names
}

/// Whether a bed's namespaces are there.
#[must_use]
pub(super) fn exists(paths: &Paths) -> bool {
    namespaces(paths).iter().any(|name| Path::new("/run/netns").join(name).exists())
}

/// Whether the machine has a route into any of these ranges already.
#[must_use]
pub(super) fn taken(addresses: Addresses) -> bool {
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let destinations = table.lines().filter_map(|line| line.split_whitespace().nth(1));
    destinations
        .filter_map(|text| u32::from_str_radix(text, 16).ok())
        // The kernel prints the address as its memory reads as a number.
        .any(|destination| addresses.contain(Ipv4Addr::from(destination.to_ne_bytes())))
}

fn machine_script(paths: &Paths, addresses: Addresses) -> String {
    let (control, link) = (paths.control_namespace(), paths.link());
    let mut lines = vec![
        format!("ip netns add {control}"),
        format!("ip link add {link} type veth peer name machine netns {control}"),
        format!("ip addr add {}/24 dev {link}", addresses.machine()),
        format!("ip link set {link} up"),
    ];
    for node in NODES {
        let (name, namespace) = (node.name, paths.node_namespace(node.name));
        lines.push(format!("ip netns add {namespace}"));
        lines.push(format!(
            "ip -n {control} link add {name} type veth peer name e0 netns {namespace}"
        ));
        lines.push(route_to_pods(addresses, node));
    }
    // Any node would do: its proxy masquerades what comes from outside the pods' range.
    let door = addresses.node(NODES[2].number);
    lines.push(format!("ip route add {} via {door}", addresses.services()));
    lines.join("\n")
}

fn control_script(paths: &Paths, addresses: Addresses) -> String {
    let mut lines = vec![
        "ip link set lo up".to_owned(),
        "ip link add bed type bridge".to_owned(),
        format!("ip addr add {}/24 dev bed", addresses.control()),
        "ip link set bed up".to_owned(),
        "ip link set machine master bed up".to_owned(),
        "echo 1 > /proc/sys/net/ipv4/ip_forward".to_owned(),
    ];
    for node in NODES {
        lines.push(format!("ip link set {} master bed up", node.name));
        lines.push(route_to_pods(addresses, node));
    }
    if paths.enforced {
        lines.push(FORWARD_V6.to_owned());
        lines.push(format!("ip addr add {}/64 dev bed nodad", addresses.control_v6()));
        lines.extend(NODES.map(|node| route_to_pods_v6(addresses, node)));
    }
    lines.join("\n")
}

fn node_script(paths: &Paths, addresses: Addresses, node: Node) -> String {
    let mut lines = vec![
        "ip link set lo up".to_owned(),
        format!("ip addr add {}/24 dev e0", addresses.node(node.number)),
        "ip link set e0 up".to_owned(),
        format!("ip route add default via {}", addresses.control()),
        "echo 1 > /proc/sys/net/ipv4/ip_forward".to_owned(),
        "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter".to_owned(),
        "echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter".to_owned(),
    ];
    let others = NODES.into_iter().filter(|other| other.number != node.number);
    lines.extend(others.map(|other| route_to_pods(addresses, other)));
    if paths.enforced {
        // The ways to the pods of other nodes are the engine's to lay.
        lines.push(FORWARD_V6.to_owned());
        lines.push(format!("ip addr add {}/64 dev e0 nodad", addresses.node_v6(node.number)));
        lines.push(format!("ip -6 route add default via {}", addresses.control_v6()));
    }
    lines.join("\n")
}

fn route_to_pods(addresses: Addresses, node: Node) -> String {
    format!("ip route add {} via {}", addresses.pods_of(node.number), addresses.node(node.number))
}

fn route_to_pods_v6(addresses: Addresses, node: Node) -> String {
    let range = addresses.pods_v6_of(node.number);
    format!("ip -6 route add {range} via {}", addresses.node_v6(node.number))
}

async fn shell(namespace: Option<&str>, operation: &str, script: &str) -> Result<()> {
    let run = match namespace {
        None => Run::new("sh", operation).args(["-e"]),
        Some(name) => Run::new("nsenter", operation).args([
            format!("--net=/run/netns/{name}").as_str(),
            "--",
            "sh",
            "-e",
        ]),
    };
    run.input(script).output().await.map(drop)
}
