//! The turns of every kind over one market: what each would plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coreward_domain::call::Call;
use coreward_domain::chain::Snapshot;
use coreward_domain::gate::{Flight, Gate, PlannedCall};
use coreward_domain::proof::Found;
use coreward_domain::unit::Pod;
use coreward_domain::{commitment, deal, offer, payout, proof, unit};

use crate::arbitrary::PEERS;
use crate::market::{self, key, open_gate, worker_id};

/// The turn of every kind over one market.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) gate: Gate,
    pub(crate) pool: Vec<Found>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) workers: BTreeMap<coreward_domain::id::OnchainWorkerId, deal::Local>,
    pub(crate) deletion: Option<offer::Deletion>,
}

impl Turn {
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let ready = |number| deal::Local {
            key: Some(key(number)),
            older_keys: BTreeSet::from([key(3)]),
            fits: Some(number != 3),
            pod: if number == 2 {
                deal::WorkerPod::Missing
            } else {
                deal::WorkerPod::Ready(key(number))
            },
        };
        Self {
            snapshot: Some(snapshot),
            flights: Vec::new(),
            gate: open_gate(),
            pool: Vec::new(),
            pods: Vec::new(),
            workers: (1..4).map(|number| (worker_id(number), ready(number))).collect(),
            deletion: None,
        }
    }

    pub(crate) fn shared(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone().map(Arc::new)
    }

    pub(crate) fn offer(&self) -> offer::Seen {
        let mut seen = crate::offer::seen(market::empty());
        (seen.snapshot, seen.flights, seen.gate) = (self.shared(), self.flights.clone(), self.gate);
        seen.nodes =
            Some((1..=PEERS).map(|number| crate::offer::node(&format!("n{number}"), 2)).collect());
        let identity = |number| crate::offer::identity(number, &format!("n{number}"), 0);
        seen.identities = Some((1..=PEERS).map(identity).collect());
        for identity in seen.identities.iter_mut().flatten() {
            identity.commitments = [1, 2].map(market::commitment_id).into();
        }
        seen.wanted.deletion = self.deletion;
        seen.recorded = Some(market::offer_id(1));
        seen
    }

    pub(crate) fn commitment(&self) -> commitment::Seen {
        let mut seen = crate::commitment::seen(market::empty());
        (seen.snapshot, seen.flights, seen.gate) = (self.shared(), self.flights.clone(), self.gate);
        seen.ending = self.deletion;
        seen
    }

    pub(crate) fn proof(&self) -> proof::Seen {
        let mut seen = crate::proof::seen(market::empty(), self.pool.clone());
        (seen.snapshot, seen.flights, seen.gate) = (self.shared(), self.flights.clone(), self.gate);
        seen
    }

    pub(crate) fn deal(&self) -> deal::Seen {
        let mut seen = crate::deal::seen(market::empty());
        (seen.snapshot, seen.flights, seen.gate) = (self.shared(), self.flights.clone(), self.gate);
        seen.workers.clone_from(&self.workers);
        (seen.pods, seen.gone_since) = (Some(0), Some(0));
        seen
    }

    pub(crate) fn payout(&self) -> payout::Seen {
        let mut seen = crate::payout::seen(market::empty());
        (seen.snapshot, seen.flights, seen.gate) = (self.shared(), self.flights.clone(), self.gate);
        seen.past_commitments =
            BTreeSet::from([market::commitment_id(1), market::commitment_id(2)]);
        seen.ending = self.deletion.is_some();
        seen
    }

    pub(crate) fn unit(&self) -> unit::Seen {
        let mut seen = crate::unit::seen(market::empty(), self.pods.clone());
        seen.snapshot = self.shared();
        seen
    }

    /// Everything that this turn would send.
    pub(crate) fn sends(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        calls.extend(offer::plan(&self.offer()).steps.into_iter().filter_map(|step| match step {
            offer::Step::Send(call) => Some(call),
            offer::Step::MakeIdentity { .. }
            | offer::Step::MovePeer { .. }
            | offer::Step::AdoptIdentity { .. }
            | offer::Step::RetireIdentity { .. }
            | offer::Step::Release => None,
        }));
        calls.extend(
            commitment::plan(&self.commitment())
                .steps
                .into_iter()
                .map(|commitment::Step::Send(call)| call),
        );
        calls.extend(proof::plan(&self.proof()).steps.into_iter().filter_map(|step| match step {
            proof::Step::Send(call) => Some(call),
            proof::Step::Acknowledge { .. } => None,
        }));
        calls.extend(deal::plan(&self.deal()).steps.into_iter().filter_map(|step| match step {
            deal::Step::Send(call) => Some(call),
            deal::Step::EnsureNamespace
            | deal::Step::DeleteNamespace
            | deal::Step::ReleaseMirror => None,
        }));
        calls.extend(
            payout::plan(&self.payout()).steps.into_iter().map(|payout::Step::Send(call)| call),
        );
        calls
    }

    pub(crate) fn planned(&self) -> Vec<PlannedCall> {
        [
            offer::plan(&self.offer()).planned,
            commitment::plan(&self.commitment()).planned,
            proof::plan(&self.proof()).planned,
            deal::plan(&self.deal()).planned,
            payout::plan(&self.payout()).planned,
        ]
        .concat()
    }
}
