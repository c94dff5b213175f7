//! The deal's subnet as this worker sees it: the member list of the overlay, and whether members answer.

mod name;

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::B256;
use coreward_overlay::{Client, Gateways, Member};
use coreward_wire::{SubnetReport, WorkerDuty};
use ed25519_dalek::VerifyingKey;
use futures::{StreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use name::Name;

use crate::metrics::Metrics;
use crate::orders::{self, Orders};

/// Members that are probed at once.
const PROBES: usize = 16;
/// From one probe of all members to the next when all answered.
const CALM: Duration = Duration::from_secs(30);
/// The same while one does not answer; grows to `CALM`.
const UNEASY: Duration = Duration::from_secs(1);

/// Gives a member list, and the gateways, to the overlay.
pub(crate) async fn apply(duty: &WorkerDuty, overlay: &Client, metrics: &Metrics) {
    let members = usable(duty);
    let (count, unusable) = (members.len(), duty.members.len() - members.len());
    let gateways = Gateways { own: duty.gateways.own.clone(), private: duty.gateways.private };
    let given = async {
        overlay.set_gateways(gateways).await?;
        overlay.set_members(members).await
    };
    match given.await {
        Ok(()) => {
            let block = duty.members_block;
            metrics.members_are(count, unusable, block);
            tracing::info!(
                subnet.members = count,
                subnet.unusable = unusable,
                chain.block = block,
                "the subnet has a new member list"
            );
        }
        Err(error) => tracing::error!(%error, "the member list could not be given to the overlay"),
    }
}

/// The members without those whose key is none, or was listed before: each is skipped alone.
fn usable(duty: &WorkerDuty) -> Vec<Member> {
    let mut seen = BTreeSet::new();
    let members = duty.members.iter().filter_map(|member| {
        let key = member.offchain_worker_id.0;
        let is_key = VerifyingKey::from_bytes(&key).is_ok();
        (is_key && seen.insert(key)).then(|| Member { key, addresses: member.addresses.clone() })
    });
    members.collect()
}

/// Gives each new member list to the overlay at once, and then passes the order on to `applied`; ends with the orders.
pub(crate) async fn follow(
    mut orders: Orders,
    overlay: Client,
    applied: watch::Sender<Arc<WorkerDuty>>,
    metrics: Metrics,
) {
    while orders.changed().await.is_ok() {
        let duty = Arc::clone(&orders.borrow_and_update());
        let differs = {
            let applied = applied.borrow();
            applied.members != duty.members || applied.gateways != duty.gateways
        };
        if differs {
            apply(&duty, &overlay, &metrics).await;
        }
        applied.send_replace(duty);
    }
}

/// Probes the other members after each change of the list, and from time to time.
pub(crate) async fn probe(
    mut applied: Orders,
    overlay: Client,
    reports: watch::Sender<SubnetReport>,
    stop: CancellationToken,
) {
    let probing = async {
        let mut pause = UNEASY;
        loop {
            let duty = Arc::clone(&applied.borrow_and_update());
            let report = probe_all(&duty, &overlay).await;
            pause = if report.unreachable.is_empty() { CALM } else { (pause * 2).min(CALM) };
            reports.send_if_modified(|last| replace(last, report));
            tokio::select! {
                () = sleep(pause) => {}
                gone = changed(&mut applied, &duty) => match gone {
                    Ok(()) => pause = UNEASY,
                    Err(_) => return,
                }
            }
        }
    };
    stop.run_until_cancelled(probing).await;
}

async fn changed(applied: &mut Orders, duty: &WorkerDuty) -> Result<(), watch::error::RecvError> {
    let differs =
        |now: &Arc<WorkerDuty>| now.members != duty.members || now.gateways != duty.gateways;
    applied.wait_for(differs).await.map(drop)
}

/// Replaces a report; false if it says the same of the same members, so that a quiet subnet makes no noise.
fn replace(last: &mut SubnetReport, report: SubnetReport) -> bool {
    let news = *last != report;
    *last = report;
    news
}

async fn probe_all(duty: &WorkerDuty, overlay: &Client) -> SubnetReport {
    let own = orders::own_key(duty);
    let others = duty.members.iter().filter(|member| member.offchain_worker_id.0 != own);
    let others: Vec<_> =
        others.map(|member| (member.onchain_worker_id, member.offchain_worker_id.0)).collect();
    let probes = others.into_iter().map(|(id, key)| probe_one(overlay.clone(), id, key));
    let mut answers: Vec<(B256, bool)> =
        stream::iter(probes).buffer_unordered(PROBES).collect().await;
    answers.sort_unstable();
    let of = |reached: bool| {
        answers.iter().filter(|answer| answer.1 == reached).map(|answer| answer.0).collect()
    };
    SubnetReport { members_block: duty.members_block, reachable: of(true), unreachable: of(false) }
}

async fn probe_one(overlay: Client, id: B256, key: coreward_overlay::Key) -> (B256, bool) {
    let answered = overlay.probe(key).await;
    if let Err(error) = &answered {
        tracing::info!(member.id = %orders::decimal(id), %error, "a member of the subnet does not answer");
    }
    (id, answered.is_ok())
}
