//! Where the peers of an offer live: which nodes are kept free, and which peer moves to one of them.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Located, View};
use super::{Eligibility, Node, Step};

/// What the cluster says of a node's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Its kubelet reports.
    Ready,
    /// It has not been ready for so long.
    NotReady(Duration),
    /// Nothing is known, and nothing follows.
    #[default]
    Unknown,
}

/// The nodes that get no peer: so many of those that could, the last by name, so that more nodes before them change nothing.
pub(super) fn kept_free<'seen>(view: &View<'seen>, located: &Located<'_>) -> BTreeSet<&'seen str> {
    let free: BTreeSet<_> = free(view, located).map(|node| node.name.as_str()).collect();
    free.into_iter().rev().take(view.seen.wanted.spare_nodes).collect()
}

/// Each peer whose node has not been ready for too long moves to a node that is kept free and has room for all its units;
/// no node takes two of them. Its pods at home stay as they are: what is not heard of may live.
///
/// A node that comes back moves nobody: its peer lives elsewhere by then, and it is free itself.
pub(super) fn steps(view: &View<'_>, located: &Located<'_>) -> Vec<Step> {
    let kept = kept_free(view, located);
    let mut open: BTreeMap<&str, u32> = free(view, located)
        .filter(|node| kept.contains(node.name.as_str()) && node.life == Life::Ready)
        .map(|node| (node.name.as_str(), node.units))
        .collect();
    let mut steps = Vec::new();
    for (id, (identity, peer)) in &located.registered {
        if !view.node_of(identity).is_some_and(|node| is_away(view, node)) {
            continue;
        }
        let units = u32::try_from(peer.units.len()).unwrap_or(u32::MAX);
        let spare = open.iter().find(|(_, room)| **room >= units).map(|(name, _)| *name);
        if let Some(name) = spare {
            open.remove(name);
            steps.push(Step::MovePeer { peer: *id, to: name.to_owned() });
        }
    }
    steps
}

fn is_away(view: &View<'_>, node: &Node) -> bool {
    matches!(node.life, Life::NotReady(lasts) if lasts >= view.seen.failover_after)
}

/// Nodes that could take a peer and have none.
fn free<'seen>(view: &View<'seen>, located: &Located<'_>) -> impl Iterator<Item = &'seen Node> {
    view.nodes.iter().filter(|node| {
        let is_fit = node.eligibility == Eligibility::Eligible && !node.cordoned;
        let has_peer = located.registered.values().any(|(identity, _)| identity.node == node.name);
        is_fit && !has_peer
    })
}
