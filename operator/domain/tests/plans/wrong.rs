//! Offers whose spec reads well and means something wrong: one row each, with the condition that tells so.

use std::sync::Arc;

use alloy_primitives::U256;
use coreward_domain::call::Call;
use coreward_domain::chain::{ResourceClass, Snapshot};
use coreward_domain::commitment;
use coreward_domain::condition::{ConditionType, Verdict};
use coreward_domain::gate::Signer;
use coreward_domain::offer::{
    CLOSED_PRICE, DatacenterChoice, Deletion, Eligibility, IneligibleReason, Seen, Step, Wanted,
    WantedResource, conditions, plan,
};
use rstest::rstest;

use crate::conditions::check;
use crate::market::{
    self, HOT, PROVIDER, STRANGER, TOKEN, datacenter, offer_id, peer_id, resource,
};

fn edit(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("a snapshot")));
}

/// Nothing on chain but the provider's account.
fn fresh() -> Seen {
    let mut snapshot = market::empty();
    snapshot.peers.insert(peer_id(1), None);
    crate::offer::seen(snapshot)
}

/// The verdict of one type; the words of all are of the closed lists.
fn verdict(verdicts: Vec<Verdict>, kind: ConditionType) -> Verdict {
    check(&verdicts);
    verdicts.into_iter().find(|verdict| verdict.kind == kind).expect("a verdict of every type")
}

fn place(country: &str, city: &str, index: u64) -> DatacenterChoice {
    let (country_code, city_code) = (country.to_owned(), city.to_owned());
    DatacenterChoice::Place { country_code, city_code, index }
}

fn declare(wanted: &mut Wanted, id: u64, quantity: Option<u64>) {
    let details = "{}".to_owned();
    wanted.resources.push(WantedResource { resource: resource(id), details, quantity });
}

fn price(wanted: &mut Wanted, id: u64, price: U256) {
    wanted.prices.insert(resource(id), price);
}

fn unfit(seen: &mut Seen, reason: IneligibleReason) {
    seen.nodes.as_mut().expect("nodes")[0].eligibility = Eligibility::Ineligible(reason);
}

#[rstest]
#[case::a_datacenter_that_is_none(|w: &mut Wanted| w.datacenter = DatacenterChoice::Id(datacenter(99)), "spec.datacenter: the market has no such datacenter, but 1 (FR PAR 1), 2 (DE BER 1)")]
#[case::another_city(|w: &mut Wanted| w.datacenter = place("DE", "FRA", 1), "spec.datacenter: the market has no such")]
#[case::another_index(|w: &mut Wanted| w.datacenter = place("DE", "BER", 7), "spec.datacenter: the market has no such")]
#[case::another_country(|w: &mut Wanted| w.datacenter = place("FR", "BER", 1), "spec.datacenter: the market has no such")]
#[case::a_price_of_an_unknown_resource(|w: &mut Wanted| price(w, 77, U256::ONE), "spec.prices: the market has no resource 77, but 1, 2, 3, 5, 9")]
#[case::an_unknown_resource(|w: &mut Wanted| declare(w, 77, Some(1)), "spec.capacity.resources: the market has no resource 77")]
#[case::a_resource_without_price(|w: &mut Wanted| declare(w, 9, Some(1)), "spec.prices: resource 9 has no price")]
#[case::a_price_of_zero(|w: &mut Wanted| price(w, 5, U256::ZERO), "spec.prices: the price of resource 5 must be above zero")]
#[case::a_price_that_closes_the_offer(|w: &mut Wanted| price(w, 1, CLOSED_PRICE), "spec.prices: the price of resource 1 must be above zero and below 1000000000000000000")]
#[case::a_price_that_overflows(|w: &mut Wanted| price(w, 3, U256::MAX), "spec.prices: the price of resource 3 must be")]
#[case::storage_of_no_size(|w: &mut Wanted| w.resources[2].quantity = None, "spec.capacity.resources: resource 5 needs a quantityPerNode")]
#[case::storage_of_size_zero(|w: &mut Wanted| w.resources[2].quantity = Some(0), "spec.capacity.resources: resource 5 needs a quantityPerNode")]
#[case::a_quantity_of_threads(|w: &mut Wanted| w.resources[0].quantity = Some(4), "spec.capacity.resources: vCPU and RAM follow from the units: resource 1 takes no")]
#[case::a_quantity_of_memory(|w: &mut Wanted| w.resources[1].quantity = Some(4), "resource 3 takes no quantityPerNode")]
#[case::no_threads(|w: &mut Wanted| drop(w.resources.remove(0)), "spec.capacity.resources: exactly one vCPU resource is needed, and 0 stand there")]
#[case::no_memory(|w: &mut Wanted| drop(w.resources.remove(1)), "spec.capacity.resources: exactly one RAM resource is needed, and 0 stand there")]
#[case::two_kinds_of_threads(|w: &mut Wanted| { price(w, 2, U256::ONE); declare(w, 2, None); }, "exactly one vCPU resource is needed, and 2 stand there")]
#[case::no_signer_for_peers(|w: &mut Wanted| w.peer_owners.clear(), "spec.peers.signers: at least one")]
#[case::a_provider_without_name(|w: &mut Wanted| w.provider_name.clear(), "spec.provider.address: the operator's configuration has no name")]
#[case::an_offer_that_is_none(|w: &mut Wanted| w.adopt = Some(offer_id(7)), "spec.offerID: the chain has no offer 0x")]
#[case::an_offer_of_another(|w: &mut Wanted| w.adopt = Some(offer_id(8)), "spec.offerID: the chain has no offer 0x")]
fn a_wrong_meaning_is_an_invalid_spec(#[case] change: fn(&mut Wanted), #[case] words: &str) {
    let mut seen = fresh();
    edit(&mut seen, |snapshot| {
        let mut foreign = market::registered(1).offers[&offer_id(1)].clone();
        foreign.as_mut().expect("offer").provider = STRANGER;
        snapshot.offers.extend([(offer_id(7), None), (offer_id(8), foreign)]);
    });
    change(&mut seen.wanted);
    let plan = plan(&seen);
    assert_eq!(plan.steps, []);
    let stalled = verdict(conditions(&seen, &plan, &[]), ConditionType::Stalled);
    assert_eq!(stalled.reason, "InvalidSpec");
    assert!(stalled.message.contains(words), "{}", stalled.message);
    let ready = verdict(conditions(&seen, &plan, &[]), ConditionType::Ready);
    assert_eq!((ready.reason, ready.message), ("Degraded", stalled.message));
}

#[rstest]
#[case::a_token_that_is_not_taken(|s: &mut Seen| edit(s, |it| it.tokens.extend([(TOKEN, false)])), "Stalled", "InvalidSpec", "spec.paymentToken: the market does not take 0x")]
#[case::more_units_than_a_provider_may_have(|s: &mut Seen| edit(s, |it| it.rules.max_units_per_provider = 1), "Stalled", "InvalidSpec", "spec.capacity: the market takes 1 units of one provider")]
#[case::units_that_nobody_knows(|s: &mut Seen| edit(s, |it| it.providers.get_mut(&PROVIDER).expect("provider").unit_count = 5), "Stalled", "Conflict", "the chain has 5 units of this provider and 0 are known here: name their offer in spec.offerID")]
#[case::the_offer_of_another_object(|s: &mut Seen| s.taken_by = Some("a/b".to_owned()), "Stalled", "Conflict", "spec.offerID: the offer belongs to a/b")]
#[case::no_such_label(|s: &mut Seen| s.nodes = Some(Vec::new()), "Ready", "Degraded", "spec.capacity.nodeSelector: no node that is free has these labels")]
#[case::nodes_that_say_nothing(|s: &mut Seen| s.nodes.as_mut().expect("nodes")[0].eligibility = Eligibility::Unknown, "Ready", "Degraded", "nothing has been heard")]
#[case::fewer_cores_than_units(|s: &mut Seen| unfit(s, IneligibleReason::TooFewCores), "Ready", "Degraded", "node n1: it has fewer free cores than units: lower spec.capacity.unitsPerNode")]
#[case::less_memory_than_units(|s: &mut Seen| unfit(s, IneligibleReason::TooLittleMemory), "Ready", "Degraded", "node n1: its memory is too little")]
#[case::shared_cores(|s: &mut Seen| unfit(s, IneligibleReason::CpuPolicyNotStatic), "Ready", "Degraded", "set cpuManagerPolicy static")]
#[case::split_cores(|s: &mut Seen| unfit(s, IneligibleReason::FullCoresNotEnforced), "Ready", "Degraded", "set full-pcpus-only")]
#[case::four_threads(|s: &mut Seen| unfit(s, IneligibleReason::SmtMismatch), "Ready", "Degraded", "more than two threads")]
#[case::no_huge_pages(|s: &mut Seen| unfit(s, IneligibleReason::HugePagesMissing), "Ready", "Degraded", "huge pages are off")]
#[case::a_signer_that_is_not_allowed(|s: &mut Seen| s.gate.provider_signer = Signer::NotAllowed, "SignersAvailable", "NotAllowed", "spec.provider.signer: the operator's configuration does not allow")]
#[case::a_key_of_another_account(|s: &mut Seen| s.gate.provider_signer = Signer::WrongAddress, "SignersAvailable", "WrongAddress", "spec.provider.signer: the key in its Secret has another address")]
#[case::a_peers_key_of_another_account(|s: &mut Seen| s.gate.peer_signer = Signer::WrongAddress, "SignersAvailable", "WrongAddress", "spec.peers.signers: the key in its Secret has another address")]
#[case::no_key(|s: &mut Seen| s.gate.peer_signer = Signer::Unreachable, "SignersAvailable", "Unreachable", "spec.peers.signers: its key cannot be read")]
#[case::an_empty_wallet(|s: &mut Seen| edit(s, |it| it.wallets.extend([(HOT, U256::ZERO)])), "FundsSufficient", "Empty", "holds nothing: send FLT to it")]
#[case::a_poor_wallet(|s: &mut Seen| edit(s, |it| it.wallets.extend([(PROVIDER, U256::from(9))])), "FundsSufficient", "LowGas", "holds less than")]
fn a_wrong_surrounding_is_a_condition(
    #[case] change: fn(&mut Seen),
    #[case] kind: &str,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let mut seen = fresh();
    edit(&mut seen, |snapshot| {
        snapshot.providers.get_mut(&PROVIDER).expect("provider").name = market::NAME.to_owned();
    });
    change(&mut seen);
    let verdicts = conditions(&seen, &plan(&seen), &[]);
    check(&verdicts);
    let found = verdicts.iter().find(|verdict| verdict.kind.name() == kind).expect("of every type");
    assert_eq!(found.reason, reason, "{}", found.message);
    assert!(found.message.contains(words), "{}", found.message);
}

#[rstest]
#[case::a_foreign_peer_owner(|s: &mut Seen| edit(s, |it| market::peer_mut(it, 1).owner = STRANGER), "ForeignSigner", "none of spec.peers.signers")]
#[case::peers_in_two_offers(|s: &mut Seen| s.wanted.adopt = Some(offer_id(2)), "Conflict", "in several offers")]
fn a_contradiction_to_the_chain_stalls(
    #[case] change: fn(&mut Seen),
    #[case] reason: &str,
    #[case] words: &str,
) {
    let mut seen = crate::offer::seen(market::registered(2));
    edit(&mut seen, |snapshot| {
        let second = snapshot.offers[&offer_id(1)].clone();
        snapshot.offers.insert(offer_id(2), second);
    });
    change(&mut seen);
    let stalled = verdict(conditions(&seen, &plan(&seen), &[]), ConditionType::Stalled);
    assert_eq!(stalled.reason, reason);
    assert!(stalled.message.contains(words), "{}", stalled.message);
}

#[rstest]
#[case::a_provider_that_is_not_whitelisted(|s: &mut commitment::Seen| on_chain(s, |it| it.providers.get_mut(&PROVIDER).expect("provider").approved = false), "CommitmentsHealthy", "NotWhitelisted", "its owner must approve spec.provider.address")]
#[case::no_collateral(|s: &mut commitment::Seen| on_chain(s, |it| it.wallets.extend([(PROVIDER, U256::from(199))])), "FundsSufficient", "Empty", "does not hold the collateral: send FLT")]
#[case::too_short(|s: &mut commitment::Seen| s.policy.duration = 9, "Stalled", "InvalidSpec", "spec.commitment.durationEpochs: the market takes 10 to 1000")]
#[case::too_long(|s: &mut commitment::Seen| s.policy.duration = 1001, "Stalled", "InvalidSpec", "spec.commitment.durationEpochs: the market takes 10 to 1000")]
#[case::too_many_units(|s: &mut commitment::Seen| on_chain(s, |it| it.rules.max_units_per_commitment = 1), "Stalled", "InvalidSpec", "spec.capacity.unitsPerNode: the market takes 1 to 1 units")]
#[case::too_few_units(|s: &mut commitment::Seen| on_chain(s, |it| it.rules.min_units_per_commitment = 3), "Stalled", "InvalidSpec", "spec.capacity.unitsPerNode: the market takes 3 to")]
#[case::a_unit_in_a_deal(|s: &mut commitment::Seen| on_chain(s, |it| market::sit(it, 0, 1)), "CommitmentsHealthy", "WaitDelegation", "a unit is in a deal")]
fn a_pledge_that_cannot_be_is_a_condition(
    #[case] change: fn(&mut commitment::Seen),
    #[case] kind: &str,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let mut pledge = crate::commitment::seen(market::registered(2));
    change(&mut pledge);
    let commitment::Plan { steps, why, .. } = commitment::plan(&pledge);
    assert_eq!(steps, [], "nothing is pledged");
    let seen = Seen { snapshot: pledge.snapshot.clone(), ..crate::offer::seen(market::empty()) };
    let verdicts = conditions(&seen, &plan(&seen), &[why]);
    check(&verdicts);
    let found = verdicts.iter().find(|verdict| verdict.kind.name() == kind).expect("of every type");
    assert_eq!(found.reason, reason, "{}", found.message);
    assert!(found.message.contains(words), "{}", found.message);
}

fn on_chain(seen: &mut commitment::Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("a snapshot")));
}

/// Of two objects that name one offer, one has it; the other leaves it alone whatever it says of it.
#[rstest]
#[case::while_it_stands(None, vec![])]
#[case::when_it_is_withdrawn(Some(Deletion::Withdraw), vec![Step::Release])]
fn an_offer_of_another_object_is_left_alone(
    #[case] deletion: Option<Deletion>,
    #[case] steps: Vec<Step>,
) {
    let mut seen = crate::offer::seen(market::registered(2));
    seen.identities = Some(Vec::new());
    (seen.wanted.adopt, seen.recorded) = (Some(offer_id(1)), Some(offer_id(1)));
    seen.wanted.prices.insert(resource(1), U256::from(99));
    seen.wanted.deletion = deletion;
    assert_ne!(plan(&seen).steps, steps, "without the other object it would act");
    seen.taken_by = Some("provider/first".to_owned());
    assert_eq!(plan(&seen).steps, steps);
    assert_eq!(plan(&seen).planned, []);
}

/// What a worker holds comes back to a resource that was declared again meanwhile, and must not be sold twice.
#[test]
fn a_resource_taken_away_under_a_worker_comes_back_without_what_the_worker_holds() {
    let mut seen = crate::offer::seen(market::matched(2));
    let storage = resource(5);
    edit(&mut seen, |snapshot| {
        let required = (ResourceClass::Storage, 300);
        market::deal_mut(snapshot).required_resources.insert(storage, required);
        market::peer_mut(snapshot, 1).resources.remove(&storage);
    });
    let [Step::Send(Call::RegisterPeerResource { resource: declared, .. })] =
        &plan(&seen).steps[..]
    else {
        panic!("{:?}", plan(&seen).steps)
    };
    assert_eq!((declared.resource, declared.supply), (storage, 700));
    edit(&mut seen, |snapshot| {
        let back = market::peer_resource(ResourceClass::Storage, 700);
        market::peer_mut(snapshot, 1).resources.insert(storage, back);
    });
    assert_eq!(plan(&seen).steps, [], "the worker is still there");
    edit(&mut seen, |snapshot| snapshot.deals.clear());
    assert_eq!(plan(&seen).steps, [], "nothing is known of the deal");
}
