//! The people of a story, and how the product gets to know them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Error, Result, cluster};
use crate::{
    bed::{Bed, NAMESPACE},
    chain::{Account, Driver, Node, flt},
    fault::{Faults, THREE},
};

/// What a `ProviderOffer` calls the bed's chain.
pub const NETWORK: &str = "local";
/// How often that network's head is asked for: what is told between comes by the sockets.
const SELDOM_MILLISECONDS: u64 = 5_000;
/// What it calls the same chain behind [`THREE`] endpoints, where the product knows it.
pub const NETWORK_OF_THREE: &str = "three";
/// FLT that each account starts with.
const FUNDS: u64 = 10_000;
/// Blocks on top of one that is final: two, so that waiting for finality is seen but takes no time.
const FINALITY: u64 = 2;
const POLL_MILLISECONDS: u64 = 300;

/// A provider with its two keys, and a developer; two stories never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    index: u8,
    /// Owns offers and is paid.
    pub provider: Account,
    /// Owns peers: proves and activates.
    pub peer_owner: Account,
    /// Owns deals.
    pub developer: Account,
}

impl Party {
    /// `count` parties; the same `seed` gives the same people.
    ///
    /// # Errors
    /// [`Error::Chain`] where a seed gives no key, which does not happen.
    pub fn several(seed: &str, count: u8) -> Result<Vec<Self>> {
        (0..count)
            .map(|index| {
                let account = |role: &str| Account::of(seed, &format!("{role}-{index}"));
                Ok(Self {
                    index,
                    provider: account("provider")?,
                    peer_owner: account("peer")?,
                    developer: account("developer")?,
                })
            })
            .collect()
    }

    /// The name of the provider's key in the operator's configuration.
    #[must_use]
    pub fn provider_signer(&self) -> String {
        format!("provider-{}", self.index)
    }

    /// The name of the peer owner's key in the operator's configuration.
    #[must_use]
    pub fn peer_signer(&self) -> String {
        format!("peer-{}", self.index)
    }

    /// The public name of the provider, on chain and in the configuration.
    #[must_use]
    pub fn provider_name(&self) -> String {
        format!("Example Hosting {}", self.index)
    }

    /// The Helm values that make the product know the bed's chain and these parties.
    #[must_use]
    pub fn values(bed: &Bed, parties: &[Self]) -> Value {
        let contracts = bed.contracts();
        let signer = |name: String, account: &Account, role: &str| {
            json!({
                "name": name, "type": "Secret", "network": NETWORK, "address": account.address,
                "secretName": secret_name(&name), "roles": [role], "allowedNamespaces": [],
            })
        };
        let signers: Vec<Value> = parties
            .iter()
            .flat_map(|party| {
                [
                    signer(party.provider_signer(), &party.provider, "Provider"),
                    signer(party.peer_signer(), &party.peer_owner, "Peer"),
                ]
            })
            .collect();
        let providers: Vec<Value> = parties
            .iter()
            .map(
                |party| json!({ "address": party.provider.address, "name": party.provider_name() }),
            )
            .collect();
        json!({
            "networks": [{
                "name": NETWORK,
                "chainId": 31337,
                "endpoints": [{ "name": "anvil", "url": bed.chain_url() }],
                "contracts": { "diamond": contracts.diamond, "multicall3": contracts.multicall3 },
                "tokens": [{ "symbol": "USDC", "address": contracts.usdc, "decimals": 6 }],
                "finalityBlocks": FINALITY,
                "pollMilliseconds": POLL_MILLISECONDS,
                // The bed's chain has a block each second, whatever happens on it.
                "headStuckSeconds": 20,
                "proverMode": "Light",
                "allowedNamespaces": [],
            }],
            "providers": providers,
            "signers": signers,
        })
    }

    /// Changes such values so that the product knows the chain behind three endpoints too, and this party's keys are for that.
    pub fn go_behind_three(&self, bed: &Bed, values: &mut Value) {
        let mut network = values["networks"][0].clone();
        network["name"] = json!(NETWORK_OF_THREE);
        let control = bed.addresses().control();
        let endpoint = |(name, port): (&str, u16)| {
            let socket = Faults::socket_of(control, port);
            json!({ "name": name, "url": format!("http://{control}:{port}"), "webSocketUrl": socket })
        };
        network["endpoints"] = json!(THREE.map(endpoint));
        network["pollMilliseconds"] = json!(SELDOM_MILLISECONDS);
        if let Some(networks) = values["networks"].as_array_mut() {
            networks.push(network);
        }
        let ours = [self.provider_signer(), self.peer_signer()];
        for signer in values["signers"].as_array_mut().into_iter().flatten() {
            if ours.iter().any(|name| signer["name"] == **name) {
                signer["network"] = json!(NETWORK_OF_THREE);
            }
        }
    }

    /// Puts the parties' keys into the operator's namespace, which is made if needed, and money onto their accounts.
    ///
    /// # Errors
    /// [`Error::Cluster`], [`Error::Chain`].
    pub async fn bring(bed: &Bed, parties: &[Self]) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(bed.client().clone());
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        put(&namespaces, &namespace).await?;
        let secrets: Api<Secret> = Api::namespaced(bed.client().clone(), NAMESPACE);
        let driver = Driver::new(Node::at(&bed.chain_url())?, bed.contracts());
        for party in parties {
            put(&secrets, &secret(&party.provider_signer(), &party.provider)).await?;
            put(&secrets, &secret(&party.peer_signer(), &party.peer_owner)).await?;
            for account in [&party.provider, &party.peer_owner, &party.developer] {
                driver.set_flt(account.address, flt(FUNDS)).await?;
            }
        }
        Ok(())
    }
}

fn secret_name(signer: &str) -> String {
    format!("{signer}-key")
}

fn secret(signer: &str, account: &Account) -> Secret {
    Secret {
        metadata: ObjectMeta { name: Some(secret_name(signer)), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([("privateKey".to_owned(), account.private_key())])),
        ..Secret::default()
    }
}

async fn put<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let name = object.meta().name.clone().unwrap_or_default();
    api.patch(&name, &PatchParams::apply("coreward-e2e").force(), &Patch::Apply(object))
        .await
        .map(drop)
        .map_err(cluster(format!("apply {} {name}", K::kind(&()))))
}
