//! The turn of a `Deal`: its namespace, its workers' activation and membership, and the ways out of it.

pub mod artifact;
pub mod build;
pub mod duty;
pub mod exit;
pub mod observe;
pub mod report;
pub mod stand;

use std::sync::Arc;

use alloy_primitives::Address;
use coreward_crds::{Deal, ProviderOffer};
use coreward_domain::chain::Seat;
use coreward_domain::deal::{Leaving, Plan, Step, WorkerWhy, fault, plan, stopped};
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::apply::{self, Manager};
use crate::event::Happening;
use crate::gateway;
use crate::labels::{DEAL_FINALIZER, OfferKey};
use crate::metrics::Ending;
use crate::send::{self, Sent};
use crate::turn::{self, Error, Shared};
use build::Order;
use observe::{Place, Sight};
use report::Told;

/// Takes one turn.
///
/// # Errors
///
/// None: a failed turn is told and taken again.
pub async fn turn(deal: Arc<Deal>, shared: Arc<Shared>) -> Result<Action, Error> {
    let name = deal.name_any();
    turn::told("deal", &shared, &name, Box::pin(one(&deal, &shared))).await
}

async fn one(mirror: &Deal, shared: &Shared) -> Result<Ending, Error> {
    let place = OfferKey::of_labels(mirror).and_then(|offer| {
        let deal: Address = mirror.spec.deal_address.parse().ok()?;
        Some(Place { offer, network: mirror.spec.network.clone(), deal })
    });
    // A Deal that is not ours, or whose offer is gone: nothing is known, nothing follows.
    let Some(place) = place else { return Ok(Ending::Settled) };
    let Some(offer) = shared.context.stores.offer(&place.offer) else {
        return Ok(Ending::Settled);
    };
    if !shared.context.leadership.may_send() {
        return Ok(Ending::Settled);
    }
    let sight = observe::observe(&offer, Some(mirror), place, shared).await?;
    let plan = plan(&sight.seen);
    let (sent, released) = act(&offer, mirror, (&sight, &plan), shared).await?;
    if released {
        return Ok(Ending::Acted);
    }
    duty::assign(shared, &offer, mirror, (&sight, &plan));
    tell(mirror, (&sight, &plan), shared).await;
    let status =
        report::status(shared, &offer, mirror, &Told { sight: &sight, plan: &plan, sent: &sent });
    let observed = mirror.status.as_ref().and_then(|status| status.observed_generation);
    let is_kept_back =
        shared.keeps_back(sight.is_heard(shared), mirror.metadata.generation, observed);
    if is_kept_back || mirror.status.as_ref() == Some(&status) {
        return Ok(Ending::Settled);
    }
    apply::status(&shared.context.client, mirror, &status, Manager::Deal).await?;
    Ok(Ending::Acted)
}

async fn act(
    offer: &ProviderOffer,
    mirror: &Deal,
    (sight, plan): (&Sight, &Plan),
    shared: &Shared,
) -> Result<(Sent, bool), Error> {
    let served: Vec<_> =
        plan.workers.iter().filter(|(_, worker)| worker.served).map(|(id, _)| *id).collect();
    let mut calls = Vec::new();
    for step in &plan.steps {
        match step {
            Step::EnsureNamespace => {}
            Step::Send(call) => calls.push((call.clone(), send::why(&plan.planned, call))),
            Step::DeleteNamespace => stand::delete(shared, &sight.place.namespace()).await?,
            Step::ReleaseMirror => {
                apply::finalizer(&shared.context.client, mirror, DEAL_FINALIZER, false).await?;
                apply::delete(&shared.context.client, mirror).await?;
                shared
                    .events
                    .tell(
                        offer,
                        Happening::DealExited,
                        &format!("nothing is left of deal {}", sight.place.deal),
                    )
                    .await;
                return Ok((Sent::default(), true));
            }
        }
    }
    if !served.is_empty() {
        let order = Order {
            place: &sight.place,
            operator_namespace: &shared.context.namespace,
            readers: &shared.context.config.metrics.from,
            seats: served
                .iter()
                .map(|worker| Seat { deal: sight.place.deal, worker: *worker })
                .collect(),
            service_type: shared.context.config.workers.service_type,
            egress: duty::egress_mode(&duty::egress(offer, mirror)),
            gateways: gateway::holes(
                &shared.context,
                sight.seen.snapshot.as_deref(),
                sight.place.deal,
            ),
        };
        let was_complete = shared.memory.was_complete(&sight.place.namespace());
        stand::ensure(shared, &order).await?;
        if !was_complete {
            shared.ring();
        }
    }
    let Some(snapshot) = sight.seen.snapshot.as_deref() else {
        return Ok((Sent::default(), false));
    };
    let sent = send::all(shared, offer, snapshot, calls).await;
    for call in &sent.calls {
        if let Some(what) = send::happening(call) {
            let note = format!("{} in epoch {}", call.function(), snapshot.epoch);
            shared.events.tell(mirror, what, &note).await;
        }
    }
    Ok((sent, false))
}

/// Tells the owner what changed, once each.
async fn tell(mirror: &Deal, (sight, plan): (&Sight, &Plan), shared: &Shared) {
    let name = mirror.name_any();
    let epoch = sight.seen.snapshot.as_deref().map_or(0, |snapshot| snapshot.epoch.0);
    for (id, worker) in &plan.workers {
        let key = format!("{name}/{}", id.decimal());
        let fresh = mirror.status.as_ref().is_none_or(|status| status.timeline.is_none());
        if fresh && shared.memory.tell_once(&key, Happening::DealMatched.reason()) {
            let note = format!("worker {} was matched in epoch {}", id.decimal(), worker.joined);
            shared.events.tell(mirror, Happening::DealMatched, &note).await;
        }
        let denied = worker.why == WorkerWhy::Leaving(Leaving::Denied);
        told_while(
            shared,
            mirror,
            (
                &key,
                Happening::OwnerDenied,
                denied.then(|| "the owner is on spec.intake.denyOwners".to_owned()),
            ),
        )
        .await;
        let rejected = sight.seen.workers.get(id).and_then(|local| fault(&local.pod));
        let rejected = rejected.map(|(fault, message)| format!("{}: {message}", fault.reason()));
        told_while(shared, mirror, (&key, Happening::ArtifactRejected, rejected)).await;
    }
    if sight.seen.snapshot.is_some() {
        let note = stopped(&sight.seen).map(|words| format!("epoch {epoch}: {words}"));
        told_while(shared, mirror, (&name, Happening::MassChangeBreakerOpen, note)).await;
    }
    let subnet = sight.seen.subnet;
    let reached = subnet.filter(|subnet| subnet.reachable >= subnet.expected);
    let note = |text: &str| Some(format!("{text} in epoch {epoch}"));
    told_while(
        shared,
        mirror,
        (&name, Happening::SubnetJoined, reached.and_then(|_| note("all members were reached"))),
    )
    .await;
    let lost = subnet.filter(|subnet| subnet.reachable < subnet.expected);
    let text = lost.and_then(|subnet| {
        note(&format!("{} of {} members answer", subnet.reachable, subnet.expected))
    });
    told_while(shared, mirror, (&name, Happening::SubnetUnreachable, text)).await;
}

async fn told_while(
    shared: &Shared,
    mirror: &Deal,
    (key, what, note): (&str, Happening, Option<String>),
) {
    match note {
        None => shared.memory.untold(key, what.reason()),
        Some(note) => {
            let before = mirror.status.as_ref().map_or(&[][..], |status| &status.conditions);
            if shared.tells(key, what, before) {
                shared.events.tell(mirror, what, &note).await;
            }
        }
    }
}
