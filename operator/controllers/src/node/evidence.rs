//! What is known of a node, and what follows for units on it.

use std::time::Duration;

use coreward_crds::{CoreIsolation, UnitsPerNode};
use coreward_domain::offer::{Eligibility, IneligibleReason};
use coreward_domain::unit::NodeEvidence;
use coreward_wire::{CpuEvidence, NodeFacts, NodeReport, Report};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use crate::clock;
use crate::config::ProverMode;
use crate::hub::Received;
use crate::labels::{NODE, NODE_AGENT, PROBE, PROVER, component};
use crate::node::probe::EVIDENCE;
use crate::pods::Pod;
use crate::pods::template::prover_memory;
use crate::turn::Shared;

/// Evidence that stays away for longer than this keeps no registration waiting.
const PATIENCE: Duration = Duration::from_secs(90);

/// An agent reports each minute: what it said is old after three.
const FRESH: Duration = Duration::from_mins(3);

/// What a node shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// CPUs and memory that pods may have; `None` while the node is not listed.
    pub allocatable: Option<Allocatable>,
    /// What its agent reads; `None` until it reported.
    pub facts: Option<NodeFacts>,
    /// Where its agent serves artifacts.
    pub artifact_url: Option<String>,
    /// What a Guaranteed pod on it saw of its CPUs.
    pub cpu: Option<CpuEvidence>,
    /// Whether the evidence is still waited for.
    pub is_awaited: bool,
    /// Whether its agent has been silent for too long to say how the node is now. What it said stands: the threads of a core do
    /// not change.
    pub is_stale: bool,
}

/// What pods may have of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocatable {
    /// Thousandths of a CPU.
    pub milli_cpus: u64,
    /// MiB.
    pub memory_mib: u64,
}

/// What an offer asks of a node.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// How many units.
    pub units: UnitsPerNode,
    /// Whether cores must be exclusive.
    pub isolation: CoreIsolation,
    /// How provers hash: their memory.
    pub mode: ProverMode,
}

/// Collects what is known of a node.
#[must_use]
pub fn look(shared: &Shared, name: &str) -> Evidence {
    let stores = &shared.context.stores;
    let node = stores.nodes.get_cluster(name);
    let pods = stores.pods.all();
    let agent =
        pods.iter().find(|pod| component(pod.as_ref()) == Some(NODE_AGENT) && is_on(pod, name));
    let received = agent.and_then(|agent| received_of(shared, agent));
    let now = clock::now();
    let is_fresh = received.as_ref().is_some_and(|it| now.saturating_duration_since(it.at) < FRESH);
    let report = received.and_then(|received| match received.report {
        Report::Node(report) => Some(report),
        Report::Prover(_) | Report::Worker(_) | Report::Probe(_) | Report::Gateway(_) => None,
    });
    let cpu = pods.iter().filter(|pod| is_on_or_for(pod, name)).find_map(|pod| cpu_of(shared, pod));
    let complete = report.is_some() && cpu.is_some();
    let waited = shared.memory.waited(&format!("evidence/{name}"), now);
    let (facts, artifact_url) = report
        .map_or((None, None), |NodeReport { facts, artifact_url }| {
            (Some(facts), Some(artifact_url))
        });
    Evidence {
        allocatable: node.as_deref().filter(|node| is_ready(node)).map(allocatable),
        facts,
        artifact_url,
        cpu,
        is_awaited: !complete && waited < PATIENCE,
        is_stale: !is_fresh && waited >= PATIENCE,
    }
}

/// CPU evidence of a probe (kept on its pod) or of a prover that runs.
fn cpu_of(shared: &Shared, pod: &Pod) -> Option<CpuEvidence> {
    match component(pod)? {
        PROBE => serde_json::from_str(pod.annotations().get(EVIDENCE)?).ok(),
        PROVER => match report_of(shared, pod)? {
            Report::Prover(report) => Some(report.cpu),
            Report::Worker(_) | Report::Node(_) | Report::Probe(_) | Report::Gateway(_) => None,
        },
        _ => None,
    }
}

fn report_of(shared: &Shared, pod: &Pod) -> Option<Report> {
    received_of(shared, pod).map(|received| received.report)
}

fn received_of(shared: &Shared, pod: &Pod) -> Option<Received> {
    shared.context.hub.report(pod.metadata.uid.as_deref()?)
}

fn is_on(pod: &Pod, node: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
}

fn is_on_or_for(pod: &Pod, node: &str) -> bool {
    is_on(pod, node) || pod.annotations().get(NODE).is_some_and(|name| name == node)
}

/// Whether the node takes part at all.
#[must_use]
pub fn is_ready(node: &Node) -> bool {
    let conditions =
        node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn allocatable(node: &Node) -> Allocatable {
    let amounts = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let amount = |name: &str| {
        amounts.and_then(|amounts| amounts.get(name)).and_then(thousandths).unwrap_or(0)
    };
    Allocatable {
        milli_cpus: u64::try_from(amount("cpu")).unwrap_or(u64::MAX),
        memory_mib: u64::try_from(amount("memory") / 1000 / (1024 * 1024)).unwrap_or(u64::MAX),
    }
}

/// A quantity in thousandths; the suffixes that nodes use.
fn thousandths(quantity: &Quantity) -> Option<u128> {
    let text = quantity.0.as_str();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor: u128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    };
    number.parse::<u128>().ok()?.checked_mul(factor)
}

impl Evidence {
    /// Threads of one core; `None` while nobody told.
    #[must_use]
    pub fn threads_per_core(&self) -> Option<u32> {
        let told = self.facts.as_ref().map(|facts| facts.threads_per_core);
        told.or_else(|| self.cpu.as_ref().map(|cpu| cpu.threads_per_core))
            .filter(|threads| *threads > 0)
    }

    /// Whether, and with how many units, the node serves an offer.
    #[must_use]
    pub fn judge(&self, demand: Demand) -> (Eligibility, u32) {
        let Some(allocatable) = self.allocatable else { return (Eligibility::Unknown, 0) };
        let (Some(threads), Some(cpu)) = (self.threads_per_core(), &self.cpu) else {
            return (if self.is_awaited { Eligibility::Pending } else { Eligibility::Unknown }, 0);
        };
        if threads > 2 {
            return (Eligibility::Ineligible(IneligibleReason::SmtMismatch), 0);
        }
        if demand.isolation == CoreIsolation::Required && !cpu.whole_cores {
            return (Eligibility::Ineligible(policy_fault(cpu)), 0);
        }
        let cores = allocatable.milli_cpus / 1000 / u64::from(threads);
        let by_memory = allocatable.memory_mib / prover_memory(demand.mode);
        let wanted = match demand.units {
            UnitsPerNode::Auto => cores.min(by_memory),
            UnitsPerNode::Exactly(units) => u64::from(units),
        };
        if by_memory < wanted.max(1) {
            return (Eligibility::Ineligible(IneligibleReason::TooLittleMemory), 0);
        }
        if cores < wanted || wanted == 0 {
            return (Eligibility::Ineligible(IneligibleReason::TooFewCores), 0);
        }
        (Eligibility::Eligible, u32::try_from(wanted).unwrap_or(u32::MAX))
    }

    /// The same for the units' condition `NodeEligible`.
    #[must_use]
    pub fn verdict(&self, demand: Demand) -> NodeEvidence {
        let found = match self.judge(demand).0 {
            Eligibility::Eligible => NodeEvidence::Verified,
            Eligibility::Ineligible(reason) => NodeEvidence::Ineligible(reason),
            Eligibility::Pending | Eligibility::Unknown => NodeEvidence::Unknown,
        };
        // What does not fit does not come to fit by growing old.
        let is_final = matches!(found, NodeEvidence::Ineligible(_));
        if self.is_stale && !is_final { NodeEvidence::Stale } else { found }
    }
}

fn policy_fault(cpu: &CpuEvidence) -> IneligibleReason {
    if cpu.cpus == cpu.online {
        IneligibleReason::CpuPolicyNotStatic
    } else {
        IneligibleReason::FullCoresNotEnforced
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn evidence(milli_cpus: u64, memory_mib: u64, whole_cores: bool) -> Evidence {
        let cpu = CpuEvidence {
            cpus: "1".into(),
            online: "0-1".into(),
            whole_cores,
            threads_per_core: 1,
        };
        Evidence {
            allocatable: Some(Allocatable { milli_cpus, memory_mib }),
            facts: Some(NodeFacts { threads_per_core: 1, ..NodeFacts::default() }),
            cpu: Some(cpu),
            ..Evidence::default()
        }
    }

    fn demand(units: UnitsPerNode, isolation: CoreIsolation) -> Demand {
        Demand { units, isolation, mode: ProverMode::Light }
    }

    const AUTO: UnitsPerNode = UnitsPerNode::Auto;
    const REQUIRED: CoreIsolation = CoreIsolation::Required;

    #[rstest]
    #[case::one_core(evidence(1000, 8000, true), demand(AUTO, REQUIRED), (Eligibility::Eligible, 1))]
    #[case::memory_for_two_of_three(evidence(3000, 1300, true), demand(AUTO, REQUIRED), (Eligibility::Eligible, 2))]
    #[case::shared_cores(evidence(1000, 8000, false), demand(AUTO, REQUIRED), (Eligibility::Ineligible(IneligibleReason::FullCoresNotEnforced), 0))]
    #[case::shared_cores_that_are_taken(evidence(2000, 8000, false), demand(AUTO, CoreIsolation::Preferred), (Eligibility::Eligible, 2))]
    #[case::no_memory(evidence(1000, 600, true), demand(AUTO, REQUIRED), (Eligibility::Ineligible(IneligibleReason::TooLittleMemory), 0))]
    #[case::fewer_cores_than_asked(evidence(1000, 8000, true), demand(UnitsPerNode::Exactly(2), REQUIRED), (Eligibility::Ineligible(IneligibleReason::TooFewCores), 0))]
    #[case::nothing_known(Evidence::default(), demand(AUTO, REQUIRED), (Eligibility::Unknown, 0))]
    fn a_node_is(
        #[case] evidence: Evidence,
        #[case] demand: Demand,
        #[case] expected: (Eligibility, u32),
    ) {
        assert_eq!(evidence.judge(demand), expected);
    }

    #[rstest]
    #[case::fresh(evidence(1000, 8000, true), NodeEvidence::Verified)]
    #[case::old(Evidence { is_stale: true, ..evidence(1000, 8000, true) }, NodeEvidence::Stale)]
    #[case::none_for_long(Evidence { is_stale: true, ..Evidence::default() }, NodeEvidence::Stale)]
    #[case::none_yet(Evidence { is_awaited: true, ..Evidence::default() }, NodeEvidence::Unknown)]
    #[case::a_fact_that_does_not_age(Evidence { is_stale: true, ..evidence(1000, 600, true) }, NodeEvidence::Ineligible(IneligibleReason::TooLittleMemory))]
    fn evidence_ages(#[case] evidence: Evidence, #[case] expected: NodeEvidence) {
        assert_eq!(evidence.verdict(demand(AUTO, REQUIRED)), expected);
    }

    #[rstest]
    #[case("2", Some(2000))]
    #[case("1900m", Some(1900))]
    #[case("16Ki", Some(16_384_000))]
    #[case("x", None)]
    fn quantities_are_read(#[case] text: &str, #[case] expected: Option<u128>) {
        assert_eq!(thousandths(&Quantity(text.into())), expected);
    }
}
