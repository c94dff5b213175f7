use alloy_primitives::{Address as Account, U256};
use coreward_domain::chain::{Deal, DealStatus, Worker};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::OffchainWorkerId;
use rstest::rstest;

use super::*;
use crate::view::tests::snapshot;

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn account(byte: u8) -> Account {
    Account::repeat_byte(byte)
}

/// A key that is one, as text: its seed is this byte 32 times.
pub(super) fn key(seed: u8) -> String {
    crate::identity::text(PeerId(public(seed)))
}

fn public(seed: u8) -> B256 {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes().into()
}

fn members(workers: &[u8]) -> BTreeSet<Member> {
    let member = |worker: &u8| Member {
        worker: OnchainWorkerId(word(*worker)),
        offchain: OffchainWorkerId(word(*worker)),
    };
    workers.iter().map(member).collect()
}

fn seats(all: &[(u8, u8)]) -> BTreeSet<Seat> {
    let seat =
        |(deal, worker): &(u8, u8)| Seat { deal: account(*deal), worker: word(*worker).into() };
    all.iter().map(seat).collect()
}

#[test]
fn our_workers_are_reached_and_the_others_of_their_deals_may_call() {
    let deals = |deal| (deal == account(1)).then(|| members(&[1, 2, 3]));
    let duty = duty(&seats(&[(1, 2)]), deals).unwrap();
    assert_eq!(duty, GatewayDuty { own: vec![word(2)], others: vec![word(1), word(3)] });
}

#[test]
fn one_that_is_ours_in_one_deal_is_ours() {
    let duty = duty(&seats(&[(1, 1), (2, 2)]), |_| Some(members(&[1, 2]))).unwrap();
    assert_eq!(duty, GatewayDuty { own: vec![word(1), word(2)], others: Vec::new() });
}

#[test]
fn a_pod_that_is_not_activated_is_nobody_yet() {
    let duty = duty(&seats(&[(1, 9)]), |_| Some(members(&[1]))).unwrap();
    assert_eq!(duty, GatewayDuty { own: Vec::new(), others: vec![word(1)] });
}

#[test]
fn a_deal_whose_members_were_never_known_throws_nobody_out() {
    let deals = |deal| (deal == account(1)).then(|| members(&[1]));
    assert_eq!(duty(&seats(&[(1, 1), (2, 2)]), deals), None);
}

/// A deal of two: worker 1 on our peer, worker 2 on a stranger's that publishes this.
fn deal_with(published: &[&str]) -> Snapshot {
    let worker = |peer, seed| Worker {
        peer: PeerId(word(peer)),
        provider: account(7),
        offchain: OffchainWorkerId(public(seed)),
        joined_epoch: Epoch(1),
        reward: U256::ZERO,
    };
    let workers = [(word(1).into(), worker(1, 11)), (word(2).into(), worker(2, 12))];
    let deal = Deal {
        status: DealStatus::Active,
        owner: account(8),
        app_cid: [0; 36],
        payment_token: account(9),
        price_per_epoch: U256::ONE,
        max_paid_epoch: Epoch(9),
        free_balance: U256::ZERO,
        target_workers: 2,
        required_resources: BTreeMap::new(),
        workers: workers.into(),
    };
    let texts = published.iter().map(|text| text.replace("KEY", &key(20))).collect();
    Snapshot {
        deals: [(account(1), deal)].into(),
        gateways: [(PeerId(word(2)), texts)].into(),
        ..snapshot()
    }
}

fn of_the_second(published: &[&str], ours: &[B256], private: bool) -> Vec<String> {
    let ours = ours.iter().copied().collect();
    let found = elsewhere(&deal_with(published), account(1), (&ours, private));
    assert!(!found.contains_key(&word(1).into()), "the other worker's peer publishes nothing");
    found.values().flatten().map(ToString::to_string).collect()
}

#[rstest]
#[case::one(&["/ip4/1.1.1.1/tcp/4001/p2p/KEY"], 1)]
#[case::two(&["/ip4/1.1.1.1/tcp/4001/p2p/KEY", "/ip6/2606:4700::1/tcp/4001/p2p/KEY"], 2)]
#[case::the_same_twice(&["/ip4/1.1.1.1/tcp/4001/p2p/KEY", "/ip4/1.1.1.1/tcp/4001/p2p/KEY"], 1)]
#[case::nonsense_beside_one(&["", "x", "/ip4/1.1.1.1/tcp/4001/p2p/KEY"], 1)]
#[case::names(&["/dns4/gateway.example/tcp/4001/p2p/KEY"], 0)]
#[case::private(&["/ip4/10.0.0.1/tcp/4001/p2p/KEY", "/ip6/fd00::1/tcp/4001/p2p/KEY"], 0)]
#[case::loopback(&["/ip4/127.0.0.1/tcp/4001/p2p/KEY"], 0)]
#[case::metadata(&["/ip4/169.254.169.254/tcp/80/p2p/KEY"], 0)]
fn gateways_of_strangers_are_taken_in_public_ranges(
    #[case] published: &[&str],
    #[case] usable: usize,
) {
    assert_eq!(of_the_second(published, &[], false).len(), usable);
}

#[test]
fn private_ranges_are_taken_where_the_configuration_says_so() {
    let text = "/ip4/10.0.0.1/tcp/4001/p2p/KEY";
    assert_eq!(of_the_second(&[text], &[], true), [text.replace("KEY", &key(20))]);
}

#[test]
fn nobody_is_taken_for_a_gateway_by_somebody_elses_key() {
    let with = |seed| format!("/ip4/1.1.1.1/tcp/4001/p2p/{}", key(seed));
    let (of_a_member, of_ours) = (with(11), with(30));
    let published = [of_a_member.as_str(), of_ours.as_str()];
    assert_eq!(of_the_second(&published, &[public(30)], false), [""; 0]);
    assert_eq!(of_the_second(&published, &[], false), [of_ours]);
}
