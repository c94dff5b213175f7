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
    hash: B256,
    since: Instant,
}

impl EndpointObserver {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, heads: Mutex::default() }
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
            let told = Told { hash: head.hash, since: clock::now() };
            heads.insert(endpoint.to_owned(), told);
        }
    }
}
