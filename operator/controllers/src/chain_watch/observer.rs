//! Counts what endpoints are asked, and remembers the head that each told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use alloy_primitives::B256;
use coreward_chain::endpoint::{Ask, Code, Observer};
use coreward_domain::chain::Head;

use crate::clock;
use crate::metrics::Metrics;

/// The observer of one network's endpoints.
#[derive(Debug)]
pub struct EndpointObserver {
    metrics: Arc<Metrics>,
    heads: Mutex<BTreeMap<String, Told>>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    number: u64,
    hash: B256,
    since: Instant,
}

impl EndpointObserver {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, heads: Mutex::default() }
    }

    /// Whether two endpoints tell different blocks of one height now.
    #[must_use]
    pub fn disagree(&self) -> bool {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_height = BTreeMap::new();
        heads.values().any(|told| *by_height.entry(told.number).or_insert(told.hash) != told.hash)
    }

    /// Shows how long each endpoint's head stands still.
    pub fn show_ages(&self, now: Instant) {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        for (endpoint, told) in heads.iter() {
            let age = now.saturating_duration_since(told.since).as_secs_f64();
            self.metrics.chain.head_age.with_label_values(&[endpoint.as_str()]).set(age);
        }
    }
}

impl Observer for EndpointObserver {
    fn asked(&self, endpoint: &str, _ask: Ask, code: Code) {
        self.metrics.chain.requests.with_label_values(&[endpoint, code.name()]).inc();
    }

    fn head(&self, endpoint: &str, head: &Head) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heads.get(endpoint).filter(|told| told.hash == head.hash);
        if known.is_none() {
            let told = Told { number: head.number, hash: head.hash, since: clock::now() };
            heads.insert(endpoint.to_owned(), told);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn head(number: u64, hash: u8) -> Head {
        Head { number, hash: B256::repeat_byte(hash), timestamp: 0, base_fee: 0 }
    }

    #[rstest::rstest]
    #[case::the_same_block(head(7, 1), head(7, 1), false)]
    #[case::one_is_behind(head(7, 1), head(6, 2), false)]
    #[case::two_blocks_of_one_height(head(7, 1), head(7, 2), true)]
    fn endpoints_disagree_about_one_height_only(
        #[case] one: Head,
        #[case] other: Head,
        #[case] disagree: bool,
    ) {
        let observer =
            EndpointObserver::new(Arc::new(Metrics::register(&Registry::new()).unwrap()));
        observer.head("one", &one);
        observer.head("other", &other);
        assert_eq!(observer.disagree(), disagree);
    }
}
