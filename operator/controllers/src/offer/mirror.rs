//! Units and deals that the chain lists for an offer, as objects in the offer's namespace.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use coreward_crds::{CapacityUnit, Deal, GROUP, ProviderOffer, VERSION};
use coreward_domain::chain::Snapshot;
use coreward_domain::id::{PeerId, UnitId};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::apply::{self, Manager};
use crate::deal::stand;
use crate::event::Happening;
use crate::identity::{self, PeerIdentity};
use crate::labels::{DEAL_FINALIZER, OFFER_FINALIZER, OfferKey, UNIT_FINALIZER};
use crate::turn::{Error, Shared};
use crate::view;

use super::kept;

/// Makes what the chain lists, lets go what it does not list any more.
///
/// # Errors
///
/// [`Error::Write`]: the next turn goes on from there.
pub async fn mirror(
    shared: &Shared,
    offer: &ProviderOffer,
    identities: &[PeerIdentity],
    snapshot: &Snapshot,
) -> Result<bool, Error> {
    let key = OfferKey::of(offer);
    let units = units(snapshot, identities);
    let kept = kept::kept(identities);
    let mut changed = false;
    let stores = &shared.context.stores;
    for (unit, peer) in &units {
        let present = stores.units.get(&key.namespace, &key.unit_name(*unit));
        if present.is_none() && !stores.units.is_missing() {
            let mut body = unit_body(&key, *unit, *peer);
            kept::restore(&mut body, &kept);
            apply::ours::<CapacityUnit>(&shared.context.client, &body, Manager::Offer).await?;
            changed = true;
        }
    }
    let deals = deals(snapshot, identities);
    for deal in &deals {
        let name = key.deal_name(&offer.spec.network, *deal);
        if stores.deals.get(&key.namespace, &name).is_none() && !stores.deals.is_missing() {
            let mut body = deal_body(&key, &offer.spec.network, *deal);
            kept::restore(&mut body, &kept);
            apply::ours::<Deal>(&shared.context.client, &body, Manager::Offer).await?;
            changed = true;
        }
    }
    let listed = units.keys().map(|unit| key.unit_name(*unit));
    let listed = listed.chain(deals.iter().map(|deal| key.deal_name(&offer.spec.network, *deal)));
    kept::keep(shared, &key, identities, &listed.collect()).await?;
    guard_deletions(shared, &key, identities, snapshot).await?;
    Ok(release_units(shared, &key, &units, are_all_known(snapshot, identities)).await? || changed)
}

/// A unit that a person deletes goes, and is made again, if it is free; else its finalizer holds, and its owner is told.
async fn guard_deletions(
    shared: &Shared,
    key: &OfferKey,
    identities: &[PeerIdentity],
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let peers = view::registered(snapshot, identities);
    let units: Vec<_> = peers
        .values()
        .flat_map(|(_, peer)| {
            peer.units.iter().map(move |(id, unit)| (*id, unit.seat, peer.commitment))
        })
        .collect();
    for (unit, seat, commitment) in units {
        let Some(object) = shared.context.stores.units.get(&key.namespace, &key.unit_name(unit))
        else {
            continue;
        };
        if object.metadata.deletion_timestamp.is_none() {
            continue;
        }
        let why = match (seat, commitment) {
            (Some(seat), _) => {
                format!("the unit serves deal {} in epoch {}", seat.deal, snapshot.epoch)
            }
            (None, Some(id)) => {
                format!("the unit is part of commitment {id} in epoch {}", snapshot.epoch)
            }
            (None, None) => {
                apply::finalizer(&shared.context.client, object.as_ref(), UNIT_FINALIZER, false)
                    .await?;
                continue;
            }
        };
        if shared.memory.tell_once(&object.name_any(), Happening::DeletionBlocked.reason()) {
            shared.events.tell(object.as_ref(), Happening::DeletionBlocked, &why).await;
        }
    }
    Ok(())
}

/// Whether the snapshot has an answer about each of our peers.
fn are_all_known(snapshot: &Snapshot, identities: &[PeerIdentity]) -> bool {
    identities.iter().all(|identity| snapshot.peers.contains_key(&identity.identity.peer))
}

/// Lets go of units that the chain positively does not list, and of free ones that a person deleted (they are made again).
async fn release_units(
    shared: &Shared,
    key: &OfferKey,
    listed: &BTreeMap<UnitId, PeerId>,
    complete: bool,
) -> Result<bool, Error> {
    let mut changed = false;
    let names: BTreeSet<_> = listed.keys().map(|unit| key.unit_name(*unit)).collect();
    for object in shared.context.stores.units.all() {
        let is_own = object.namespace().as_deref() == Some(&key.namespace)
            && object.spec.offer_ref.name == key.name;
        let is_listed = names.contains(&object.name_any());
        if is_own && complete && !is_listed {
            apply::finalizer(&shared.context.client, object.as_ref(), UNIT_FINALIZER, false)
                .await?;
            apply::delete(&shared.context.client, object.as_ref()).await?;
            changed = true;
        }
    }
    Ok(changed)
}

fn units(snapshot: &Snapshot, identities: &[PeerIdentity]) -> BTreeMap<UnitId, PeerId> {
    let peers = view::registered(snapshot, identities);
    peers.iter().flat_map(|(id, (_, peer))| peer.units.keys().map(|unit| (*unit, *id))).collect()
}

fn deals(snapshot: &Snapshot, identities: &[PeerIdentity]) -> BTreeSet<Address> {
    let peers = view::registered(snapshot, identities);
    let seats =
        peers.values().flat_map(|(_, peer)| peer.units.values()).filter_map(|unit| unit.seat);
    seats.map(|seat| seat.deal).collect()
}

/// Without the fields that belong to people.
fn unit_body(key: &OfferKey, unit: UnitId, peer: PeerId) -> Value {
    let text = identity::text(peer);
    let mut labels = key.labels();
    labels.insert("coreward.dev/peer".to_owned(), text.clone());
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "CapacityUnit",
        "metadata": {
            "name": key.unit_name(unit), "namespace": key.namespace,
            "labels": labels, "finalizers": [UNIT_FINALIZER],
        },
        "spec": { "offerRef": { "name": key.name }, "unitID": unit.to_string(), "peerID": text },
    })
}

fn deal_body(key: &OfferKey, network: &str, deal: Address) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Deal",
        "metadata": {
            "name": key.deal_name(network, deal), "namespace": key.namespace,
            "labels": key.labels(), "finalizers": [DEAL_FINALIZER],
        },
        "spec": { "network": network, "dealAddress": deal.to_string() },
    })
}

/// Lets everything of an offer go: its pods, its mirrors, its deals' namespaces, its own finalizer. Sends nothing; identities stay.
///
/// # Errors
///
/// [`Error::Write`]: the next turn goes on from there.
pub async fn release(shared: &Shared, offer: &ProviderOffer) -> Result<(), Error> {
    let key = OfferKey::of(offer);
    let context = &shared.context;
    for pod in context.stores.pods.all() {
        if OfferKey::of_labels(pod.as_ref()).as_ref() == Some(&key)
            && pod.metadata.deletion_timestamp.is_none()
        {
            let name = pod.name_any();
            let api = kube::Api::<k8s_openapi::api::core::v1::Pod>::namespaced(
                context.client.clone(),
                &pod.namespace().unwrap_or_default(),
            );
            api.delete(&name, &apply::of_uid(pod.uid(), Some(1)))
                .await
                .map(drop)
                .or_else(apply::gone_is_fine)
                .map_err(|source| Error::write("deletion", &name, source))?;
        }
    }
    for object in context.stores.units.all() {
        if object.namespace().as_deref() == Some(&key.namespace)
            && object.spec.offer_ref.name == key.name
        {
            apply::finalizer(&context.client, object.as_ref(), UNIT_FINALIZER, false).await?;
            apply::delete(&context.client, object.as_ref()).await?;
        }
    }
    for object in context.stores.deals.all() {
        if OfferKey::of_labels(object.as_ref()).as_ref() == Some(&key) {
            apply::finalizer(&context.client, object.as_ref(), DEAL_FINALIZER, false).await?;
            apply::delete(&context.client, object.as_ref()).await?;
        }
    }
    for namespace in context.stores.namespaces.all() {
        if OfferKey::of_labels(namespace.as_ref()).as_ref() == Some(&key) {
            stand::delete(shared, &namespace.name_any()).await?;
        }
    }
    for handle in context.networks.values() {
        handle.forget(&watch_owner(&key));
    }
    apply::finalizer(&context.client, offer, OFFER_FINALIZER, false).await
}

/// Under which name an offer asks for its part of the chain.
#[must_use]
pub fn watch_owner(key: &OfferKey) -> String {
    format!("offer/{}", key.path())
}
