//! Conditions: each reason is a word of the contract with the users, and the main ones are told when they are true.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::U256;
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::commitment;
use coreward_domain::condition::{ChainHealth, ConditionType, Truth, Verdict};
use coreward_domain::epoch::Epoch;
use coreward_domain::gate::{Hold, Management, Signer};
use coreward_domain::offer::{Deletion, Seen, conditions, plan};
use rstest::rstest;

use crate::market::{self, HOT, PROVIDER, STRANGER};

/// The words that a condition may use; where the users' contract has none for a value, the word of a neighbour.
fn words() -> BTreeMap<ConditionType, Vec<&'static str>> {
    use ConditionType as Type;
    let rows: [(Type, &str); 19] = [
        (Type::Ready, "Serving Proving Idle Degraded ChainUnknown Suspended Deleting"),
        (
            Type::Reconciling,
            "Progressing WaitingForEpoch WaitingForReceipt WaitingForFinality Settled Unknown",
        ),
        (
            Type::Stalled,
            "InvalidSpec SignerRefused ContractReverted MassChangeBreaker ForeignSigner GasBudgetExhausted Conflict NotStalled",
        ),
        (Type::ChainSynced, "HeadFresh HeadStale EndpointsDisagree Reorg Unknown"),
        (
            Type::OfferInSync,
            "InSync LockedByCommitment LockedByDeal AwaitingSignature AwaitingApproval Progressing Unknown",
        ),
        (
            Type::CommitmentsHealthy,
            "AllActive WaitDelegation WaitStart Expiring Failed NotWhitelisted Unknown",
        ),
        (Type::SignersAvailable, "Reachable Unreachable WrongAddress NotAllowed"),
        (Type::FundsSufficient, "AboveRunway LowGas Empty Unknown"),
        (
            Type::NodeEligible,
            "Verified CpuPolicyNotStatic FullCoresNotEnforced SmtMismatch HugePagesMissing TooLittleMemory TooFewCores Stale",
        ),
        (Type::CoresExclusive, "Verified SharedPool NotScheduled"),
        (Type::Proving, "OnTrack Behind TargetReached WorkerActive DatasetBuilding Idle Unknown"),
        (Type::AtRisk, "EpochWillBeMissed EpochMissed CommitmentNearFailure OnTrack Unknown"),
        (Type::Draining, "NodeCordoned Requested WaitingForSpare Settled Unknown"),
        (Type::Funded, "Prepaid SmallBalance InsufficientFunds Ended Unknown"),
        (Type::WorkersActivated, "Activated Pending Refused Unknown"),
        (
            Type::ArtifactAvailable,
            "Pulled GatewayUnreachable NotFound DigestMismatch TooLarge InvalidWasm CompileLimit Unknown",
        ),
        (Type::SubnetJoined, "Reachable PartiallyReachable Unreachable NotProbed"),
        (Type::Isolated, "PolicyEnforced PolicyNotEnforced Unknown"),
        (Type::Exiting, "RequestedByOperator Unpaid Denied EndedOnChain Serving Unknown"),
    ];
    rows.into_iter().map(|(kind, words)| (kind, words.split(' ').collect())).collect()
}

/// Fails on a word that is not in the table.
pub(crate) fn check(verdicts: &[Verdict]) {
    let words = words();
    for verdict in verdicts {
        let known = &words[&verdict.kind];
        assert!(
            known.contains(&verdict.reason),
            "{} has no reason {}",
            verdict.kind.name(),
            verdict.reason
        );
    }
}

fn verdict(seen: &Seen, pledges: &[commitment::Why], kind: ConditionType) -> (Truth, &'static str) {
    let verdicts = conditions(seen, &plan(seen), pledges);
    check(&verdicts);
    let found =
        verdicts.iter().find(|verdict| verdict.kind == kind).expect("a verdict of every type");
    (found.status, found.reason)
}

fn at_work() -> Seen {
    crate::offer::seen(market::committed(2, CommitmentStatus::Active))
}

fn edit(seen: &mut Seen, edit: impl FnOnce(&mut Snapshot)) {
    edit(Arc::make_mut(seen.snapshot.as_mut().expect("snapshot")));
}

#[rstest]
#[case(ConditionType::Ready, (Truth::True, "Proving"))]
#[case(ConditionType::Reconciling, (Truth::False, "Settled"))]
#[case(ConditionType::Stalled, (Truth::False, "NotStalled"))]
#[case(ConditionType::ChainSynced, (Truth::True, "HeadFresh"))]
#[case(ConditionType::OfferInSync, (Truth::True, "InSync"))]
#[case(ConditionType::CommitmentsHealthy, (Truth::True, "AllActive"))]
#[case(ConditionType::SignersAvailable, (Truth::True, "Reachable"))]
#[case(ConditionType::FundsSufficient, (Truth::True, "AboveRunway"))]
fn an_offer_at_work_says_so(#[case] kind: ConditionType, #[case] expected: (Truth, &str)) {
    assert_eq!(verdict(&at_work(), &[commitment::Why::Active], kind), expected);
}

#[rstest]
#[case::serving(|seen: &mut Seen| edit(seen, |snapshot| market::sit(snapshot, 0, 1)), (Truth::True, "Serving"))]
#[case::suspended(|seen: &mut Seen| seen.gate.management = Management::Suspended, (Truth::True, "Suspended"))]
#[case::observed(|seen: &mut Seen| seen.gate.management = Management::Observe, (Truth::True, "Proving"))]
#[case::deleted(|seen: &mut Seen| seen.wanted.deletion = Some(Deletion::Block), (Truth::False, "Deleting"))]
#[case::wrong(|seen: &mut Seen| seen.wanted.prices.clear(), (Truth::False, "Degraded"))]
#[case::away_from_the_chain(|seen: &mut Seen| (seen.snapshot, seen.chain) = (None, ChainHealth::HeadStale), (Truth::Unknown, "ChainUnknown"))]
fn ready_is(#[case] change: fn(&mut Seen), #[case] expected: (Truth, &str)) {
    let mut seen = at_work();
    change(&mut seen);
    assert_eq!(verdict(&seen, &[commitment::Why::Active], ConditionType::Ready), expected);
}

#[rstest]
#[case::made(commitment::Why::Creating, (Truth::False, "WaitDelegation"), (Truth::True, "Progressing"))]
#[case::not_final(commitment::Why::WaitingForFinality, (Truth::False, "WaitDelegation"), (Truth::True, "WaitingForFinality"))]
#[case::funded(commitment::Why::WaitStart, (Truth::False, "WaitStart"), (Truth::True, "WaitingForEpoch"))]
#[case::ending(commitment::Why::Expiring { end: Epoch(110) }, (Truth::True, "Expiring"), (Truth::False, "Settled"))]
#[case::failed(commitment::Why::Failed { until: Epoch(21) }, (Truth::False, "Failed"), (Truth::False, "Settled"))]
#[case::not_listed(commitment::Why::NotWhitelisted, (Truth::False, "NotWhitelisted"), (Truth::False, "Settled"))]
#[case::not_read(commitment::Why::ChainUnknown, (Truth::Unknown, "Unknown"), (Truth::False, "Settled"))]
fn a_commitment_is_told(
    #[case] why: commitment::Why,
    #[case] healthy: (Truth, &str),
    #[case] reconciling: (Truth, &str),
) {
    let pledges = [commitment::Why::Active, why];
    assert_eq!(verdict(&at_work(), &pledges, ConditionType::CommitmentsHealthy), healthy);
    assert_eq!(verdict(&at_work(), &pledges, ConditionType::Reconciling), reconciling);
}

#[rstest]
#[case::a_wrong_duration(commitment::Why::DurationOutOfRange { minimum: 1, maximum: 2 }, "InvalidSpec")]
#[case::no_budget(commitment::Why::Held(Hold::GasBudget), "GasBudgetExhausted")]
#[case::no_signer(commitment::Why::Held(Hold::SignerUnavailable), "SignerRefused")]
fn a_commitment_stalls_the_offer(#[case] why: commitment::Why, #[case] reason: &str) {
    assert_eq!(verdict(&at_work(), &[why], ConditionType::Stalled), (Truth::True, reason));
}

#[test]
fn a_key_that_somebody_else_uses_is_told_even_while_nothing_is_wanted() {
    let mut seen = at_work();
    seen.gate.peer_signer = Signer::Shared;
    assert_eq!(verdict(&seen, &[], ConditionType::Stalled), (Truth::True, "ForeignSigner"));
    assert_eq!(verdict(&seen, &[], ConditionType::SignersAvailable), (Truth::True, "Reachable"));
}

#[rstest]
#[case::not_allowed(Signer::NotAllowed, (Truth::False, "NotAllowed"))]
#[case::another_key(Signer::WrongAddress, (Truth::False, "WrongAddress"))]
#[case::away(Signer::Unreachable, (Truth::False, "Unreachable"))]
#[case::not_tried(Signer::Unknown, (Truth::Unknown, "Unreachable"))]
fn signers_are_told(#[case] signer: Signer, #[case] expected: (Truth, &str)) {
    let mut seen = at_work();
    seen.gate.peer_signer = signer;
    assert_eq!(verdict(&seen, &[], ConditionType::SignersAvailable), expected);
}

#[test]
fn a_foreign_peer_owner_is_a_wrong_address() {
    let mut seen = at_work();
    edit(&mut seen, |snapshot| market::peer_mut(snapshot, 1).owner = STRANGER);
    assert_eq!(
        verdict(&seen, &[], ConditionType::SignersAvailable),
        (Truth::False, "WrongAddress")
    );
    assert_eq!(verdict(&seen, &[], ConditionType::Stalled), (Truth::True, "ForeignSigner"));
}

#[rstest]
#[case::nothing(0, vec![], (Truth::False, "Empty"))]
#[case::little(9, vec![], (Truth::False, "LowGas"))]
#[case::enough(10, vec![], (Truth::True, "AboveRunway"))]
#[case::no_collateral(10, vec![commitment::Why::CollateralMissing], (Truth::False, "Empty"))]
fn the_poorest_wallet_counts(
    #[case] balance: u64,
    #[case] pledges: Vec<commitment::Why>,
    #[case] expected: (Truth, &str),
) {
    let mut seen = at_work();
    edit(&mut seen, |snapshot| {
        snapshot.wallets.insert(HOT, U256::from(balance));
    });
    assert_eq!(verdict(&seen, &pledges, ConditionType::FundsSufficient), expected);
    edit(&mut seen, |snapshot| {
        snapshot.wallets.remove(&PROVIDER);
    });
    let unread = verdict(&seen, &pledges, ConditionType::FundsSufficient);
    assert!(unread == (Truth::Unknown, "Unknown") || unread.0 == Truth::False, "{unread:?}");
}
