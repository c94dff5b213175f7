//! What is done for a peer whose offer is not there, one row per rule.

use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::unit::{Cordon, DeletionCause, Elsewhere, Phase, Pod, Step, plan_orphan};
use rstest::rstest;

use crate::market;
use crate::unit::{active, delete, ended, make_prover, prover, seen, worker};

fn elsewhere(pod: Pod) -> Pod {
    Pod { elsewhere: Some(Elsewhere::Heard), ..pod }
}

fn next(pod: Pod) -> Pod {
    Pod { attempt: 1, ..pod }
}

#[rstest]
#[case::one_that_ended_is_made_again(active(1), vec![prover("p", 0, ended("OutOfcpu", 9))], vec![make_prover(0, 1)])]
#[case::after_its_back_off(active(1), vec![prover("p", 0, ended("OutOfcpu", 0))], vec![])]
#[case::and_deleted_when_the_next_is_there(active(1), vec![prover("p", 0, ended("OutOfcpu", 9)), next(prover("q", 0, Phase::Pending))], vec![delete("p", DeletionCause::Ended)])]
#[case::which_is_going_itself(active(1), vec![prover("p", 0, ended("OutOfcpu", 9)), next(prover("q", 0, Phase::Deleting))], vec![])]
#[case::a_unit_without_a_pod_may_be_another_s(active(2), vec![prover("p", 0, ended("OutOfcpu", 9))], vec![make_prover(0, 1)])]
#[case::one_that_is_being_deleted(active(1), vec![prover("p", 0, Phase::Released)], vec![])]
#[case::one_that_works_stays(active(1), vec![prover("p", 0, Phase::Ready)], vec![])]
#[case::one_that_cannot_start(active(1), vec![prover("p", 0, Phase::Stuck { reason: "ErrImagePull".to_owned(), seconds: 900, has_run: false })], vec![])]
#[case::one_of_an_old_template(active(1), vec![Pod { template: "t0".to_owned(), ..prover("p", 0, Phase::Pending) }], vec![])]
#[case::two_of_one_unit(active(1), vec![prover("p", 0, Phase::Ready), prover("q", 0, Phase::Ready)], vec![])]
#[case::one_on_a_node_that_the_peer_has_left(active(1), vec![elsewhere(prover("p", 0, ended("OutOfcpu", 9)))], vec![])]
#[case::one_that_nothing_is_staked_for(market::registered(1), vec![prover("p", 0, ended("OutOfcpu", 9))], vec![])]
#[case::one_of_a_failed_commitment(market::committed(1, CommitmentStatus::Failed), vec![prover("p", 0, ended("OutOfcpu", 9))], vec![])]
#[case::one_whose_unit_was_matched(market::matched(1), vec![prover("p", 0, ended("OutOfcpu", 9))], vec![])]
#[case::a_worker(market::matched(1), vec![worker("w", &[0], ended("OutOfcpu", 9))], vec![])]
fn only_a_prover_that_ended_is_replaced(
    #[case] snapshot: Snapshot,
    #[case] pods: Vec<Pod>,
    #[case] steps: Vec<Step>,
) {
    assert_eq!(plan_orphan(&seen(snapshot, pods)).steps, steps);
}

#[test]
fn nothing_is_made_while_the_chain_or_the_node_is_unknown_or_the_node_was_drained() {
    let known = seen(active(1), vec![prover("p", 0, ended("OutOfcpu", 9))]);
    let mut unknown = [known.clone(), known.clone(), known.clone(), known];
    unknown[0].snapshot = None;
    unknown[1].node = None;
    (unknown[2].cordon, unknown[2].drain_noted) = (Some(Cordon::Cordoned), true);
    unknown[3].pods = None;
    for seen in unknown {
        assert_eq!(plan_orphan(&seen).steps, [], "{seen:?}");
    }
}
