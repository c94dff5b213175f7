//! Which key may do what, and the one sender of each account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use coreward_chain::outbox::{self as engine, Account, FeePolicy};
use coreward_chain::signer::{self, Permitted};
use coreward_crds::ChainTransaction;
use coreward_domain::call::KeyRole;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Link, Refusal, SignerUse, TransactionJournal};
use crate::clock;
use crate::config::{Config, Signer, SignerRole};
use crate::stores::Mirror;

/// Key of a signer's Secret.
const SECRET_KEY: &str = "privateKey";
/// Longest wait for the API server.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// A key that could not be used is looked for again after this long.
const RETRY: Duration = Duration::from_secs(5);

pub(super) type Sender = engine::Sender<TransactionJournal>;

/// The senders, made when they are first asked for.
pub(super) struct Keys {
    secrets: Api<Secret>,
    client: kube::Client,
    namespace: String,
    config: Arc<Config>,
    links: BTreeMap<String, Link>,
    transactions: Mirror<ChainTransaction>,
    senders: Mutex<BTreeMap<(String, Address), Slot>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keys").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Slot {
    Ready(Arc<Sender>),
    Failed(Refusal, Instant),
}

/// The configured signer, if this use of it is allowed.
pub(super) fn permitted<'a>(
    config: &'a Config,
    using: SignerUse<'_>,
) -> Result<&'a Signer, Refusal> {
    let found = config.signer(using.signer).filter(|signer| signer.network == using.network);
    let signer = found.ok_or_else(|| Refusal::Unknown {
        signer: using.signer.to_owned(),
        network: using.network.to_owned(),
    })?;
    let refused = |why: String| Refusal::NotAllowed { signer: using.signer.to_owned(), why };
    if !signer.allows(using.namespace) {
        return Err(refused(format!(
            "namespace `{}` is not in its allowedNamespaces",
            using.namespace
        )));
    }
    if !signer.roles.iter().any(|role| key_role(*role) == using.role) {
        return Err(refused(format!("{:?} is not in its roles", using.role)));
    }
    Ok(signer)
}

const fn key_role(role: SignerRole) -> KeyRole {
    match role {
        SignerRole::Provider => KeyRole::Provider,
        SignerRole::Peer => KeyRole::Peer,
    }
}

impl Keys {
    pub(super) fn new(
        client: kube::Client,
        namespace: String,
        config: Arc<Config>,
        links: BTreeMap<String, Link>,
        transactions: Mirror<ChainTransaction>,
    ) -> Self {
        let secrets = Api::namespaced(client.clone(), &namespace);
        Self { secrets, client, namespace, config, links, transactions, senders: Mutex::default() }
    }

    /// The one sender of an account; `None` if no signer of the configuration has it.
    pub(super) async fn of_account(
        &self,
        network: &str,
        account: Address,
    ) -> Result<Option<Arc<Sender>>, Refusal> {
        let key = (network.to_owned(), account);
        match self.senders.lock().await.get(&key) {
            Some(Slot::Ready(sender)) => return Ok(Some(Arc::clone(sender))),
            Some(Slot::Failed(refusal, at))
                if clock::now().saturating_duration_since(*at) < RETRY =>
            {
                return Err(refusal.clone());
            }
            Some(Slot::Failed(..)) | None => {}
        }
        let signers: Vec<&Signer> = self
            .config
            .signers
            .iter()
            .filter(|signer| signer.network == network && signer.address == account)
            .collect();
        let (Some(signer), Some(link)) = (signers.first(), self.links.get(network)) else {
            return Ok(None);
        };
        let roles =
            signers.iter().flat_map(|signer| &signer.roles).map(|role| key_role(*role)).collect();
        // Nobody else's key waits for this one.
        let loaded = self.load(signer, roles, link).await;
        let mut senders = self.senders.lock().await;
        if let Some(Slot::Ready(first)) = senders.get(&key) {
            return Ok(Some(Arc::clone(first)));
        }
        match loaded {
            Ok(sender) => {
                let sender = Arc::new(sender);
                senders.insert(key, Slot::Ready(Arc::clone(&sender)));
                Ok(Some(sender))
            }
            Err(refusal) => {
                senders.insert(key, Slot::Failed(refusal.clone(), clock::now()));
                Err(refusal)
            }
        }
    }

    async fn load(
        &self,
        signer: &Signer,
        roles: Vec<KeyRole>,
        link: &Link,
    ) -> Result<Sender, Refusal> {
        let secret = self.read(signer).await?;
        let secret = signer::Secret::new(&secret, signer.address)
            .map_err(|error| refused(signer, &error))?;
        let permitted = Permitted::new(Box::new(secret), roles, link.contracts.diamond);
        let network = self.config.network(&signer.network).ok_or_else(|| Refusal::Unknown {
            signer: signer.name.clone(),
            network: signer.network.clone(),
        })?;
        let account = Account {
            network: network.name.clone(),
            chain_id: network.chain_id,
            contracts: link.contracts,
            finality_blocks: network.finality_blocks,
        };
        let journal = TransactionJournal::new(
            self.client.clone(),
            &self.namespace,
            self.transactions.clone(),
            link.contracts,
        );
        Ok(Sender::new(account, permitted, link.pool.clone(), journal, FeePolicy::default()))
    }

    /// The key's text; by name only, secrets of signers are never listed.
    async fn read(&self, signer: &Signer) -> Result<String, Refusal> {
        let name = &signer.secret_name;
        let unreachable = |why: String| Refusal::Unreachable { signer: signer.name.clone(), why };
        let read = timeout(READ_LIMIT, self.secrets.get_opt(name)).await;
        let read = read.map_err(|_| {
            unreachable(format!("secret `{name}` cannot be read: the API server is silent"))
        })?;
        let read = read.map_err(|error| {
            unreachable(format!(
                "secret `{name}` cannot be read: {}",
                coreward_telemetry::causes(&error)
            ))
        })?;
        let secret = read.ok_or_else(|| unreachable(format!("there is no secret `{name}`")))?;
        let data = secret.data.unwrap_or_default();
        let bytes = data
            .get(SECRET_KEY)
            .ok_or_else(|| unreachable(format!("secret `{name}` has no key `{SECRET_KEY}`")))?;
        String::from_utf8(bytes.0.clone())
            .map_err(|_| unreachable(format!("key `{SECRET_KEY}` of secret `{name}` is not text")))
    }
}

fn refused(signer: &Signer, error: &signer::Error) -> Refusal {
    match error {
        signer::Error::WrongAddress { found, wanted } => Refusal::WrongAddress {
            signer: signer.name.clone(),
            configured: *wanted,
            found: *found,
        },
        signer::Error::Malformed
        | signer::Error::NotAllowed { .. }
        | signer::Error::Unavailable { .. } => {
            Refusal::Unreachable { signer: signer.name.clone(), why: error.to_string() }
        }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
