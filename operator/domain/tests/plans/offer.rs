//! How an offer comes onto the chain and grows there, one row per rule.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use coreward_domain::call::{Call, NewResource};
use coreward_domain::chain::{CommitmentStatus, ResourceClass, Snapshot};
use coreward_domain::condition::ChainHealth;
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold};
use coreward_domain::id::UnitId;
use coreward_domain::offer::{
    DatacenterChoice, Eligibility, Identity, Intake, Life, Node, PendingReason, Seen, Step, Wanted,
    WantedResource, Why, plan,
};
use rstest::rstest;

use crate::market::{self, HOT, NAME, PROVIDER, TOKEN, datacenter, offer_id, peer_id, resource};

pub(crate) fn wanted() -> Wanted {
    let plain = |id, quantity| WantedResource {
        resource: resource(id),
        details: "{}".to_owned(),
        quantity,
    };
    Wanted {
        provider: PROVIDER,
        provider_name: NAME.to_owned(),
        adopt: None,
        assignments: std::collections::BTreeMap::new(),
        accept_unknown_units: false,
        peer_owners: vec![HOT],
        payment_token: TOKEN,
        datacenter: DatacenterChoice::Place {
            country_code: "DE".to_owned(),
            city_code: "BER".to_owned(),
            index: 1,
        },
        prices: [(1, 10_u64), (3, 2), (5, 1)]
            .map(|(id, price)| (resource(id), U256::from(price)))
            .into(),
        resources: vec![plain(1, None), plain(3, None), plain(5, Some(1000))],
        spare_nodes: 0,
        intake: Intake::Open,
        deletion: None,
    }
}

pub(crate) fn node(name: &str, units: u32) -> Node {
    Node {
        name: name.to_owned(),
        eligibility: Eligibility::Eligible,
        units,
        cordoned: false,
        life: Life::Ready,
    }
}

pub(crate) fn identity(number: u64, node: &str, ordinal: u32) -> Identity {
    let commitments = std::collections::BTreeSet::new();
    let home = node.to_owned();
    Identity {
        peer: peer_id(number),
        node: home.clone(),
        home,
        ordinal,
        moves: 0,
        commitments,
        past_read_to: Some(0),
    }
}

/// One node `n1` with two units and its identity, peer 1.
pub(crate) fn seen(snapshot: Snapshot) -> Seen {
    Seen {
        wanted: wanted(),
        nodes: Some(vec![node("n1", 2)]),
        identities: Some(vec![identity(1, "n1", 0)]),
        recorded: None,
        units_of_other_offers: Some(0),
        snapshot: Some(Arc::new(snapshot)),
        chain: ChainHealth::HeadFresh,
        flights: Vec::new(),
        taken_by: None,
        gate: market::open_gate(),
        failover_after: Duration::from_mins(5),
        low_balance: U256::from(10),
    }
}

pub(crate) fn change(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("a snapshot")));
}

pub(crate) fn fresh() -> Seen {
    let mut snapshot = market::empty();
    snapshot.peers.insert(peer_id(1), None);
    seen(snapshot)
}

pub(crate) fn calls(seen: &Seen) -> Vec<Call> {
    let sends = plan(seen).steps.into_iter().filter_map(|step| match step {
        Step::Send(call) => Some(call),
        Step::MakeIdentity { .. }
        | Step::MovePeer { .. }
        | Step::AdoptIdentity { .. }
        | Step::RetireIdentity { .. }
        | Step::Release => None,
    });
    sends.collect()
}

#[test]
fn an_identity_comes_before_everything_else() {
    let mut seen = fresh();
    seen.identities = Some(Vec::new());
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
    });
    let plan = plan(&seen);
    assert_eq!(plan.steps, [Step::MakeIdentity { node: "n1".to_owned(), ordinal: 0 }]);
    assert_eq!(plan.why, Why::Preparing);
}

#[test]
fn a_spare_node_gets_no_peer() {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
    });
    seen.nodes = Some(vec![node("n1", 2), node("n2", 2)]);
    seen.identities = Some(Vec::new());
    let makes = |node: &str| Step::MakeIdentity { node: node.to_owned(), ordinal: 0 };
    assert_eq!(plan(&seen).steps, [makes("n1"), makes("n2")]);
    seen.wanted.spare_nodes = 1;
    assert_eq!(plan(&seen).steps, [makes("n1")]);
}

#[test]
fn the_name_comes_before_the_offer() {
    let plan = plan(&fresh());
    assert_eq!(plan.steps, [Step::Send(Call::SetProviderInfo { name: NAME.to_owned() })]);
    assert_eq!(plan.planned[1].call.function(), "registerMarketOfferV2");
    assert_eq!(plan.planned[1].hold, Some(Hold::EarlierCall));
}

#[test]
fn the_offer_is_registered_with_its_peers() {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
    });
    let [Call::RegisterOffer { peers, datacenter: place, prices, payment_token }] =
        &calls(&seen)[..]
    else {
        panic!("one registration")
    };
    assert_eq!((*place, *payment_token, prices.len()), (datacenter(2), TOKEN, 3));
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].peer, peers[0].owner), (peer_id(1), HOT));
    assert_eq!(peers[0].units, [market::unit(1, 0), market::unit(1, 1)]);
    let supplies: Vec<_> = peers[0].resources.iter().map(|declared| declared.supply).collect();
    assert_eq!(supplies, [4, 8192, 1000]);
}

#[test]
fn the_first_registration_waits_for_a_node_that_is_being_verified() {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
    });
    let pending = Node { eligibility: Eligibility::Pending, ..node("n2", 2) };
    seen.nodes.as_mut().expect("nodes").push(pending);
    assert_eq!((calls(&seen), plan(&seen).why), (Vec::new(), Why::Preparing));
    seen.nodes.as_mut().expect("nodes")[1].eligibility = Eligibility::Unknown;
    assert_eq!(calls(&seen).len(), 1);
}

#[test]
fn a_large_offer_is_registered_in_bites() {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
        snapshot.peers.extend([(peer_id(2), None), (peer_id(3), None)]);
    });
    seen.nodes = Some(vec![node("n1", 200), node("n2", 200), node("n3", 900)]);
    seen.identities = Some(vec![identity(1, "n1", 0), identity(2, "n2", 0), identity(3, "n3", 0)]);
    let [Call::RegisterOffer { peers, .. }] = &calls(&seen)[..] else { panic!("one registration") };
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].units.len(), 200);
}

#[test]
fn an_offer_is_found_again_by_its_peer() {
    let plan = plan(&seen(market::registered(2)));
    assert_eq!((plan.steps, plan.planned, plan.why), (Vec::new(), Vec::new(), Why::InSync));
    assert_eq!(plan.offer, Some(offer_id(1)));
    assert_eq!(plan.peers, [(peer_id(1), Some("n1".to_owned()))].into());
}

#[test]
fn a_new_node_joins_the_offer() {
    let mut seen = seen(market::registered(2));
    change(&mut seen, |snapshot| {
        snapshot.peers.insert(peer_id(2), None);
    });
    seen.nodes.as_mut().expect("nodes").push(node("n2", 1));
    seen.identities.as_mut().expect("identities").push(identity(2, "n2", 0));
    let [Call::AddPeers { offer, peers }] = &calls(&seen)[..] else { panic!("one addition") };
    assert_eq!((*offer, peers[0].peer, peers[0].units.len()), (offer_id(1), peer_id(2), 1));
}

#[test]
fn units_are_added_while_nothing_is_pledged() {
    let mut seen = seen(market::registered(2));
    seen.nodes = Some(vec![node("n1", 3)]);
    let supply =
        Call::ChangeResourceSupply { peer: peer_id(1), resource: resource(3), supply: 3 * 4096 };
    assert_eq!(calls(&seen), [supply], "the RAM that backs it first");
    change(&mut seen, |snapshot| {
        let ram = market::peer_resource(ResourceClass::Ram, 3 * 4096);
        market::peer_mut(snapshot, 1).resources.insert(resource(3), ram);
    });
    let vcpu = NewResource { resource: resource(1), supply: 2, details: "{}".to_owned() };
    assert_eq!(
        calls(&seen),
        [Call::AddUnits { peer: peer_id(1), units: vec![UnitId::derive(peer_id(1), 2)], vcpu }]
    );
}

#[rstest]
#[case::more_units_wait_for_the_end(3)]
#[case::fewer_units_wait_for_the_end(1)]
fn a_commitment_locks_the_number_of_units(#[case] units: u32) {
    let mut seen = seen(market::committed(2, CommitmentStatus::Active));
    seen.nodes = Some(vec![node("n1", units)]);
    let plan = plan(&seen);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.pending.len(), 1);
    assert_eq!(plan.pending[0].reason, PendingReason::LockedByCommitment);
    assert_eq!(plan.pending[0].possible_from, Some(Epoch(110)));
    assert_eq!(plan.why, Why::Pending(PendingReason::LockedByCommitment));
}

#[test]
fn a_commitment_on_its_way_locks_the_number_of_units_too() {
    let mut seen = seen(market::registered(2));
    seen.nodes = Some(vec![node("n1", 3)]);
    let call = Call::CreateCommitment {
        peer: peer_id(1),
        duration: 10,
        delegator: PROVIDER,
        delegation_rate: 1,
    };
    seen.flights = vec![Flight { call, included: None }];
    assert_eq!(calls(&seen), []);
}
