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
        abi::{Deal, Diamond, RewardsView, Token},
    },
    world::{Error, Result, World, until},
};

/// Decimals of FLT.
pub const FLT: usize = 18;
/// Decimals of the bed's USDC.
const USDC: usize = 6;

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
        let events = node.events::<Deal::RewardWithdrawn>(seat.deal, world.from_block()).await?;
        let of_it =
            events.into_iter().filter(|(event, _)| event.onchainWorkerId == seat.onchainWorkerId);
        paid += of_it.map(|(event, _)| event.providerReward).sum::<U256>();
    }
    let now = world.oracle().usdc(provider).await?;
    // Peers that are off the chain cannot be told any more, nor can their pay.
    ensure(own.is_empty() || start + paid == now, || {
        format!("{provider}: {start} + {paid} of its workers' pay is not {now} base units of USDC")
    })
}

/// Checks the sums in an offer's status against the contract's views.
async fn offer_tells(world: &World, offer: &DynamicObject) -> Result<()> {
    const STAKED: [CommitmentStatus; 4] = [
        CommitmentStatus::Active,
        CommitmentStatus::WaitStart,
        CommitmentStatus::Failed,
        CommitmentStatus::Inactive,
    ];
    let status = &offer.data["status"];
    let Ok(id) = text(&status["offerID"]).parse::<B256>() else { return Ok(()) };
    let (mut collateral, mut earned, mut withdrawn) = (U256::ZERO, U256::ZERO, U256::ZERO);
    let mut slashed = U256::ZERO;
    for peer in world.oracle().peers_of(id).await? {
        if peer.commitmentId.is_zero() {
            continue;
        }
        let rewards = world.oracle().rewards(peer.commitmentId).await?;
        let whole = |part: &RewardsView| part.ccRewards + part.dealStakerRewards;
        withdrawn += whole(&rewards.withdrawn);
        earned += whole(&rewards.total) + whole(&rewards.withdrawn);
        let view = world.oracle().commitment(peer.commitmentId).await?;
        slashed += world.oracle().slashed(&view).await?;
        if STAKED.contains(&world.oracle().commitment_status(peer.commitmentId).await?) {
            collateral += view.collateralPerUnit * view.unitCount;
        }
    }
    let economics = &status["economics"];
    tells("today's gas", &economics["gasSpentToday"], (gas_of_today(world).await?, FLT))?;
    tells("collateral", &economics["collateral"], (collateral, FLT))?;
    let flt = |sums: &Value| {
        let sums = sums.as_array().cloned().unwrap_or_default();
        sums.into_iter().find(|entry| entry["token"] == "FLT").unwrap_or_default()
    };
    // Commitments of the past have earned too; those are the status' own to know.
    let past = status["pastCommitments"].as_array().is_some_and(|past| !past.is_empty());
    if past {
        return Ok(());
    }
    tells("slashed collateral", &economics["slashed"], (slashed, FLT))?;
    tells("withdrawn FLT", &flt(&economics["withdrawn"])["total"], (withdrawn, FLT))?;
    tells("earned FLT", &flt(&economics["earned"])["total"], (earned, FLT))
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
