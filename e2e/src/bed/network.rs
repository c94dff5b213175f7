//! The bed's network: a bridge in the control plane's namespace, every node a namespace of its own on it.

use std::{fs, net::Ipv4Addr, path::Path};

use super::{
    addresses::Addresses,
    command::Run,
    error::Result,
    node::{NODES, Node},
    paths::Paths,
};

/// Makes namespaces, links, addresses and routes.
///
/// # Errors
/// What `ip` says.
pub(super) async fn make(paths: &Paths, addresses: Addresses) -> Result<()> {
    shell(None, "make the bed's links", &machine_script(paths, addresses)).await?;
    let control = paths.control_namespace();
    shell(Some(&control), "address the control plane", &control_script(addresses)).await?;
    for node in NODES {
        let namespace = paths.node_namespace(node.name);
        shell(Some(&namespace), "address a node", &node_script(addresses, node)).await?;
    }
    Ok(())
}

/// Deletes them; what is not there is no error.
pub(super) async fn remove(paths: &Paths) {
    let names = namespaces(paths);
    let mut script = format!("ip link del {} 2>/dev/null || true\n", paths.link());
    for name in names {
        script += &format!("ip netns del {name} 2>/dev/null || true\n");
    }
    // What could not be deleted shows at the next start; there is nothing else to do about it here.
    let _ = shell(None, "delete the bed's namespaces", &script).await;
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
    let mut script = format!(
        "ip netns add {control}\n\
         ip link add {link} type veth peer name machine netns {control}\n\
         ip addr add {}/24 dev {link}\n\
         ip link set {link} up\n",
        addresses.machine()
    );
    for node in NODES {
        let namespace = paths.node_namespace(node.name);
        script += &format!(
            "ip netns add {namespace}\n\
             ip -n {control} link add {name} type veth peer name e0 netns {namespace}\n\
             ip route add {pods} via {address}\n",
            name = node.name,
            pods = addresses.pods_of(node.number),
            address = addresses.node(node.number),
        );
    }
    // Any node would do: its proxy masquerades what comes from outside the pods' range.
    script +=
        &format!("ip route add {} via {}\n", addresses.services(), addresses.node(NODES[2].number));
    script
}

fn control_script(addresses: Addresses) -> String {
    let mut script = format!(
        "ip link set lo up\n\
         ip link add bed type bridge\n\
         ip addr add {}/24 dev bed\n\
         ip link set bed up\n\
         ip link set machine master bed up\n\
         echo 1 > /proc/sys/net/ipv4/ip_forward\n",
        addresses.control()
    );
    for node in NODES {
        script += &format!(
            "ip link set {} master bed up\nip route add {} via {}\n",
            node.name,
            addresses.pods_of(node.number),
            addresses.node(node.number)
        );
    }
    script
}

fn node_script(addresses: Addresses, node: Node) -> String {
    let mut script = format!(
        "ip link set lo up\n\
         ip addr add {}/24 dev e0\n\
         ip link set e0 up\n\
         ip route add default via {}\n\
         echo 1 > /proc/sys/net/ipv4/ip_forward\n\
         echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter\n\
         echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter\n",
        addresses.node(node.number),
        addresses.control()
    );
    for other in NODES.iter().filter(|other| other.number != node.number) {
        script += &format!(
            "ip route add {} via {}\n",
            addresses.pods_of(other.number),
            addresses.node(other.number)
        );
    }
    script
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
