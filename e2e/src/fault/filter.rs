//! Rules of the packet filter on the operator's node: what is led through the proxies, and what does not get through.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use super::{api, machine, rpc};
use crate::{
    bed::{Addresses, Bed, NODES, Node, Room},
    world::{Error, Result},
};

/// The table; nobody else's rules are touched.
const TABLE: &str = "coreward_faults";
/// Where the operator's pods run: the node without exclusive cores.
const NODE: Node = NODES[2];

/// What becomes of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// The sender is told that nobody is there.
    Refuse,
    /// They vanish.
    Drop,
}

/// The table's present content; removed when dropped.
#[derive(Debug)]
pub(super) struct Filter {
    room: Room,
    addresses: Addresses,
    /// For the chain's endpoints, by the port that the proxy listens at.
    pub(super) rpc: BTreeMap<u16, Block>,
    /// For the API server: for one pod, or for all that are not named.
    pub(super) api: BTreeMap<Option<Ipv4Addr>, Block>,
}

impl Filter {
    pub(super) fn new(bed: &Bed) -> Self {
        Self {
            room: Room::network(bed.paths().node_namespace(NODE.name)),
            addresses: bed.addresses(),
            rpc: BTreeMap::new(),
            api: BTreeMap::new(),
        }
    }

    /// Puts the table into force, at once and whole.
    ///
    /// # Errors
    /// [`Error::Finding`] with the filter's words.
    pub(super) fn apply(&mut self) -> Result<()> {
        run(&self.room, &self.rules())
    }

    fn rules(&self) -> String {
        let (pods, control) = (self.addresses.pods_of(NODE.number), self.addresses.control());
        let service = self.addresses.api_service();
        let mut text = absent();
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "table ip {TABLE} {{\n\
             chain lead {{\n\
             type nat hook prerouting priority dstnat - 10; policy accept;\n\
             ip saddr {pods} ip daddr {service} tcp dport 443 dnat to {control}:{api}\n\
             ip saddr {pods} ip daddr {control} tcp dport 8545 dnat to {control}:{rpc}\n\
             }}\n\
             chain block {{\n\
             type filter hook forward priority filter - 10; policy accept;\n\
             ip saddr {pods} ip daddr {control} tcp dport {{ 6443, 8545 }} reject with tcp reset\n",
            api = api::PORT,
            rpc = rpc::PORT,
        );
        let named = self.api.iter().filter_map(|(pod, block)| Some(((*pod)?.to_string(), *block)));
        for (pod, block) in named {
            text += &rule(&pod, control, api::PORT, block);
        }
        if let Some(block) = self.api.get(&None) {
            text += &rule(&pods, control, api::PORT, *block);
        }
        for (port, block) in &self.rpc {
            text += &rule(&pods, control, *port, *block);
        }
        text + "}\n}\n"
    }
}

fn rule(pods: &str, control: Ipv4Addr, port: u16, block: Block) -> String {
    let there = format!("ip saddr {pods} ip daddr {control} tcp dport {port}");
    match block {
        Block::Refuse => format!("{there} reject with tcp reset\n"),
        Block::Drop => {
            format!("{there} drop\nip saddr {control} ip daddr {pods} tcp sport {port} drop\n")
        }
    }
}

/// Deletes the table; adding it first makes that work where there is none.
fn absent() -> String {
    format!("add table ip {TABLE}\ndelete table ip {TABLE}\n")
}

fn run(room: &Room, rules: &str) -> Result<()> {
    let words = room.enter();
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(rest)
        // Debian keeps it out of a user's path.
        .args(["/usr/sbin/nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(machine("packet filter"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(rules.as_bytes()).map_err(machine("packet filter"))?;
    }
    let output = child.wait_with_output().map_err(machine("packet filter"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::Finding(format!("the packet filter refused: {words}")))
}

impl Drop for Filter {
    fn drop(&mut self) {
        // The bed may be down already, and its rules with it.
        let _ = run(&self.room, &absent());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_is_cut_off_and_the_others_are_not() {
        let addresses = Addresses::choose("demo", |_| false).unwrap();
        let pod = Ipv4Addr::new(10, 128, 3, 7);
        let filter = Filter {
            room: Room::network("none"),
            addresses,
            rpc: BTreeMap::new(),
            api: BTreeMap::from([(Some(pod), Block::Drop)]),
        };
        let rules = filter.rules();
        let drops: Vec<&str> = rules.lines().filter(|line| line.ends_with(" drop")).collect();
        assert_eq!(drops.len(), 2, "{rules}");
        assert!(drops.iter().all(|line| line.contains("addr 10.128.3.7 ")), "{rules}");
        std::mem::forget(filter);
    }
}
