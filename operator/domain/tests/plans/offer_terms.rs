//! How what an offer asks and sells follows its spec, one row per rule.

use alloy_primitives::U256;
use coreward_domain::call::Call;
use coreward_domain::condition::{ConditionType, Truth};
use coreward_domain::gate::Flight;
use coreward_domain::offer::{
    CLOSED_PRICE, DatacenterChoice, Intake, PendingReason, Wanted, WantedResource, Why, conditions,
    plan,
};
use rstest::rstest;

use crate::market::{self, STRANGER, datacenter, offer_id, resource};
use crate::offer::{calls, change, fresh, seen};

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
