//! One of our workers: activated once it answers, left when the deal gives a reason.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::chain::{CommitmentStatus, Deal, DealStatus, Peer, Snapshot, Worker};
use crate::epoch::Epoch;
use crate::gate::{Draft, Hold, Urgency};
use crate::id::{OffchainWorkerId, OnchainWorkerId, UnitId};

use super::departures::is_engaged;
use super::{Desired, Leaving, Local, Seen, WorkerPlan, WorkerPod, WorkerWhy, stopped};

/// In epoch 1 the contract's activation of a worker without commitment underflows.
const FIRST_SOUND_EPOCH: Epoch = Epoch(2);

/// One worker and all that is known around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'seen> {
    pub(super) seen: &'seen Seen,
    pub(super) snapshot: &'seen Snapshot,
    pub(super) deal: &'seen Deal,
    pub(super) id: OnchainWorkerId,
    pub(super) worker: &'seen Worker,
}

impl<'seen> Scene<'seen> {
    fn local(&self) -> Option<&'seen Local> {
        self.seen.workers.get(&self.id)
    }

    fn peer(&self) -> Option<&'seen Peer> {
        self.snapshot.peers.get(&self.worker.peer)?.as_ref()
    }
}

/// Decides for one worker.
pub(super) fn plan(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    units: BTreeSet<UnitId>,
) -> WorkerPlan {
    let leaving = leaving(scene);
    let why = match leaving {
        Some(cause) => {
            let call = Call::RemoveWorker { deal: scene.seen.deal, worker: scene.id };
            let hold = draft.want(call, Urgency::Exit, cause.text());
            hold.map_or(WorkerWhy::Leaving(cause), WorkerWhy::Held)
        }
        None => serve(draft, scene),
    };
    WorkerPlan {
        peer: scene.worker.peer,
        units,
        activated: scene.worker.is_activated(),
        ready: scene.local().is_some_and(|local| {
            matches!(local.pod, WorkerPod::Ready(_) | WorkerPod::Rolling { .. })
        }),
        served: leaving.is_none(),
        joined: scene.worker.joined_epoch,
        why,
    }
}

/// The reason to leave, if there is one; each is a fact that was seen.
fn leaving(scene: &Scene<'_>) -> Option<Leaving> {
    let (seen, deal, epoch) = (scene.seen, scene.deal, scene.snapshot.epoch);
    let is_activated = scene.worker.is_activated();
    if deal.status == DealStatus::Ended {
        return Some(Leaving::Ended);
    }
    // One that is not activated yet costs its customer nothing.
    let is_engaged = is_engaged(seen, &seen.deal, (&scene.id, scene.worker));
    let may_leave = !is_engaged || stopped(seen).is_none();
    if seen.policy.deny_owners.contains(&deal.owner) && may_leave {
        return Some(Leaving::Denied);
    }
    if is_commitment_over(scene) {
        return Some(Leaving::CommitmentOver);
    }
    let now = scene.snapshot.head.timestamp;
    if matches!(seen.policy.desired, Desired::Exit { leaves_at } if leaves_at <= now && may_leave) {
        return Some(Leaving::Requested);
    }
    let unpaid_from = deal.max_paid_epoch.after(seen.policy.unpaid_grace);
    if deal.status == DealStatus::InsufficientFunds && epoch > unpaid_from {
        return Some(Leaving::Unpaid);
    }
    let local = scene.local()?;
    let is_unready =
        matches!(local.pod, WorkerPod::Missing | WorkerPod::Starting(_) | WorkerPod::Failed { .. });
    if is_activated || !is_unready {
        return None;
    }
    if local.fits == Some(false) {
        return Some(Leaving::DoesNotFit);
    }
    let is_late = epoch.since(scene.worker.joined_epoch) > seen.policy.unready_grace;
    is_late.then_some(Leaving::Unready)
}

/// Whether the chain says that the peer's commitment failed or ended.
fn is_commitment_over(scene: &Scene<'_>) -> bool {
    let known = scene
        .peer()
        .and_then(|peer| peer.commitment)
        .and_then(|id| scene.snapshot.commitments.get(&id))
        .and_then(Option::as_ref);
    known.is_some_and(|known| {
        matches!(known.status, CommitmentStatus::Failed | CommitmentStatus::Inactive)
    })
}

/// Whether it is known how the peer's commitment stands: a worker under one that is over must not be activated.
fn is_pledge_known(scene: &Scene<'_>) -> bool {
    scene.peer().is_some_and(|peer| match peer.commitment {
        None => true,
        Some(id) => matches!(scene.snapshot.commitments.get(&id), Some(Some(_))),
    })
}

/// What becomes of a worker that stays.
fn serve(draft: &mut Draft<'_>, scene: &Scene<'_>) -> WorkerWhy {
    let is_activated = scene.worker.is_activated();
    let Some(local) = scene.local().filter(|_| is_pledge_known(scene)) else {
        return WorkerWhy::Unknown;
    };
    match &local.pod {
        WorkerPod::Unknown => WorkerWhy::Unknown,
        WorkerPod::Missing | WorkerPod::Starting(_) if is_activated => WorkerWhy::Degraded,
        WorkerPod::Missing | WorkerPod::Starting(_) => WorkerWhy::Starting,
        WorkerPod::Failed { fault, .. } => WorkerWhy::Failed(*fault),
        WorkerPod::Ready(key) | WorkerPod::Rolling { key, .. } => {
            activate(draft, scene, local, *key)
        }
    }
}

/// Tells the chain the key of a worker that answers.
fn activate(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    local: &Local,
    key: OffchainWorkerId,
) -> WorkerWhy {
    if scene.worker.offchain == key {
        return WorkerWhy::Serving;
    }
    if local.key != Some(key) {
        // The pod of an earlier generation: its key is not to be told again.
        return if scene.worker.is_activated() { WorkerWhy::Degraded } else { WorkerWhy::Starting };
    }
    let call = Call::ActivateWorker { deal: scene.seen.deal, worker: scene.id, offchain: key };
    if scene.worker.is_activated() {
        if !local.older_keys.contains(&scene.worker.offchain) {
            draft.want_later(
                call,
                "the worker is activated with a key that is none of ours",
                Hold::Conflict,
                None,
            );
            return WorkerWhy::ForeignKey;
        }
        let hold =
            draft.want(call, Urgency::Duty, "the worker moved, and its old key must be put out");
        return hold.map_or(WorkerWhy::Activating, WorkerWhy::Held);
    }
    let why = "the worker answers and is not activated";
    let is_paying = matches!(scene.deal.status, DealStatus::Active | DealStatus::SmallBalance);
    if !is_paying || scene.deal.free_balance < scene.deal.price_per_epoch {
        draft.want_later(call, why, Hold::Funds, None);
        return WorkerWhy::Unfunded;
    }
    let has_commitment = scene.peer().is_some_and(|peer| peer.commitment.is_some());
    if scene.snapshot.epoch < FIRST_SOUND_EPOCH && !has_commitment {
        draft.want_later(call, why, Hold::Epoch, Some(FIRST_SOUND_EPOCH));
        return WorkerWhy::Held(Hold::Epoch);
    }
    let hold = draft.want(call, Urgency::Duty, why);
    hold.map_or(WorkerWhy::Activating, WorkerWhy::Held)
}
