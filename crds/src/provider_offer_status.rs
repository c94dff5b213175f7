//! What the operator says about an offer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What is known of an offer and what is planned for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderOfferStatus {
    /// Generation of the spec that this tells of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::generation")]
    pub observed_generation: Option<i64>,
    /// The offer on chain.
    #[serde(rename = "offerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::word")]
    pub offer_id: Option<String>,
    /// The chain's epoch when this was written; written at most once per epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub epoch: Option<i64>,
    /// Short texts for the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<OfferSummary>,
    /// Units by what they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<OfferUnits>,
    /// Peers, at most 256; the rest is in `units`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub peers: Vec<PeerStatus>,
    /// Commitments that ended and still hold rewards: the contract's views forget them, the money stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub past_commitments: Vec<PastCommitment>,
    /// Commitments by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitments: Option<CommitmentCounts>,
    /// Money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub economics: Option<Economics>,
    /// Changes of the spec that cannot be made yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub pending_changes: Vec<PendingChange>,
    /// What would be done next; filled while nothing may be signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub plan: Vec<PlannedStep>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list")]
    pub conditions: Vec<Condition>,
}

/// Short texts for the terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferSummary {
    /// The offer's id, abbreviated.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub offer: String,
    /// One line on how it stands.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub text: String,
}

/// Units by what they do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferUnits {
    /// Units on chain.
    #[schemars(schema_with = "crate::schema::count")]
    pub total: i64,
    /// With a prover that hashes.
    #[schemars(schema_with = "crate::schema::count")]
    pub proving: i64,
    /// In a deal.
    #[schemars(schema_with = "crate::schema::count")]
    pub serving: i64,
    /// With neither a commitment nor a deal.
    #[schemars(schema_with = "crate::schema::count")]
    pub spare: i64,
    /// Wanted to run, but not running.
    #[schemars(schema_with = "crate::schema::count")]
    pub blocked: i64,
    /// Whose epoch may be missed.
    #[schemars(schema_with = "crate::schema::count")]
    pub at_risk: i64,
}

/// A peer in short.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The node that it lives on.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub node: String,
    /// Its id, base58.
    #[serde(rename = "peerID")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub peer_id: String,
    /// Its units on chain.
    #[schemars(schema_with = "crate::schema::count")]
    pub units: i64,
    /// Its present commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::word")]
    pub commitment: Option<String>,
    /// State of the commitment, or Unregistered, or Uncommitted.
    #[schemars(schema_with = "crate::schema::reason")]
    pub state: String,
}

/// A commitment that ended with rewards left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastCommitment {
    /// Its id.
    #[schemars(schema_with = "crate::schema::word")]
    pub id: String,
    /// Its peer, base58.
    #[serde(rename = "peerID")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub peer_id: String,
    /// Rewards not withdrawn, decimal FLT.
    #[schemars(schema_with = "crate::schema::amount")]
    pub unclaimed: String,
}

/// Commitments by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitmentCounts {
    /// Working.
    #[schemars(schema_with = "crate::schema::count")]
    pub active: i64,
    /// Waiting for collateral or for their first epoch.
    #[schemars(schema_with = "crate::schema::count")]
    pub pending: i64,
    /// Failed.
    #[schemars(schema_with = "crate::schema::count")]
    pub failed: i64,
    /// The first end of those that work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub next_end_epoch: Option<i64>,
}

/// Money of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Economics {
    /// Staked for its commitments, decimal FLT.
    #[schemars(schema_with = "crate::schema::amount")]
    pub collateral: String,
    /// Staked for units that are at risk, decimal FLT.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "crate::schema::amount")]
    pub at_risk: String,
    /// What was earned and can be or was withdrawn, by token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub earned: Vec<Earned>,
    /// What was withdrawn of the rewards of its present and past commitments, by token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub withdrawn: Vec<Earned>,
    /// What missed epochs have cost of the collateral of its present and past commitments, decimal FLT.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "crate::schema::amount")]
    pub slashed: String,
    /// What the transactions of the offer's signers have cost since midnight UTC, decimal native coins; of those that are kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "crate::schema::amount")]
    pub gas_spent_today: String,
}

/// Earnings in one token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Earned {
    /// Symbol.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub token: String,
    /// Decimal tokens.
    #[schemars(schema_with = "crate::schema::amount")]
    pub total: String,
}

/// A change of the spec that cannot be made yet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// Path of the field.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub field: String,
    /// What stands in its way.
    #[schemars(schema_with = "crate::schema::reason")]
    pub reason: String,
    /// First epoch in which it can be made, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub possible_from_epoch: Option<i64>,
}

/// One step that would be taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// Order of the steps, from 1.
    #[schemars(schema_with = "crate::schema::count")]
    pub seq: i64,
    /// What it does.
    #[schemars(schema_with = "crate::schema::reason")]
    pub action: String,
    /// Function of the contract; none where the step concerns the cluster alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::reason")]
    pub function: Option<String>,
    /// Wei sent along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::whole")]
    pub value_wei: Option<String>,
    /// Why.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub why: String,
}
