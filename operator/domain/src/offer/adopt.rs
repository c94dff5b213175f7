//! Peers that another tool registered, taken over where the spec says on which node each of them lives.

use crate::id::OfferId;

use super::plan::{Located, View};
use super::{PendingChange, PendingReason, Step, Why, peers};

const FIELD: &str = "spec.peers.assignments";

/// Checks that each peer that is to be taken over is one of the offer's, and alone on its node.
///
/// # Errors
///
/// [`Why::InvalidSpec`] with the peer; [`Why::ChainUnknown`] while the chain has not been asked about it.
pub(super) fn check(view: &View<'_>, located: &Located<'_>) -> Result<(), Why> {
    let Some((offer, _)) = located.offer else { return Ok(()) };
    for (peer, node) in missing(view) {
        let on_chain = view.snapshot.peers.get(peer).ok_or(Why::ChainUnknown)?;
        if on_chain.as_ref().is_none_or(|on_chain| on_chain.offer != offer) {
            return Err(wrong(format!(
                "the peer of node {node} is not registered in offer {offer}: name the offer's own peers"
            )));
        }
        if located.registered.values().any(|(identity, _)| identity.node == *node) {
            return Err(wrong(format!("node {node} has a peer already: name another node")));
        }
    }
    Ok(())
}

fn wrong(message: String) -> Why {
    Why::InvalidSpec { field: FIELD, message }
}

/// Assignments whose peers have no identity yet.
fn missing<'view>(
    view: &'view View<'_>,
) -> impl Iterator<Item = (&'view crate::id::PeerId, &'view String)> {
    let is_missing =
        |peer: &crate::id::PeerId| view.identities.iter().all(|identity| identity.peer != *peer);
    view.seen.wanted.assignments.iter().filter(move |(peer, _)| is_missing(peer))
}

/// Whether a node waits for a peer that is to be taken over: it gets no new one.
pub(super) fn waits(view: &View<'_>, node: &str) -> bool {
    missing(view).any(|(_, of_peer)| of_peer == node)
}

/// Identities of the peers that are to be taken over.
pub(super) fn steps(view: &View<'_>) -> Vec<Step> {
    let steps = missing(view).map(|(peer, node)| {
        let ordinal = peers::next_ordinal(view, node);
        Step::AdoptIdentity { peer: *peer, node: node.clone(), ordinal }
    });
    steps.collect()
}

/// Peers of an offer that was taken over, of which the spec says no node: nothing here proves for them.
pub(super) fn left_alone(view: &View<'_>, located: &Located<'_>) -> Option<PendingChange> {
    let (id, offer) = located.offer?;
    if view.seen.wanted.adopt != Some(id) {
        return None;
    }
    let known = located.registered.len() + missing(view).count();
    let left = offer.peer_count.saturating_sub(u64::try_from(known).unwrap_or(u64::MAX));
    (left > 0).then(|| PendingChange {
        field: FIELD,
        subject: subject(left, id),
        reason: PendingReason::AwaitingApproval,
        possible_from: None,
    })
}

fn subject(count: u64, offer: OfferId) -> String {
    let peers = if count == 1 { "peer" } else { "peers" };
    format!("{count} {peers} of offer {offer} without a node; nothing here proves for them")
}
