//! A contract by which a customer rents workers of an offer.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Condition, Egress};

/// Which deal of which network.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "coreward.dev",
    version = "v1alpha1",
    kind = "Deal",
    plural = "deals",
    namespaced,
    derive = "PartialEq",
    status = "DealStatus",
    shortname = "cdl",
    category = "market",
    doc = "A deal on the market that is served by an offer of this namespace. Made by the operator; a customer and the matcher make deals.",
    selectable = ".status.chain.state",
    printcolumn(name = "State", type_ = "string", json_path = ".status.chain.state"),
    printcolumn(name = "Ours", type_ = "integer", json_path = ".status.chain.workers.ours"),
    printcolumn(name = "Want", type_ = "integer", json_path = ".status.chain.workers.target"),
    printcolumn(
        name = "Paid-Until",
        type_ = "integer",
        json_path = ".status.chain.fundedUntilEpoch"
    ),
    printcolumn(name = "Subnet", type_ = "string", json_path = ".status.subnet.summary"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Owner", type_ = "string", json_path = ".status.chain.owner", priority = 1),
    printcolumn(name = "App", type_ = "string", json_path = ".status.chain.appCID", priority = 1),
    printcolumn(
        name = "Revenue",
        type_ = "string",
        json_path = ".status.revenue.summary",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DealSpec {
    /// Name of the network, from the operator's configuration. Fixed.
    #[schemars(schema_with = "crate::schema::name")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("network cannot change"))]
    pub network: String,
    /// The deal's contract; 0x and 40 hex digits. Fixed.
    #[schemars(schema_with = "crate::schema::address")]
    #[x_kube(validation = Rule::new("self.lowerAscii() == oldSelf.lowerAscii()").message("dealAddress cannot change"))]
    pub deal_address: String,
    /// What people decide about it.
    #[serde(default)]
    #[x_kube(validation = Rule::new("!has(self.exit) || (has(self.desiredState) && self.desiredState == 'Exit')").message("exit says how a deal is left: it needs desiredState: Exit").field_path(".exit"))]
    pub policy: DealPolicy,
}

/// What people decide about a deal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DealPolicy {
    /// Serve it, or leave it.
    pub desired_state: DesiredState,
    /// How it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<DealExit>,
    /// Epochs that its workers go on after the last paid one; overrides the offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "grace")]
    pub unpaid_grace_epochs: Option<i64>,
    /// What its workers may reach outside the subnet; narrows the offer, never widens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// How a deal is left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DealExit {
    /// Minutes of chain time that its workers go on after the request.
    #[schemars(schema_with = "notice")]
    pub notice_minutes: i64,
    /// Why, for people.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub reason: String,
}

impl Default for DealExit {
    fn default() -> Self {
        Self { notice_minutes: 60, reason: String::new() }
    }
}

/// Whether a deal is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum DesiredState {
    /// Served.
    #[default]
    Serve,
    /// Left.
    Exit,
}

/// What is known of a deal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealStatus {
    /// Generation of the spec that this tells of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::generation")]
    pub observed_generation: Option<i64>,
    /// What the contract says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<DealChain>,
    /// Namespace of its workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub namespace: Option<String>,
    /// What its workers may do, as it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<AppliedPolicy>,
    /// The exit that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<RequestedExit>,
    /// Our workers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub workers: Vec<DealWorker>,
    /// Its subnet, as our workers see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<DealSubnet>,
    /// What it paid us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revenue: Option<DealRevenue>,
    /// When things happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<DealTimeline>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list")]
    pub conditions: Vec<Condition>,
}

/// What the contract says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealChain {
    /// The contract's word, e.g. `ACTIVE`.
    #[schemars(schema_with = "crate::schema::reason")]
    pub state: String,
    /// The customer.
    #[schemars(schema_with = "crate::schema::address")]
    pub owner: String,
    /// What its workers run.
    #[serde(rename = "appCID")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub app_cid: String,
    /// Decimal tokens per worker and epoch.
    #[schemars(schema_with = "crate::schema::amount")]
    pub price_per_worker_epoch: String,
    /// Last paid epoch; 0 while no worker is activated.
    #[schemars(schema_with = "crate::schema::count")]
    pub funded_until_epoch: i64,
    /// How many workers.
    pub workers: WorkerCounts,
}

/// Workers of a deal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerCounts {
    /// Wanted.
    #[schemars(schema_with = "crate::schema::count")]
    pub target: i64,
    /// Matched, ours and others'.
    #[schemars(schema_with = "crate::schema::count")]
    pub joined: i64,
    /// Matched to this offer.
    #[schemars(schema_with = "crate::schema::count")]
    pub ours: i64,
}

/// What a deal's workers may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedPolicy {
    /// Epochs that they go on unpaid.
    #[schemars(schema_with = "crate::schema::count")]
    pub unpaid_grace_epochs: i64,
    /// What they may reach outside the subnet: None, AllowList or Internet.
    #[schemars(schema_with = "crate::schema::reason")]
    pub egress: String,
}

/// An exit that was asked for; both times are the chain's, in RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestedExit {
    /// When it was seen first.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub asked_at: String,
    /// When the notice is over.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub leaves_at: String,
}

/// One of our workers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealWorker {
    /// Names of the CapacityUnits that it uses.
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub units: Vec<String>,
    /// Its seat, in decimal.
    #[serde(rename = "onchainWorkerID")]
    #[schemars(schema_with = "crate::schema::counter")]
    pub onchain_worker_id: String,
    /// The peer that it lives on, base58.
    #[serde(rename = "peerID")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub peer_id: String,
    /// Whether the contract knows its key.
    pub activated: bool,
    /// Whether its pod answers.
    pub ready: bool,
    /// Where its Service answers inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub url: Option<String>,
    /// Multiaddrs of its overlay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 256)))]
    pub addresses: Vec<String>,
}

/// A subnet as our workers see it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealSubnet {
    /// Activated workers of the deal.
    #[schemars(schema_with = "crate::schema::count")]
    pub expected: i64,
    /// Of those, ours that are ready and others that answered.
    #[schemars(schema_with = "crate::schema::count")]
    pub reachable: i64,
    /// Both in short, e.g. `5/5`.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub summary: String,
}

/// What a deal paid us.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealRevenue {
    /// Symbol.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub token: String,
    /// Claimable now, decimal tokens.
    #[schemars(schema_with = "crate::schema::amount")]
    pub claimable: String,
    /// In short, e.g. `12.30 USDC`.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub summary: String,
}

/// When things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealTimeline {
    /// The first block in which we saw the match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub matched_block: Option<i64>,
    /// From that block being seen to the first of our workers being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub match_to_ready_milliseconds: Option<i64>,
}

fn grace(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": 1000 })
}

fn notice(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": 10080 })
}
