//! What people wrote on units and deals, kept beside the peers' identities: a mirror that was deleted comes back with it.

use std::collections::{BTreeMap, BTreeSet};

use coreward_crds::{CapacityUnit, Deal, DealPolicy};
use coreward_domain::id::UnitId;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::act::annotate;
use crate::identity::{KEPT, PeerIdentity};
use crate::labels::OfferKey;
use crate::turn::{Error, Shared};

/// People's fields of a spec, by the object's name.
pub type Kept = BTreeMap<String, Value>;

/// All that is kept for an offer.
#[must_use]
pub fn kept(identities: &[PeerIdentity]) -> Kept {
    identities.iter().flat_map(|identity| identity.kept.clone()).collect()
}

/// Puts people's fields into the spec of a mirror that is made again.
pub fn restore(body: &mut Value, kept: &Kept) {
    let fields = body["metadata"]["name"].as_str().and_then(|name| kept.get(name));
    for (field, value) in fields.and_then(Value::as_object).into_iter().flatten() {
        body["spec"][field] = value.clone();
    }
}

/// Whether a person suspended the unit: its object says so, or, where that is away, what is kept of it.
#[must_use]
pub fn is_suspended(shared: &Shared, key: &OfferKey, kept: &Kept, unit: UnitId) -> bool {
    let name = key.unit_name(unit);
    let object = shared.context.stores.units.get(&key.namespace, &name);
    object.map_or_else(|| says_suspend(kept, &name), |object| object.spec.suspend)
}

fn says_suspend(kept: &Kept, name: &str) -> bool {
    kept.get(name).is_some_and(|fields| fields["suspend"] == true)
}

/// Keeps what people have on the offer's mirrors now. What is kept of an object that is not there stays, as long as the chain
/// lists it.
///
/// # Errors
///
/// [`Error::Write`].
pub async fn keep(
    shared: &Shared,
    key: &OfferKey,
    identities: &[PeerIdentity],
    listed: &BTreeSet<String>,
) -> Result<(), Error> {
    let stores = &shared.context.stores;
    let mut present: BTreeMap<String, Option<Value>> = BTreeMap::new();
    for unit in stores.units.all() {
        if unit.namespace().as_deref() == Some(&key.namespace) {
            present.insert(unit.name_any(), of_unit(&unit));
        }
    }
    for deal in stores.deals.all() {
        if deal.namespace().as_deref() == Some(&key.namespace) {
            present.insert(deal.name_any(), of_deal(&deal));
        }
    }
    let known = kept(identities);
    let wanted = wanted(&known, &present, listed);
    let holder = identities.iter().find(|identity| !identity.kept.is_empty());
    match holder.or_else(|| identities.first()) {
        Some(holder) if wanted != known => {
            annotate(shared, holder, KEPT, Some(&json!(wanted).to_string())).await
        }
        Some(_) | None => Ok(()),
    }
}

fn wanted(
    known: &Kept,
    present: &BTreeMap<String, Option<Value>>,
    listed: &BTreeSet<String>,
) -> Kept {
    let fields = |name: &String| match present.get(name) {
        Some(fields) => fields.clone(),
        None => known.get(name).cloned(),
    };
    listed.iter().filter_map(|name| Some((name.clone(), fields(name)?))).collect()
}

/// People's part of a unit; `None` where they changed nothing.
fn of_unit(unit: &CapacityUnit) -> Option<Value> {
    unit.spec.suspend.then(|| json!({ "suspend": true }))
}

/// People's part of a deal; `None` where they changed nothing.
fn of_deal(deal: &Deal) -> Option<Value> {
    let policy = &deal.spec.policy;
    (*policy != DealPolicy::default()).then(|| json!({ "policy": policy }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn suspended() -> Value {
        json!({ "suspend": true })
    }

    #[test]
    fn a_mirror_comes_back_with_what_people_wrote() {
        let kept = Kept::from([("fra1-51".to_owned(), suspended())]);
        let mut body = json!({ "metadata": { "name": "fra1-51" }, "spec": { "unitID": "0x51" } });
        restore(&mut body, &kept);
        assert_eq!(body["spec"], json!({ "unitID": "0x51", "suspend": true }));
        let mut other = json!({ "metadata": { "name": "fra1-52" }, "spec": {} });
        restore(&mut other, &kept);
        assert_eq!(other["spec"], json!({}));
    }

    #[rstest::rstest]
    #[case::suspended(Some(suspended()), true)]
    #[case::of_a_deal(Some(json!({ "policy": {} })), false)]
    #[case::nothing_is_kept(None, false)]
    fn a_unit_without_an_object_is_as_it_was_last(
        #[case] fields: Option<Value>,
        #[case] suspended: bool,
    ) {
        let kept = fields.into_iter().map(|fields| ("fra1-51".to_owned(), fields)).collect();
        assert_eq!(says_suspend(&kept, "fra1-51"), suspended);
    }

    #[test]
    fn what_is_written_now_counts_and_what_is_gone_is_remembered() {
        let known = Kept::from([
            ("deleted".to_owned(), suspended()),
            ("resumed".to_owned(), suspended()),
            ("off-chain".to_owned(), suspended()),
        ]);
        let present = BTreeMap::from([
            ("resumed".to_owned(), None),
            ("suspended-now".to_owned(), Some(suspended())),
        ]);
        let listed = names(&["deleted", "resumed", "suspended-now", "plain"]);
        let wanted = wanted(&known, &present, &listed);
        assert_eq!(
            wanted.into_keys().collect::<BTreeSet<_>>(),
            names(&["deleted", "suspended-now"])
        );
    }
}
