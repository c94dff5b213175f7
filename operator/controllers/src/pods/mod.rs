//! Unit pods: what they are made of, and what the cluster says of them.

pub mod fact;
pub mod seen;
pub mod template;

pub use fact::{decisive_reason, domain_pod, is_ready, restart_reason};
pub use seen::Pod;
pub use template::{
    ProbeOrder, ProverOrder, Surroundings, WorkerOrder, probe, prover, prover_template, worker,
};
