//! What the operator plans on a snapshot of the real contracts; everything else as it is where all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy::primitives::{Address, U256};
use coreward_domain::call::Call;
use coreward_domain::chain::{Snapshot, Watchlist};
use coreward_domain::condition::ChainHealth;
use coreward_domain::gate::{Gas, Gate, Management, Signer};
use coreward_domain::id::{CommitmentId, DatacenterId, OffchainWorkerId, PeerId, ResourceId};
use coreward_domain::{commitment, deal, offer, payout};

use crate::market::word;
use crate::world::{USDC, World};

fn gate() -> Gate {
    Gate {
        management: Management::Manage,
        provider_signer: Signer::Reachable,
        peer_signer: Signer::Reachable,
        gas: Gas::default(),
    }
}

/// A node for each of these peers, with so many units.
pub(crate) fn offer_seen(
    world: &World,
    snapshot: Snapshot,
    nodes: &[(PeerId, u32)],
) -> offer::Seen {
    let resource = |id| offer::WantedResource {
        resource: ResourceId(word(id)),
        details: "{}".to_owned(),
        quantity: None,
    };
    let identity = |(peer, _): &(PeerId, u32)| offer::Identity {
        peer: *peer,
        node: peer.to_string(),
        home: peer.to_string(),
        ordinal: 0,
        moves: 0,
        commitments: BTreeSet::new(),
        past_read_to: Some(snapshot.finalized),
    };
    let node = |(peer, units): &(PeerId, u32)| offer::Node {
        name: peer.to_string(),
        eligibility: offer::Eligibility::Eligible,
        units: *units,
        cordoned: false,
        life: offer::Life::Ready,
    };
    offer::Seen {
        wanted: offer::Wanted {
            provider: world.provider,
            provider_name: "Example".to_owned(),
            adopt: None,
            assignments: BTreeMap::new(),
            accept_unknown_units: true,
            peer_owners: vec![world.peer_owner],
            payment_token: USDC,
            datacenter: offer::DatacenterChoice::Id(DatacenterId(word(1))),
            prices: [1, 3].map(|id| (ResourceId(word(id)), U256::from(10))).into(),
            resources: vec![resource(1), resource(3)],
            spare_nodes: 0,
            intake: offer::Intake::Open,
            deletion: None,
        },
        nodes: Some(nodes.iter().map(node).collect()),
        identities: Some(nodes.iter().map(identity).collect()),
        recorded: None,
        units_of_other_offers: Some(0),
        snapshot: Some(Arc::new(snapshot)),
        chain: ChainHealth::HeadFresh,
        flights: Vec::new(),
        taken_by: None,
        gate: gate(),
        failover_after: std::time::Duration::from_mins(5),
        low_balance: U256::ZERO,
    }
}

/// The offer's calls, and its whole plan.
pub(crate) fn offer_plan(seen: &offer::Seen) -> (Vec<Call>, offer::Plan) {
    let plan = offer::plan(seen);
    let send = |step: &offer::Step| match step {
        offer::Step::Send(call) => Some(call.clone()),
        _ => None,
    };
    (plan.steps.iter().filter_map(send).collect(), plan)
}

/// What the offer's plan must have read.
pub(crate) fn offer_watch(seen: &offer::Seen) -> Watchlist {
    offer::watchlist(seen)
}

/// The plan for a peer's commitment of so many epochs.
pub(crate) fn commitment_plan(
    world: &World,
    snapshot: Snapshot,
    (peer, duration): (PeerId, u64),
) -> commitment::Plan {
    let units = snapshot.peers[&peer].as_ref().unwrap().units.len();
    commitment::plan(&commitment::Seen {
        peer,
        provider: world.provider,
        policy: commitment::Policy {
            mode: commitment::Mode::Auto,
            duration,
            collateral: commitment::Collateral::Provider,
            renewal: commitment::Renewal::Auto,
            expiry_notice: 0,
        },
        wanted_units: Some(units as u64),
        ready: true,
        ending: None,
        had_commitment: false,
        created_final: true,
        collateral_withdrawn: Some(false),
        snapshot: Some(Arc::new(snapshot)),
        flights: Vec::new(),
        gate: gate(),
    })
}

/// The calls of a commitment's plan.
pub(crate) fn pledged(plan: &commitment::Plan) -> Vec<Call> {
    plan.steps.iter().map(|commitment::Step::Send(call)| call.clone()).collect()
}

/// Whether the peer's present commitment is this one.
pub(crate) fn is_committed(snapshot: &Snapshot, peer: PeerId, id: CommitmentId) -> bool {
    snapshot.peers[&peer].as_ref().unwrap().commitment == Some(id)
}

/// The calls for our workers in a deal, each of which answers with this key.
pub(crate) fn deal_plan(
    snapshot: Snapshot,
    deal: Address,
    (peers, key): (&[PeerId], OffchainWorkerId),
) -> (Vec<Call>, deal::Plan) {
    let ours: BTreeSet<_> = peers.iter().copied().collect();
    let local = deal::Local {
        key: Some(key),
        fits: Some(true),
        pod: deal::WorkerPod::Ready(key),
        ..deal::Local::default()
    };
    let workers = snapshot.deals[&deal].workers.keys().map(|id| (*id, local.clone())).collect();
    let plan = deal::plan(&deal::Seen {
        deal,
        peers: Some(ours),
        snapshot: Some(Arc::new(snapshot)),
        workers,
        policy: deal::Policy { unpaid_grace: 1, unready_grace: 1, ..deal::Policy::default() },
        namespace: deal::Namespace::Ready,
        pods: Some(1),
        gone_since: None,
        subnet: None,
        isolated: None,
        flights: Vec::new(),
        gate: gate(),
    });
    let send = |step: &deal::Step| match step {
        deal::Step::Send(call) => Some(call.clone()),
        _ => None,
    };
    (plan.steps.iter().filter_map(send).collect(), plan)
}

/// The withdrawals from what a peer has earned.
pub(crate) fn payouts(snapshot: Snapshot, peer: PeerId) -> Vec<Call> {
    let plan = payout::plan(&payout::Seen {
        peers: BTreeSet::from([peer]),
        past_commitments: BTreeSet::new(),
        snapshot: Some(Arc::new(snapshot)),
        last: BTreeMap::new(),
        policy: payout::Policy {
            interval_seconds: 1,
            minimum_pay: U256::ONE,
            minimum_reward: U256::ONE,
        },
        ending: false,
        flights: Vec::new(),
        gate: gate(),
    });
    plan.steps.into_iter().map(|payout::Step::Send(call)| call).collect()
}
