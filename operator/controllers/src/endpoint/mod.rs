//! The pods' endpoint: duties out, proofs and reports in, over TLS, for authenticated pods of ours.

mod caller;
#[cfg(test)]
mod calls_tests;
mod keys;
mod readers;
mod review;
mod routes;
mod serve;
mod signature;
mod slice;
mod token;

pub use caller::{Caller, Component, Doorkeeper, Refusal};
pub use keys::ClusterKeys;
pub use readers::{Readers, guarded};
pub use review::{Opinion, Reviewer};
pub use routes::{Desk, router};
pub use serve::{Error as ListenError, listen, serve};
pub use signature::install as install_token_checks;
pub use slice::{Error as SliceError, SERVICE, claim};
pub use token::{Bearer, Keyring, Rejection};

/// Names that pods may reach the endpoint by.
#[must_use]
pub fn names(namespace: &str) -> Vec<String> {
    vec![
        format!("{SERVICE}.{namespace}.svc"),
        format!("{SERVICE}.{namespace}.svc.cluster.local"),
        format!("{SERVICE}.{namespace}"),
    ]
}
