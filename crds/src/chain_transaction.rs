//! The outbox, made visible: one object for each nonce of an account.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Condition;

/// A transaction as it was signed first. Never changes.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "coreward.dev",
    version = "v1alpha1",
    kind = "ChainTransaction",
    plural = "chaintransactions",
    namespaced,
    derive = "PartialEq",
    status = "ChainTransactionStatus",
    shortname = "ctx",
    category = "market",
    doc = "A transaction of the operator, named after network, account and nonce: the name is the lock on the nonce. Made by the operator.",
    selectable = ".status.state",
    selectable = ".spec.network",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from"),
    printcolumn(name = "Nonce", type_ = "integer", json_path = ".spec.nonce"),
    printcolumn(name = "Function", type_ = "string", json_path = ".spec.function"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Block", type_ = "integer", json_path = ".status.receipt.block"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Hash",
        type_ = "string",
        json_path = ".spec.transactionHash",
        priority = 1
    ),
    printcolumn(name = "Why", type_ = "string", json_path = ".spec.why", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec cannot change: a transaction is signed once"))]
pub struct ChainTransactionSpec {
    /// Name of the network, from the operator's configuration.
    #[schemars(schema_with = "crate::schema::name")]
    pub network: String,
    /// The account that signs.
    #[schemars(schema_with = "crate::schema::address")]
    pub from: String,
    /// The account's nonce.
    #[schemars(schema_with = "crate::schema::count")]
    pub nonce: i64,
    /// Function of the contract.
    #[schemars(schema_with = "crate::schema::reason")]
    pub function: String,
    /// The contract.
    #[schemars(schema_with = "crate::schema::address")]
    pub contract: String,
    /// Its arguments in words.
    #[schemars(schema_with = "crate::schema::text")]
    pub arguments: String,
    /// What it is good for.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub why: String,
    /// Hash of what is asked for, the same whenever the same is asked: finds an earlier try.
    #[schemars(schema_with = "crate::schema::word")]
    pub intent: String,
    /// The signed bytes, hex; at most 128 KiB of payload.
    #[schemars(schema_with = "signed")]
    pub raw_transaction: String,
    /// Hash of the signed bytes.
    #[schemars(schema_with = "crate::schema::word")]
    pub transaction_hash: String,
    /// Gas limit.
    #[schemars(schema_with = "crate::schema::count")]
    pub gas_limit: i64,
    /// Highest fee per gas, wei.
    #[schemars(schema_with = "crate::schema::whole")]
    pub max_fee_per_gas: String,
}

/// Where a transaction stands.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    JsonSchema,
)]
pub enum TransactionState {
    /// Signed and kept, perhaps sent.
    #[default]
    Signed,
    /// An endpoint took it.
    Sent,
    /// In a block that may still go.
    Mined,
    /// In a block that is final.
    Final,
    /// Another intent of ours took the nonce, and is final.
    Replaced,
    /// An empty transfer to ourselves took the nonce, and is final.
    Cancelled,
    /// A transaction that is not ours took the nonce.
    Displaced,
}

/// What became of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainTransactionStatus {
    /// Generation of the spec that this tells of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::generation")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TransactionState>,
    /// Further attempts on the same nonce; each written here before it is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub attempts: Vec<TransactionAttempt>,
    /// The receipt of whichever attempt was mined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<TransactionReceipt>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list")]
    pub conditions: Vec<Condition>,
}

/// What a further attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum AttemptPurpose {
    /// The same, for a higher fee.
    HigherFee,
    /// Another intent in its place.
    OtherIntent,
    /// An empty transfer to ourselves.
    Cancel,
}

/// A further attempt on a nonce.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionAttempt {
    /// What for.
    pub purpose: AttemptPurpose,
    /// The signed bytes, hex.
    #[schemars(schema_with = "signed")]
    pub raw_transaction: String,
    /// Their hash.
    #[schemars(schema_with = "crate::schema::word")]
    pub transaction_hash: String,
    /// Highest fee per gas, wei.
    #[schemars(schema_with = "crate::schema::whole")]
    pub max_fee_per_gas: String,
}

/// How a mined transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum TransactionOutcome {
    /// It did what it was for.
    Succeeded,
    /// The contract refused it.
    Reverted,
}

/// What a block says of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionReceipt {
    /// The attempt that was mined.
    #[schemars(schema_with = "crate::schema::word")]
    pub transaction_hash: String,
    /// The block.
    #[schemars(schema_with = "crate::schema::count")]
    pub block: i64,
    /// Hash of the block.
    #[schemars(schema_with = "crate::schema::word")]
    pub block_hash: String,
    /// How it ended.
    pub outcome: TransactionOutcome,
    /// The contract's own words, if it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::text")]
    pub revert: Option<String>,
    /// Gas used.
    #[schemars(schema_with = "crate::schema::count")]
    pub gas_used: i64,
    /// Wei paid per gas.
    #[schemars(schema_with = "crate::schema::whole")]
    pub effective_gas_price: String,
    /// Proofs that the contract accepted, with `submitProofs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub accepted_proofs: Option<i64>,
    /// Proofs that the contract flagged as refused, with `submitProofs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::count")]
    pub refused_proofs: Option<i64>,
}

fn signed(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^0x[0-9a-fA-F]*$", "maxLength": 262_146 })
}
