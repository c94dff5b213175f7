//! Whether the money of a world adds up: wallets, the market's events and views, and what the product tells of them.

use std::collections::BTreeSet;

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, U256},
};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{STATUS, STEP, account, ensure, page, text, today, witness};
use crate::{
    chain::{
        At, CommitmentStatus,
        abi::{Deal, Diamond, PeerView, RewardsView, Token},
    },
    world::{Error, Result, World, until},
};

/// Decimals of FLT.
pub const FLT: usize = 18;
/// Decimals of the bed's USDC.
const USDC: usize = 6;
/// The contract's words on a commitment that is none.
const NO_COMMITMENT: &str = "Capacity commitment doesn't exist";

/// Waits until both keys hold what they had, and what has come, less what went, to the wei and the base unit, and until
/// every offer and deal tells the contracts' own sums.
///
/// # Errors
/// [`Error::Late`] with what differs.
pub async fn adds_up(world: &World) -> Result<()> {
    let party = world.party();
    until("wallets hold what the market's events say", STEP, async || {
        let provider = party.provider.address;
        let sent = world.oracle().used_nonces(provider, world.from_block()).await?;
        let sent: BTreeSet<B256> = sent.iter().map(|sent| sent.hash).collect();
        let commitments = commitments(world, &sent).await?;
        let paid = paid_out(world, &commitments).await?;
        wallet(world, provider, paid).await?;
        wallet(world, party.peer_owner.address, U256::ZERO).await?;
        revenue(world, provider).await.map(Some)
    })
    .await?;
    for offer in world.list("ProviderOffer").await? {
        let name = offer.metadata.name.clone().unwrap_or_default();
        until(&format!("offer {name} tells the contract's sums"), STATUS, async || {
            let offer = world.get("ProviderOffer", &name).await?;
            offer_tells(world, &offer.ok_or_else(|| gone(&name))?).await?;
            series_tell(world, &name).await.map(Some)
        })
        .await?;
    }
    for deal in world.list("Deal").await? {
        let name = deal.metadata.name.clone().unwrap_or_default();
        until(&format!("deal {name} tells the contract's pay"), STATUS, async || {
            // A deal that has ended meanwhile tells nothing any more.
            match world.get("Deal", &name).await? {
                Some(deal) => deal_tells(world, &deal).await.map(Some),
                None => Ok(Some(())),
            }
        })
        .await?;
    }
    Ok(())
}

fn gone(name: &str) -> Error {
    Error::Finding(format!("offer {name} is gone"))
}

/// The commitments that the provider made in this world.
async fn commitments(world: &World, sent: &BTreeSet<B256>) -> Result<BTreeSet<B256>> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let made = node.events::<Diamond::CommitmentCreated>(diamond, world.from_block()).await?;
    let ours = made
        .into_iter()
        .filter(|(_, log)| log.transaction_hash.is_some_and(|hash| sent.contains(&hash)));
    Ok(ours.map(|(event, _)| event.commitmentId).collect())
}

/// What the market paid to the provider in FLT: rewards, and collateral that came back.
async fn paid_out(world: &World, commitments: &BTreeSet<B256>) -> Result<U256> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let mut sum = U256::ZERO;
    for (event, _) in node.events::<Diamond::RewardWithdrawn>(diamond, world.from_block()).await? {
        if commitments.contains(&event.commitmentId) {
            sum += event.providerReward + event.dealStakerRewardsAmount;
        }
    }
    let returned = node.events::<Diamond::CollateralWithdrawn>(diamond, world.from_block()).await?;
    for (event, _) in returned {
        if commitments.contains(&event.commitmentId) {
            sum += event.amountWithdrawn;
        }
    }
    Ok(sum)
}

/// Checks one wallet of FLT against its own transactions, those of others to it, and `paid` by the market.
async fn wallet(world: &World, account: Address, paid: U256) -> Result<()> {
    let node = world.driver().node();
    let before = format!("{:#x}", world.from_block().saturating_sub(1));
    let start: U256 = node.request("eth_getBalance", (account, before), "read a balance").await?;
    let mut given = U256::ZERO;
    for number in world.from_block()..=world.oracle().block_number().await? {
        let block = node.block(json!(format!("{number:#x}")), true).await?;
        for sent in block.transactions.into_transactions() {
            if sent.inner.to() == Some(account) && sent.inner.signer() != account {
                given += sent.inner.value();
            }
        }
    }
    let spent = account::spent(world, account, world.from_block()).await?;
    let now = world.oracle().flt(account).await?;
    ensure(start + given + paid == now + spent, || {
        format!("{account}: {start} + {given} given + {paid} paid - {spent} spent is not {now}")
    })
}

/// Checks the provider's USDC against what its workers' deals say that they paid.
async fn revenue(world: &World, provider: Address) -> Result<()> {
    let (node, contracts) = (world.driver().node(), world.driver().contracts());
    let before = At::Number(world.from_block().saturating_sub(1));
    let start =
        node.view(contracts.usdc, &Token::balanceOfCall { account: provider }, before).await?;
    let seats =
        node.events::<Diamond::WorkerCreatedV2>(contracts.diamond, world.from_block()).await?;
    let offers = world.oracle().offers_of(provider).await?;
    let mut own = BTreeSet::new();
    for offer in offers {
        own.extend(
            world.oracle().peers_of(offer.offerId).await?.into_iter().map(|peer| peer.peerId),
        );
    }
    let mut paid = U256::ZERO;
    for (seat, _) in seats.into_iter().filter(|(seat, _)| own.contains(&seat.peerId)) {
        paid += paid_for(world, (seat.deal, seat.onchainWorkerId)).await?;
    }
    let now = world.oracle().usdc(provider).await?;
    // Peers that are off the chain cannot be told any more, nor can their pay.
    ensure(own.is_empty() || start + paid == now, || {
        format!("{provider}: {start} + {paid} of its workers' pay is not {now} base units of USDC")
    })
}

/// Checks the sums in an offer's status against the contract's views.
async fn offer_tells(world: &World, offer: &DynamicObject) -> Result<()> {
    let status = &offer.data["status"];
    let Ok(id) = text(&status["offerID"]).parse::<B256>() else { return Ok(()) };
    let peers = world.oracle().peers_of(id).await?;
    let ever = ever_made(world, &peers).await?;
    let known = known_to(status, &peers, &ever)?;
    let (known, all) = (stakes(world, &known).await?, stakes(world, &ever).await?);
    ensure(known.left == all.left, || {
        format!("{} wei are left under commitments that the status does not tell of", all.left)
    })?;
    let economics = &status["economics"];
    tells("today's gas", &economics["gasSpentToday"], (gas_of_today(world).await?, FLT))?;
    tells("collateral", &economics["collateral"], (known.collateral, FLT))?;
    // Of a commitment that owes nothing any more the status need not know.
    let of = |sums: &Value, token: &str| {
        let sums = sums.as_array().cloned().unwrap_or_default();
        let sum = sums.into_iter().find(|entry| entry["token"] == token).unwrap_or_default();
        sum["total"].clone()
    };
    let (withdrawn, earned) = (&economics["withdrawn"], &economics["earned"]);
    let slashed = (known.slashed, all.slashed);
    tells_between("slashed collateral", &economics["slashed"], slashed, FLT)?;
    tells_between("withdrawn FLT", &of(withdrawn, "FLT"), (known.withdrawn, all.withdrawn), FLT)?;
    tells_between("earned FLT", &of(earned, "FLT"), (known.earned, all.earned), FLT)?;
    tells_between("earned USDC", &of(earned, "USDC"), pay(world, &peers).await?, USDC)
}

/// The commitments that these peers have, or were made for them in this world.
async fn ever_made(world: &World, peers: &[PeerView]) -> Result<BTreeSet<B256>> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let made = node.events::<Diamond::CommitmentCreated>(diamond, world.from_block()).await?;
    let ours = made.into_iter().map(|(event, _)| event);
    let ours = ours.filter(|event| peers.iter().any(|peer| peer.peerId == event.peerId));
    Ok(ours.map(|event| event.commitmentId).chain(present(peers)).collect())
}

fn present(peers: &[PeerView]) -> impl Iterator<Item = B256> {
    peers.iter().map(|peer| peer.commitmentId).filter(|id| !id.is_zero())
}

/// The commitments that a status sums up: those that the peers have, and the past ones that it names.
fn known_to(status: &Value, peers: &[PeerView], ever: &BTreeSet<B256>) -> Result<BTreeSet<B256>> {
    let past = status["pastCommitments"].as_array().into_iter().flatten();
    let mut known: BTreeSet<B256> = present(peers).collect();
    for told in past.map(|past| text(&past["id"])) {
        let id = told.parse().ok().filter(|id| ever.contains(id));
        let never = || Error::Finding(format!("no peer of the offer had the commitment {told}"));
        known.insert(id.ok_or_else(never)?);
    }
    Ok(known)
}

/// Sums of FLT over commitments by the contract's views, wei.
#[derive(Default)]
struct Stakes {
    collateral: U256,
    slashed: U256,
    earned: U256,
    withdrawn: U256,
    left: U256,
}

async fn stakes(world: &World, commitments: &BTreeSet<B256>) -> Result<Stakes> {
    const STAKED: [CommitmentStatus; 4] = [
        CommitmentStatus::Active,
        CommitmentStatus::WaitStart,
        CommitmentStatus::Failed,
        CommitmentStatus::Inactive,
    ];
    let whole = |part: &RewardsView| part.ccRewards + part.dealStakerRewards;
    let mut sums = Stakes::default();
    for id in commitments {
        let view = match world.oracle().commitment(*id).await {
            // It was taken back before it was funded, or went with the block that it was made in.
            Err(error) if error.revert_reason() == Some(NO_COMMITMENT) => continue,
            view => view?,
        };
        let rewards = world.oracle().rewards(*id).await?;
        sums.withdrawn += whole(&rewards.withdrawn);
        sums.left += whole(&rewards.total);
        sums.earned += whole(&rewards.total) + whole(&rewards.withdrawn);
        sums.slashed += world.oracle().slashed(&view).await?;
        if STAKED.contains(&world.oracle().commitment_status(*id).await?) {
            sums.collateral += view.collateralPerUnit * view.unitCount;
        }
    }
    Ok(sums)
}

/// What the workers on these peers can fetch, and that with all that was ever paid for workers on them, base units of USDC.
async fn pay(world: &World, peers: &[PeerView]) -> Result<(U256, U256)> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let seats = node.events::<Diamond::WorkerCreatedV2>(diamond, world.from_block()).await?;
    let ours =
        seats.into_iter().filter(|(seat, _)| peers.iter().any(|it| it.peerId == seat.peerId));
    let (mut claimable, mut paid) = (U256::ZERO, U256::ZERO);
    for (seat, _) in ours {
        paid += paid_for(world, (seat.deal, seat.onchainWorkerId)).await?;
        let workers = world.oracle().deal(seat.deal).await?.workers;
        if workers.iter().any(|worker| worker.onchainId == seat.onchainWorkerId) {
            let reward = world.oracle().deal_reward(seat.deal, seat.onchainWorkerId).await?;
            claimable += reward.providerReward;
        }
    }
    Ok((claimable, claimable + paid))
}

/// What a deal says that it paid for a worker, base units.
async fn paid_for(world: &World, (deal, worker): (Address, B256)) -> Result<U256> {
    let node = world.driver().node();
    let events = node.events::<Deal::RewardWithdrawn>(deal, world.from_block()).await?;
    let of_it = events.into_iter().filter(|(event, _)| event.onchainWorkerId == worker);
    Ok(of_it.map(|(event, _)| event.providerReward).sum())
}

/// What the kept transactions of the world's keys that were begun today have cost, by the chain's receipts.
async fn gas_of_today(world: &World) -> Result<U256> {
    let today = today();
    let mut cost = U256::ZERO;
    for transaction in witness::transactions(world).await? {
        let begun = transaction.metadata.creation_timestamp.as_ref();
        let is_of_today = begun.is_some_and(|begun| begun.0.strftime("%F").to_string() == today);
        let hash = &transaction.data["status"]["receipt"]["transactionHash"];
        if let (true, Ok(hash)) = (is_of_today, text(hash).parse()) {
            cost += account::gas(world, hash).await?;
        }
    }
    Ok(cost)
}

/// Checks the leader's metrics of an offer and of its keys' wallets: as near to the status and the balances as a floating
/// number can be.
async fn series_tell(world: &World, name: &str) -> Result<()> {
    let offer = world.get("ProviderOffer", name).await?.ok_or_else(|| gone(name))?;
    let economics = &offer.data["status"]["economics"];
    let path = format!("{}/{name}", world.namespace());
    for (series, sums) in [("earned_total", "earned"), ("withdrawn_total", "withdrawn")] {
        for sum in economics[sums].as_array().into_iter().flatten() {
            let labels = [("offer", path.as_str()), ("token", text(&sum["token"]))];
            shows(world, series, &labels, text(&sum["total"])).await?;
        }
    }
    let labels = [("offer", path.as_str()), ("token", "FLT")];
    shows(world, "slashed_total", &labels, text(&economics["slashed"])).await?;
    shows(world, "collateral_at_risk", &labels, text(&economics["atRisk"])).await?;
    let party = world.party();
    for (signer, account) in [
        (party.provider_signer(), party.provider.address),
        (party.peer_signer(), party.peer_owner.address),
    ] {
        let balance = account::decimal(world.oracle().flt(account).await?, FLT, FLT);
        let labels = [("signer", signer.as_str()), ("token", "FLT")];
        shows(world, "wallet_balance", &labels, &balance).await?;
    }
    Ok(())
}

async fn shows(world: &World, series: &str, labels: &[(&str, &str)], wanted: &str) -> Result<()> {
    let shown = page::values(world, &format!("coreward_{series}"), labels).await?;
    let wanted: f64 = wanted.parse().map_err(|_| Error::Finding(format!("{wanted} is no sum")))?;
    ensure(shown == [wanted], || format!("{series} of {labels:?} shows {shown:?}, not {wanted}"))
}

/// Checks a deal's claimable pay against the deal's contract.
async fn deal_tells(world: &World, deal: &DynamicObject) -> Result<()> {
    let address: Address = text(&deal.data["spec"]["dealAddress"])
        .parse()
        .map_err(|_| Error::Finding("a deal without an address".to_owned()))?;
    let mut sum = U256::ZERO;
    for seat in world.oracle().deal(address).await?.workers {
        if seat.provider == world.party().provider.address {
            sum += world.oracle().deal_reward(address, seat.onchainId).await?.providerReward;
        }
    }
    tells("claimable pay", &deal.data["status"]["revenue"]["claimable"], (sum, USDC))
}

fn tells(what: &str, told: &Value, (wanted, places): (U256, usize)) -> Result<()> {
    let found = base_units(text(told), places);
    ensure(found == Some(wanted), || {
        format!("the status tells {told} of {what}, the contract {wanted} of {places} decimals")
    })
}

/// Checks a sum that may count more than what is told of by name, up to all that there ever was.
fn tells_between(
    what: &str,
    told: &Value,
    (least, most): (U256, U256),
    places: usize,
) -> Result<()> {
    let found = base_units(text(told), places);
    ensure(found.is_some_and(|found| (least..=most).contains(&found)), || {
        format!("the status tells {told} of {what}, not {least} to {most} of {places} decimals")
    })
}

/// A decimal text in the smallest units; `None` for what is none.
#[must_use]
pub fn base_units(told: &str, places: usize) -> Option<U256> {
    let (whole, part) = told.split_once('.').unwrap_or((told, ""));
    let digits = format!("{whole}{part:0<places$}");
    if whole.is_empty() || part.len() > places {
        return None;
    }
    U256::from_str_radix(&digits, 10).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_text_is_so_many_of_the_smallest_units() {
        assert_eq!(base_units("12.30", 6), Some(U256::from(12_300_000)));
        assert_eq!(base_units("9600", 2), Some(U256::from(960_000)));
        assert_eq!(base_units("0.0000001", 6), None, "finer than the token");
        assert_eq!(base_units("", 6), None);
    }
}
