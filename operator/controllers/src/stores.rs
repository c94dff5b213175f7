//! What the API server last said, shared by all loops: one watch per kind.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use coreward_crds::{CapacityUnit, ChainTransaction, Deal, ProviderOffer};
use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, NodeStatus, Secret};
use kube::api::Api;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::apply;
use crate::labels::OfferKey;
use crate::pods::Pod;

/// Label that everything of ours carries.
pub const MANAGED_LABEL: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGED_VALUE: &str = "coreward";
/// Label that says what a pod or Secret of ours is.
pub const COMPONENT_LABEL: &str = "coreward.dev/component";
/// Component of the Secrets that hold peers' identities.
pub const IDENTITY_COMPONENT: &str = "peer-identity";

/// Changes kept for a slow listener; one that missed some is given the whole store.
const CHANGES_KEPT: usize = 512;
/// A kind that the API server does not know is asked for again after this.
const UNKNOWN: Duration = Duration::from_secs(2);

/// One kind as the API server last showed it, and the changes as they come. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mirror<K>
where
    K: Resource<DynamicType = ()> + Debug + Clone + 'static,
{
    store: Store<K>,
    changes: broadcast::Sender<Arc<K>>,
    missing: watch::Sender<bool>,
}

impl<K> Mirror<K>
where
    K: Resource<DynamicType = ()> + Debug + Clone + Send + Sync + 'static,
{
    fn new() -> (Self, Writer<K>) {
        let writer = Writer::<K>::default();
        let mirror = Self {
            store: writer.as_reader(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            missing: watch::Sender::new(false),
        };
        (mirror, writer)
    }

    /// Whether the API server does not know the kind, so that nothing is known of its objects: what the store shows is old,
    /// and what it does not show may be there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        *self.missing.borrow()
    }

    /// Notes whether the API server knows the kind; says whether that is news.
    pub(crate) fn miss(&self, missing: bool) -> bool {
        self.missing.send_replace(missing) != missing
    }

    /// Waits until the store was filled once, or its kind was found missing.
    async fn was_asked_for(&self) {
        let mut missing = self.missing.subscribe();
        tokio::select! {
            _ = self.store.wait_until_ready() => {}
            _ = missing.wait_for(|missing| *missing) => {}
        }
    }

    /// The store, for a `Controller` or a look-up.
    #[must_use]
    pub fn reader(&self) -> Store<K> {
        self.store.clone()
    }

    /// All objects.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// One object of a namespaced kind.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// One object of a cluster-wide kind.
    #[must_use]
    pub fn get_cluster(&self, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name))
    }

    /// Tells listeners. A list is told when it is complete, since only then the store has it.
    fn announce(&self, event: watcher::Event<K>) {
        let objects = match event {
            watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
                vec![Arc::new(object)]
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
            watcher::Event::InitDone => self.store.state(),
        };
        for object in objects {
            // Nobody listens while this replica does not lead.
            let _ = self.changes.send(object);
        }
    }

    /// Every object now, then each that was added, changed or deleted. Never ends; fits `Controller::for_shared_stream`.
    pub fn changes(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        let store = self.store.clone();
        let first = stream::iter(store.state());
        let later =
            stream::unfold((self.changes.subscribe(), store), |(mut changes, store)| async move {
                let batch = match changes.recv().await {
                    Ok(object) => vec![object],
                    Err(broadcast::error::RecvError::Lagged(_)) => store.state(),
                    // The watch is over, and so is the process.
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                };
                Some((stream::iter(batch), (changes, store)))
            });
        first.chain(later.flatten())
    }
}

/// All that is watched.
#[derive(Clone, Debug)]
pub struct Stores {
    /// In all namespaces.
    pub offers: Mirror<ProviderOffer>,
    /// In all namespaces.
    pub units: Mirror<CapacityUnit>,
    /// In all namespaces.
    pub deals: Mirror<Deal>,
    /// In the operator's namespace.
    pub transactions: Mirror<ChainTransaction>,
    /// With a component's label, in all namespaces; who may make pods may write that label, so the namespace counts too.
    pub pods: Mirror<Pod>,
    /// All.
    pub nodes: Mirror<Node>,
    /// Secrets with peers' identities, in the operator's namespace.
    pub identities: Mirror<Secret>,
    /// Ours.
    pub namespaces: Mirror<Namespace>,
    is_filled: watch::Sender<bool>,
}

#[cfg(test)]
impl Writers {
    /// Fills the store of pods, as a watch would.
    pub(crate) fn fill_pods(&mut self, pods: Vec<Pod>) {
        self.pods.apply_watcher_event(&watcher::Event::Init);
        for pod in pods {
            self.pods.apply_watcher_event(&watcher::Event::InitApply(pod));
        }
        self.pods.apply_watcher_event(&watcher::Event::InitDone);
    }
}

/// The writing ends, to be run once.
#[derive(Debug)]
pub struct Writers {
    offers: Writer<ProviderOffer>,
    units: Writer<CapacityUnit>,
    deals: Writer<Deal>,
    transactions: Writer<ChainTransaction>,
    pods: Writer<Pod>,
    nodes: Writer<Node>,
    identities: Writer<Secret>,
    namespaces: Writer<Namespace>,
}

impl Stores {
    /// Empty stores and their writing ends.
    #[must_use]
    pub fn new() -> (Self, Writers) {
        let (offers, offers_writer) = Mirror::new();
        let (units, units_writer) = Mirror::new();
        let (deals, deals_writer) = Mirror::new();
        let (transactions, transactions_writer) = Mirror::new();
        let (pods, pods_writer) = Mirror::new();
        let (nodes, nodes_writer) = Mirror::new();
        let (identities, identities_writer) = Mirror::new();
        let (namespaces, namespaces_writer) = Mirror::new();
        let is_filled = watch::Sender::new(false);
        let stores = Self {
            offers,
            units,
            deals,
            transactions,
            pods,
            nodes,
            identities,
            namespaces,
            is_filled,
        };
        let writers = Writers {
            offers: offers_writer,
            units: units_writer,
            deals: deals_writer,
            transactions: transactions_writer,
            pods: pods_writer,
            nodes: nodes_writer,
            identities: identities_writer,
            namespaces: namespaces_writer,
        };
        (stores, writers)
    }

    /// Waits until every store was filled once, but for those of our own kinds that are missing. Cancel safe.
    pub async fn filled(&self) {
        // Our own clone keeps the channel open.
        let _ = self.is_filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// Each store wakes only the last of those who wait for it, so that one alone waits, and tells all others.
    async fn tell_when_filled(&self) {
        // An error means that a writer is gone, thus that the process stops.
        let _ = tokio::join!(
            self.offers.was_asked_for(),
            self.units.was_asked_for(),
            self.deals.was_asked_for(),
            self.transactions.was_asked_for(),
            self.pods.store.wait_until_ready(),
            self.nodes.store.wait_until_ready(),
            self.identities.store.wait_until_ready(),
            self.namespaces.store.wait_until_ready(),
        );
        self.is_filled.send_replace(true);
    }

    /// The offer of this key.
    #[must_use]
    pub fn offer(&self, key: &OfferKey) -> Option<Arc<ProviderOffer>> {
        self.offers.get(&key.namespace, &key.name)
    }

    /// Our pod of this UID.
    #[must_use]
    pub fn pod_of_uid(&self, uid: &str) -> Option<Arc<Pod>> {
        self.pods.store.find(|pod| pod.metadata.uid.as_deref() == Some(uid))
    }

    /// UIDs of our pods.
    #[must_use]
    pub fn pod_uids(&self) -> BTreeSet<String> {
        self.pods.store.state().iter().filter_map(|pod| pod.metadata.uid.clone()).collect()
    }

    /// Watches until stopped. Outages are waited out; the stores keep what they last knew.
    pub async fn watch(
        self,
        writers: Writers,
        client: Client,
        namespace: String,
        stop: CancellationToken,
    ) {
        let ours = watcher::Config::default().labels(&format!("{MANAGED_LABEL}={MANAGED_VALUE}"));
        // Node agents are made by the chart, whose objects are managed by another.
        let components = watcher::Config::default().labels(COMPONENT_LABEL);
        let identities =
            watcher::Config::default().labels(&format!("{COMPONENT_LABEL}={IDENTITY_COMPONENT}"));
        let all = watcher::Config::default;
        let (this, told) = (self.clone(), stop.clone());
        tokio::join!(
            told.run_until_cancelled(this.tell_when_filled()),
            follow(Api::all(client.clone()), all(), writers.offers, (self.offers, stop.clone())),
            follow(Api::all(client.clone()), all(), writers.units, (self.units, stop.clone())),
            follow(Api::all(client.clone()), all(), writers.deals, (self.deals, stop.clone())),
            follow(
                Api::namespaced(client.clone(), &namespace),
                all(),
                writers.transactions,
                (self.transactions, stop.clone())
            ),
            follow(Api::all(client.clone()), components, writers.pods, (self.pods, stop.clone())),
            follow(Api::all(client.clone()), all(), writers.nodes, (self.nodes, stop.clone())),
            follow(
                Api::namespaced(client.clone(), &namespace),
                identities,
                writers.identities,
                (self.identities, stop.clone())
            ),
            follow(Api::all(client), ours, writers.namespaces, (self.namespaces, stop)),
        );
    }
}

/// What is kept of an object. Of thousands of pods each field costs.
pub trait Kept {
    /// Leaves out what no loop reads.
    fn trim(&mut self) {}
}

impl Kept for ProviderOffer {}
impl Kept for CapacityUnit {}
impl Kept for Deal {}
impl Kept for ChainTransaction {}
impl Kept for Secret {}
impl Kept for Namespace {}
// What is left out of a pod is not even read.
impl Kept for Pod {}

impl Kept for Node {
    /// A kubelet tells some fifty images by all of their names, and much else.
    fn trim(&mut self) {
        self.status = self.status.take().map(|status| NodeStatus {
            allocatable: status.allocatable,
            conditions: status.conditions,
            ..NodeStatus::default()
        });
    }
}

async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: Writer<K>,
    to: (Mirror<K>, CancellationToken),
) where
    K: Resource<DynamicType = ()> + Kept + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (mirror, stop) = to;
    let watching = || Box::pin(watcher(api.clone(), config.clone()).default_backoff());
    let kind = K::kind(&());
    let mut events = watching();
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(event) => {
                let event = event.modify(|object| {
                    object.meta_mut().managed_fields = None;
                    object.trim();
                });
                let is_complete = matches!(event, watcher::Event::InitDone);
                writer.apply_watcher_event(&event);
                if is_complete && mirror.miss(false) {
                    tracing::info!(watch.kind = %kind, "the kind is known again");
                }
                mirror.announce(event);
            }
            Err(error) if is_unknown_kind(&error) => {
                if mirror.miss(true) {
                    tracing::error!(watch.kind = %kind, "the API server does not know the kind: nothing that needs it is done until its definition is installed again");
                }
                if stop.run_until_cancelled(sleep(UNKNOWN)).await.is_none() {
                    return;
                }
                // Only a new list says what there is.
                events = watching();
            }
            Err(error) => {
                tracing::warn!(watch.kind = %kind, error = %coreward_telemetry::causes(&error), "a watch was interrupted");
            }
        }
    }
}

/// Whether the API server says that there is no such kind.
fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)
            if apply::code(error) == Some(404)
    )
}

#[cfg(test)]
#[path = "stores_tests.rs"]
mod tests;
