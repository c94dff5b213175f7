//! All provers that the chain asks of an offer, and how each stands to its present template.

use std::collections::BTreeSet;

use crate::id::{PeerId, UnitId};
use crate::unit::{
    self, Cordon, DeletionCause, PROVER_GRACE_SECONDS, Phase, Pod, PodRole, Role, Step,
};

use super::Seen;

/// A prover that is not ready for this long is told of; until then it may only be starting.
const TOLD_SECONDS: u64 = 20;

/// A prover without any complaint of the cluster is given this long to build its dataset.
const PATIENCE_SECONDS: u64 = 900;

/// The second pod that comes to nothing is told of.
const TOLD_ATTEMPT: u32 = 1;

/// All provers of one offer.
#[derive(Debug, Default)]
pub(super) struct Fleet<'seen> {
    /// How many are ready, with the present template.
    pub(super) renewed: usize,
    /// Those that work with an old one.
    pub(super) old: Vec<Old<'seen>>,
    /// Those that are not ready, and have the present template or will.
    pub(super) coming: Vec<Coming>,
}

/// A prover that works with an old template.
#[derive(Debug)]
pub(super) struct Old<'seen> {
    pub(super) pod: &'seen Pod,
    peer: PeerId,
    unit: UnitId,
    /// Whether its unit loses nothing by its renewal now.
    may_go: bool,
}

/// A prover that is on its way.
#[derive(Debug)]
pub(super) struct Coming {
    peer: PeerId,
    /// Name of its pod, and what keeps it from being ready.
    pub(super) trouble: Option<(String, String)>,
}

impl Old<'_> {
    pub(super) fn deletion(&self) -> Step {
        Step::DeletePod {
            uid: self.pod.uid.clone(),
            namespace: self.pod.namespace.clone(),
            name: self.pod.name.clone(),
            grace_seconds: PROVER_GRACE_SECONDS,
            cause: DeletionCause::OldTemplate,
        }
    }
}

impl<'seen> Fleet<'seen> {
    /// `None` where one peer is not known whole.
    pub(super) fn of(seen: &'seen Seen) -> Option<Self> {
        let mut fleet = Self::default();
        for peer in &seen.peers {
            let (roles, pods) = (unit::roles(peer)?, peer.pods.as_ref()?);
            for unit in roles.iter().filter(|(_, role)| **role == Role::Prover).map(|(id, _)| *id) {
                fleet.count(&Post { seen, peer, pods, unit });
            }
        }
        fleet.old.sort_by_key(|old| old.unit);
        Some(fleet)
    }

    /// Those that may go now, at most one of each peer.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Old<'seen>> {
        let mut busy: BTreeSet<PeerId> = self.coming.iter().map(|coming| coming.peer).collect();
        self.old.iter().filter(move |old| old.may_go && busy.insert(old.peer))
    }

    fn count(&mut self, post: &Post<'seen>) {
        let Some(pod) = post.pod() else {
            self.coming.extend(post.awaited());
            return;
        };
        // Of a node that is not known the template is not known either.
        let is_known = post.peer.node.is_some();
        let is_old = is_known && pod.template != post.peer.prover_template;
        match pod.phase {
            Phase::Ready if !is_known => {}
            Phase::Ready if !is_old => self.renewed += 1,
            Phase::Ready => self.old.push(post.old(pod)),
            Phase::Deleting | Phase::Released if post.is_shut() => {}
            Phase::Deleting | Phase::Released => self.coming.push(post.coming(None)),
            Phase::Pending | Phase::Stuck { .. } | Phase::Running if !is_old => {
                self.coming.push(post.coming(post.trouble(pod)));
            }
            // It runs and does not come up: as good as one that works, lest it keeps the change that would help.
            Phase::Running if post.unready(pod).0 >= PATIENCE_SECONDS => {
                self.old.push(post.old(pod));
            }
            // Of its own fault, and renewed with its peer's pods where it does not run.
            Phase::Pending | Phase::Stuck { .. } | Phase::Running | Phase::Ended { .. } => {}
        }
    }
}

/// One unit that is to prove.
#[derive(Clone, Copy, Debug)]
struct Post<'seen> {
    seen: &'seen Seen,
    peer: &'seen unit::Seen,
    pods: &'seen [Pod],
    unit: UnitId,
}

impl<'seen> Post<'seen> {
    fn own(&self) -> impl Iterator<Item = &'seen Pod> {
        let unit = self.unit;
        self.pods
            .iter()
            .filter(move |pod| pod.role == PodRole::Prover(unit) && pod.elsewhere.is_none())
    }

    /// The pod that works for the unit, or would.
    fn pod(&self) -> Option<&'seen Pod> {
        let alive = self.own().filter(|pod| !matches!(pod.phase, Phase::Ended { .. }));
        alive.min_by_key(|pod| (pod.phase != Phase::Ready, &pod.name))
    }

    /// Whether nothing is made there now, whatever happens to its pod.
    fn is_shut(&self) -> bool {
        self.peer.node.is_none()
            || self.peer.cordon.is_some_and(Cordon::is_cordoned)
            || self.seen.frozen.contains(&self.unit)
    }

    fn old(&self, pod: &'seen Pod) -> Old<'seen> {
        let may_go = !self.is_shut() && unit::has_minimum(self.peer, self.unit);
        Old { pod, peer: self.peer.peer, unit: self.unit, may_go }
    }

    const fn coming(&self, trouble: Option<(String, String)>) -> Coming {
        Coming { peer: self.peer.peer, trouble }
    }

    /// A unit without a living pod gets one at once, or once the last one's failure has been waited out.
    fn awaited(&self) -> Option<Coming> {
        if self.is_shut() {
            return None;
        }
        let Some(last) = self.own().max_by_key(|pod| pod.attempt) else {
            return Some(self.coming(None));
        };
        let Phase::Ended { reason, .. } = &last.phase else { return None };
        if last.template != self.peer.prover_template {
            return None;
        }
        let trouble = (last.attempt >= TOLD_ATTEMPT).then(|| (last.name.clone(), reason.clone()));
        Some(self.coming(trouble))
    }

    fn unready(&self, pod: &Pod) -> (u64, &'seen str) {
        let known = self.seen.unready.get(&pod.uid);
        known.map_or((0, ""), |unready| (unready.seconds, unready.reason.as_str()))
    }

    fn trouble(&self, pod: &Pod) -> Option<(String, String)> {
        let reason = match self.unready(pod) {
            (PATIENCE_SECONDS.., "") => "it runs, and has not become ready in 15 minutes",
            (TOLD_SECONDS.., reason) if !reason.is_empty() => reason,
            _ => return None,
        };
        Some((pod.name.clone(), reason.to_owned()))
    }
}
