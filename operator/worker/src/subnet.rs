//! The deal's subnet as this worker sees it: the member list of the overlay, and whether members answer.

mod name;
pub(crate) mod probe;

use std::collections::BTreeSet;
use std::sync::Arc;

use coreward_overlay::{Client, Gateways, Member};
use coreward_wire::WorkerDuty;
use ed25519_dalek::VerifyingKey;
use tokio::sync::watch;

pub(crate) use name::Name;

use crate::metrics::Metrics;
use crate::orders::Orders;

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
