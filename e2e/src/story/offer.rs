//! From an applied `ProviderOffer` to commitments that work.

use alloy::primitives::{B256, U256};
use serde_json::Value;

use super::{STEP, Teller, agrees, ensure, is_ready};
use crate::{
    chain::{CPU, CommitmentStatus, RAM, abi::Diamond, abi::PeerView},
    world::{Error, Result, World, until},
};

/// vCPUs that a unit brings.
const VCPU: u64 = 2;
/// MiB that are declared for a unit.
const MEBIBYTES: u64 = 4096;

/// An offer as the contracts have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The object's name.
    pub name: String,
    /// Its id on chain.
    pub id: B256,
    /// Its peers.
    pub peers: Vec<Pledged>,
}

/// A peer as the contracts have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pledged {
    /// Its id.
    pub peer: B256,
    /// Its units.
    pub units: Vec<B256>,
    /// Its commitment; zero where it has none.
    pub commitment: B256,
}

impl Offered {
    /// All units.
    #[must_use]
    pub fn units(&self) -> Vec<B256> {
        self.peers.iter().flat_map(|peer| peer.units.clone()).collect()
    }
}

/// Applies `offer` and follows it until the contracts show all of it, with `units` units.
///
/// # Errors
/// [`Error::Late`], [`Error::Finding`] where the contracts show something else than the spec.
pub async fn register(
    world: &World,
    teller: &Teller,
    offer: &Value,
    units: usize,
) -> Result<Offered> {
    let name = offer["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    world.apply(offer).await?;
    let provider = world.party().provider.address;
    let wanted = world.party().provider_name();
    let named = until("the provider is registered under its name", STEP, async || {
        let name = world.oracle().provider(provider).await?.name;
        ensure(name.is_empty() || name == wanted, || format!("its name is {name:?}"))?;
        Ok((!name.is_empty()).then_some(()))
    });
    teller.step("the contract knows the provider by its name", named).await?;
    let what = format!("the offer is registered with {units} units");
    let found = until(&what, STEP, async || found(world, &name, units).await);
    let words = format!("the contract shows the offer with its peers and {units} unit(s)");
    let offered = teller.step(&words, found).await?;
    check_terms(world, offer, &offered).await?;
    teller.aside("prices, datacenter, resources and owners on chain are those of the spec");
    let id = offered.id.to_string();
    agrees(world, ("ProviderOffer", &name), "it has that id and those units", |object| {
        let status = &object.data["status"];
        status["offerID"] == id.as_str() && status["units"]["total"] == units
    })
    .await?;
    Ok(offered)
}

/// What a vCPU costs by the offer on chain, in the token's smallest units.
///
/// # Errors
/// [`Error::Finding`] where the offer or the price is not there.
pub async fn vcpu_price(world: &World, offered: &Offered) -> Result<U256> {
    let offers = world.oracle().offers_of(world.party().provider.address).await?;
    let offer = offers.into_iter().find(|offer| offer.offerId == offered.id);
    let price =
        offer.and_then(|offer| offer.prices.into_iter().find(|price| price.resourceId == CPU.1));
    price.map(|price| price.price).ok_or_else(|| Error::Finding("a vCPU has no price".to_owned()))
}

async fn found(world: &World, name: &str, units: usize) -> Result<Option<Offered>> {
    for offer in world.oracle().offers_of(world.party().provider.address).await? {
        let peers = world.oracle().peers_of(offer.offerId).await?;
        let offered = Offered {
            name: name.to_owned(),
            id: offer.offerId,
            peers: peers.iter().map(pledged).collect(),
        };
        if offered.units().len() == units {
            return Ok(Some(offered));
        }
    }
    Ok(None)
}

fn pledged(peer: &PeerView) -> Pledged {
    Pledged {
        peer: peer.peerId,
        units: peer.unitIds.iter().map(|unit| unit.id).collect(),
        commitment: peer.commitmentId,
    }
}

/// Compares prices, token, datacenter, resources and owners with what the spec of the world's own offers asks for.
async fn check_terms(world: &World, spec: &Value, offered: &Offered) -> Result<()> {
    let oracle = world.oracle();
    let all = oracle.offers_of(world.party().provider.address).await?;
    let offer = all.into_iter().find(|offer| offer.offerId == offered.id);
    let offer = offer.ok_or_else(|| Error::Finding("the offer vanished".to_owned()))?;
    ensure(offer.paymentToken == world.driver().contracts().usdc, || {
        format!("it is paid in {}", offer.paymentToken)
    })?;
    for wanted in spec["spec"]["prices"].as_array().into_iter().flatten() {
        let id: u64 = super::text(&wanted["resource"]).parse().unwrap_or_default();
        let id = B256::from(U256::from(id));
        let price = base_units(super::text(&wanted["price"]))?;
        let shown = offer.prices.iter().find(|price| price.resourceId == id);
        ensure(shown.is_some_and(|shown| shown.price == price), || {
            format!("the price of resource {id} is {shown:?}, not {price}")
        })?;
    }
    let datacenter = oracle.view(&Diamond::getOfferDatacenterCall { offerId: offered.id }).await?;
    ensure(!datacenter.is_zero(), || "it is in no datacenter".to_owned())?;
    for peer in oracle.peers_of(offered.id).await? {
        let owner = oracle.owner_of(peer.peerId).await?;
        ensure(owner == world.party().peer_owner.address, || {
            format!("peer {} belongs to {owner}", peer.peerId)
        })?;
        for ((_, id), per_unit) in [(CPU, VCPU), (RAM, MEBIBYTES)] {
            let wanted = U256::from(per_unit) * U256::from(peer.unitIds.len());
            let shown = peer.resources.iter().find(|resource| resource.resourceId == id);
            ensure(shown.is_some_and(|shown| shown.maxSupply == wanted), || {
                format!("peer {} declares {shown:?} of resource {id}, not {wanted}", peer.peerId)
            })?;
        }
    }
    Ok(())
}

/// A decimal number of the payment token in base units.
fn base_units(decimal: &str) -> Result<U256> {
    const PLACES: usize = 6;
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    let text = format!("{whole}{part:0<PLACES$}");
    text.parse().map_err(|_| Error::Finding(format!("{decimal} is no amount")))
}

/// Follows the commitments of an offer to the epoch in which they work; the driver ends the epoch before.
///
/// # Errors
/// [`Error::Late`], [`Error::Finding`].
pub async fn activate(world: &World, teller: &Teller, offered: Offered) -> Result<Offered> {
    let words = "each peer's commitment is made and funded: WaitStart";
    let offered = teller.step(words, staked(world, offered)).await?;
    world.driver().next_epoch().await?;
    let active = until("all commitments are Active", STEP, async || {
        for peer in &offered.peers {
            let status = world.oracle().commitment_status(peer.commitment).await?;
            ensure(status == CommitmentStatus::Active, || format!("{status:?}"))?;
        }
        Ok(Some(()))
    });
    teller.step("the driver ends the epoch: the commitments are Active", active).await?;
    let peers = offered.peers.len();
    agrees(world, ("ProviderOffer", &offered.name), "its commitments are active", |object| {
        object.data["status"]["commitments"]["active"] == peers && is_ready(object)
    })
    .await?;
    Ok(offered)
}

/// Waits until each peer has a funded commitment of all its units, with the provider itself as the staker.
async fn staked(world: &World, offered: Offered) -> Result<Offered> {
    let oracle = world.oracle();
    until("all commitments wait for their first epoch", STEP, async || {
        let peers = oracle.peers_of(offered.id).await?.iter().map(pledged).collect::<Vec<_>>();
        for peer in &peers {
            ensure(!peer.commitment.is_zero(), || format!("peer {} has none", peer.peer))?;
            let view = oracle.commitment(peer.commitment).await?;
            let status = CommitmentStatus::try_from(view.status)?;
            // An epoch that a story beside this one ended makes it Active at once.
            let funded = [CommitmentStatus::WaitStart, CommitmentStatus::Active];
            ensure(funded.contains(&status), || format!("{status:?}"))?;
            ensure(view.delegator == world.party().provider.address, || {
                format!("its staker is {}", view.delegator)
            })?;
            ensure(view.unitCount == U256::from(peer.units.len()), || {
                format!("it has {} units", view.unitCount)
            })?;
        }
        Ok(Some(Offered { peers, ..offered.clone() }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_base_units() {
        for (decimal, units) in [("0.001", 1_000), ("0.00001", 10), ("2", 2_000_000)] {
            assert_eq!(base_units(decimal).unwrap(), U256::from(units), "{decimal}");
        }
    }
}
