//! The conditions of a `ProviderOffer`.

use crate::chain::Snapshot;
use crate::commitment;
use crate::condition::{ConditionType, Truth, Verdict};
use crate::gate::{Hold, Management, Signer};

use super::{NoNode, Plan, Seen, Why, Withdrawal};

/// The conditions of an offer; `commitments` holds the why of each of its peers.
#[must_use]
pub fn conditions(seen: &Seen, plan: &Plan, commitments: &[commitment::Why]) -> Vec<Verdict> {
    vec![
        ready(seen, plan, commitments),
        reconciling(plan, commitments),
        stalled(seen, plan, commitments),
        Verdict::new(ConditionType::ChainSynced, seen.chain.truth(), seen.chain.reason(), ""),
        offer_in_sync(plan),
        commitments_healthy(plan, commitments),
        signers_available(seen, plan),
        funds_sufficient(seen, commitments),
    ]
}

/// The why of a plan in words; empty where there is nothing to say.
fn sentence(plan: &Plan) -> String {
    match &plan.why {
        Why::ChainUnknown => "the chain could not be read".to_owned(),
        Why::ClusterUnknown => "nodes or identities could not be listed".to_owned(),
        Why::InvalidSpec { field, message } => format!("{field}: {message}"),
        Why::UnknownUnits { on_chain, known } => {
            format!(
                "the chain has {on_chain} units of this provider and {known} are known here: name their offer in spec.offerID"
            )
        }
        Why::SeveralOffers => {
            "peers of this object are in several offers: remove those of one by hand".to_owned()
        }
        Why::WrongPeerOwner { peer, owner } => {
            format!(
                "peer {peer} is owned by {owner}, none of spec.peers.signers: add the signer of that account"
            )
        }
        Why::Taken { by } => {
            format!(
                "spec.offerID: the offer belongs to {by}: take the field or one of the two objects away"
            )
        }
        Why::NoEligibleNode(no_node) => missing(no_node),
        Why::Preparing => "nodes are being verified".to_owned(),
        Why::Sending | Why::WaitingForReceipt => {
            plan.planned.first().map_or_else(String::new, |planned| planned.why.to_owned())
        }
        Why::Held(hold) => hold.text().to_owned(),
        Why::Pending(_) => plan.pending.first().map_or_else(String::new, |change| {
            let until = change
                .possible_from
                .map_or_else(String::new, |epoch| format!(" until epoch {epoch}"));
            format!("{} ({}) waits{until}", change.field, change.subject)
        }),
        Why::InSync | Why::Released => String::new(),
        Why::DeletionBlocked { until: Some(epoch) } => format!("staked until epoch {epoch}"),
        Why::DeletionBlocked { until: None } => "units are staked or in deals".to_owned(),
        Why::Withdrawing(stage) => withdrawal(*stage),
    }
}

fn missing(no_node: &NoNode) -> String {
    match no_node {
        NoNode::NoneSelected => {
            "spec.capacity.nodeSelector: no node that is free has these labels: label nodes, or name others".to_owned()
        }
        NoNode::Unfit { node, reason } => {
            format!("no node can carry a unit; node {node}: {}", reason.text())
        }
        NoNode::Cordoned { node } => {
            format!("no node can carry a unit; node {node} is cordoned: `kubectl uncordon {node}`")
        }
        NoNode::Unheard => "no node can carry a unit; nothing has been heard from the selected ones: is the node agent running there?".to_owned(),
    }
}

fn withdrawal(stage: Withdrawal) -> String {
    match stage {
        Withdrawal::Deals => "workers leave their deals".to_owned(),
        Withdrawal::Commitments { until } => format!("staked until epoch {until}"),
        Withdrawal::Closing => "commitments are wound up".to_owned(),
        Withdrawal::Past => "past commitments are looked for in the chain's logs".to_owned(),
        Withdrawal::Rewards { until } => {
            format!("rewards vest; the next part is free in epoch {until}")
        }
        Withdrawal::Removal => "units, peers and the offer are taken off the chain".to_owned(),
        Withdrawal::StrangePeers { count } => {
            format!("{count} peers of the offer are none of this object's: remove them by hand")
        }
        Withdrawal::Finality => "the last transactions become final".to_owned(),
    }
}

fn ready(seen: &Seen, plan: &Plan, commitments: &[commitment::Why]) -> Verdict {
    let kind = ConditionType::Ready;
    match &plan.why {
        Why::ChainUnknown | Why::ClusterUnknown => {
            return Verdict::unknown(kind, "ChainUnknown", sentence(plan));
        }
        Why::DeletionBlocked { .. } | Why::Withdrawing(_) | Why::Released => {
            return Verdict::new(kind, Truth::False, "Deleting", sentence(plan));
        }
        Why::Sending | Why::WaitingForReceipt | Why::Held(_) if seen.wanted.deletion.is_some() => {
            return Verdict::new(kind, Truth::False, "Deleting", sentence(plan));
        }
        Why::InvalidSpec { .. }
        | Why::UnknownUnits { .. }
        | Why::SeveralOffers
        | Why::WrongPeerOwner { .. }
        | Why::Taken { .. }
        | Why::NoEligibleNode(_) => {
            return Verdict::new(kind, Truth::False, "Degraded", sentence(plan));
        }
        Why::Preparing
        | Why::Sending
        | Why::WaitingForReceipt
        | Why::Held(_)
        | Why::Pending(_)
        | Why::InSync => {}
    }
    if let Some(failed) =
        commitments.iter().find(|why| matches!(why, commitment::Why::Failed { .. }))
    {
        return Verdict::new(kind, Truth::False, "Degraded", failed.text());
    }
    if plan.offer.is_none() && seen.gate.management == Management::Manage {
        return Verdict::new(kind, Truth::False, "Idle", "not registered yet");
    }
    if seen.gate.management == Management::Suspended {
        return Verdict::new(kind, Truth::True, "Suspended", "what is staked goes on");
    }
    Verdict::new(kind, Truth::True, work(seen, plan), "")
}

/// What the offer's units do, best first.
fn work(seen: &Seen, plan: &Plan) -> &'static str {
    let Some(snapshot) = seen.snapshot.as_deref() else { return "Idle" };
    let peers = || plan.peers.keys().filter_map(|peer| snapshot.peers.get(peer)?.as_ref());
    if peers().flat_map(|peer| peer.units.values()).any(|unit| unit.seat.is_some()) {
        "Serving"
    } else if peers().any(|peer| peer.commitment.is_some_and(|id| is_active(snapshot, id))) {
        "Proving"
    } else {
        "Idle"
    }
}

fn is_active(snapshot: &Snapshot, id: crate::id::CommitmentId) -> bool {
    let known = snapshot.commitments.get(&id).and_then(Option::as_ref);
    known.is_some_and(|known| known.status == crate::chain::CommitmentStatus::Active)
}

fn reconciling(plan: &Plan, commitments: &[commitment::Why]) -> Verdict {
    let kind = ConditionType::Reconciling;
    match plan.why {
        Why::ChainUnknown | Why::ClusterUnknown => {
            return Verdict::unknown(kind, "Unknown", sentence(plan));
        }
        Why::Preparing
        | Why::Sending
        | Why::Withdrawing(
            Withdrawal::Deals | Withdrawal::Closing | Withdrawal::Past | Withdrawal::Removal,
        ) => {
            return Verdict::new(kind, Truth::True, "Progressing", sentence(plan));
        }
        Why::Withdrawing(Withdrawal::Finality) => {
            return Verdict::new(kind, Truth::True, "WaitingForFinality", sentence(plan));
        }
        Why::WaitingForReceipt => {
            return Verdict::new(kind, Truth::True, "WaitingForReceipt", sentence(plan));
        }
        Why::Pending(_)
        | Why::DeletionBlocked { until: Some(_) }
        | Why::Withdrawing(Withdrawal::Commitments { .. } | Withdrawal::Rewards { .. }) => {
            return Verdict::new(kind, Truth::True, "WaitingForEpoch", sentence(plan));
        }
        Why::InvalidSpec { .. }
        | Why::UnknownUnits { .. }
        | Why::SeveralOffers
        | Why::WrongPeerOwner { .. }
        | Why::Taken { .. }
        | Why::NoEligibleNode(_)
        | Why::Held(_)
        | Why::InSync
        | Why::DeletionBlocked { until: None }
        | Why::Withdrawing(Withdrawal::StrangePeers { .. })
        | Why::Released => {}
    }
    let moving = commitments.iter().find_map(|why| Some((why.converges()?, why)));
    match moving {
        Some((reason, why)) => Verdict::new(kind, Truth::True, reason, why.text()),
        None => Verdict::new(kind, Truth::False, "Settled", ""),
    }
}

fn stalled(seen: &Seen, plan: &Plan, commitments: &[commitment::Why]) -> Verdict {
    if [seen.gate.provider_signer, seen.gate.peer_signer].contains(&Signer::Shared) {
        let message = Hold::ForeignSigner.text();
        return Verdict::new(ConditionType::Stalled, Truth::True, "ForeignSigner", message);
    }
    let reason = match &plan.why {
        Why::InvalidSpec { .. } => Some("InvalidSpec"),
        Why::UnknownUnits { .. }
        | Why::SeveralOffers
        | Why::Taken { .. }
        | Why::Withdrawing(Withdrawal::StrangePeers { .. }) => Some("Conflict"),
        Why::WrongPeerOwner { .. } => Some("ForeignSigner"),
        Why::Held(hold) => hold.stalls(),
        Why::ChainUnknown
        | Why::ClusterUnknown
        | Why::NoEligibleNode(_)
        | Why::Preparing
        | Why::Sending
        | Why::WaitingForReceipt
        | Why::Pending(_)
        | Why::InSync
        | Why::DeletionBlocked { .. }
        | Why::Withdrawing(_)
        | Why::Released => None,
    };
    let own = reason.map(|reason| (reason, sentence(plan)));
    let pledged = || commitments.iter().find_map(|why| Some((why.stalls()?, why.text())));
    match own.or_else(pledged) {
        Some((reason, message)) => {
            Verdict::new(ConditionType::Stalled, Truth::True, reason, message)
        }
        None => Verdict::new(ConditionType::Stalled, Truth::False, "NotStalled", ""),
    }
}

fn offer_in_sync(plan: &Plan) -> Verdict {
    let kind = ConditionType::OfferInSync;
    match &plan.why {
        Why::ChainUnknown | Why::ClusterUnknown => {
            Verdict::unknown(kind, "Unknown", sentence(plan))
        }
        Why::InSync | Why::DeletionBlocked { .. } | Why::Withdrawing(_) | Why::Released => {
            Verdict::new(kind, Truth::True, "InSync", "")
        }
        Why::Pending(reason) => Verdict::new(kind, Truth::False, reason.reason(), sentence(plan)),
        Why::Held(Hold::AwaitingSignature) => {
            Verdict::new(kind, Truth::False, "AwaitingSignature", sentence(plan))
        }
        Why::Held(_) | Why::UnknownUnits { .. } | Why::Taken { .. } => {
            Verdict::new(kind, Truth::False, "AwaitingApproval", sentence(plan))
        }
        Why::InvalidSpec { .. }
        | Why::SeveralOffers
        | Why::WrongPeerOwner { .. }
        | Why::NoEligibleNode(_)
        | Why::Preparing
        | Why::Sending
        | Why::WaitingForReceipt => Verdict::new(kind, Truth::False, "Progressing", sentence(plan)),
    }
}

fn commitments_healthy(plan: &Plan, commitments: &[commitment::Why]) -> Verdict {
    const WORST_FIRST: [&str; 6] =
        ["Failed", "NotWhitelisted", "Unknown", "WaitDelegation", "Expiring", "WaitStart"];
    let kind = ConditionType::CommitmentsHealthy;
    if matches!(plan.why, Why::ChainUnknown | Why::ClusterUnknown) {
        return Verdict::unknown(kind, "Unknown", sentence(plan));
    }
    let worst = WORST_FIRST.iter().find_map(|reason| {
        let count = commitments.iter().filter(|why| why.reason() == *reason).count();
        commitments.iter().find(|why| why.reason() == *reason).map(|why| (*why, count))
    });
    let message = |why: commitment::Why, count: usize| {
        format!("{count} of {}: {}", commitments.len(), why.text())
    };
    match worst {
        None if commitments.is_empty() => {
            Verdict::unknown(kind, "WaitDelegation", "no peer is registered yet")
        }
        None => Verdict::new(kind, Truth::True, "AllActive", ""),
        Some((why, count)) if why.reason() == "Unknown" => {
            Verdict::unknown(kind, "Unknown", message(why, count))
        }
        Some((why @ commitment::Why::Expiring { .. }, count)) => {
            Verdict::new(kind, Truth::True, why.reason(), message(why, count))
        }
        Some((why, count)) => Verdict::new(kind, Truth::False, why.reason(), message(why, count)),
    }
}

fn signers_available(seen: &Seen, plan: &Plan) -> Verdict {
    let kind = ConditionType::SignersAvailable;
    if let Why::WrongPeerOwner { .. } = plan.why {
        return Verdict::new(kind, Truth::False, "WrongAddress", sentence(plan));
    }
    let signers = [
        ("spec.provider.signer", seen.gate.provider_signer),
        ("spec.peers.signers", seen.gate.peer_signer),
    ];
    let failing = signers.iter().find_map(|(field, signer)| {
        let (truth, reason, text) = match signer {
            Signer::NotAllowed => {
                (Truth::False, "NotAllowed", "the operator's configuration does not allow its use")
            }
            Signer::WrongAddress => (
                Truth::False,
                "WrongAddress",
                "the key in its Secret has another address than the operator's configuration says",
            ),
            Signer::Unreachable => (
                Truth::False,
                "Unreachable",
                "its key cannot be read: its Secret must hold 64 hex digits under privateKey",
            ),
            Signer::Unknown => (Truth::Unknown, "Unreachable", "its key was not tried yet"),
            Signer::Reachable | Signer::Shared | Signer::Manual => return None,
        };
        Some(Verdict::new(kind, truth, reason, format!("{field}: {text}")))
    });
    failing.unwrap_or_else(|| Verdict::new(kind, Truth::True, "Reachable", ""))
}

fn funds_sufficient(seen: &Seen, commitments: &[commitment::Why]) -> Verdict {
    let kind = ConditionType::FundsSufficient;
    let Some(snapshot) = seen.snapshot.as_deref() else {
        return Verdict::unknown(kind, "Unknown", "");
    };
    if commitments.contains(&commitment::Why::CollateralMissing) {
        let message =
            format!("{} does not hold the collateral: send FLT to it", seen.wanted.provider);
        return Verdict::new(kind, Truth::False, "Empty", message);
    }
    let wallets = || seen.wanted.peer_owners.iter().chain([&seen.wanted.provider]);
    let known = wallets().filter_map(|wallet| Some((snapshot.wallets.get(wallet)?, wallet)));
    match known.min() {
        Some((balance, wallet)) if balance.is_zero() => Verdict::new(
            kind,
            Truth::False,
            "Empty",
            format!("{wallet} holds nothing: send FLT to it"),
        ),
        Some((balance, wallet)) if *balance < seen.low_balance => {
            // The balance itself would change the message with every transaction.
            let limit = crate::money::flt(seen.low_balance);
            Verdict::new(
                kind,
                Truth::False,
                "LowGas",
                format!("{wallet} holds less than {limit} FLT: send some to it"),
            )
        }
        Some(_) if wallets().all(|wallet| snapshot.wallets.contains_key(wallet)) => {
            Verdict::new(kind, Truth::True, "AboveRunway", "")
        }
        Some(_) | None => Verdict::unknown(kind, "Unknown", "a wallet could not be read"),
    }
}
