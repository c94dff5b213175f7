//! What a deal says of itself, one row each.

use coreward_domain::condition::{ConditionType, Truth};
use coreward_domain::deal::{ArtifactFault, Desired, Subnet, WorkerPod, conditions, plan};
use rstest::rstest;

use crate::deal::{local, now, seen, serving, verdict};
use crate::market::{self, key};

#[rstest]
#[case(ConditionType::Ready, (Truth::True, "Serving"))]
#[case(ConditionType::Reconciling, (Truth::False, "Settled"))]
#[case(ConditionType::Stalled, (Truth::False, "NotStalled"))]
#[case(ConditionType::Funded, (Truth::True, "Prepaid"))]
#[case(ConditionType::WorkersActivated, (Truth::True, "Activated"))]
#[case(ConditionType::ArtifactAvailable, (Truth::True, "Pulled"))]
#[case(ConditionType::SubnetJoined, (Truth::Unknown, "NotProbed"))]
#[case(ConditionType::Exiting, (Truth::False, "Serving"))]
fn a_deal_that_is_served_says_so(#[case] kind: ConditionType, #[case] expected: (Truth, &str)) {
    assert_eq!(verdict(&serving(), kind), expected);
}

#[test]
fn an_exit_is_told_from_the_moment_it_is_asked_for() {
    let mut seen = serving();
    seen.policy.desired = Desired::Exit { leaves_at: now(&seen) + 1 };
    let verdicts = conditions(&seen, &plan(&seen));
    let told = verdicts.iter().find(|verdict| verdict.kind == ConditionType::Exiting).unwrap();
    assert_eq!((told.status, told.reason), (Truth::True, "RequestedByOperator"));
    assert!(told.message.contains("status.exit.leavesAt"), "{}", told.message);
    assert_eq!(verdict(&seen, ConditionType::Ready), (Truth::True, "Serving"));
}

#[rstest]
#[case::all(5, 5, (Truth::True, "Reachable"))]
#[case::some(3, 5, (Truth::False, "PartiallyReachable"))]
#[case::only_itself(1, 5, (Truth::False, "Unreachable"))]
fn the_subnet_is_told(#[case] reachable: u32, #[case] expected: u32, #[case] told: (Truth, &str)) {
    let mut seen = serving();
    seen.subnet = Some(Subnet { expected, reachable });
    assert_eq!(verdict(&seen, ConditionType::SubnetJoined), told);
}

#[rstest]
#[case(ArtifactFault::GatewayUnreachable)]
#[case(ArtifactFault::NotFound)]
#[case(ArtifactFault::DigestMismatch)]
#[case(ArtifactFault::TooLarge)]
#[case(ArtifactFault::InvalidWasm)]
#[case(ArtifactFault::CompileLimit)]
fn a_bad_artifact_is_named(#[case] fault: ArtifactFault) {
    let mut seen = seen(market::matched(2));
    local(&mut seen).pod = WorkerPod::Failed { fault, message: "what is wrong".to_owned() };
    assert_eq!(verdict(&seen, ConditionType::ArtifactAvailable), (Truth::False, fault.reason()));
    assert_eq!(verdict(&seen, ConditionType::Ready), (Truth::False, "Degraded"));
}

#[test]
fn a_version_that_does_not_run_leaves_the_one_before_it_in_service() {
    let mut seen = serving();
    let ready = verdict(&seen, ConditionType::Ready);
    local(&mut seen).pod = WorkerPod::Rolling { key: key(1), failure: None };
    assert_eq!(verdict(&seen, ConditionType::ArtifactAvailable), (Truth::Unknown, "Unknown"));
    assert_eq!(verdict(&seen, ConditionType::Ready), ready);
    assert!(plan(&seen).workers.values().all(|worker| worker.ready));
    let failure = Some((ArtifactFault::InvalidWasm, "it traps".to_owned()));
    local(&mut seen).pod = WorkerPod::Rolling { key: key(1), failure };
    let told = conditions(&seen, &plan(&seen));
    let told = told.iter().find(|told| told.kind == ConditionType::ArtifactAvailable).unwrap();
    assert_eq!((told.status, told.reason), (Truth::False, "InvalidWasm"));
    assert!(told.message.ends_with("; the version before it goes on serving"), "{}", told.message);
    assert_eq!(verdict(&seen, ConditionType::Ready), ready);
}
