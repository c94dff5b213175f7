//! What keeps an offer as it is, one row per rule.

use coreward_domain::call::Call;
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Hold, Management, Signer};
use coreward_domain::offer::{
    Deletion, Eligibility, IneligibleReason, NoNode, Step, Why, owner_of, plan,
};
use rstest::rstest;

use crate::market::{self, HOT, NAME, PROVIDER, STRANGER, offer_id, peer_id};
use crate::offer::{calls, change, fresh, node, seen};

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
