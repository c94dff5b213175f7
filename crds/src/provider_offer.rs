//! What a person writes: capacity to sell, at which price, from which nodes, under which account.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Intake, Overlay, Peers, ProviderOfferStatus, UnitsPerNode, Worker};

/// What is offered on the market.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "coreward.dev",
    version = "v1alpha1",
    kind = "ProviderOffer",
    plural = "provideroffers",
    namespaced,
    derive = "PartialEq",
    status = "ProviderOfferStatus",
    shortname = "poffer",
    category = "market",
    doc = "Capacity of this cluster that is offered on the compute market.",
    selectable = ".spec.network",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name is longer than 40 characters: names of its units start with it"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "Offer", type_ = "string", json_path = ".status.summary.offer"),
    printcolumn(name = "Units", type_ = "integer", json_path = ".status.units.total"),
    printcolumn(name = "Proving", type_ = "integer", json_path = ".status.units.proving"),
    printcolumn(name = "Serving", type_ = "integer", json_path = ".status.units.serving"),
    printcolumn(name = "At-Risk", type_ = "integer", json_path = ".status.units.atRisk"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.summary.text"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider.address", priority = 1),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.managementPolicy", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.offerID) || oldSelf.offerID == '' || (has(self.offerID) && self.offerID.lowerAscii() == oldSelf.offerID.lowerAscii())").message("offerID is set once").field_path(".offerID"),
    validation = Rule::new("!has(self.peers.assignments) || size(self.peers.assignments) == 0 || (has(self.offerID) && self.offerID != '')").message("peers.assignments say where the peers of an adopted offer live: they need offerID").field_path(".peers.assignments"),
    validation = Rule::new("self.deletionPolicy != 'Withdraw' || self.managementPolicy != 'Observe'").message("deletionPolicy Withdraw cannot be combined with managementPolicy Observe").field_path(".deletionPolicy")
)]
pub struct ProviderOfferSpec {
    /// Name of the network, from the operator's configuration. Fixed.
    #[schemars(schema_with = "crate::schema::name")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("network cannot change"))]
    pub network: String,
    /// Manage: do what the spec asks. Observe: write the plan to status and sign nothing but the minimum proofs of what is staked.
    #[serde(default)]
    pub management_policy: ManagementPolicy,
    /// Freezes intent: no transaction follows from the spec; proofs and running workers go on.
    #[serde(default)]
    pub suspend: bool,
    /// What deleting this object means while units are staked. Block: wait until nothing is. Withdraw: leave deals, let
    /// commitments end, collect all rewards, take everything off the chain, then go. Orphan: leave the chain alone.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// An offer that exists on chain and is to be taken over; 0x and 64 hex digits. Empty: one is registered. Set once.
    #[serde(rename = "offerID", default)]
    #[schemars(schema_with = "crate::schema::word_or_empty")]
    pub offer_id: String,
    /// Who owns the offer and is paid.
    pub provider: ProviderAccount,
    /// The on-chain peers, one on each node.
    pub peers: Peers,
    /// Where the nodes stand; must exist on chain.
    pub datacenter: Datacenter,
    /// Symbol of the token that deals pay in, from the operator's configuration.
    #[schemars(schema_with = "symbol")]
    pub payment_token: String,
    /// Prices, one for each kind of resource that is offered.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["resource".into()]))]
    pub prices: Vec<ResourcePrice>,
    /// Which nodes give how much.
    pub capacity: Capacity,
    /// How long the units are pledged, and by whose collateral.
    #[serde(default)]
    pub commitment: Commitment,
    /// How many proofs are sent.
    #[serde(default)]
    pub proofs: Proofs,
    /// Which deals are served, and for how long without pay.
    #[serde(default)]
    pub intake: Intake,
    /// What a deal's worker may do.
    #[serde(default)]
    pub worker: Worker,
    /// How members of a deal in other clusters reach ours.
    #[serde(default)]
    pub overlay: Overlay,
    /// When rewards are collected.
    #[serde(default)]
    pub payouts: Payouts,
    /// Limits of what transactions may cost.
    #[serde(default)]
    pub gas: Gas,
}

/// Whether the operator acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ManagementPolicy {
    /// Plan into status, sign nothing but minimum proofs.
    Observe,
    /// Do what the spec asks.
    #[default]
    Manage,
}

/// What deletion means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Held while anything is staked.
    #[default]
    Block,
    /// Gone once everything of it is off the chain and all money is with the provider.
    Withdraw,
    /// Let go with no transaction; needs the annotation `coreward.dev/orphan-confirm: <offerID>`.
    Orphan,
}

/// The account that owns the offer.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderAccount {
    /// Owner of the offer, receives payments; 0x and 40 hex digits. Fixed.
    #[schemars(schema_with = "crate::schema::address")]
    #[x_kube(validation = Rule::new("self.lowerAscii() == oldSelf.lowerAscii()").message("provider.address cannot change"))]
    pub address: String,
    /// Name of its signer, from the operator's configuration.
    #[schemars(schema_with = "crate::schema::name")]
    pub signer: String,
}

/// A datacenter by its place, or by its id on chain.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.id) != (has(self.countryCode) && has(self.cityCode) && has(self.index))").message("datacenter needs either id, or countryCode, cityCode and index"),
    validation = Rule::new("!has(self.id) || !(has(self.countryCode) || has(self.cityCode) || has(self.index))").message("datacenter.id cannot be combined with a place").field_path(".id")
)]
pub struct Datacenter {
    /// ISO 3166 code of the country, e.g. DE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "country")]
    pub country_code: Option<String>,
    /// Code of the city, e.g. BER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "city")]
    pub city_code: Option<String>,
    /// Number of the datacenter within the city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub index: Option<i64>,
    /// Id on chain, in decimal, instead of the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::counter")]
    pub id: Option<String>,
}

/// The price of one kind of resource.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourcePrice {
    /// Id of the resource on chain, in decimal.
    #[schemars(schema_with = "crate::schema::counter")]
    pub resource: String,
    /// Tokens per unit of quantity (thread, MiB, address, Mbit/s) and epoch; a decimal above zero.
    #[schemars(schema_with = "crate::schema::amount")]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("price must be above zero"))]
    pub price: String,
}

/// Which nodes give how much.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// The nodes of this offer.
    pub node_selector: NodeSelector,
    /// Units of each node: Auto (one for each whole core that it can give exclusively) or a number.
    #[serde(default)]
    pub units_per_node: UnitsPerNode,
    /// Nodes that get no peer and are kept free.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16))]
    pub spare_nodes: i64,
    /// Whether a node must give its cores exclusively. Required: it gets units only after a probe showed that it does.
    /// Preferred: a node that shares its cores gets units as well.
    #[serde(default)]
    pub core_isolation: CoreIsolation,
    /// What each peer declares. Quantities of vCPU (2 per unit) and RAM (4096 MiB per unit) follow from the units.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["resource".into()]))]
    pub resources: Vec<OfferedResource>,
}

/// Which nodes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("size(self.matchLabels) > 0").message("nodeSelector.matchLabels is empty; name the nodes").field_path(".matchLabels"),
    validation = Rule::new("self.matchLabels.all(key, !format.qualifiedName().validate(key).hasValue())").message("nodeSelector.matchLabels has a key that no label can have; write it as example.com/pool").field_path(".matchLabels")
)]
pub struct NodeSelector {
    /// Labels that a node must carry, all of them.
    #[schemars(schema_with = "crate::schema::labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// How strictly cores must be exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum CoreIsolation {
    /// Only nodes with a static CPU manager and whole cores.
    #[default]
    Required,
    /// Also nodes that share their cores.
    Preferred,
}

/// A resource that each peer declares.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.details) || self.details.all(key, size(key) >= 1 && size(key) <= 63)").message("details has a key of more than 63 characters, or an empty one").field_path(".details"))]
pub struct OfferedResource {
    /// Id of the resource on chain, in decimal.
    #[schemars(schema_with = "crate::schema::counter")]
    pub resource: String,
    /// Quantity of each node, in the resource's unit; only for what does not follow from the units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub quantity_per_node: Option<i64>,
    /// Words about it that go on chain, e.g. the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::details")]
    pub details: BTreeMap<String, String>,
}

/// How the units are pledged.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.durationEpochs > self.expiryNoticeEpochs").message("durationEpochs must be greater than expiryNoticeEpochs").field_path(".durationEpochs"))]
pub struct Commitment {
    /// Auto: commitments are made and renewed. Manual: reported only. Off: none are wanted.
    #[serde(default)]
    pub mode: CommitmentMode,
    /// Working epochs of a commitment.
    #[serde(default = "duration_epochs")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub duration_epochs: i64,
    /// Who stakes.
    #[serde(default)]
    pub collateral: Collateral,
    /// Whether a commitment that ended is followed by another; there is a gap of at least the end epoch.
    #[serde(default)]
    pub renewal: Renewal,
    /// How many epochs before its end a commitment is reported as expiring.
    #[serde(default = "expiry_notice_epochs")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub expiry_notice_epochs: i64,
}

impl Default for Commitment {
    fn default() -> Self {
        Self {
            mode: CommitmentMode::Auto,
            duration_epochs: duration_epochs(),
            collateral: Collateral::Provider,
            renewal: Renewal::Auto,
            expiry_notice_epochs: expiry_notice_epochs(),
        }
    }
}

const fn duration_epochs() -> i64 {
    365
}

const fn expiry_notice_epochs() -> i64 {
    14
}

/// Whether commitments are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum CommitmentMode {
    /// Made and renewed.
    #[default]
    Auto,
    /// Reported only.
    Manual,
    /// Not wanted: the units wait for deals that list this provider.
    Off,
}

/// Who stakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Collateral {
    /// The provider itself, at the smallest rate.
    #[default]
    Provider,
}

/// What follows a commitment that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Renewal {
    /// Another one.
    #[default]
    Auto,
    /// Nothing.
    Manual,
}

/// How many proofs are sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Proofs {
    /// Auto: the minimum first, more while the reward is worth the gas. Minimum: no more than needed. Maximum: all that count.
    pub target: ProofTarget,
    /// With Auto: how many percent the reward of a further proof must exceed its gas.
    #[schemars(range(min = 0, max = 1000))]
    pub safety_margin_percent: i64,
}

impl Default for Proofs {
    fn default() -> Self {
        Self { target: ProofTarget::Auto, safety_margin_percent: 25 }
    }
}

/// How many proofs of a unit and epoch are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ProofTarget {
    /// The minimum, and more while it pays.
    #[default]
    Auto,
    /// The contract's minimum.
    Minimum,
    /// The contract's maximum.
    Maximum,
}

/// When rewards are collected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Payouts {
    /// Least hours of chain time between two collections of the same kind.
    #[schemars(range(min = 0, max = 8760))]
    pub every_hours: i64,
    /// Smaller amounts of the payment token wait; decimal tokens.
    #[schemars(schema_with = "crate::schema::amount")]
    pub min_amount: String,
}

impl Default for Payouts {
    fn default() -> Self {
        Self { every_hours: 24, min_amount: "0".to_owned() }
    }
}

/// Limits of what transactions may cost.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gas {
    /// Highest fee per gas, gwei; a decimal above zero of at most 9 places. Never holds back minimum proofs or leaving a deal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "gwei")]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("maxFeeGwei must be above zero; leave it out for no limit"))]
    pub max_fee_gwei: Option<String>,
    /// Most that the transactions of this offer's signers may cost from midnight to midnight UTC, decimal native coins. Past it
    /// nothing is sent until midnight but minimum proofs and what leaves a deal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::amount")]
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("dailyBudget must be above zero; leave it out for no limit"))]
    pub daily_budget: Option<String>,
}

fn symbol(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9.]*$", "maxLength": 16 })
}

fn country(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Z]{2}$", "maxLength": 2 })
}

fn city(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Z]{2,8}$", "maxLength": 8 })
}

fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 1, "maximum": 1_000_000_000_000_i64 })
}

fn gwei(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{1,20}([.][0-9]{1,9})?$", "maxLength": 30 })
}
