//! The whole life of an offer, each turn planned from what the turn before has left on chain.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use coreward_domain::call::Call;
use coreward_domain::chain::{CommitmentStatus, DealStatus, Snapshot};
use coreward_domain::deal::{self, Local, WorkerPod};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::Flight;
use coreward_domain::offer::{self, Identity};
use coreward_domain::proof::Found;
use coreward_domain::{commitment, payout, proof};

use crate::contract;
use crate::market::{self, DEAL, key, peer_id, unit, worker_id};

/// One provider with one node, played against the model of the contracts.
struct World {
    snapshot: Snapshot,
    identities: Vec<Identity>,
    workers: BTreeMap<coreward_domain::id::OnchainWorkerId, Local>,
    past: BTreeSet<coreward_domain::id::CommitmentId>,
    edit: fn(&mut offer::Wanted),
    /// What the object's status names.
    recorded: Option<coreward_domain::id::OfferId>,
    released: bool,
}

impl World {
    fn new() -> Self {
        Self {
            snapshot: market::empty(),
            identities: Vec::new(),
            workers: BTreeMap::new(),
            past: BTreeSet::new(),
            edit: |_| (),
            recorded: None,
            released: false,
        }
    }

    /// All plans of one turn, made from one snapshot.
    fn plan(&mut self, flights: &[Flight], making: bool) -> Vec<Call> {
        let mut seen = crate::offer::seen(self.snapshot.clone());
        (self.edit)(&mut seen.wanted);
        (seen.identities, seen.flights) = (Some(self.identities.clone()), flights.to_vec());
        seen.recorded = self.recorded;
        let mut calls = Vec::new();
        let plan = offer::plan(&seen);
        self.recorded = plan.offer.or(self.recorded);
        for step in plan.steps {
            match step {
                offer::Step::MakeIdentity { node, ordinal } if making => {
                    let identity = crate::offer::identity(1, &node, ordinal);
                    self.identities.push(identity);
                    self.snapshot.peers.insert(peer_id(1), None);
                }
                offer::Step::Send(call) => calls.push(call),
                offer::Step::Release => self.released = true,
                offer::Step::MakeIdentity { .. }
                | offer::Step::AdoptIdentity { .. }
                | offer::Step::MovePeer { .. }
                | offer::Step::RetireIdentity { .. } => {}
            }
        }
        calls.extend(self.plan_work(flights, seen.wanted.deletion));
        self.remember();
        calls
    }

    /// Keeps the ids of commitments with their peer, as the operator does.
    fn remember(&mut self) {
        let present = self.snapshot.peers.get(&peer_id(1)).and_then(Option::as_ref);
        let present = present.and_then(|peer| peer.commitment);
        for identity in &mut self.identities {
            identity.commitments.extend(present);
            self.past.extend(identity.commitments.iter().filter(|id| Some(**id) != present));
        }
    }

    fn plan_work(&self, flights: &[Flight], deletion: Option<offer::Deletion>) -> Vec<Call> {
        let is_withdrawn = deletion == Some(offer::Deletion::Withdraw);
        let mut pledge = crate::commitment::seen(self.snapshot.clone());
        (pledge.flights, pledge.ending) = (flights.to_vec(), deletion);
        let commitment::Plan { steps, .. } = commitment::plan(&pledge);
        let mut calls: Vec<_> =
            steps.into_iter().map(|commitment::Step::Send(call)| call).collect();
        if self.snapshot.deals.contains_key(&DEAL) {
            let mut seen = crate::deal::seen(self.snapshot.clone());
            (seen.workers, seen.flights) = (self.workers.clone(), flights.to_vec());
            if is_withdrawn {
                seen.policy.desired = deal::Desired::Exit { leaves_at: 0 };
            }
            calls.extend(deal::plan(&seen).steps.into_iter().filter_map(|step| match step {
                deal::Step::Send(call) => Some(call),
                deal::Step::EnsureNamespace
                | deal::Step::DeleteNamespace
                | deal::Step::ReleaseMirror => None,
            }));
        }
        let mut seen = crate::payout::seen(self.snapshot.clone());
        (seen.flights, seen.past_commitments) = (flights.to_vec(), self.past.clone());
        seen.ending = is_withdrawn;
        calls.extend(payout::plan(&seen).steps.into_iter().map(|payout::Step::Send(call)| call));
        calls
    }

    /// Turns until nothing is left to send; answers with the functions sent, in order.
    fn settle(&mut self) -> Vec<&'static str> {
        let mut functions = Vec::new();
        loop {
            assert!(functions.len() < 40, "does not settle: {functions:?}");
            let before = self.identities.len();
            let calls = self.plan(&[], true);
            if calls.is_empty() && self.identities.len() == before {
                return functions;
            }
            let flights: Vec<_> =
                calls.iter().map(|call| Flight { call: call.clone(), included: None }).collect();
            assert_eq!(
                self.plan(&flights, false),
                [],
                "a plan repeated while its calls fly is empty"
            );
            functions.extend(calls.iter().map(Call::function));
            contract::mine(&mut self.snapshot, &calls);
        }
    }

    /// Moves the epoch on, with what the views then show.
    fn move_to(&mut self, epoch: u64) {
        market::move_to(&mut self.snapshot, epoch, 60);
        for known in self.snapshot.commitments.values_mut().flatten() {
            if known.status == CommitmentStatus::WaitStart && Epoch(epoch) >= known.start_epoch {
                known.status = CommitmentStatus::Active;
            }
            if known.status == CommitmentStatus::Active && Epoch(epoch) >= known.end_epoch {
                known.status = CommitmentStatus::Inactive;
            }
        }
    }

    /// Sends all proofs that are found, batch by batch; answers with their number.
    fn prove(&mut self, index: u32, count: u64) -> usize {
        let found =
            |nonce| Found { epoch: self.snapshot.epoch, ..crate::proof::found(index, nonce) };
        let mut pool: Vec<_> = (0..count).map(found).collect();
        let mut sent = 0;
        loop {
            let plan = proof::plan(&crate::proof::seen(self.snapshot.clone(), pool.clone()));
            let calls = plan.steps.into_iter().filter_map(|step| match step {
                proof::Step::Send(call) => Some(call),
                proof::Step::Acknowledge { .. } => None,
            });
            let calls: Vec<_> = calls.collect();
            let Some(Call::SubmitProofs { proofs, .. }) = calls.first() else { return sent };
            sent += proofs.len();
            pool.retain(|found| !proofs.iter().any(|proof| proof.local_nonce == found.local_nonce));
            contract::mine(&mut self.snapshot, &calls);
        }
    }
}

#[test]
fn from_nothing_to_proofs() {
    let mut world = World::new();
    let expected =
        ["setProviderInfo", "registerMarketOfferV2", "createCommitment", "depositCollateral"];
    assert_eq!(world.settle(), expected);
    world.move_to(21);
    assert_eq!(world.settle(), [""; 0]);
    assert_eq!((world.prove(0, 2), world.prove(0, 9), world.prove(1, 9)), (2, 3, 5));
}

#[test]
fn through_a_deal_and_back() {
    let mut world = World::new();
    world.settle();
    world.move_to(21);
    market::sit(&mut world.snapshot, 0, 1);
    assert_eq!(world.settle(), [""; 0], "nothing is activated before it answers");
    let ready = Local {
        key: Some(key(1)),
        fits: Some(true),
        pod: WorkerPod::Ready(key(1)),
        ..Local::default()
    };
    world.workers.insert(worker_id(1), ready);
    assert_eq!(world.settle(), ["activateWorker"]);
    assert_eq!((world.prove(0, 9), world.prove(1, 9)), (0, 5), "the other unit goes on");

    let deal = market::deal_mut(&mut world.snapshot);
    deal.max_paid_epoch = Epoch(30);
    deal.workers.get_mut(&worker_id(1)).expect("worker").reward = U256::from(90);
    assert_eq!(world.settle(), ["withdrawRewards"]);

    market::deal_mut(&mut world.snapshot).status = DealStatus::Ended;
    assert_eq!(world.settle(), ["removeWorker"]);
    world.move_to(22);
    assert_eq!(world.prove(0, 9), 5);
}

#[test]
fn to_the_end_and_into_the_next_commitment() {
    let mut world = World::new();
    world.settle();
    world.move_to(21);
    market::sit(&mut world.snapshot, 0, 1);
    world.move_to(121);
    let expected = [
        "withdrawCollateral",
        "removeCUFromCC",
        "removeWorker",
        "removeCUFromCC",
        "finishCommitment",
        "createCommitment",
        "depositCollateral",
    ];
    assert_eq!(world.settle(), expected);
}

#[test]
fn from_a_deal_under_a_stake_to_nothing() {
    let mut world = World::new();
    world.settle();
    world.move_to(21);
    market::sit(&mut world.snapshot, 0, 1);
    world.edit = |wanted| wanted.deletion = Some(offer::Deletion::Withdraw);
    assert_eq!(world.settle(), ["changeResourcePriceV2", "removeWorker"]);
    world.move_to(22);
    assert_eq!((world.prove(0, 9), world.prove(1, 9)), (5, 5), "proofs go on to the end");
    assert_eq!(world.settle(), [""; 0], "staked");
    world.move_to(121);
    assert_eq!(
        world.settle(),
        ["removeCUFromCC", "finishCommitment"].into_iter().chain(REMOVAL).collect::<Vec<_>>()
    );
    assert!(world.released);
    assert_eq!(world.snapshot.providers[&market::PROVIDER].unit_count, 0);
}

/// Two units, three resources, a peer and an offer.
const REMOVAL: [&str; 7] = [
    "removeComputeUnitV2",
    "removeComputeUnitV2",
    "removePeerResource",
    "removePeerResource",
    "removePeerResource",
    "removeComputePeerV2",
    "removeOfferV2",
];

#[test]
fn nothing_goes_before_its_rewards() {
    let mut world = World::new();
    world.settle();
    world.move_to(121);
    world.edit = |wanted| wanted.deletion = Some(offer::Deletion::Withdraw);
    market::commitment_mut(&mut world.snapshot, 1).total_rewards = U256::from(90);
    let closed = ["changeResourcePriceV2", "removeCUFromCC", "finishCommitment"];
    assert_eq!(world.settle(), closed);
    world.move_to(123);
    market::commitment_mut(&mut world.snapshot, 1).unlocked_rewards = U256::from(60);
    assert_eq!(world.settle(), ["withdrawReward"], "the rest has not vested");
    assert!(!world.released);
    world.move_to(126);
    market::commitment_mut(&mut world.snapshot, 1).unlocked_rewards = U256::from(30);
    let last: Vec<_> = ["withdrawReward"].into_iter().chain(REMOVAL).collect();
    assert_eq!(world.settle(), last);
    assert!(world.released);
}

#[test]
fn an_unfunded_commitment_is_taken_back_and_everything_goes() {
    let mut world = World::new();
    while world.snapshot.commitments.is_empty() {
        let calls = world.plan(&[], true);
        contract::mine(&mut world.snapshot, &calls);
    }
    world.edit = |wanted| wanted.deletion = Some(offer::Deletion::Withdraw);
    let expected: Vec<_> =
        ["changeResourcePriceV2", "removeCommitment"].into_iter().chain(REMOVAL).collect();
    assert_eq!(world.settle(), expected);
    assert!(world.released);
}

#[test]
fn a_withdrawal_can_be_followed_by_a_new_offer_with_the_same_peer() {
    let mut world = World::new();
    world.settle();
    world.edit = |wanted| wanted.deletion = Some(offer::Deletion::Withdraw);
    world.move_to(121);
    world.settle();
    assert!(world.released);
    world.edit = |_| ();
    world.recorded = None;
    assert_eq!(world.settle(), ["registerMarketOfferV2", "createCommitment", "depositCollateral"]);
}

#[test]
fn a_failed_commitment_is_wound_up_after_its_cooldown_and_its_reward_fetched() {
    let mut world = World::new();
    world.settle();
    world.move_to(30);
    let id = market::commitment_id(1);
    let known = market::commitment_mut(&mut world.snapshot, 1);
    (known.status, known.failed_epoch) = (CommitmentStatus::Failed, Epoch(29));
    assert_eq!(world.settle(), ["removeCUFromCC"]);
    world.past.insert(id);
    let known = market::commitment_mut(&mut world.snapshot, 1);
    (known.unlocked_rewards, known.total_rewards) = (U256::from(7), U256::from(7));
    world.move_to(31);
    let functions = world.settle();
    assert_eq!(functions[..2], ["withdrawCollateral", "finishCommitment"]);
    assert!(functions.contains(&"withdrawReward"), "{functions:?}");
    assert_eq!(functions.last(), Some(&"depositCollateral"));
}

#[test]
fn a_changed_spec_is_brought_on_chain_and_then_all_is_quiet() {
    let mut world = World::new();
    world.settle();
    world.edit = |wanted| {
        wanted.prices.insert(market::resource(1), U256::from(77));
        wanted.prices.insert(market::resource(9), U256::from(5));
        wanted.resources.push(offer::WantedResource {
            resource: market::resource(9),
            details: "{}".to_owned(),
            quantity: Some(2),
        });
        wanted.datacenter = offer::DatacenterChoice::Id(market::datacenter(3));
    };
    let mut functions = world.settle();
    functions.sort_unstable();
    let expected = [
        "changeResourcePriceV2",
        "changeResourcePriceV2",
        "registerPeerResource",
        "setOfferDatacenter",
    ];
    assert_eq!(functions, expected);
    assert_eq!(world.settle(), [""; 0]);
}

#[test]
fn the_units_that_are_registered_are_the_derived_ones() {
    let mut world = World::new();
    world.settle();
    let units: Vec<_> = market::peer_mut(&mut world.snapshot, 1).units.keys().copied().collect();
    assert_eq!(BTreeSet::from_iter(units), BTreeSet::from([unit(1, 0), unit(1, 1)]));
}
