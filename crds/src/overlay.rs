//! What an offer says of its workers' way to other clusters.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How members of a deal in other clusters reach ours.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overlay {
    /// Whether the addresses of this cluster's gateways go on chain, into the details of the vCPU resource. Which gateways
    /// there are is operator configuration.
    #[serde(default = "publish_gateways")]
    pub publish_gateways: bool,
}

impl Default for Overlay {
    fn default() -> Self {
        Self { publish_gateways: publish_gateways() }
    }
}

const fn publish_gateways() -> bool {
    true
}
