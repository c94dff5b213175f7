//! Renewal of an offer's provers: only the offer's turn, of which there is one at a time, sees all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coreward_crds::ProviderOffer;
use coreward_domain::id::{PeerId, UnitId};
use coreward_domain::renewal::{Plan, Seen, Unready};
use coreward_domain::unit::{Phase, Step};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::clock;
use crate::labels::{OfferKey, PEER_ID};
use crate::node::look;
use crate::offer::kept;
use crate::offer::observe::Sight;
use crate::pods::{Pod, decisive_reason, is_ready};
use crate::turn::{Error, Shared};
use crate::unit::{act, observe};
use crate::view;

/// Looks at the provers of all peers that the chain lists.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn look_at(offer: &ProviderOffer, sight: &Sight, shared: &Shared) -> Result<Seen, Error> {
    let snapshot = &sight.seen.snapshot;
    // One that could not be read belongs to them: nothing is renewed without it.
    let is_listed =
        |peer: PeerId| snapshot.as_ref().is_none_or(|known| known.peers.get(&peer) != Some(&None));
    let pods = by_peer(shared, &sight.key);
    let (mut peers, asked) = (Vec::new(), observe::asked(offer, shared));
    for identity in sight.identities.iter().filter(|known| is_listed(known.identity.peer)) {
        let own = pods.get(&identity.identity.peer.to_string());
        let own = own.map(Vec::as_slice).unwrap_or_default();
        let evidence = look(shared, &identity.identity.node);
        let mut seen = observe::peer(asked, identity, shared, (snapshot.clone(), &evidence, own))?;
        if evidence.is_awaited && seen.node.is_none() {
            // After a start it is known soon which pods are missing there.
            seen.pods = None;
        }
        for pod in seen.pods.iter_mut().flatten() {
            // The watch may not have told yet of what an earlier turn did.
            if pod.phase == Phase::Ready && shared.memory.is_renewed(&pod.uid) {
                pod.phase = Phase::Deleting;
            }
        }
        peers.push(seen);
    }
    let now = clock::wall();
    let unready = pods.values().flatten().filter(|pod| !is_ready(pod));
    let unready = unready.filter_map(|pod| Some((pod.uid()?, told(pod, now)))).collect();
    let frozen = frozen(shared, sight);
    Ok(Seen { peers, frozen, unready })
}

/// The offer's pods, by the peer that they name.
fn by_peer(shared: &Shared, key: &OfferKey) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut pods: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in shared.context.stores.pods.all() {
        if OfferKey::of_labels(pod.as_ref()).as_ref() == Some(key)
            && let Some(peer) = pod.annotations().get(PEER_ID)
        {
            pods.entry(peer.clone()).or_default().push(pod);
        }
    }
    pods
}

fn told(pod: &Pod, now: Timestamp) -> Unready {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let since = ready.and_then(|condition| condition.last_transition_time.as_ref());
    let since = since.or(pod.metadata.creation_timestamp.as_ref()).map_or(now, |time| time.0);
    let seconds = now.as_second().saturating_sub(since.as_second());
    Unready {
        seconds: u64::try_from(seconds).unwrap_or(0),
        reason: decisive_reason(pod).unwrap_or_default(),
    }
}

/// Units that people suspended.
fn frozen(shared: &Shared, sight: &Sight) -> BTreeSet<UnitId> {
    let kept = kept::kept(&sight.identities);
    let Some(snapshot) = sight.seen.snapshot.as_deref() else { return BTreeSet::new() };
    let peers = view::registered(snapshot, &sight.identities);
    let units = peers.values().flat_map(|(_, peer)| peer.units.keys());
    units.filter(|unit| kept::is_suspended(shared, &sight.key, &kept, **unit)).copied().collect()
}

/// Carries the plan out.
///
/// # Errors
///
/// [`Error::Write`]: what was not deleted is looked at again in the next turn.
pub async fn act(shared: &Shared, plan: &Plan) -> Result<usize, Error> {
    let mut taken = 0;
    for step in &plan.steps {
        let Step::DeletePod { uid, namespace, name, grace_seconds, cause } = step else { continue };
        if !shared.context.leadership.may_send() {
            break;
        }
        shared.memory.renewed(uid, &shared.context.stores.pod_uids());
        if let Err(error) =
            act::delete(shared, (namespace, name, uid), (*grace_seconds, *cause)).await
        {
            shared.memory.not_renewed(uid);
            return Err(error);
        }
        taken += 1;
    }
    Ok(taken)
}
