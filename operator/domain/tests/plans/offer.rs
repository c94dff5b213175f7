//! The offer's rules, one row each.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use coreward_domain::call::{Call, NewResource};
use coreward_domain::chain::{ResourceClass, Snapshot};
use coreward_domain::condition::{ChainHealth, ConditionType, Truth};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Flight, Hold, Management, Signer};
use coreward_domain::id::UnitId;
use coreward_domain::offer::{
    CLOSED_PRICE, DatacenterChoice, Deletion, Eligibility, Identity, IneligibleReason, Intake,
    Life, NoNode, Node, PendingReason, Seen, Step, Wanted, WantedResource, Why, conditions,
    owner_of, plan,
};
use rstest::rstest;

use crate::market::{
    self, HOT, NAME, PROVIDER, STRANGER, TOKEN, datacenter, offer_id, peer_id, resource,
};
use coreward_domain::chain::CommitmentStatus;

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

fn change(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("a snapshot")));
}

fn fresh() -> Seen {
    let mut snapshot = market::empty();
    snapshot.peers.insert(peer_id(1), None);
    seen(snapshot)
}

fn calls(seen: &Seen) -> Vec<Call> {
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

#[rstest]
#[case::of_a_price(|wanted: &mut Wanted| { wanted.prices.insert(resource(1), U256::from(11)); }, "changeResourcePriceV2")]
#[case::of_the_place(|wanted: &mut Wanted| wanted.datacenter = DatacenterChoice::Id(datacenter(3)), "setOfferDatacenter")]
#[case::of_details(|wanted: &mut Wanted| wanted.resources[0].details = r#"{"model":"x"}"#.to_owned(), "changeResourceDetails")]
#[case::of_storage(|wanted: &mut Wanted| wanted.resources[2].quantity = Some(2000), "changeResourceMaxSupplyV2")]
#[case::of_the_name(|wanted: &mut Wanted| wanted.provider_name = "Other".to_owned(), "setProviderInfo")]
fn a_change_of_the_spec_is_one_call(#[case] edit: fn(&mut Wanted), #[case] function: &str) {
    let mut seen = seen(market::registered(2));
    edit(&mut seen.wanted);
    let calls = calls(&seen);
    assert_eq!(calls.iter().map(Call::function).collect::<Vec<_>>(), [function]);
    let flights = calls.into_iter().map(|call| Flight { call, included: None }).collect();
    seen.flights = flights;
    let repeated = plan(&seen);
    assert_eq!((repeated.steps, repeated.why), (Vec::new(), Why::WaitingForReceipt));
}

#[test]
fn a_new_resource_waits_for_its_price() {
    let mut seen = seen(market::registered(2));
    seen.wanted.prices.insert(resource(9), U256::from(3));
    let address =
        WantedResource { resource: resource(9), details: "{}".to_owned(), quantity: Some(1) };
    seen.wanted.resources.push(address);
    assert_eq!(
        calls(&seen).iter().map(Call::function).collect::<Vec<_>>(),
        ["changeResourcePriceV2"]
    );
    change(&mut seen, |snapshot| {
        let offer = snapshot.offers.get_mut(&offer_id(1)).and_then(Option::as_mut).expect("offer");
        offer.prices.insert(resource(9), U256::from(3));
    });
    assert_eq!(
        calls(&seen).iter().map(Call::function).collect::<Vec<_>>(),
        ["registerPeerResource"]
    );
}

#[test]
fn another_token_must_be_one_that_the_market_takes() {
    let mut seen = seen(market::registered(2));
    seen.wanted.payment_token = STRANGER;
    change(&mut seen, |snapshot| {
        snapshot.tokens.insert(STRANGER, true);
    });
    assert_eq!(calls(&seen), [Call::ChangePaymentToken { offer: offer_id(1), token: STRANGER }]);
    change(&mut seen, |snapshot| {
        snapshot.tokens.insert(STRANGER, false);
    });
    assert!(matches!(plan(&seen).why, Why::InvalidSpec { field: "spec.paymentToken", .. }));
}

#[test]
fn a_closed_intake_is_a_price_that_no_match_pays() {
    let mut seen = seen(market::registered(2));
    seen.wanted.intake = Intake::Closed;
    let call = Call::ChangePrice { offer: offer_id(1), resource: resource(1), price: CLOSED_PRICE };
    assert_eq!(calls(&seen), [call]);
}

#[test]
fn storage_that_deals_use_is_not_taken_away() {
    let mut seen = seen(market::registered(2));
    change(&mut seen, |snapshot| {
        market::peer_mut(snapshot, 1).resources.get_mut(&resource(5)).expect("storage").available =
            100;
    });
    seen.wanted.resources[2].quantity = Some(500);
    assert_eq!(
        (calls(&seen), plan(&seen).why),
        (Vec::new(), Why::Pending(PendingReason::LockedByDeal))
    );
}

#[rstest]
#[case::unknown_datacenter(|wanted: &mut Wanted| wanted.datacenter = DatacenterChoice::Id(datacenter(99)), "spec.datacenter")]
#[case::unknown_resource(|wanted: &mut Wanted| wanted.resources[2].resource = resource(77), "spec.capacity.resources")]
#[case::no_price(|wanted: &mut Wanted| { wanted.prices.remove(&resource(5)); }, "spec.prices")]
#[case::a_price_of_zero(|wanted: &mut Wanted| { wanted.prices.insert(resource(5), U256::ZERO); }, "spec.prices")]
#[case::no_quantity(|wanted: &mut Wanted| wanted.resources[2].quantity = None, "spec.capacity.resources")]
#[case::a_quantity_of_vcpu(|wanted: &mut Wanted| wanted.resources[0].quantity = Some(4), "spec.capacity.resources")]
#[case::no_vcpu(|wanted: &mut Wanted| { wanted.resources.remove(0); }, "spec.capacity.resources")]
#[case::no_signer(|wanted: &mut Wanted| wanted.peer_owners.clear(), "spec.peers.signers")]
#[case::no_name(|wanted: &mut Wanted| wanted.provider_name.clear(), "spec.provider.address")]
#[case::a_foreign_offer(|wanted: &mut Wanted| wanted.adopt = Some(offer_id(7)), "spec.offerID")]
fn a_wrong_field_is_named(#[case] edit: fn(&mut Wanted), #[case] field: &str) {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        snapshot.offers.insert(offer_id(7), None);
    });
    edit(&mut seen.wanted);
    let plan = plan(&seen);
    assert_eq!(plan.steps, []);
    let Why::InvalidSpec { field: named, .. } = plan.why.clone() else { panic!("{:?}", plan.why) };
    assert_eq!(named, field);
    let stalled = conditions(&seen, &plan, &[])
        .into_iter()
        .find(|verdict| verdict.kind == ConditionType::Stalled);
    let stalled = stalled.expect("a verdict of every type");
    assert_eq!((stalled.status, stalled.reason), (Truth::True, "InvalidSpec"));
    assert!(stalled.message.starts_with(field), "{}", stalled.message);
}

#[test]
fn a_strangers_peer_under_our_id_means_a_new_identity() {
    let mut seen = seen(market::registered(2));
    change(&mut seen, |snapshot| {
        snapshot.offers.get_mut(&offer_id(1)).and_then(Option::as_mut).expect("offer").provider =
            STRANGER;
        snapshot.providers.get_mut(&PROVIDER).expect("provider").unit_count = 0;
    });
    let expected = [
        Step::MakeIdentity { node: "n1".to_owned(), ordinal: 1 },
        Step::RetireIdentity { peer: peer_id(1) },
    ];
    assert_eq!(plan(&seen).steps, expected);
}

#[test]
fn units_that_we_do_not_know_stop_every_registration() {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        let provider = snapshot.providers.get_mut(&PROVIDER).expect("provider");
        (provider.unit_count, provider.name) = (2, NAME.to_owned());
    });
    assert_eq!(
        (plan(&seen).steps, plan(&seen).why),
        (Vec::new(), Why::UnknownUnits { on_chain: 2, known: 0 })
    );
    seen.units_of_other_offers = Some(2);
    assert_eq!(calls(&seen).len(), 1, "they belong to another offer of ours");
    seen.units_of_other_offers = Some(0);
    seen.wanted.accept_unknown_units = true;
    assert_eq!(calls(&seen).len(), 1, "a human has said so");
}

#[test]
fn a_peer_of_a_foreign_owner_is_told_and_left_alone() {
    let mut seen = seen(market::registered(2));
    change(&mut seen, |snapshot| market::peer_mut(snapshot, 1).owner = STRANGER);
    seen.nodes = Some(vec![node("n1", 5)]);
    let plan = plan(&seen);
    assert_eq!(
        (plan.steps, plan.why),
        (Vec::new(), Why::WrongPeerOwner { peer: peer_id(1), owner: STRANGER })
    );
}

#[rstest]
#[case::observing(Management::Observe, Hold::Observe)]
#[case::read_only(Management::ReadOnly, Hold::ReadOnly)]
#[case::suspended(Management::Suspended, Hold::Suspended)]
fn without_leave_the_plan_is_shown_and_nothing_is_sent(
    #[case] management: Management,
    #[case] hold: Hold,
) {
    let mut seen = fresh();
    let free = plan(&seen);
    seen.gate.management = management;
    let held = plan(&seen);
    assert_eq!((held.steps, held.why), (Vec::new(), Why::Held(hold)));
    let shown = |planned: &[coreward_domain::gate::PlannedCall]| -> Vec<Call> {
        planned.iter().map(|planned| planned.call.clone()).collect()
    };
    assert_eq!(shown(&held.planned), shown(&free.planned));
}

#[rstest]
#[case::a_signer_by_hand(Signer::Manual, Hold::AwaitingSignature)]
#[case::a_signer_that_is_away(Signer::Unreachable, Hold::SignerUnavailable)]
#[case::a_signer_of_another_address(Signer::WrongAddress, Hold::SignerUnavailable)]
#[case::a_signer_not_tried_yet(Signer::Unknown, Hold::SignerUnavailable)]
#[case::a_key_that_somebody_else_uses(Signer::Shared, Hold::ForeignSigner)]
fn the_signer_must_be_there(#[case] signer: Signer, #[case] hold: Hold) {
    let mut seen = fresh();
    seen.gate.provider_signer = signer;
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::Held(hold)));
}

#[rstest]
#[case::nothing_pledged(market::registered(2), Why::Released)]
#[case::pledged(market::committed(2, CommitmentStatus::Active), Why::DeletionBlocked { until: Some(Epoch(110)) })]
#[case::in_a_deal(market::matched(2), Why::DeletionBlocked { until: None })]
fn deletion_waits_for_what_is_staked(#[case] snapshot: Snapshot, #[case] why: Why) {
    let mut seen = seen(snapshot);
    seen.wanted.deletion = Some(Deletion::Block);
    let plan = plan(&seen);
    let steps = if why == Why::Released { vec![Step::Release] } else { Vec::new() };
    assert_eq!((plan.steps, plan.why), (steps, why));
}

#[test]
fn an_invalid_spec_does_not_keep_an_object_from_going() {
    let mut seen = fresh();
    seen.wanted.prices.clear();
    seen.wanted.deletion = Some(Deletion::Block);
    assert_eq!(plan(&seen).steps, [Step::Release]);
}

#[test]
fn orphaning_needs_no_knowledge() {
    let mut seen = seen(market::matched(2));
    seen.wanted.deletion = Some(Deletion::Orphan);
    seen.snapshot = None;
    assert_eq!(plan(&seen).steps, [Step::Release]);
}

#[test]
fn no_node_can_carry_a_unit() {
    let mut seen = fresh();
    let reason = IneligibleReason::CpuPolicyNotStatic;
    seen.nodes.as_mut().expect("nodes")[0].eligibility = Eligibility::Ineligible(reason);
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
    });
    let unfit = NoNode::Unfit { node: "n1".to_owned(), reason };
    assert_eq!((plan(&seen).steps, plan(&seen).why), (Vec::new(), Why::NoEligibleNode(unfit)));
}

#[test]
fn several_signers_share_the_peers_by_their_ids() {
    let owners = [HOT, STRANGER];
    let mut taken: Vec<_> =
        (0..16).filter_map(|number| owner_of(peer_id(number), &owners)).collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 2);
    assert_eq!(owner_of(peer_id(1), &[]), None);
}

#[test]
fn nothing_new_is_registered_on_a_cordoned_node() {
    let mut seen = fresh();
    change(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = NAME.to_owned();
    });
    assert_eq!(calls(&seen).len(), 1);
    seen.nodes.as_mut().expect("nodes")[0].cordoned = true;
    let cordoned = NoNode::Cordoned { node: "n1".to_owned() };
    let why = plan(&seen).why;
    assert_eq!((calls(&seen), why), (Vec::new(), Why::NoEligibleNode(cordoned)));
}
