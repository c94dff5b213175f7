//! The turn of a peer's units whose offer is not there: what its pods, its identity and the chain still tell is enough to make a
//! prover that ended again.

use std::sync::Arc;

use coreward_crds::{CoreIsolation, UnitsPerNode};
use coreward_domain::gate::Management;
use coreward_domain::id::UnitId;
use coreward_domain::unit::{Phase, PodRole, Step, plan_orphan};
use k8s_openapi::api::core::v1;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::clock;
use crate::identity::PeerIdentity;
use crate::labels::{PROVER, component};
use crate::metrics::Ending;
use crate::node::evidence::{Demand, look};
use crate::pods::{Pod, fact};
use crate::proof::network_of;
use crate::turn::{Error, Shared};
use crate::unit::act::{self, Scene};
use crate::unit::observe::{self, Sight};
use crate::view;

/// Takes the turn.
///
/// # Errors
///
/// [`Error`]; the next turn goes on from there.
pub(super) async fn one(identity: &PeerIdentity, shared: &Shared) -> Result<Ending, Error> {
    let pods = observe::pods(shared, identity);
    let Some(ended) = pods.iter().find(|pod| is_ended_prover(pod)) else {
        return Ok(Ending::Settled);
    };
    let Some(network) = network_of(&shared.context, ended) else { return Ok(Ending::Settled) };
    let mode = network.network().prover_mode;
    let demand = Demand { units: UnitsPerNode::Auto, isolation: isolation(ended), mode };
    let evidence = look(shared, &identity.identity.node);
    let snapshot = view::of(network, clock::now()).snapshot;
    let asked = (demand, Management::Observe);
    let seen = observe::peer(asked, identity, shared, (snapshot, &evidence, &pods))?;
    let plan = plan_orphan(&seen);
    let sight = Sight { seen, evidence, demand, pods };
    let scene = Scene { shared, identity, network: &network.network().name, sight: &sight };
    let frozen = super::frozen(scene, &plan);
    for step in &plan.steps {
        if let Step::CreateProver { unit, .. } = step
            && let Some(pod) = ended_prover(&sight, *unit).filter(|_| !frozen.contains(unit))
        {
            confirm(shared, pod).await?;
        }
    }
    let taken = act::act(scene, &plan, &frozen).await?;
    Ok(if taken > 0 { Ending::Acted } else { Ending::Settled })
}

fn is_ended_prover(pod: &Pod) -> bool {
    let is_going = pod.metadata.deletion_timestamp.is_some();
    component(pod) == Some(PROVER) && !is_going && !fact::is_to_stay(pod)
}

/// What its offer asked of the cores, as the pod still tells.
fn isolation(pod: &Pod) -> CoreIsolation {
    if pod.spec.as_ref().is_some_and(|spec| spec.whole_cores) {
        CoreIsolation::Required
    } else {
        CoreIsolation::Preferred
    }
}

fn ended_prover(sight: &Sight, unit: UnitId) -> Option<&Arc<Pod>> {
    let known = sight.seen.pods.iter().flatten().find(|pod| {
        matches!(pod.phase, Phase::Ended { .. }) && pod.role == PodRole::Prover(unit)
    })?;
    sight.pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(&known.uid))
}

/// Fails unless the pod still is as it was seen, by the API server's own word. Whoever lets an offer go deletes its pods first;
/// that the offer is gone may be heard before that.
async fn confirm(shared: &Shared, pod: &Pod) -> Result<(), Error> {
    let name = pod.name_any();
    let body = json!({
        "metadata": { "uid": pod.uid(), "resourceVersion": pod.resource_version() }
    });
    let namespace = pod.namespace().unwrap_or_default();
    let api: Api<v1::Pod> = Api::namespaced(shared.context.client.clone(), &namespace);
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map(drop)
        .map_err(|source| Error::write("confirmation", &name, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(component: &str, phase: &str, arguments: &[&str]) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "labels": { "coreward.dev/component": component } },
            "spec": { "containers": [{ "name": "it", "args": arguments }] },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    #[rstest::rstest]
    #[case::one_that_failed(pod("prover", "Failed", &[]), true)]
    #[case::one_that_runs(pod("prover", "Running", &[]), false)]
    #[case::a_worker(pod("worker", "Failed", &[]), false)]
    fn only_a_prover_that_ended_tells_of_its_unit(#[case] pod: Pod, #[case] tells: bool) {
        assert_eq!(is_ended_prover(&pod), tells);
        let going =
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        let mut deleted = pod;
        deleted.metadata.deletion_timestamp = Some(going);
        assert!(!is_ended_prover(&deleted), "somebody lets it go");
    }

    #[test]
    fn the_isolation_that_the_offer_asked_for_is_kept() {
        let strict = pod("prover", "Failed", &["prove", "--mode=full", "--whole-cores"]);
        assert_eq!(isolation(&strict), CoreIsolation::Required);
        assert_ne!(isolation(&pod("prover", "Failed", &["prove"])), CoreIsolation::Required);
    }
}
