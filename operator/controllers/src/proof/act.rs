//! Carries out the plan for one peer.

use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::{Call, KeyRole, Proof};
use coreward_domain::proof::{Fate, Seen, Step, puzzle_for};
use coreward_wire::{Duty, ProofTarget, ProverDuty, Puzzle};
use kube::ResourceExt;

use super::observe::{ProvingPeer, owner};
use crate::context::Context;
use crate::gate;
use crate::metrics::{Ending, ProofResult};
use crate::outbox::{Error, Order, SignerUse};
use crate::proof_pool::PuzzleKey;

/// Simulations that one refused batch may cost: enough to find a few bad proofs among five hundred.
const BISECTIONS: usize = 48;

/// Does what the plan says; stops sending at the first failure.
pub(super) async fn act(
    context: &Context,
    peer: &ProvingPeer,
    seen: &Seen,
    steps: &[Step],
) -> Ending {
    let mut ending = Ending::Settled;
    for step in steps {
        match step {
            Step::Acknowledge { unit, local_nonce, stale } => {
                context.proofs.acknowledge(*unit, *local_nonce);
                if *stale {
                    context.metrics.proofs.ended(&peer.path(), ProofResult::Stale, 1);
                }
                ending = Ending::Acted;
            }
            Step::Send(call) => {
                if let Err(error) = send(context, peer, seen, call.clone()).await {
                    tracing::warn!(
                        peer.id = %peer.id, offer.name = peer.path(), error = %coreward_telemetry::causes(&error),
                        "proofs were not sent"
                    );
                    return Ending::Failed;
                }
                ending = Ending::Acted;
            }
        }
    }
    ending
}

async fn send(context: &Context, peer: &ProvingPeer, seen: &Seen, call: Call) -> Result<(), Error> {
    let (Some(owner), Some(snapshot)) = (owner(seen), &seen.snapshot) else { return Ok(()) };
    let Some(signer) = gate::signer_of(context, &peer.offer, owner) else { return Ok(()) };
    let namespace = peer.offer.namespace().unwrap_or_default();
    let order = |call: Call| Order {
        network: &peer.offer.spec.network,
        signer,
        namespace: &namespace,
        call,
        why: "proofs found",
        planned_at: snapshot.head.number,
    };
    let refused = match context.outbox.submit(order(call.clone())).await {
        Ok(_) => return Ok(()),
        Err(error) if is_of_one_proof(error.revert()) => error,
        Err(error) => return Err(error),
    };
    let Call::SubmitProofs { peer: id, epoch, proofs } = call else { return Err(refused) };
    let using = SignerUse {
        network: &peer.offer.spec.network,
        signer,
        namespace: &namespace,
        role: KeyRole::Peer,
    };
    let with = |proofs: Vec<Proof>| Call::SubmitProofs { peer: id, epoch, proofs };
    let sorted = sort_out(context, using, &proofs, &with).await;
    context.proofs.mark(&sorted.wrong, epoch, Fate::Refused);
    context.metrics.proofs.ended(&peer.path(), ProofResult::Refused, sorted.wrong.len() as u64);
    tracing::warn!(
        peer.id = %peer.id, offer.name = peer.path(), proofs.good = sorted.good.len(),
        proofs.wrong = sorted.wrong.len(), "a batch was refused; the good proofs are sent alone"
    );
    if sorted.good.is_empty() || sorted.good.len() == proofs.len() {
        return Err(refused);
    }
    context.outbox.submit(order(with(sorted.good))).await.map(drop)
}

/// Whether one proof of a batch may have had the whole batch refused.
const fn is_of_one_proof(revert: Option<&Revert>) -> bool {
    matches!(revert, Some(Revert::Known(Refusal::ProofTooBig | Refusal::UnitInDeal)))
}

#[derive(Debug, Default)]
struct Sorted {
    good: Vec<Proof>,
    /// Wrong for good; proofs of a matched unit are neither.
    wrong: Vec<Proof>,
}

/// Finds the proofs that have their batch refused, by halves, without sending anything.
async fn sort_out(
    context: &Context,
    using: SignerUse<'_>,
    proofs: &[Proof],
    with: &impl Fn(Vec<Proof>) -> Call,
) -> Sorted {
    let mut sorted = Sorted::default();
    let mut parts = vec![proofs.to_vec()];
    for _ in 0..BISECTIONS {
        let Some(part) = parts.pop() else { break };
        match context.outbox.simulate(using, &with(part.clone())).await {
            Ok(_) => sorted.good.extend(part),
            Err(error) if part.len() == 1 => {
                if matches!(error.revert(), Some(Revert::Known(Refusal::ProofTooBig))) {
                    sorted.wrong.extend(part);
                }
            }
            Err(error) if is_of_one_proof(error.revert()) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push(second.to_vec());
                parts.push(first.to_vec());
            }
            // Unknown: this part waits for the next turn.
            Err(_) => {}
        }
    }
    sorted
}

/// Tells each prover of the peer its puzzle and what it may delete. While the chain is unknown nothing new is told: what was
/// told last stays in force.
pub(super) fn assign(context: &Context, peer: &ProvingPeer, seen: &Seen) {
    if seen.snapshot.is_none() {
        return;
    }
    for (unit, pods) in &peer.provers {
        let puzzle = puzzle_for(seen, *unit);
        let acknowledged = puzzle.map_or_else(Vec::new, |puzzle| {
            let key = PuzzleKey { epoch: puzzle.epoch.0, global_nonce: puzzle.global_nonce };
            context.proofs.acknowledged(*unit, key)
        });
        let puzzle = puzzle.map(|puzzle| Puzzle {
            epoch: puzzle.epoch.0,
            global_nonce: puzzle.global_nonce,
            difficulty: puzzle.difficulty,
            target: ProofTarget {
                minimum: puzzle.minimum,
                useful: puzzle.useful,
                on_chain: puzzle.on_chain,
            },
            remaining_seconds: puzzle.remaining_seconds,
        });
        for pod in pods {
            let duty = ProverDuty {
                unit_id: unit.0,
                puzzle: puzzle.clone(),
                acknowledged: acknowledged.clone(),
            };
            context.hub.assign(pod, Duty::Prover(duty));
        }
    }
}
