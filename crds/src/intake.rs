//! What an offer says of its deals: which are served, and what their workers may do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which deals are served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Intake {
    /// Owners of deals whose workers are given back in the turn that sees the match; 0x and 40 hex digits each.
    #[schemars(schema_with = "crate::schema::addresses")]
    pub deny_owners: Vec<String>,
    /// Epochs that a worker goes on after its deal's last paid one; then it leaves.
    #[schemars(range(min = 0, max = 1000))]
    pub unpaid_grace_epochs: i64,
    /// Epochs after the match within which a worker must answer; else it is given back before anything was billed.
    #[schemars(range(min = 0, max = 1000))]
    pub unready_grace_epochs: i64,
}

impl Default for Intake {
    fn default() -> Self {
        Self { deny_owners: Vec::new(), unpaid_grace_epochs: 1, unready_grace_epochs: 1 }
    }
}

/// What a deal's worker may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Worker {
    /// What it may reach outside its subnet.
    pub egress: Egress,
    /// How many requests an instance of its component answers.
    pub instances: Instances,
    /// Its bounds, besides the cores and the memory that its deal pays for.
    pub limits: WorkerLimits,
}

/// What a worker may reach outside its subnet.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'AllowList') == (has(self.hosts) && size(self.hosts) > 0)").message("hosts are needed with mode AllowList, and only there").field_path(".hosts"))]
pub struct Egress {
    /// None, AllowList (the named hosts) or Internet (any public address).
    #[serde(default)]
    pub mode: EgressMode,
    /// Exact host names; with AllowList only.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::hosts")]
    pub hosts: Vec<String>,
}

/// How far a worker may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum EgressMode {
    /// Nowhere.
    #[default]
    None,
    /// The named hosts.
    AllowList,
    /// Any public address.
    Internet,
}

/// How many requests an instance of a component answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Instances {
    /// One: nothing of one request is there at the next.
    #[default]
    PerRequest,
    /// Several, one after another, where the app allows it too: by `reuse: true` in its `coreward.yaml`; an app that is one
    /// component alone is not asked. It is faster, but what one request leaves in the instance's memory the next one finds.
    /// Deals, versions and components never share one.
    Reused,
}

/// A worker's bounds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerLimits {
    /// Connections open at once on its public port.
    #[schemars(range(min = 1, max = 100_000))]
    pub connections: i64,
    /// Longest request, milliseconds.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub request_milliseconds: i64,
    /// CPU time of one request, milliseconds.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub cpu_milliseconds: i64,
    /// Memory of the instance that answers one request, MiB.
    #[schemars(range(min = 1, max = 65_536))]
    pub instance_mebibytes: i64,
    /// Largest body of a request, bytes.
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub request_bytes: i64,
    /// Largest body of an answer, bytes.
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub answer_bytes: i64,
    /// Largest artifact, bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub artifact_bytes: i64,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            connections: 500,
            request_milliseconds: 30_000,
            cpu_milliseconds: 10_000,
            instance_mebibytes: 512,
            request_bytes: 256 * 1024 * 1024,
            answer_bytes: 256 * 1024 * 1024,
            artifact_bytes: 64 * 1024 * 1024,
        }
    }
}
