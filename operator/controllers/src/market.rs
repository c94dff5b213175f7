//! The three loops of the market's kinds, run together: they share one recorder and one memory.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::event::Events;
use crate::memory::Memory;
use crate::node::duty;
use crate::turn::{self, DEBOUNCE, Error, Shared};
use crate::{deal, gateway, gauges, offer, unit};

/// Turns taken at once by one loop.
const CONCURRENCY: u16 = 16;
/// Longest time between two looks at what belongs to no single object.
const SHOWN: Duration = Duration::from_secs(15);

/// Runs the loops until stopped.
#[must_use]
pub fn run(context: Arc<Context>, stop: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let events = Events::new(context.client.clone(), &context.identity);
        let shared = Arc::new(Shared::new(Arc::clone(&context), events, Memory::default()));
        tokio::join!(
            offers(Arc::clone(&shared), stop.clone()),
            units(Arc::clone(&shared), stop.clone()),
            deals(Arc::clone(&shared), stop.clone()),
            look_on(shared, stop),
        );
    })
}

fn config() -> Config {
    Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY)
}

/// Turns handle their own errors; this is for what kube itself reports.
fn again<K>(_: Arc<K>, error: &Error, _: Arc<Shared>) -> Action {
    Action::requeue(error.retry())
}

async fn offers(shared: Arc<Shared>, stop: CancellationToken) {
    let stores = &shared.context.stores;
    Controller::for_shared_stream(stores.offers.changes(), stores.offers.reader())
        .with_config(config())
        .reconcile_all_on(turn::wakes(&shared))
        .reconcile_all_on(turn::object_wakes(&shared.context))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(offer::turn, again, Arc::clone(&shared))
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn units(shared: Arc<Shared>, stop: CancellationToken) {
    let stores = &shared.context.stores;
    Controller::for_shared_stream(stores.identities.changes(), stores.identities.reader())
        .with_config(config())
        .reconcile_all_on(turn::wakes(&shared))
        .reconcile_all_on(turn::object_wakes(&shared.context))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(unit::turn, again, Arc::clone(&shared))
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn deals(shared: Arc<Shared>, stop: CancellationToken) {
    let stores = &shared.context.stores;
    Controller::for_shared_stream(stores.deals.changes(), stores.deals.reader())
        .with_config(config())
        .reconcile_all_on(turn::wakes(&shared))
        .reconcile_all_on(turn::object_wakes(&shared.context))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(deal::turn, again, Arc::clone(&shared))
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Keeps what belongs to no single object: the epochs' accounts, the duties of node agents and gateways, the gauges.
async fn look_on(shared: Arc<Shared>, stop: CancellationToken) {
    let mut wakes = turn::wakes(&shared);
    loop {
        for (name, network) in &shared.context.networks {
            if let Some(snapshot) = network.snapshot() {
                shared.memory.note(name, &snapshot);
            }
        }
        duty::assign_all(&shared.context);
        gateway::assign_all(&shared);
        gauges::set(&shared);
        // Ages and conditions are shown as they are, though the chain and the pods say nothing.
        match stop.run_until_cancelled(timeout(SHOWN, wakes.next())).await {
            Some(Ok(Some(())) | Err(_)) => {}
            Some(Ok(None)) | None => return,
        }
    }
}
