//! A peer whose offer is not there. Nobody says what is wanted, so what the chain has staked is kept up, by as little as can be.

use std::collections::BTreeMap;

use crate::id::UnitId;

use super::{DeletionCause, Phase, Plan, Pod, PodRole, Seen, Step, plan};

/// Decides for a peer whose offer is not there: a prover that ended by itself is made again while the chain asks proofs of its
/// unit, and nothing else is done.
///
/// A unit without any pod gets none: whoever let the offer go may have handed the unit to somebody else. The pod that ended
/// tells of the opposite, so it is deleted only after its successor was seen.
#[must_use]
pub fn plan_orphan(seen: &Seen) -> Plan {
    let plan = plan(seen);
    let ended = provers(seen, |pod| matches!(pod.phase, Phase::Ended { .. }));
    let succeeded = provers(seen, |pod| pod.holds_cores() && pod.phase != Phase::Deleting);
    let is_taken = |step: &Step| match step {
        Step::CreateProver { unit, .. } => ended.values().any(|other| other == unit),
        Step::DeletePod { uid, cause: DeletionCause::Ended, .. } => {
            let unit = ended.get(uid.as_str());
            unit.is_some_and(|unit| succeeded.values().any(|other| other == unit))
        }
        Step::DeletePod { .. }
        | Step::CreateWorker { .. }
        | Step::SetHold { .. }
        | Step::NoteDrain { .. } => false,
    };
    Plan { steps: plan.steps.into_iter().filter(is_taken).collect(), ..plan }
}

/// The provers on the peer's own node of which this is so, by UID.
fn provers(seen: &Seen, is_so: impl Fn(&Pod) -> bool) -> BTreeMap<&str, UnitId> {
    let here = seen.pods.iter().flatten().filter(|pod| pod.elsewhere.is_none());
    let provers = here.filter(|pod| is_so(pod)).filter_map(|pod| match pod.role {
        PodRole::Prover(unit) => Some((pod.uid.as_str(), unit)),
        PodRole::Worker { .. } => None,
    });
    provers.collect()
}
