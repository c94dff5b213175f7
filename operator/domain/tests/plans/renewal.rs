//! Which provers of an offer are renewed, one row per rule: `o` works with the old template, `n` with the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::condition::{BREAKER, ConditionType, Truth};
use coreward_domain::id::UnitId;
use coreward_domain::renewal::{Seen, Unready, Why, plan};
use coreward_domain::unit::{Cordon, DeletionCause, Phase, Pod, PodRole, Step};
use proptest::prelude::*;
use rstest::rstest;

use crate::market::{self, peer_id, unit};

/// Committed peers of so many units each; every unit has the epoch's minimum.
fn market(peers: u64, units: u32) -> Snapshot {
    let mut snapshot = market::registered(units);
    for number in 1..=peers {
        let mut peer = market::peer(number, units);
        peer.commitment = Some(market::commitment_id(number));
        snapshot.peers.insert(peer_id(number), Some(peer));
        let mut commitment = market::commitment(units, CommitmentStatus::Active);
        commitment.peer = peer_id(number);
        commitment.proofs = (0..units).map(|index| (unit(number, index), 2)).collect();
        snapshot.commitments.insert(market::commitment_id(number), Some(commitment));
    }
    snapshot
}

fn pod(unit: UnitId, name: &str, template: &str, phase: Phase) -> Pod {
    let pod = crate::unit::pod(name, PodRole::Prover(unit), phase);
    Pod { template: template.to_owned(), ..pod }
}

fn stuck() -> Phase {
    Phase::Stuck { reason: "ErrImagePull".to_owned(), seconds: 30, has_run: false }
}

fn ended() -> Phase {
    Phase::Ended { reason: "OutOfcpu".to_owned(), seconds_ago: 1, ran_seconds: 0 }
}

/// One peer of one unit per letter.
fn seen(letters: &str) -> Seen {
    let mut snapshot = market(letters.len() as u64, 1);
    let (mut frozen, mut unready, mut peers) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for (letter, number) in letters.chars().zip(1..) {
        let (id, name) = (unit(number, 0), format!("p{number}"));
        let (template, phase) = match letter {
            'n' => ("t1", Some(Phase::Ready)),
            's' | 'b' | 'l' => ("t1", Some(Phase::Running)),
            'k' => ("t1", Some(stuck())),
            'e' => ("t1", Some(ended())),
            'd' => ("t0", Some(Phase::Deleting)),
            'm' => ("t0", None),
            'p' => ("t0", Some(Phase::Pending)),
            'r' | 'z' => ("t0", Some(Phase::Running)),
            _ => ("t0", Some(Phase::Ready)),
        };
        if letter == 'w' {
            market::commitment_mut(&mut snapshot, number).proofs.insert(id, 1);
        }
        if letter == 'f' {
            frozen.insert(id);
        }
        let (seconds, reason) = match letter {
            's' | 'r' => (19, "OOMKilled"),
            'b' | 'k' => (20, "OOMKilled"),
            'l' | 'z' => (900, ""),
            _ => (0, ""),
        };
        unready.insert(format!("uid-{name}"), Unready { seconds, reason: reason.to_owned() });
        let made = |phase| Pod { attempt: 1, ..pod(id, &name, template, phase) };
        let pods: Vec<_> = phase.into_iter().map(made).collect();
        let mut peer = crate::unit::seen(market::empty(), pods);
        peer.peer = peer_id(number);
        peer.cordon = Some(if letter == 'c' { Cordon::Cordoned } else { Cordon::Open });
        if letter == 'u' {
            peer.node = None;
        }
        peers.push(peer);
    }
    let snapshot = Arc::new(snapshot);
    for peer in &mut peers {
        peer.snapshot = Some(Arc::clone(&snapshot));
    }
    Seen { peers, frozen, unready }
}

/// Names of the pods that go.
fn gone(steps: &[Step]) -> BTreeSet<String> {
    let name = |step: &Step| match step {
        Step::DeletePod { name, cause: DeletionCause::OldTemplate, .. } => Some(name.clone()),
        Step::DeletePod { .. }
        | Step::CreateProver { .. }
        | Step::CreateWorker { .. }
        | Step::SetHold { .. }
        | Step::NoteDrain { .. } => None,
    };
    let names: BTreeSet<_> = steps.iter().filter_map(name).collect();
    assert_eq!(names.len(), steps.len(), "only renewals, each once: {steps:?}");
    names
}

fn word(why: &Why) -> &'static str {
    match why {
        Why::Unknown => "unknown",
        Why::Settled => "settled",
        Why::Renewing => "renewing",
        Why::Stopped { .. } => "stopped",
    }
}

#[rstest]
#[case::all_are_new("nnnn", 0, "settled")]
#[case::the_first_goes_alone("oooooooooooooooooooo", 1, "renewing")]
#[case::the_next_waits_for_it("sooo", 0, "renewing")]
#[case::and_for_its_pod_to_be_made("mooo", 0, "renewing")]
#[case::and_for_it_to_end("dooo", 0, "renewing")]
#[case::it_does_not_come_up("booo", 0, "stopped")]
#[case::its_container_cannot_start("kooo", 0, "stopped")]
#[case::its_pod_is_refused_again_and_again("eooo", 0, "stopped")]
#[case::it_never_becomes_ready("looo", 0, "stopped")]
#[case::then_one_by_one("nooo", 1, "renewing")]
#[case::a_later_one_does_not_come_up("nnbo", 0, "stopped")]
#[case::nothing_is_left_to_hold_back("nnnb", 0, "settled")]
#[case::a_tenth_at_a_time("nooooooooooooooooooo", 2, "renewing")]
#[case::of_which_one_is_on_its_way("nbooooooooooooooooooo", 1, "renewing")]
#[case::of_which_none_is_left("nbbooooooooooooooooo", 0, "stopped")]
#[case::without_its_minimum("w", 0, "renewing")]
#[case::another_has_it("wo", 1, "renewing")]
#[case::on_a_cordoned_node("c", 0, "renewing")]
#[case::on_a_node_that_is_not_known("u", 0, "settled")]
#[case::suspended("f", 0, "renewing")]
#[case::one_that_was_down_before_keeps_no_other("ro", 1, "renewing")]
#[case::nor_one_that_never_ran("po", 1, "renewing")]
#[case::one_that_never_came_up_has_its_turn("nz", 1, "renewing")]
fn provers_of_an_offer_are_renewed(#[case] letters: &str, #[case] count: usize, #[case] why: &str) {
    let plan = plan(&seen(letters));
    assert_eq!((gone(&plan.steps).len(), word(&plan.why)), (count, why));
}

#[test]
fn the_open_breaker_says_what_is_wrong_with_what_and_what_to_do() {
    let plan = plan(&seen("nbo"));
    let told = plan.why.verdict().unwrap();
    assert_eq!((told.kind, told.status), (ConditionType::Stalled, Truth::True));
    assert_eq!((told.reason, plan.old), (BREAKER, vec![("ns".to_owned(), "p3".to_owned())]));
    for words in ["1 made", "1 still prove", "pod p2: OOMKilled", "change it back"] {
        assert!(told.message.contains(words), "{}", told.message);
    }
    crate::conditions::check(&[told]);
}

#[test]
fn one_at_a_time_of_each_peer() {
    let snapshot = Arc::new(market(2, 20));
    let template = |index| if index == 0 { "t1" } else { "t0" };
    let peer = |number: u64| {
        let name = |index| format!("p{number}-{index}");
        let own = |index| pod(unit(number, index), &name(index), template(index), Phase::Ready);
        let mut peer = crate::unit::seen(market::empty(), (0..20).map(own).collect());
        (peer.peer, peer.snapshot) = (peer_id(number), Some(Arc::clone(&snapshot)));
        peer
    };
    let (frozen, unready) = (BTreeSet::new(), BTreeMap::new());
    let mut seen = Seen { peers: vec![peer(1), peer(2)], frozen, unready };
    let names = gone(&plan(&seen).steps);
    assert_eq!(names.len(), 2, "{names:?} of the four that a tenth would be");
    assert!(names.iter().any(|name| name.starts_with("p1")), "{names:?}");
    seen.peers[0].pods.as_mut().unwrap()[0].phase = Phase::Running;
    assert!(gone(&plan(&seen).steps).iter().all(|name| name.starts_with("p2")));
}

#[rstest]
#[case::the_chain(|seen: &mut Seen| seen.peers[1].snapshot = None)]
#[case::the_pods(|seen: &mut Seen| seen.peers[1].pods = None)]
fn nothing_is_renewed_while_one_peer_is_unknown(#[case] forget: fn(&mut Seen)) {
    let mut seen = seen("nooo");
    forget(&mut seen);
    let plan = plan(&seen);
    assert_eq!((plan.steps, plan.why), (vec![], Why::Unknown));
}

/// What a turn of the cluster makes of a letter; `good` says whether the new template works.
fn next(letter: char, good: bool) -> char {
    match (letter, good) {
        ('d', _) => 'm',
        ('m', _) => 's',
        ('s', true) => 'n',
        ('s', false) => 'b',
        _ => letter,
    }
}

proptest! {
    // Each case plays some hundred turns.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_change_takes_more_than_a_tenth_and_a_bad_one_takes_one(
        total in 1_usize..23,
        good: bool,
        moves in proptest::collection::vec(any::<u64>(), 40),
    ) {
        let mut letters: Vec<char> = vec!['o'; total];
        let limit = if good { (total / 10).max(1) } else { 1 };
        for bits in moves {
            let text: String = letters.iter().collect();
            for name in gone(&plan(&seen(&text)).steps) {
                let number: usize = name.trim_start_matches('p').parse().unwrap();
                prop_assert_eq!(letters[number - 1], 'o');
                letters[number - 1] = 'd';
            }
            let away = letters.iter().filter(|letter| !"on".contains(**letter)).count();
            prop_assert!(away <= limit, "{} of {} are away: {:?}", away, total, letters);
            for (index, letter) in letters.iter_mut().enumerate() {
                if bits >> (index % 64) & 1 == 1 {
                    *letter = next(*letter, good);
                }
            }
        }
        // Time enough for the last of them.
        for _ in 0..4 * total {
            let text: String = letters.iter().collect();
            for name in gone(&plan(&seen(&text)).steps) {
                letters[name[1..].parse::<usize>().unwrap() - 1] = 'd';
            }
            for letter in &mut letters {
                *letter = next(*letter, good);
            }
        }
        let renewed = letters.iter().filter(|letter| **letter == 'n').count();
        prop_assert_eq!(renewed, if good { total } else { 0 });
    }
}
