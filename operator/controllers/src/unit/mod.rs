//! The turn of one peer's units: which pods run for them.
//!
//! A turn belongs to a peer, not to a unit: units of one peer share a node, and a seat may take several of them. The peer's
//! identity, which outlives every other object, is what the turn hangs on.

pub mod act;
pub mod events;
pub mod observe;
mod orphan;
pub mod report;

use std::collections::BTreeSet;
use std::sync::Arc;

use coreward_crds::ProviderOffer;
use coreward_domain::id::UnitId;
use coreward_domain::offer::Deletion;
use coreward_domain::unit::{Plan, plan};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::apply::{self, Manager};
use crate::event::Happening;
use crate::identity::PeerIdentity;
use crate::metrics::Ending;
use crate::offer::kept;
use crate::offer::resolve::deletion;
use crate::turn::{self, Error, Shared};
use crate::view;
use act::Scene;
use observe::Sight;
use report::Told;

/// Takes one turn.
///
/// # Errors
///
/// None: a failed turn is told and taken again.
pub async fn turn(secret: Arc<Secret>, shared: Arc<Shared>) -> Result<Action, Error> {
    let name = secret.name_any();
    turn::told("unit", &shared, &name, Box::pin(one(&secret, &shared))).await
}

async fn one(secret: &Secret, shared: &Shared) -> Result<Ending, Error> {
    let Some(identity) = PeerIdentity::read(secret).filter(|identity| !identity.retired) else {
        return Ok(Ending::Settled);
    };
    if !shared.context.leadership.may_send() {
        return Ok(Ending::Settled);
    }
    let Some(offer) = shared.context.stores.offer(&identity.offer) else {
        return orphan::one(&identity, shared).await;
    };
    if is_let_go(&offer) {
        return Ok(Ending::Settled);
    }
    let sight = observe::observe(&offer, &identity, shared)?;
    let plan = plan(&sight.seen);
    let scene = Scene { shared, identity: &identity, network: &offer.spec.network, sight: &sight };
    let taken = act::act(scene, &plan, &frozen(scene, &plan)).await;
    let written = tell(&offer, (&identity, &sight, &plan), shared).await?;
    Ok(if taken? + written > 0 { Ending::Acted } else { Ending::Settled })
}

/// Whether the offer is being let go as it is: its pods are being removed, and none is to be made.
fn is_let_go(offer: &ProviderOffer) -> bool {
    deletion(offer) == Some(Deletion::Orphan)
}

/// Units that people suspended.
fn frozen(scene: Scene<'_>, plan: &Plan) -> BTreeSet<UnitId> {
    let (shared, key) = (scene.shared, &scene.identity.offer);
    let kept = kept::kept(&view::identities(shared, key));
    let is_frozen = |unit: &&UnitId| kept::is_suspended(shared, key, &kept, **unit);
    plan.roles.keys().filter(is_frozen).copied().collect()
}

/// Writes the status of each unit that has an object and whose status changed.
async fn tell(
    offer: &ProviderOffer,
    (identity, sight, plan): (&PeerIdentity, &Sight, &Plan),
    shared: &Shared,
) -> Result<usize, Error> {
    let told =
        Told { shared, identity, network: &offer.spec.network, demand: sight.demand, sight, plan };
    let mut written = 0;
    for (unit, object) in objects(shared, identity) {
        let generation = object.status.as_ref().and_then(|status| status.observed_generation);
        let is_heard = report::is_heard(told, unit);
        if shared.keeps_back(is_heard, object.metadata.generation, generation) {
            continue;
        }
        let (status, happened) = report::status(told, unit, &object);
        for (what, note) in happened {
            if what == Happening::EpochMissed {
                shared
                    .context
                    .metrics
                    .units
                    .epochs_missed
                    .with_label_values(&[identity.offer.path().as_str()])
                    .inc();
            }
            shared.events.tell(object.as_ref(), what, &note).await;
        }
        events::tell(told, unit, &object, &status).await;
        if object.status.as_ref() != Some(&status) {
            apply::status(&shared.context.client, object.as_ref(), &status, Manager::Unit).await?;
            written += 1;
        }
    }
    Ok(written)
}

/// Objects of the peer's units.
fn objects(
    shared: &Shared,
    identity: &PeerIdentity,
) -> Vec<(UnitId, Arc<coreward_crds::CapacityUnit>)> {
    let peer = crate::identity::text(identity.identity.peer);
    let own = shared.context.stores.units.all().into_iter().filter(|object| {
        object.namespace().as_deref() == Some(&identity.offer.namespace)
            && object.spec.offer_ref.name == identity.offer.name
            && object.spec.peer_id == peer
    });
    own.filter_map(|object| Some((UnitId(object.spec.unit_id.parse().ok()?), object))).collect()
}
