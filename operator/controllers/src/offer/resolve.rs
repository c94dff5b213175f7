//! The spec in domain types: names become what the operator's configuration says; every mistake names its field.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use coreward_crds::{self as crds, ProviderOffer};
use coreward_domain::commitment;
use coreward_domain::id::{DatacenterId, OfferId, PeerId, ResourceId};
use coreward_domain::money;
use coreward_domain::offer::{DatacenterChoice, Deletion, Intake, Wanted, WantedResource};
use coreward_domain::payout;
use kube::ResourceExt;

use crate::config::{Config, Network, SignerRole, Token};
use crate::identity;
use crate::labels::{ACCEPT_UNKNOWN_UNITS, ORPHAN_CONFIRM};

/// Choices that a message names.
const LISTED: usize = 12;

/// Seconds of an hour.
const HOUR: u64 = 3600;

/// A spec whose names all mean something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The offer as it is wanted.
    pub wanted: Wanted,
    /// What deals pay in.
    pub token: Token,
    /// Of each peer's commitment.
    pub commitment: commitment::Policy,
    /// When rewards are collected.
    pub payouts: payout::Policy,
}

/// A field of the spec that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Mistake {
    /// Path of the field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// Reason of the condition `SignersAvailable`, if it is about a signer.
    pub signers: Option<&'static str>,
}

impl Mistake {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), signers: None }
    }

    fn of_signer(
        field: impl Into<String>,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), message: message.into(), signers: Some(reason) }
    }
}

/// Reads a spec.
///
/// # Errors
///
/// The first [`Mistake`]; only an edit of the offer, or of the operator's configuration, helps.
pub fn resolve(offer: &ProviderOffer, config: &Config) -> Result<Resolved, Mistake> {
    let spec = &offer.spec;
    let network = network(offer, config)?;
    let provider = address("spec.provider.address", &spec.provider.address)?;
    let provider_name = config.provider_name(provider).ok_or_else(|| {
        Mistake::new(
            "spec.provider.address",
            format!("the operator's configuration has no provider {provider}: add it to providers, with its name"),
        )
    })?;
    let namespace = offer.namespace().unwrap_or_default();
    let desk = Desk { config, network, namespace: &namespace };
    let owner = desk.signer("spec.provider.signer", &spec.provider.signer, SignerRole::Provider)?;
    if owner != provider {
        let message = format!(
            "signer `{}` has the address {owner}, not {provider}: name the signer of that account",
            spec.provider.signer
        );
        return Err(Mistake::of_signer("spec.provider.signer", "WrongAddress", message));
    }
    let token = network.token(&spec.payment_token).ok_or_else(|| {
        let known = names(network.tokens.iter().map(|token| token.symbol.as_str()));
        let message = format!(
            "network `{}` has no token `{}`, but {known}",
            network.name, spec.payment_token
        );
        Mistake::new("spec.paymentToken", message)
    })?;
    let wanted = Wanted {
        provider,
        provider_name: provider_name.to_owned(),
        adopt: adopt(spec)?,
        assignments: assignments(spec)?,
        accept_unknown_units: offer.annotations().contains_key(ACCEPT_UNKNOWN_UNITS),
        peer_owners: peer_owners(spec, desk)?,
        payment_token: token.address,
        datacenter: datacenter(&spec.datacenter)?,
        prices: prices(spec, token)?,
        resources: resources(spec)?,
        spare_nodes: usize::try_from(natural(spec.capacity.spare_nodes)).unwrap_or(usize::MAX),
        intake: Intake::Open,
        deletion: deletion(offer),
    };
    for (index, owner) in spec.intake.deny_owners.iter().enumerate() {
        address(&format!("spec.intake.denyOwners[{index}]"), owner)?;
    }
    let payouts = payout::Policy {
        interval_seconds: natural(spec.payouts.every_hours).saturating_mul(HOUR),
        minimum_pay: amount("spec.payouts.minAmount", &spec.payouts.min_amount, token.decimals)?
            .max(U256::from(1)),
        minimum_reward: U256::from(1),
    };
    Ok(Resolved {
        wanted,
        token: token.clone(),
        commitment: commitment_policy(&spec.commitment),
        payouts,
    })
}

/// The network that an offer names.
///
/// # Errors
///
/// A [`Mistake`] if there is none, or not for this namespace.
pub fn network<'a>(offer: &ProviderOffer, config: &'a Config) -> Result<&'a Network, Mistake> {
    let name = &offer.spec.network;
    let network = config.network(name).ok_or_else(|| {
        Mistake::new(
            "spec.network",
            format!(
                "the operator's configuration has no network `{name}`, but {}",
                names(config.networks.iter().map(|network| network.name.as_str()))
            ),
        )
    })?;
    let namespace = offer.namespace().unwrap_or_default();
    if network.allows(&namespace) {
        Ok(network)
    } else {
        Err(Mistake::new(
            "spec.network",
            format!(
                "network `{name}` may not be used from namespace `{namespace}`: its allowedNamespaces say from which"
            ),
        ))
    }
}

/// Where signers are looked up, and for whom.
#[derive(Clone, Copy, Debug)]
struct Desk<'a> {
    config: &'a Config,
    network: &'a Network,
    namespace: &'a str,
}

impl Desk<'_> {
    /// The account of a signer that this offer may use for this.
    fn signer(self, field: &str, name: &str, role: SignerRole) -> Result<Address, Mistake> {
        let refused = |message| Err(Mistake::of_signer(field, "NotAllowed", message));
        let network = &self.network.name;
        let Some(signer) = self.config.signer(name).filter(|signer| signer.network == *network)
        else {
            return refused(format!(
                "the operator's configuration has no signer `{name}` for network `{network}`: add it to signers, or name another"
            ));
        };
        if !signer.allows(self.namespace) {
            return refused(format!(
                "signer `{name}` may not be used from namespace `{}`: its allowedNamespaces say from which",
                self.namespace
            ));
        }
        if !signer.roles.contains(&role) {
            return refused(format!(
                "signer `{name}` does not have the role {role:?}: its roles say what it is for"
            ));
        }
        Ok(signer.address)
    }
}

fn peer_owners(spec: &crds::ProviderOfferSpec, desk: Desk<'_>) -> Result<Vec<Address>, Mistake> {
    let signers = spec.peers.signers.iter().enumerate();
    let owners: Vec<_> = signers
        .map(|(index, name)| {
            desk.signer(&format!("spec.peers.signers[{index}]"), name, SignerRole::Peer)
        })
        .collect::<Result<_, _>>()?;
    if owners.is_empty() {
        return Err(Mistake::new("spec.peers.signers", "at least one is needed"));
    }
    Ok(owners)
}

fn adopt(spec: &crds::ProviderOfferSpec) -> Result<Option<OfferId>, Mistake> {
    if spec.offer_id.is_empty() {
        return Ok(None);
    }
    let id = spec
        .offer_id
        .parse()
        .map_err(|_| Mistake::new("spec.offerID", "not 0x and 64 hex digits"))?;
    Ok(Some(OfferId(id)))
}

/// Where the peers of an adopted offer live: each peer once, and one on a node.
fn assignments(spec: &crds::ProviderOfferSpec) -> Result<BTreeMap<PeerId, String>, Mistake> {
    let mut assignments: BTreeMap<PeerId, String> = BTreeMap::new();
    for (index, entry) in spec.peers.assignments.iter().enumerate() {
        let field = |name: &str| format!("spec.peers.assignments[{index}].{name}");
        let peer = identity::parsed(&entry.peer_id).ok_or_else(|| {
            let message = format!("`{}` is no id of an ed25519 key: 12D3KooW…", entry.peer_id);
            Mistake::new(field("peerID"), message)
        })?;
        if assignments.values().any(|node| *node == entry.node_name) {
            let message = format!("node {} stands there twice: it has one peer", entry.node_name);
            return Err(Mistake::new(field("nodeName"), message));
        }
        if assignments.insert(peer, entry.node_name.clone()).is_some() {
            return Err(Mistake::new(field("peerID"), "stands there twice"));
        }
    }
    if spec.offer_id.is_empty() && !assignments.is_empty() {
        let message = "say where the peers of an adopted offer live: set spec.offerID to it";
        return Err(Mistake::new("spec.peers.assignments", message));
    }
    Ok(assignments)
}

fn datacenter(place: &crds::Datacenter) -> Result<DatacenterChoice, Mistake> {
    if let Some(id) = &place.id {
        return counter("spec.datacenter.id", id).map(|id| DatacenterChoice::Id(DatacenterId(id)));
    }
    match (&place.country_code, &place.city_code, place.index) {
        (Some(country_code), Some(city_code), Some(index)) => Ok(DatacenterChoice::Place {
            country_code: country_code.clone(),
            city_code: city_code.clone(),
            index: natural(index),
        }),
        _ => Err(Mistake::new(
            "spec.datacenter",
            "needs either id, or countryCode, cityCode and index",
        )),
    }
}

fn prices(
    spec: &crds::ProviderOfferSpec,
    token: &Token,
) -> Result<BTreeMap<ResourceId, U256>, Mistake> {
    let mut prices = BTreeMap::new();
    for entry in &spec.prices {
        let field = format!("spec.prices[resource={}]", entry.resource);
        let resource = ResourceId(counter(&format!("{field}.resource"), &entry.resource)?);
        let price = amount(&format!("{field}.price"), &entry.price, token.decimals)?;
        if price.is_zero() {
            return Err(Mistake::new(format!("{field}.price"), "must be above zero"));
        }
        if prices.insert(resource, price).is_some() {
            return Err(Mistake::new(field, "stands there twice"));
        }
    }
    Ok(prices)
}

fn resources(spec: &crds::ProviderOfferSpec) -> Result<Vec<WantedResource>, Mistake> {
    let one = |entry: &crds::OfferedResource| {
        let field = format!("spec.capacity.resources[resource={}]", entry.resource);
        let details = serde_json::to_string(&entry.details)
            .map_err(|_| Mistake::new(field.clone(), "details"))?;
        Ok(WantedResource {
            resource: ResourceId(counter(&field, &entry.resource)?),
            details,
            quantity: entry.quantity_per_node.map(natural),
        })
    };
    spec.capacity.resources.iter().map(one).collect()
}

/// What deletion means; with `Orphan` only once a human has confirmed it by the offer's own id.
#[must_use]
pub fn deletion(offer: &ProviderOffer) -> Option<Deletion> {
    offer.metadata.deletion_timestamp.as_ref()?;
    let id =
        offer.status.as_ref().and_then(|status| status.offer_id.as_deref()).unwrap_or_default();
    let confirmed =
        offer.annotations().get(ORPHAN_CONFIRM).is_some_and(|said| said.eq_ignore_ascii_case(id));
    match offer.spec.deletion_policy {
        crds::DeletionPolicy::Orphan if confirmed => Some(Deletion::Orphan),
        crds::DeletionPolicy::Withdraw => Some(Deletion::Withdraw),
        crds::DeletionPolicy::Orphan | crds::DeletionPolicy::Block => Some(Deletion::Block),
    }
}

fn commitment_policy(spec: &crds::Commitment) -> commitment::Policy {
    commitment::Policy {
        mode: match spec.mode {
            crds::CommitmentMode::Auto => commitment::Mode::Auto,
            crds::CommitmentMode::Manual => commitment::Mode::Manual,
            crds::CommitmentMode::Off => commitment::Mode::Off,
        },
        duration: natural(spec.duration_epochs),
        collateral: match spec.collateral {
            crds::Collateral::Provider => commitment::Collateral::Provider,
        },
        renewal: match spec.renewal {
            crds::Renewal::Auto => commitment::Renewal::Auto,
            crds::Renewal::Manual => commitment::Renewal::Manual,
        },
        expiry_notice: natural(spec.expiry_notice_epochs),
    }
}

/// An account; letters of both cases must be those of its checksum, so that a slip of the hand is found.
fn address(field: &str, text: &str) -> Result<Address, Mistake> {
    let address: Address =
        text.parse().map_err(|_| Mistake::new(field, "is not 0x and 40 hex digits"))?;
    let digits = text.trim_start_matches("0x");
    let is_mixed = digits.contains(|letter: char| letter.is_ascii_uppercase())
        && digits.contains(|letter: char| letter.is_ascii_lowercase());
    if is_mixed && address.to_checksum(None) != text {
        let message = format!(
            "{text} has a wrong checksum: copy it again, or write it in lower case if it is right"
        );
        return Err(Mistake::new(field, message));
    }
    Ok(address)
}

/// What there is to choose from.
fn names<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.take(LISTED).collect();
    if known.is_empty() { "none at all".to_owned() } else { known.join(", ") }
}

fn counter(field: &str, text: &str) -> Result<B256, Mistake> {
    let number: U256 =
        U256::from_str_radix(text, 10).map_err(|_| Mistake::new(field, "not a number"))?;
    Ok(B256::from(number))
}

fn amount(field: &str, text: &str, decimals: u8) -> Result<U256, Mistake> {
    money::to_base_units(text, decimals).map_err(|error| Mistake::new(field, error.to_string()))
}

/// The schema takes no negative numbers; one that came in all the same counts as none.
fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
