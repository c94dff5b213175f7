//! Carries out the plan for one peer.

use coreward_domain::call::{Call, KeyRole, Proof};
use coreward_domain::proof::{Fate, Seen, Step, puzzle_for};
use coreward_wire::{Duty, ProofTarget, ProverDuty, Puzzle};

use super::observe::{ProvingPeer, owner};
use super::sort::{Sorting, Word};
use crate::context::Context;
use crate::metrics::{Ending, ProofResult};
use crate::outbox::{Error, Order, SignerUse};
use crate::proof_pool::PuzzleKey;

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
    let Some(signer) = peer.signer(context, owner) else { return Ok(()) };
    let order = |call: Call| Order {
        network: &peer.network,
        signer,
        namespace: &peer.key.namespace,
        call,
        why: "proofs found",
        planned_at: snapshot.head.number,
    };
    let refused = match context.outbox.submit(order(call.clone())).await {
        Ok(_) => return Ok(()),
        Err(error) if Word::of(error.revert()) == Word::Unknown => return Err(error),
        Err(error) => error,
    };
    let Call::SubmitProofs { peer: id, epoch, proofs } = call else { return Err(refused) };
    let using = SignerUse {
        network: &peer.network,
        signer,
        namespace: &peer.key.namespace,
        role: KeyRole::Peer,
    };
    let with = |proofs: Vec<Proof>| Call::SubmitProofs { peer: id, epoch, proofs };
    let mut sorting = Sorting::of(&proofs);
    while let Some(part) = sorting.part() {
        let answer = context.outbox.simulate(using, &with(part.to_vec())).await;
        sorting.heard(answer.map_or_else(|error| Word::of(error.revert()), |_| Word::Good));
    }
    let sorted = sorting.end();
    // A proof that is marked is deleted one day, so a lone endpoint's word is not enough.
    if seen.is_believed {
        context.proofs.mark(&sorted.wrong, epoch, Fate::Refused);
        context.metrics.proofs.ended(&peer.path(), ProofResult::Refused, sorted.wrong.len() as u64);
    }
    tracing::warn!(
        peer.id = %peer.id, offer.name = peer.path(), proofs.good = sorted.good.len(),
        proofs.wrong = sorted.wrong.len(), "a batch was refused; the good proofs are sent alone"
    );
    if sorted.good.is_empty() || sorted.good.len() == proofs.len() {
        return Err(refused);
    }
    context.outbox.submit(order(with(sorted.good))).await.map(drop)
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
