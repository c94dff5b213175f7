//! What the proofs of one peer are planned from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::Address;
use coreward_crds::{ProofTarget, ProviderOffer};
use coreward_domain::chain::Snapshot;
use coreward_domain::gate::Gate;
use coreward_domain::id::{PeerId, UnitId};
use coreward_domain::proof::{Limits, QUARANTINE, Seen, Target};
use kube::ResourceExt;

use super::orphan;
use crate::chain_watch::NetworkHandle;
use crate::clock;
use crate::context::Context;
use crate::gate;
use crate::labels::{OfferKey, PEER_ID, PROVER, UNIT_ID, component};
use crate::outbox::Error;
use crate::pods::Pod;

/// Blocks from a transaction's end until its proofs are marked: a proof is known as sent by one of the two at any time.
const SETTLING: u64 = 32;
/// Annotation of an offer by which a human confirms, with the offer's id, that its staked units may stop proving.
const STOP_CONFIRM: &str = "coreward.dev/stop-proving-confirm";
/// Between blocks, as far as it is worth knowing: it only ever makes us refrain at the end of an epoch.
const BLOCK_SECONDS: u64 = 1;

/// A peer with prover pods.
#[derive(Clone, Debug)]
pub(super) struct ProvingPeer {
    /// Its id.
    pub(super) id: PeerId,
    /// Which offer it was registered for.
    pub(super) key: OfferKey,
    /// That offer; `None` where it is not there.
    pub(super) offer: Option<Arc<ProviderOffer>>,
    /// The network that it is registered on.
    pub(super) network: String,
    /// UIDs of its prover pods, by unit.
    pub(super) provers: BTreeMap<UnitId, Vec<String>>,
}

impl ProvingPeer {
    /// `namespace/name` of the offer.
    pub(super) fn path(&self) -> String {
        self.key.path()
    }

    /// The signer that proves for it, whose owner on chain is this account.
    pub(super) fn signer<'a>(&'a self, context: &'a Context, owner: Address) -> Option<&'a str> {
        if let Some(offer) = &self.offer {
            return gate::signer_of(context, offer, owner);
        }
        orphan::signer(&context.config, self.place(), owner)
    }

    async fn gate(&self, context: &Context, owner: Address) -> Gate {
        let signer = self.signer(context, owner);
        gate::gate_of_peer(context, (self.place(), signer), self.offer.as_deref()).await
    }

    /// Its network, and the namespace that its signers must be allowed for.
    fn place(&self) -> (&str, &str) {
        (&self.network, &self.key.namespace)
    }
}

/// All peers with prover pods, from the pods themselves.
pub(super) fn peers(context: &Context) -> Vec<ProvingPeer> {
    let mut peers: BTreeMap<(PeerId, OfferKey), BTreeMap<UnitId, Vec<String>>> = BTreeMap::new();
    for pod in context.stores.pods.all() {
        if pod.namespace().as_deref() != Some(context.namespace.as_str()) {
            continue;
        }
        let Some((unit, peer, key)) = prover(&pod) else { continue };
        let uids = peers.entry((peer, key)).or_default().entry(unit).or_default();
        uids.extend(pod.uid());
    }
    let found = peers.into_iter().filter_map(|((id, key), provers)| {
        let offer = context.stores.offer(&key);
        let network = network(context, offer.as_deref(), id)?;
        Some(ProvingPeer { id, key, offer, network, provers })
    });
    found.collect()
}

fn network(context: &Context, offer: Option<&ProviderOffer>, peer: PeerId) -> Option<String> {
    match offer {
        Some(offer) => Some(offer.spec.network.clone()),
        None => orphan::network(context, peer),
    }
}

/// The network that a prover pod proves on.
pub(crate) fn network_of<'a>(context: &'a Context, pod: &Pod) -> Option<&'a NetworkHandle> {
    let (_, peer, key) = prover(pod)?;
    let offer = context.stores.offer(&key);
    context.networks.get(&network(context, offer.as_deref(), peer)?)
}

/// What a prover pod works for; `None` for any other pod.
fn prover(pod: &Pod) -> Option<(UnitId, PeerId, OfferKey)> {
    if component(pod) != Some(PROVER) {
        return None;
    }
    Some((
        UnitId(pod.annotations().get(UNIT_ID)?.parse().ok()?),
        PeerId(pod.annotations().get(PEER_ID)?.parse().ok()?),
        OfferKey::of_labels(pod)?,
    ))
}

/// What is known of a peer's proofs now.
///
/// # Errors
///
/// What is on its way is unknown: nothing may be planned.
pub(super) async fn observe(context: &Context, peer: &ProvingPeer) -> Result<Seen, Error> {
    let now = clock::now();
    let network = context.networks.get(&peer.network);
    let read = network.and_then(|network| network.last_read(now));
    let is_believed = read.as_ref().is_some_and(|read| read.is_believed);
    let snapshot = read.map(|read| read.snapshot);
    let head_age = network.and_then(|network| network.health().head_age(now));
    let owner = snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.peers.get(&peer.id)?.as_ref().map(|peer| peer.owner));
    let (flights, gate) = match (&snapshot, owner) {
        (Some(snapshot), Some(owner)) => {
            let settled = settled_by(snapshot);
            let flights = context.outbox.proofs_in_flight(&peer.network, owner, settled).await?;
            (flights, peer.gate(context, owner).await)
        }
        (None, _) | (_, None) => (Vec::new(), Gate::default()),
    };
    let quarantined = snapshot.as_deref().map_or_else(BTreeSet::new, |snapshot| {
        let refused = |unit: &&UnitId| context.proofs.refused(**unit, snapshot.epoch);
        peer.provers.keys().filter(|unit| refused(unit) >= QUARANTINE).copied().collect()
    });
    let offer = peer.offer.as_deref();
    let proofs = offer.map(|offer| &offer.spec.proofs);
    Ok(Seen {
        peer: peer.id,
        snapshot,
        is_believed,
        quarantined,
        pool: peer.provers.keys().flat_map(|unit| context.proofs.kept(*unit)).collect(),
        flights,
        target: match proofs.map(|proofs| proofs.target) {
            Some(ProofTarget::Auto) => Target::Auto,
            None | Some(ProofTarget::Minimum) => Target::Minimum,
            Some(ProofTarget::Maximum) => Target::Maximum,
        },
        safety_margin_percent: proofs
            .and_then(|proofs| u32::try_from(proofs.safety_margin_percent).ok())
            .unwrap_or_default(),
        limits: Limits::default(),
        seconds_since_head: head_age.map_or(0, |age| age.as_secs()),
        block_seconds: BLOCK_SECONDS,
        stop_confirmed: offer.is_some_and(stop_confirmed),
        gate,
    })
}

/// Height of what proofs have surely been marked as settled by.
fn settled_by(snapshot: &Snapshot) -> u64 {
    snapshot.finalized.saturating_sub(SETTLING)
}

/// The account that may prove for a peer.
pub(super) fn owner(seen: &Seen) -> Option<Address> {
    seen.snapshot.as_ref()?.peers.get(&seen.peer)?.as_ref().map(|peer| peer.owner)
}

fn stop_confirmed(offer: &ProviderOffer) -> bool {
    let confirmed = offer.annotations().get(STOP_CONFIRM);
    let id = offer.status.as_ref().and_then(|status| status.offer_id.as_deref());
    matches!((confirmed, id), (Some(confirmed), Some(id)) if !id.is_empty() && confirmed.eq_ignore_ascii_case(id))
}
