//! Deals: what stands around their workers, what the workers are told, when they are activated and when they leave.
//!
//! The pods themselves belong to the units' loop, which asks [`observe::look`] whether a seat is served.

mod act;
pub mod artifact;
mod children;
mod duty;
pub mod observe;
mod report;

use std::sync::Arc;

use coreward_crds::Deal;
use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use tokio_util::sync::CancellationToken;

use crate::labels::OfferKey;
use crate::metrics::Ending;
use crate::turn::{DEBOUNCE, Error, Shared, told, wakes};

/// The loop's name in logs and metrics.
const NAME: &str = "deal";

/// Turns taken at once.
const CONCURRENCY: u16 = 8;

/// Takes the turns of all deals until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let stores = &shared.context.stores;
    let controller = Controller::for_shared_stream(stores.deals.changes(), stores.deals.reader())
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
        .reconcile_all_on(wakes(&shared.context))
        .graceful_shutdown_on(stop.cancelled_owned());
    controller
        .run(
            |deal, shared| async move {
                let name = format!("{}/{}", deal.namespace().unwrap_or_default(), deal.name_any());
                told(NAME, &shared, &name, turn(&deal, &shared)).await
            },
            |_: Arc<Deal>, error: &Error, _| Action::requeue(error.retry()),
            Arc::clone(&shared),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

/// One turn of the loop.
async fn turn(deal: &Deal, shared: &Shared) -> Result<Ending, Error> {
    let Some(key) = OfferKey::of_labels(deal) else { return Ok(Ending::Settled) };
    let Some(offer) = shared.context.stores.offers.get(&key.namespace, &key.name) else {
        // Without its offer nobody can say what is wanted; what runs goes on.
        return Ok(Ending::Settled);
    };
    let Ok(address) = deal.spec.deal_address.parse() else { return Ok(Ending::Settled) };
    let Some(look) = observe::look(shared, &offer, address).await? else { return Ok(Ending::Settled) };
    if !shared.context.leadership.may_send() {
        return Ok(Ending::Settled);
    }
    duty::assign(shared, &look);
    let done = act::act(shared, deal, &look).await?;
    report::report(shared, deal, &look, &done).await?;
    Ok(if done.acted { Ending::Acted } else { Ending::Settled })
}
