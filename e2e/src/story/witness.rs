//! What must not happen while something is wrong: pods replaced, transactions sent out of ignorance, a customer left without
//! an answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use alloy::primitives::{Address, B256};
use kube::ResourceExt;

use super::{STEP, all_of_kind, client, ensure, offer::Offered, pods, text};
use crate::{
    chain::{CommitmentStatus, Sent},
    world::{Error, PodProcess, Result, World, processes_of, until},
};

/// Says on a pod which namespace its offer is in.
const OFFER_NAMESPACE: &str = "coreward.dev/offer-namespace";
/// Clock ticks that only hashing takes: two seconds, where the kernel counts a hundred in one.
const MUCH: u64 = 200;
/// Blocks that a transaction is under way for, where its node is slow.
const CROSSING: u64 = 4;
/// Between two visits to a worker, or two looks at an offer.
const VISITS: Duration = Duration::from_millis(250);

/// How things stood when it began to look.
#[derive(Debug, Clone)]
pub struct Witness {
    pods: BTreeMap<String, (String, i32)>,
    from_block: u64,
}

/// The world's prover and worker pods: by UID, their names and how often they were started again.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn unit_pods(world: &World) -> Result<BTreeMap<String, (String, i32)>> {
    let mut found = BTreeMap::new();
    for component in ["prover", "worker"] {
        for pod in pods::of_component(&world.client(), component).await? {
            if pod.labels().get(OFFER_NAMESPACE).is_some_and(|of| of == world.namespace()) {
                found.insert(pods::uid(&pod), (pod.name_any(), pods::restarts(&pod)));
            }
        }
    }
    Ok(found)
}

impl Witness {
    /// Looks at the pods and the chain as they are.
    ///
    /// # Errors
    /// [`Error::Cluster`], [`Error::Chain`].
    pub async fn begin(world: &World) -> Result<Self> {
        let from_block = world.oracle().block_number().await? + 1;
        let pods = unit_pods(world).await?;
        Ok(Self { pods, from_block })
    }

    /// The first block that it looks at.
    #[must_use]
    pub fn from_block(&self) -> u64 {
        self.from_block
    }

    /// Checks that every pod is the one that it was, never started again.
    ///
    /// # Errors
    /// [`Error::Finding`] with what changed.
    pub async fn pods_are_the_same(&self, world: &World) -> Result<()> {
        let now = unit_pods(world).await?;
        ensure(now == self.pods, || format!("pods were {:?}, and are {now:?}", self.pods))
    }

    /// Waits until every prover has computed for some time from now on.
    ///
    /// # Errors
    /// [`Error::Late`] where one rests.
    pub async fn provers_compute_again(&self) -> Result<()> {
        let before = ticks(&self.pods)?;
        until("every prover computes", STEP, async || {
            let now = ticks(&self.pods)?;
            let goes_on =
                |(uid, ticks): (&String, &u64)| now.get(uid).is_some_and(|now| *now > ticks + MUCH);
            Ok(before.iter().all(goes_on).then_some(()))
        })
        .await
    }

    /// Checks that the world's accounts sent nothing but proofs that the contract took; gives those.
    ///
    /// # Errors
    /// [`Error::Finding`] naming what else was sent.
    pub async fn only_proofs_were_sent(&self, world: &World) -> Result<Vec<Sent>> {
        self.only_sent(world, &[]).await
    }

    /// As [`Witness::only_proofs_were_sent`], with rewards that were collected.
    ///
    /// # Errors
    /// [`Error::Finding`] naming what else was sent.
    pub async fn nothing_was_sent_in_vain(&self, world: &World) -> Result<Vec<Sent>> {
        self.only_sent(world, &["withdrawReward", "withdrawRewards"]).await
    }

    async fn only_sent(&self, world: &World, besides: &[&str]) -> Result<Vec<Sent>> {
        let accepted = world.oracle().proving_transactions(self.from_block).await?;
        let mut all = Vec::new();
        for account in accounts(world) {
            for sent in world.oracle().used_nonces(account, self.from_block).await? {
                let is_proof = sent.function == "submitProofs" && accepted.contains(&sent.hash);
                let is_known = is_proof || besides.contains(&sent.function.as_str());
                let is_useful = is_known && sent.succeeded;
                ensure(is_useful || crossed(world, &sent).await?, || {
                    let (function, block) = (&sent.function, sent.block);
                    format!("{account} sent {function} in block {block}, {}", sent.hash)
                })?;
                all.push(sent);
            }
        }
        Ok(all)
    }
}

/// Whether these are proofs that were on their way when their epoch was ended: nobody can foresee that the driver does.
async fn crossed(world: &World, sent: &Sent) -> Result<bool> {
    if sent.function != "submitProofs" || sent.succeeded {
        return Ok(false);
    }
    let before = world.oracle().epoch_at(sent.block.saturating_sub(CROSSING)).await?;
    Ok(world.oracle().epoch_at(sent.block).await? > before)
}

/// The two accounts that the operator signs for.
fn accounts(world: &World) -> [Address; 2] {
    [world.party().provider.address, world.party().peer_owner.address]
}

/// Clock ticks that the provers among these pods have computed, by UID.
fn ticks(pods: &BTreeMap<String, (String, i32)>) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for (uid, _) in pods.iter().filter(|(_, (name, _))| name.starts_with("prover")) {
        all.insert(uid.clone(), processes_of(uid)?.iter().filter_map(PodProcess::ticks).sum());
    }
    Ok(all)
}

/// Waits until the operator has nothing left to do: all that can be collected is, all transactions are final, and no
/// commitment failed.
///
/// # Errors
/// [`Error::Late`] with what is left, [`Error::Chain`].
pub async fn settled(world: &World, offered: &Offered, deals: &[(Address, B256)]) -> Result<()> {
    until("rewards are collected and transactions are final", STEP, async || {
        for peer in &offered.peers {
            let status = world.oracle().commitment_status(peer.commitment).await?;
            ensure(status == CommitmentStatus::Active, || format!("{status:?}"))?;
            let unlocked = world.oracle().rewards(peer.commitment).await?.unlocked;
            let left = unlocked.ccRewards + unlocked.dealStakerRewards;
            ensure(left.is_zero(), || format!("{left} wei can be collected"))?;
        }
        for (deal, worker) in deals {
            let left = world.oracle().deal_reward(*deal, *worker).await?.providerReward;
            ensure(left.is_zero(), || format!("{left} of a worker's pay can be collected"))?;
        }
        let open = unfinished(world).await?;
        ensure(open.is_empty(), || format!("{open:?} are on their way"))?;
        Ok(Some(()))
    })
    .await
}

/// Names and states of the world's transactions that have not ended.
async fn unfinished(world: &World) -> Result<Vec<String>> {
    let mut open = Vec::new();
    for object in transactions(world).await? {
        let state = text(&object.data["status"]["state"]);
        if !["Final", "Replaced", "Cancelled", "Displaced"].contains(&state) {
            open.push(format!("{} {state}", object.name_any()));
        }
    }
    Ok(open)
}

/// The `ChainTransaction` objects of the world's accounts.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn transactions(world: &World) -> Result<Vec<kube::api::DynamicObject>> {
    let ours = accounts(world).map(|account| account.to_string().to_lowercase());
    let mut all = all_of_kind(&world.client(), "ChainTransaction").await?;
    all.retain(|object| ours.contains(&text(&object.data["spec"]["from"]).to_lowercase()));
    Ok(all)
}

/// The hashes of all attempts that the world's `ChainTransaction` objects hold.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn kept(world: &World) -> Result<BTreeSet<B256>> {
    let mut hashes = BTreeSet::new();
    for object in transactions(world).await? {
        let attempts = object.data["status"]["attempts"].as_array().cloned().unwrap_or_default();
        let further = attempts.iter().map(|attempt| &attempt["transactionHash"]);
        let all = std::iter::once(&object.data["spec"]["transactionHash"]).chain(further);
        hashes.extend(all.filter_map(|hash| text(hash).parse::<B256>().ok()));
    }
    Ok(hashes)
}

/// Does something while a customer visits `url` all the time, and fails if one visit was in vain.
///
/// # Errors
/// Those of `work`; [`Error::Finding`] with the first answers that were none.
pub async fn while_visited<T>(url: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let client = client::http()?;
    let (mut visits, mut in_vain) = (0_u32, Vec::new());
    let visiting = async {
        loop {
            match client::get(&client, url).await {
                Ok((200, _)) => {}
                Ok((status, body)) => in_vain.push(format!("{status} {body}")),
                Err(error) => in_vain.push(error.to_string()),
            }
            visits += 1;
            tokio::time::sleep(VISITS).await;
        }
    };
    let done = tokio::select! {
        done = work => done?,
        never = visiting => never,
    };
    ensure(in_vain.is_empty() && visits > 0, || {
        format!("{} of {visits} visits were in vain, such as {:?}", in_vain.len(), in_vain.first())
    })?;
    Ok(done)
}

/// Waits until `count` more blocks are mined.
///
/// # Errors
/// [`Error::Late`].
pub async fn blocks(world: &World, count: u64) -> Result<()> {
    let end = world.oracle().block_number().await? + count;
    until(&format!("{count} blocks pass"), STEP, async || {
        Ok((world.oracle().block_number().await? >= end).then_some(()))
    })
    .await
}

/// Waits until an offer's `ChainSynced` says this.
///
/// # Errors
/// [`Error::Late`] with what it says.
pub async fn chain_synced(world: &World, offered: &Offered, reason: &str) -> Result<()> {
    until(&format!("the offer says ChainSynced {reason}"), STEP, async || {
        let object = world.get("ProviderOffer", &offered.name).await?;
        let object = object.ok_or_else(|| Error::Finding("the offer is gone".to_owned()))?;
        let told = crate::world::condition(&object, "ChainSynced").unwrap_or_default();
        ensure(told.1 == reason, || format!("it says {told:?}"))?;
        ensure(super::is_ready(&object), || "it is not Ready any more".to_owned())?;
        Ok(Some(()))
    })
    .await
}

/// Does something while an offer's `ChainSynced` says `HeadFresh` all the time.
///
/// # Errors
/// Those of `work`; [`Error::Finding`] with what else it says, [`Error::Cluster`].
pub async fn while_synced<T>(
    (world, offered): (&World, &Offered),
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let watching = async {
        loop {
            let object = world.get("ProviderOffer", &offered.name).await?;
            let told = object.and_then(|object| crate::world::condition(&object, "ChainSynced"));
            let told = told.unwrap_or_default();
            ensure(told.1 == "HeadFresh", || format!("the offer says {told:?}"))?;
            tokio::time::sleep(VISITS).await;
        }
    };
    tokio::select! {
        done = work => done,
        other = watching => other,
    }
}
