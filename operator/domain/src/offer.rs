//! What a provider sells: the offer, its peers and their units as the spec wants them against the chain as it is.

mod adopt;
mod align;
mod condition;
mod failover;
mod node;
mod past;
mod peers;
mod plan;
mod terms;
mod withdraw;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, U256};

use crate::call::Call;
use crate::chain::{Snapshot, Watchlist};
use crate::condition::ChainHealth;
use crate::epoch::Epoch;
use crate::gate::{Flight, Gate, Hold, PlannedCall};
use crate::id::{CommitmentId, DatacenterId, OfferId, PeerId, ResourceId};

pub use condition::conditions;
pub use failover::Life;
pub use node::{Eligibility, IneligibleReason, NoNode, Node};
pub use past::UNREAD;
pub use peers::owner_of;
pub use plan::plan;

/// RAM that every unit declares, MiB: no more, or a deal of one unit could take the memory of the others.
pub const RAM_PER_UNIT_MIB: u64 = 4096;

/// Threads of a unit.
pub const VCPU_PER_UNIT: u64 = 2;

/// Units that one registration carries: 1.05 M gas and 76.5 k per unit stay below 28 M of a 30 M block.
pub const UNITS_PER_REGISTRATION: usize = 350;

/// The vCPU price of a closed offer, base units: every match fails on it, and it does not overflow.
pub const CLOSED_PRICE: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// Everything that the offer's turn decides from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the spec wants, already in domain types.
    pub wanted: Wanted,
    /// The nodes that the selector names; `None` while they could not be listed.
    pub nodes: Option<Vec<Node>>,
    /// Identities that are persisted for this offer; `None` while they could not be listed.
    pub identities: Option<Vec<Identity>>,
    /// The offer that the object's status names: how one without peers is found again.
    pub recorded: Option<OfferId>,
    /// Units of this provider that its *other* offers of this operator account for; `None` while that is not known.
    pub units_of_other_offers: Option<u64>,
    /// The market; `None` while no fresh snapshot is at hand.
    pub snapshot: Option<Arc<Snapshot>>,
    /// How fresh it is.
    pub chain: ChainHealth,
    /// Our transactions of the provider's key that the final block does not show.
    pub flights: Vec<Flight>,
    /// The object that has the offer which this one names; nothing of it may be touched from here.
    pub taken_by: Option<String>,
    /// What may be sent.
    pub gate: Gate,
    /// Time without a word of its kubelet after which a node's peer moves to a spare one.
    pub failover_after: Duration,
    /// Wei below which a signer's wallet counts as low.
    pub low_balance: U256,
}

/// The spec in domain types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Owner of the offer.
    pub provider: Address,
    /// Its public name; source: operator configuration.
    pub provider_name: String,
    /// The offer to adopt.
    pub adopt: Option<OfferId>,
    /// Peers of the adopted offer that are to be taken over, with the node of each; no node stands there twice.
    pub assignments: BTreeMap<PeerId, String>,
    /// Whether a human has said that units which we do not know are no reason to stop.
    pub accept_unknown_units: bool,
    /// Owners that the peers may have, in the spec's order; never empty.
    pub peer_owners: Vec<Address>,
    /// ERC20 that deals pay in.
    pub payment_token: Address,
    /// Where.
    pub datacenter: DatacenterChoice,
    /// Base units per unit of quantity and epoch.
    pub prices: BTreeMap<ResourceId, U256>,
    /// What each peer declares.
    pub resources: Vec<WantedResource>,
    /// Nodes that are kept free to take a whole peer over.
    pub spare_nodes: usize,
    /// Whether new deals are wanted.
    pub intake: Intake,
    /// Deletion of the object, if it was asked for.
    pub deletion: Option<Deletion>,
}

/// How the spec names a datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatacenterChoice {
    /// By id.
    Id(DatacenterId),
    /// By place.
    Place {
        /// ISO 3166, e.g. `DE`.
        country_code: String,
        /// e.g. `BER`.
        city_code: String,
        /// Counter within the city.
        index: u64,
    },
}

/// A resource that each peer declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedResource {
    /// Kind; its class follows from the chain.
    pub resource: ResourceId,
    /// JSON text, `{}` when empty.
    pub details: String,
    /// Quantity per node; not for vCPU and RAM, which follow from the units.
    pub quantity: Option<u64>,
}

/// Whether new deals are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intake {
    /// The spec's prices.
    #[default]
    Open,
    /// A price that every match fails on.
    Closed,
}

/// What the deletion of the object means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deletion {
    /// Goes when nothing is staked.
    Block,
    /// Takes everything off the chain first: workers, commitments, rewards, units, peers, the offer.
    Withdraw,
    /// Goes at once, without a transaction; a human has confirmed it.
    Orphan,
}

/// A peer's identity that is persisted in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The public key.
    pub peer: PeerId,
    /// The node that it lives on.
    pub node: String,
    /// The node that it was made for.
    pub home: String,
    /// Counts the identities that were made for one node, from 0.
    pub ordinal: u32,
    /// How often it moved to another node: the generation of its workers' keys.
    pub moves: u32,
    /// Commitments that the peer had or has and that may hold rewards: the contract's views forget past ones.
    pub commitments: BTreeSet<CommitmentId>,
    /// The final block up to which those of the past were looked for in logs; `None` if never.
    pub past_read_to: Option<u64>,
}

/// One act of the offer's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Generate an ed25519 key and persist it, before anything else is done with it. Found again by (node, ordinal).
    MakeIdentity {
        /// For this node.
        node: String,
        /// Its place among the node's identities.
        ordinal: u32,
    },
    /// Persist a peer that another tool registered, with a fresh seed for the keys of its workers.
    AdoptIdentity {
        /// Which.
        peer: PeerId,
        /// It lives on this node.
        node: String,
        /// Its place among the node's identities.
        ordinal: u32,
    },
    /// A peer lives on this node from now on; kept with its identity before anything is made for it there.
    MovePeer {
        /// Which.
        peer: PeerId,
        /// Where to.
        to: String,
    },
    /// Put an identity aside for good: a stranger holds this id on chain. A new one follows in the next turn.
    RetireIdentity {
        /// Which.
        peer: PeerId,
    },
    /// Sign and send.
    Send(Call),
    /// Take our finalizer off the object: nothing is staked any more.
    Release,
}

/// A wish of the spec that the chain does not take now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Path of the field in the spec.
    pub field: &'static str,
    /// What it is about, e.g. the node or peer.
    pub subject: String,
    /// Why not now.
    pub reason: PendingReason,
    /// The first epoch in which it is possible, where known.
    pub possible_from: Option<Epoch>,
}

/// Why a change waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PendingReason {
    /// The peer is committed.
    LockedByCommitment,
    /// A deal uses it.
    LockedByDeal,
    /// Only a human can do it.
    AwaitingApproval,
}

impl PendingReason {
    /// The word in `pendingChanges`, also the reason of `OfferInSync`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::LockedByCommitment => "LockedByCommitment",
            Self::LockedByDeal => "LockedByDeal",
            Self::AwaitingApproval => "AwaitingApproval",
        }
    }
}

/// Why the plan is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No fresh snapshot, or an entry of it is missing.
    ChainUnknown,
    /// Nodes or identities could not be listed.
    ClusterUnknown,
    /// The spec contradicts itself or the market; field and sentence.
    InvalidSpec {
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The chain knows more units of this provider than we do.
    UnknownUnits {
        /// On chain.
        on_chain: u64,
        /// Known to us.
        known: u64,
    },
    /// Identities of this offer are registered in several offers.
    SeveralOffers,
    /// A peer is owned by an account that is none of our signers.
    WrongPeerOwner {
        /// Which.
        peer: PeerId,
        /// Whose it is.
        owner: Address,
    },
    /// Another object has the offer that `spec.offerID` names.
    Taken {
        /// Its namespace and name.
        by: String,
    },
    /// No node can carry a unit.
    NoEligibleNode(NoNode),
    /// Evidence about nodes, or identities, are being made.
    Preparing,
    /// Transactions are to be sent in this turn.
    Sending,
    /// Transactions are on their way.
    WaitingForReceipt,
    /// Transactions are wanted and all of them are held.
    Held(Hold),
    /// The chain does not take a change now.
    Pending(PendingReason),
    /// Chain and spec agree.
    InSync,
    /// Deletion waits for what is staked.
    DeletionBlocked {
        /// The first epoch in which nothing need be staked, where known.
        until: Option<Epoch>,
    },
    /// Deletion takes everything off the chain; what it waits for.
    Withdrawing(Withdrawal),
    /// Deletion may be finished.
    Released,
}

/// What a withdrawal waits for, in the order in which it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withdrawal {
    /// Workers leave their deals.
    Deals,
    /// Commitments work to their end, or a failed one cools down.
    Commitments {
        /// The first epoch in which all of them are over.
        until: Epoch,
    },
    /// Commitments are taken back or wound up.
    Closing,
    /// Commitments of the past are looked for in logs.
    Past,
    /// Rewards vest and are fetched.
    Rewards {
        /// The epoch in which the next part of them is free.
        until: Epoch,
    },
    /// Units, resources, peers and the offer are taken off.
    Removal,
    /// The offer has peers that are none of ours: a human must remove them.
    StrangePeers {
        /// How many.
        count: u64,
    },
    /// The last transactions become final.
    Finality,
}

/// What the offer's turn does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To do now, in this order.
    pub steps: Vec<Step>,
    /// All transactions that are wanted, sent now or held.
    pub planned: Vec<PlannedCall>,
    /// Wishes that the chain does not take now.
    pub pending: Vec<PendingChange>,
    /// The offer on chain, once found.
    pub offer: Option<OfferId>,
    /// Our peers that are registered in it, with the node of each where one is known.
    pub peers: BTreeMap<PeerId, Option<String>>,
    /// Why.
    pub why: Why,
}

/// What to read for this offer at each block: grows by what the last snapshot showed.
#[must_use]
pub fn watchlist(seen: &Seen) -> Watchlist {
    let mut list = Watchlist {
        providers: BTreeSet::from([seen.wanted.provider]),
        offers: seen.wanted.adopt.into_iter().chain(seen.recorded).collect(),
        peers: seen
            .identities
            .iter()
            .flatten()
            .map(|identity| identity.peer)
            .chain(seen.wanted.assignments.keys().copied())
            .collect(),
        wallets: seen.wanted.peer_owners.iter().copied().chain([seen.wanted.provider]).collect(),
        tokens: BTreeSet::from([seen.wanted.payment_token]),
        ..Watchlist::default()
    };
    if let Some(snapshot) = &seen.snapshot {
        let registered = list.peers.iter().filter_map(|peer| snapshot.peers.get(peer)?.as_ref());
        list.offers.extend(registered.map(|peer| peer.offer));
    }
    list
}
