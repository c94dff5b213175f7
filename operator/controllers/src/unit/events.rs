//! What the owner of a unit is told once while it lasts.

use coreward_crds::{CapacityUnit, CapacityUnitStatus, ConditionStatus};
use coreward_domain::condition::ConditionType;
use coreward_domain::id::UnitId;
use coreward_domain::unit::{Draining, Phase, Seen, Why, draining};
use kube::ResourceExt;

use crate::clock;
use crate::condition;
use crate::event::Happening;
use crate::pods::restart_reason;
use crate::unit::report::{Told, is_at};

/// Tells what is new of it, and forgets what is over.
pub async fn tell(
    told: Told<'_>,
    unit: UnitId,
    object: &CapacityUnit,
    status: &CapacityUnitStatus,
) {
    let shared = told.shared;
    let path = format!("{}/{}", told.identity.offer.namespace, object.name_any());
    let before = object.status.as_ref().map_or(&[][..], |status| &status.conditions);
    for (what, note) in standing(told, unit, status) {
        match note {
            None => shared.memory.untold(&path, what.reason()),
            Some(note) => {
                if shared.tells(&path, what, before) {
                    shared.events.tell(object, what, &note).await;
                }
            }
        }
    }
}

/// What may last, with words where it does.
fn standing(
    told: Told<'_>,
    unit: UnitId,
    status: &CapacityUnitStatus,
) -> Vec<(Happening, Option<String>)> {
    let node = &told.identity.identity.node;
    let state = draining(&told.sight.seen, told.plan, unit);
    let epoch = told.sight.seen.snapshot.as_deref().map_or(0, |snapshot| snapshot.epoch.0);
    let drain = |text: &str| format!("node {node}: {text}, epoch {epoch}");
    let mut all = vec![(Happening::EpochAtRisk, at_risk(status))];
    // What is not known now is neither new nor over.
    if told.plan.why.contains_key(&unit) {
        let while_it_is = |wanted: Draining, text: &str| {
            state.filter(|state| *state == wanted).map(|_| drain(text))
        };
        all.push((Happening::DrainStarted, state.map(|_| drain("it is cordoned"))));
        let blocked = while_it_is(Draining::KeptForDeal, "the unit serves a deal");
        all.push((Happening::DrainBlocked, blocked));
        let over = while_it_is(Draining::Gone, "nothing of the unit is left there");
        all.push((Happening::DrainCompleted, over));
    }
    match told.plan.why.get(&unit) {
        Some(Why::Running) => {
            let again = restarted(told, unit).map(|text| format!("{text}, epoch {epoch}"));
            all.push((Happening::PodFailed, again));
        }
        Some(_) => {
            let failed = failure(&told.sight.seen, unit).or_else(|| restarted(told, unit));
            all.extend(
                failed.map(|text| (Happening::PodFailed, Some(format!("{text}, epoch {epoch}")))),
            );
        }
        None => {}
    }
    all
}

fn at_risk(status: &CapacityUnitStatus) -> Option<String> {
    let risk = condition::find(&status.conditions, ConditionType::AtRisk)?;
    let is_so = risk.status == ConditionStatus::True && risk.reason == "EpochWillBeMissed";
    is_so.then(|| risk.message.clone())
}

/// A pod of the unit whose container the kubelet has started again, and why.
fn restarted(told: Told<'_>, unit: UnitId) -> Option<String> {
    let own = told.sight.seen.pods.iter().flatten().filter(|pod| pod.role.holds(unit));
    own.into_iter().find_map(|known| {
        let place = (known.namespace.clone(), known.name.clone());
        let pod = told.sight.pods.iter().find(|pod| is_at(pod, &place))?;
        let reason = restart_reason(pod, clock::wall())?;
        Some(format!("pod {}/{} was started again: {reason}", place.0, place.1))
    })
}

/// A pod of the unit that came to nothing, or does not come up, and why.
fn failure(seen: &Seen, unit: UnitId) -> Option<String> {
    let own = seen.pods.iter().flatten().filter(|pod| pod.role.holds(unit));
    own.into_iter().find_map(|pod| {
        let (what, reason) = match &pod.phase {
            Phase::Ended { reason, .. } => ("ended", reason),
            Phase::Stuck { reason, .. } => ("cannot start", reason),
            Phase::Pending | Phase::Running | Phase::Ready | Phase::Deleting | Phase::Released => {
                return None;
            }
        };
        Some(format!("pod {}/{} {what}: {reason}", pod.namespace, pod.name))
    })
}
