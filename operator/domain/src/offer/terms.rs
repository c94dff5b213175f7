//! The spec's terms in the market's own ids: what must hold before anything is sent.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};

use crate::call::ResourcePrice;
use crate::chain::{Datacenter, ResourceClass, Snapshot};
use crate::id::{DatacenterId, ResourceId};

use super::{CLOSED_PRICE, DatacenterChoice, Intake, Wanted, WantedResource, Why};

/// Choices that a message names.
const LISTED: usize = 12;

/// The spec's terms, checked against the market.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) datacenter: DatacenterId,
    pub(super) vcpu: WantedResource,
    pub(super) ram: WantedResource,
    /// Storage, addresses, bandwidth: with their quantities.
    pub(super) others: Vec<(WantedResource, u64)>,
    /// What the chain shall show, `Closed` taken into account.
    pub(super) prices: BTreeMap<ResourceId, (ResourceClass, U256)>,
}

impl Terms {
    /// Reads the spec against the market.
    pub(super) fn of(wanted: &Wanted, snapshot: &Snapshot) -> Result<Self, Why> {
        check_accounts(wanted, snapshot)?;
        let datacenter = datacenter(&wanted.datacenter, snapshot)?;
        let prices = prices(wanted, snapshot)?;
        let (mut vcpu, mut ram, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for resource in &wanted.resources {
            let class = class_of(resource.resource, snapshot, "spec.capacity.resources")?;
            if !prices.contains_key(&resource.resource) {
                return Err(invalid(
                    "spec.prices",
                    format!("resource {} has no price: write one", number(resource.resource)),
                ));
            }
            match (class, resource.quantity) {
                (ResourceClass::Vcpu, None) => vcpu.push(resource.clone()),
                (ResourceClass::Ram, None) => ram.push(resource.clone()),
                (ResourceClass::Vcpu | ResourceClass::Ram, Some(_)) => {
                    let message = format!(
                        "vCPU and RAM follow from the units: resource {} takes no quantityPerNode",
                        number(resource.resource)
                    );
                    return Err(invalid("spec.capacity.resources", message));
                }
                (
                    ResourceClass::Storage | ResourceClass::PublicIp | ResourceClass::Bandwidth,
                    quantity,
                ) => {
                    let quantity = quantity.filter(|quantity| *quantity > 0).ok_or_else(|| {
                        let message = format!(
                            "resource {} needs a quantityPerNode",
                            number(resource.resource)
                        );
                        invalid("spec.capacity.resources", message)
                    })?;
                    others.push((resource.clone(), quantity));
                }
            }
        }
        Ok(Self { datacenter, vcpu: only(vcpu, "vCPU")?, ram: only(ram, "RAM")?, others, prices })
    }

    /// The prices in the form that a registration takes.
    pub(super) fn resource_prices(&self) -> Vec<ResourcePrice> {
        let price = |(resource, (class, price)): (&ResourceId, &(ResourceClass, U256))| {
            ResourcePrice { class: *class, resource: *resource, price: *price }
        };
        self.prices.iter().map(price).collect()
    }
}

fn check_accounts(wanted: &Wanted, snapshot: &Snapshot) -> Result<(), Why> {
    if wanted.peer_owners.is_empty() {
        return Err(invalid("spec.peers.signers", "at least one signer must own the peers"));
    }
    if wanted.provider_name.is_empty() {
        return Err(invalid(
            "spec.provider.address",
            "the operator's configuration has no name for this provider",
        ));
    }
    match snapshot.tokens.get(&wanted.payment_token) {
        None => Err(Why::ChainUnknown),
        Some(false) => {
            let token = wanted.payment_token;
            let message =
                format!("the market does not take {token} for payment: name another token");
            Err(invalid("spec.paymentToken", message))
        }
        Some(true) => Ok(()),
    }
}

fn datacenter(choice: &DatacenterChoice, snapshot: &Snapshot) -> Result<DatacenterId, Why> {
    if snapshot.datacenters.is_empty() {
        return Err(Why::ChainUnknown);
    }
    let found = match choice {
        DatacenterChoice::Id(id) => snapshot.datacenters.contains_key(id).then_some(*id),
        DatacenterChoice::Place { country_code, city_code, index } => snapshot
            .datacenters
            .iter()
            .find(|(_, place)| {
                place.country_code == *country_code
                    && place.city_code == *city_code
                    && place.index == *index
            })
            .map(|(id, _)| *id),
    };
    found.ok_or_else(|| {
        let places = snapshot.datacenters.iter().map(|(id, place)| {
            let Datacenter { country_code, city_code, index } = place;
            format!("{} ({country_code} {city_code} {index})", decimal(id.0))
        });
        invalid(
            "spec.datacenter",
            format!("the market has no such datacenter, but {}", some(places)),
        )
    })
}

fn prices(
    wanted: &Wanted,
    snapshot: &Snapshot,
) -> Result<BTreeMap<ResourceId, (ResourceClass, U256)>, Why> {
    if snapshot.resources.is_empty() {
        return Err(Why::ChainUnknown);
    }
    let mut prices = BTreeMap::new();
    for (resource, price) in &wanted.prices {
        let class = class_of(*resource, snapshot, "spec.prices")?;
        if price.is_zero() || *price >= CLOSED_PRICE {
            let (resource, limit) = (number(*resource), CLOSED_PRICE);
            let message = format!(
                "the price of resource {resource} must be above zero and below {limit} base units: no deal pays more"
            );
            return Err(invalid("spec.prices", message));
        }
        let is_closed = wanted.intake == Intake::Closed && class == ResourceClass::Vcpu;
        prices.insert(*resource, (class, if is_closed { CLOSED_PRICE } else { *price }));
    }
    Ok(prices)
}

fn class_of(
    resource: ResourceId,
    snapshot: &Snapshot,
    field: &'static str,
) -> Result<ResourceClass, Why> {
    let kind = snapshot.resources.get(&resource);
    kind.map(|kind| kind.class).ok_or_else(|| {
        let kinds = some(snapshot.resources.keys().map(|kind| number(*kind)));
        invalid(field, format!("the market has no resource {}, but {kinds}", number(resource)))
    })
}

/// The first of what there is to choose from.
fn some(choices: impl Iterator<Item = String>) -> String {
    let mut listed: Vec<_> = choices.take(LISTED + 1).collect();
    if listed.len() > LISTED {
        listed.truncate(LISTED);
        listed.push("others".to_owned());
    }
    listed.join(", ")
}

fn only(mut found: Vec<WantedResource>, class: &str) -> Result<WantedResource, Why> {
    let count = found.len();
    match (found.pop(), found.is_empty()) {
        (Some(resource), true) => Ok(resource),
        _ => Err(invalid(
            "spec.capacity.resources",
            format!("exactly one {class} resource is needed, and {count} stand there"),
        )),
    }
}

fn invalid(field: &'static str, message: impl Into<String>) -> Why {
    Why::InvalidSpec { field, message: message.into() }
}

/// A resource's id as the spec writes it.
fn number(resource: ResourceId) -> String {
    decimal(resource.0)
}

fn decimal(id: B256) -> String {
    U256::from_be_bytes(id.0).to_string()
}
