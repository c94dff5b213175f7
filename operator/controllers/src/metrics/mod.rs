//! The series that the operator shows, one type per family.
//!
//! Labels are closed enums or names from the configuration; an `offer` is `namespace/name`, a `deal` its address.

mod chain;
mod earning;
mod market;
mod turns;

use prometheus::{IntGauge, IntGaugeVec, Registry};

pub use chain::{ChainMetrics, TransactionMetrics};
pub use earning::{MoneyMetrics, ProofMetrics, ProofResult, RewardSource};
pub use market::{DealMetrics, UnitMetrics};
pub use turns::{Ending, Turns};

/// All of them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// Objects by what a condition of theirs says: kind, offer, type, status and reason.
    pub conditions: IntGaugeVec,
    /// Networks and their clock.
    pub chain: ChainMetrics,
    /// What was signed and sent.
    pub transactions: TransactionMetrics,
    /// Units and commitments.
    pub units: UnitMetrics,
    /// Deals and their workers.
    pub deals: DealMetrics,
    /// Proofs.
    pub proofs: ProofMetrics,
    /// Rewards, collateral, wallets.
    pub money: MoneyMetrics,
    /// Turns of the loops.
    pub turns: Turns,
}

impl Metrics {
    /// Registers every series.
    ///
    /// # Errors
    ///
    /// [`prometheus::Error`] if a name is taken: a mistake in our wiring.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let leader = registered(registry, IntGauge::new("leader", "Whether this replica leads"))?;
        let conditions = registered(
            registry,
            IntGaugeVec::new(
                opts("conditions", "Objects whose condition says so"),
                &["kind", "offer", "type", "status", "reason"],
            ),
        )?;
        Ok(Self {
            leader,
            conditions,
            chain: ChainMetrics::register(registry)?,
            transactions: TransactionMetrics::register(registry)?,
            units: UnitMetrics::register(registry)?,
            deals: DealMetrics::register(registry)?,
            proofs: ProofMetrics::register(registry)?,
            money: MoneyMetrics::register(registry)?,
            turns: Turns::register(registry)?,
        })
    }
}

/// Makes and registers one collector.
fn registered<C>(registry: &Registry, collector: prometheus::Result<C>) -> prometheus::Result<C>
where
    C: prometheus::core::Collector + Clone + 'static,
{
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn opts(name: &str, help: &str) -> prometheus::Opts {
    prometheus::Opts::new(name, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_taken_twice() {
        Metrics::register(&Registry::new()).unwrap();
    }

    #[test]
    fn alerts_read_only_what_is_shown() {
        let registry = Registry::new();
        Metrics::register(&registry).unwrap();
        // A name that is there cannot be registered again.
        let is_shown = |name: &str| {
            registry.register(Box::new(IntGauge::new(name, "another").unwrap())).is_err()
        };
        let rules = include_str!("../../../../charts/coreward/alerts.yaml");
        let group = rules.split("- name: ").find(|group| group.starts_with("coreward-operator"));
        let prefix = format!("{}_", coreward_telemetry::PREFIX);
        let mut read = 0;
        for text in group.unwrap().split(prefix.as_str()).skip(1) {
            let end = text.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            let name = &text[..end.unwrap_or(text.len())];
            assert!(is_shown(name.strip_suffix("_bucket").unwrap_or(name)), "{prefix}{name}");
            read += 1;
        }
        assert!(read > 20, "{read} names were found in the rules");
    }
}
