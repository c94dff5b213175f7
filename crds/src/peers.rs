//! The on-chain peers of an offer: who owns them, and where those of an adopted one live.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How peers are owned.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peers {
    /// Names of the signers that own the peers, from the operator's configuration; which one owns a peer follows from the
    /// peer's id. The contract has no way to change the owner of a registered peer.
    #[schemars(schema_with = "crate::schema::signer_names")]
    pub signers: Vec<String>,
    /// Of an offer that is taken over by `offerID`: its peers, and the node that each lives on; one on a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["peerID".into()]))]
    pub assignments: Vec<PeerAssignment>,
}

/// A peer that another tool registered, and where it lives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerAssignment {
    /// The peer, as libp2p writes it: 12D3KooW…
    #[serde(rename = "peerID")]
    #[schemars(schema_with = "peer")]
    pub peer_id: String,
    /// The node's name.
    #[schemars(schema_with = "node_name")]
    pub node_name: String,
}

fn peer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$", "maxLength": 52 })
}

fn node_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253 })
}
