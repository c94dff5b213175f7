//! The conditions of a `Deal`.

use crate::chain::{Deal, DealStatus};
use crate::condition::{BREAKER, ConditionType, Truth, Verdict};
use crate::gate::Hold;
use crate::id::OnchainWorkerId;

use super::{
    ArtifactFault, Desired, Leaving, Plan, Seen, Why, WorkerPlan, WorkerPod, WorkerWhy, stopped,
};

/// The conditions of a deal.
#[must_use]
pub fn conditions(seen: &Seen, plan: &Plan) -> Vec<Verdict> {
    let deal = seen.snapshot.as_deref().and_then(|snapshot| snapshot.deals.get(&seen.deal));
    vec![
        ready(plan),
        reconciling(plan),
        stalled(seen, plan),
        funded(deal),
        workers_activated(plan),
        artifact_available(seen, plan),
        subnet_joined(seen),
        isolated(seen),
        exiting(seen, deal, plan),
    ]
}

fn is_unknown(plan: &Plan) -> bool {
    matches!(plan.why, Why::ChainUnknown | Why::ClusterUnknown)
}

fn ready(plan: &Plan) -> Verdict {
    let kind = ConditionType::Ready;
    match plan.why {
        Why::ChainUnknown | Why::ClusterUnknown => {
            return Verdict::unknown(kind, "ChainUnknown", "the deal could not be read");
        }
        Why::Clearing | Why::Gone => {
            return Verdict::new(
                kind,
                Truth::False,
                "Deleting",
                "the chain lists none of our workers in this deal",
            );
        }
        Why::Joined => {}
    }
    let unready = plan.workers.iter().find(|(_, worker)| worker.why != WorkerWhy::Serving);
    match unready {
        None => Verdict::new(kind, Truth::True, "Serving", ""),
        Some((id, WorkerPlan { why: WorkerWhy::Unknown, .. })) => Verdict::unknown(
            kind,
            "ChainUnknown",
            format!("worker {}: nothing is known of its pod", id.decimal()),
        ),
        Some((id, worker)) => {
            Verdict::new(kind, Truth::False, "Degraded", sentence(*id, &worker.why))
        }
    }
}

fn sentence(id: OnchainWorkerId, why: &WorkerWhy) -> String {
    let text = match why {
        WorkerWhy::Starting => "its pod is starting",
        WorkerWhy::Unknown => "nothing is known of its pod",
        WorkerWhy::Failed(fault) => {
            return format!(
                "worker {}: its artifact does not run: {}",
                id.decimal(),
                fault.reason()
            );
        }
        WorkerWhy::Activating => "its activation is on its way",
        WorkerWhy::Unfunded => "the deal cannot pay for it",
        WorkerWhy::ForeignKey => "it is activated with a key that is none of ours",
        WorkerWhy::Serving => "it serves",
        WorkerWhy::Degraded => "it is activated, and its pod is not ready",
        WorkerWhy::Leaving(cause) => cause.text(),
        WorkerWhy::Held(hold) => hold.text(),
    };
    format!("worker {}: {text}", id.decimal())
}

fn reconciling(plan: &Plan) -> Verdict {
    let kind = ConditionType::Reconciling;
    if is_unknown(plan) {
        return Verdict::unknown(kind, "Unknown", "");
    }
    let moving = plan.workers.iter().find_map(|(id, worker)| match &worker.why {
        WorkerWhy::Starting => Some(("Progressing", sentence(*id, &worker.why))),
        WorkerWhy::Activating | WorkerWhy::Leaving(_) => {
            Some(("WaitingForReceipt", sentence(*id, &worker.why)))
        }
        WorkerWhy::Held(Hold::Epoch) => Some(("WaitingForEpoch", sentence(*id, &worker.why))),
        WorkerWhy::Unknown
        | WorkerWhy::Failed(_)
        | WorkerWhy::Unfunded
        | WorkerWhy::ForeignKey
        | WorkerWhy::Serving
        | WorkerWhy::Degraded
        | WorkerWhy::Held(_) => None,
    });
    match moving {
        Some((reason, message)) => Verdict::new(kind, Truth::True, reason, message),
        None if plan.why == Why::Clearing => Verdict::new(
            kind,
            Truth::True,
            "WaitingForFinality",
            "what is left of the deal is cleared away",
        ),
        None => Verdict::new(kind, Truth::False, "Settled", ""),
    }
}

fn stalled(seen: &Seen, plan: &Plan) -> Verdict {
    let cause = plan.workers.iter().find_map(|(id, worker)| match worker.why {
        WorkerWhy::Held(hold) => Some((hold.stalls()?, sentence(*id, &worker.why))),
        WorkerWhy::ForeignKey => Some(("Conflict", sentence(*id, &worker.why))),
        WorkerWhy::Starting
        | WorkerWhy::Unknown
        | WorkerWhy::Failed(_)
        | WorkerWhy::Activating
        | WorkerWhy::Unfunded
        | WorkerWhy::Serving
        | WorkerWhy::Degraded
        | WorkerWhy::Leaving(_) => None,
    });
    let mass = || stopped(seen).map(|words| (BREAKER, words));
    match cause.or_else(mass) {
        Some((reason, message)) => {
            Verdict::new(ConditionType::Stalled, Truth::True, reason, message)
        }
        None => Verdict::new(ConditionType::Stalled, Truth::False, "NotStalled", ""),
    }
}

fn funded(deal: Option<&Deal>) -> Verdict {
    let kind = ConditionType::Funded;
    let Some(deal) = deal else {
        return Verdict::unknown(kind, "Unknown", "");
    };
    match deal.status {
        DealStatus::Active => Verdict::new(kind, Truth::True, "Prepaid", ""),
        DealStatus::SmallBalance | DealStatus::NotEnoughWorkers => {
            Verdict::new(kind, Truth::True, "SmallBalance", "")
        }
        DealStatus::InsufficientFunds => {
            let message = format!("paid until epoch {}", deal.max_paid_epoch);
            Verdict::new(kind, Truth::False, "InsufficientFunds", message)
        }
        DealStatus::Ended => Verdict::new(kind, Truth::False, "Ended", ""),
    }
}

fn workers_activated(plan: &Plan) -> Verdict {
    let kind = ConditionType::WorkersActivated;
    if is_unknown(plan) {
        return Verdict::unknown(kind, "Unknown", "");
    }
    let refused = plan.workers.iter().find(|(_, worker)| {
        !worker.activated
            && matches!(
                worker.why,
                WorkerWhy::Leaving(Leaving::DoesNotFit | Leaving::Denied | Leaving::Unready)
            )
    });
    if let Some((id, worker)) = refused {
        return Verdict::new(kind, Truth::False, "Refused", sentence(*id, &worker.why));
    }
    match plan.workers.iter().find(|(_, worker)| !worker.activated) {
        Some((id, worker)) => {
            Verdict::new(kind, Truth::False, "Pending", sentence(*id, &worker.why))
        }
        None if plan.workers.is_empty() => {
            Verdict::new(kind, Truth::False, "Pending", "none of our workers is in it")
        }
        None => Verdict::new(kind, Truth::True, "Activated", ""),
    }
}

fn artifact_available(seen: &Seen, plan: &Plan) -> Verdict {
    let kind = ConditionType::ArtifactAvailable;
    let pods = || plan.workers.keys().filter_map(|id| Some((id, &seen.workers.get(id)?.pod)));
    let failed = pods().find_map(|(id, pod)| {
        let (fault, message) = fault(pod)?;
        let stays = matches!(pod, WorkerPod::Rolling { .. });
        let rest = if stays { "; the version before it goes on serving" } else { "" };
        Some((fault, format!("worker {}: {message}{rest}", id.decimal())))
    });
    if let Some((fault, message)) = failed {
        return Verdict::new(kind, Truth::False, fault.reason(), message);
    }
    if pods().any(|(_, pod)| matches!(pod, WorkerPod::Ready(_))) {
        return Verdict::new(kind, Truth::True, "Pulled", "");
    }
    let obstacle = pods().find_map(|(id, pod)| match pod {
        WorkerPod::Starting(Some(reason)) => Some(format!("worker {}: {reason}", id.decimal())),
        WorkerPod::Rolling { .. } => Some(format!(
            "worker {}: the new version is being made ready, and the one before it serves",
            id.decimal()
        )),
        WorkerPod::Starting(None)
        | WorkerPod::Unknown
        | WorkerPod::Missing
        | WorkerPod::Ready(_)
        | WorkerPod::Failed { .. } => None,
    });
    Verdict::unknown(kind, "Unknown", obstacle.unwrap_or_default())
}

/// What is wrong with the ordered version on a pod, if that is known.
#[must_use]
pub fn fault(pod: &WorkerPod) -> Option<(ArtifactFault, &str)> {
    match pod {
        WorkerPod::Failed { fault, message }
        | WorkerPod::Rolling { failure: Some((fault, message)), .. } => Some((*fault, message)),
        WorkerPod::Unknown
        | WorkerPod::Missing
        | WorkerPod::Starting(_)
        | WorkerPod::Ready(_)
        | WorkerPod::Rolling { failure: None, .. } => None,
    }
}

fn subnet_joined(seen: &Seen) -> Verdict {
    let kind = ConditionType::SubnetJoined;
    let Some(subnet) = seen.subnet else {
        return Verdict::unknown(kind, "NotProbed", "");
    };
    let summary = format!("{}/{}", subnet.reachable, subnet.expected);
    if subnet.reachable >= subnet.expected {
        Verdict::new(kind, Truth::True, "Reachable", summary)
    } else if subnet.reachable <= 1 {
        Verdict::new(kind, Truth::False, "Unreachable", summary)
    } else {
        Verdict::new(kind, Truth::False, "PartiallyReachable", summary)
    }
}

fn isolated(seen: &Seen) -> Verdict {
    let kind = ConditionType::Isolated;
    match seen.isolated {
        Some(true) => Verdict::new(kind, Truth::True, "PolicyEnforced", ""),
        Some(false) => Verdict::new(
            kind,
            Truth::False,
            "PolicyNotEnforced",
            "the cluster does not enforce network policies",
        ),
        None => Verdict::unknown(kind, "Unknown", "not tried yet"),
    }
}

fn exiting(seen: &Seen, deal: Option<&Deal>, plan: &Plan) -> Verdict {
    let kind = ConditionType::Exiting;
    let cause = plan.workers.values().find_map(|worker| match worker.why {
        WorkerWhy::Leaving(cause) => Some(cause),
        WorkerWhy::Starting
        | WorkerWhy::Unknown
        | WorkerWhy::Failed(_)
        | WorkerWhy::Activating
        | WorkerWhy::Unfunded
        | WorkerWhy::ForeignKey
        | WorkerWhy::Serving
        | WorkerWhy::Degraded
        | WorkerWhy::Held(_) => None,
    });
    if let Some(cause) = cause {
        return Verdict::new(kind, Truth::True, cause.reason(), cause.text());
    }
    if is_unknown(plan) {
        return Verdict::unknown(kind, "Unknown", "");
    }
    if deal.is_some_and(|deal| deal.status == DealStatus::Ended) {
        return Verdict::new(kind, Truth::True, Leaving::Ended.reason(), Leaving::Ended.text());
    }
    if let Desired::Exit { leaves_at } = seen.policy.desired {
        let is_noticed =
            seen.snapshot.as_deref().is_none_or(|snapshot| snapshot.head.timestamp < leaves_at);
        let text = if is_noticed {
            "exit was requested; its workers go on until status.exit.leavesAt"
        } else {
            Leaving::Requested.text()
        };
        return Verdict::new(kind, Truth::True, Leaving::Requested.reason(), text);
    }
    Verdict::new(kind, Truth::False, "Serving", "")
}
