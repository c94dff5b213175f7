//! The spec in domain types: names become what the operator's configuration says; every mistake names its field.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use coreward_crds::{self as crds, ProviderOffer};
use coreward_domain::commitment;
use coreward_domain::id::{DatacenterId, OfferId, ResourceId};
use coreward_domain::money;
use coreward_domain::offer::{DatacenterChoice, Deletion, Intake, Wanted, WantedResource};
use coreward_domain::payout;
use kube::ResourceExt;

use crate::config::{Config, Network, SignerRole, Token};
use crate::labels::{ACCEPT_UNKNOWN_UNITS, ORPHAN_CONFIRM};

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
            format!("the operator's configuration has no name for provider {provider}"),
        )
    })?;
    let namespace = offer.namespace().unwrap_or_default();
    let desk = Desk { config, network, namespace: &namespace };
    let owner = desk.signer("spec.provider.signer", &spec.provider.signer, SignerRole::Provider)?;
    if owner != provider {
        let message =
            format!("signer `{}` has the address {owner}, not {provider}", spec.provider.signer);
        return Err(Mistake::of_signer("spec.provider.signer", "WrongAddress", message));
    }
    let token = network.token(&spec.payment_token).ok_or_else(|| {
        let message = format!("network `{}` has no token `{}`", network.name, spec.payment_token);
        Mistake::new("spec.paymentToken", message)
    })?;
    let wanted = Wanted {
        provider,
        provider_name: provider_name.to_owned(),
        adopt: adopt(spec)?,
        accept_unknown_units: offer.annotations().contains_key(ACCEPT_UNKNOWN_UNITS),
        peer_owners: peer_owners(spec, desk)?,
        payment_token: token.address,
        datacenter: datacenter(&spec.datacenter)?,
        prices: prices(spec, token)?,
        resources: resources(spec)?,
        intake: Intake::Open,
        deletion: deletion(offer),
    };
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
            format!("the operator's configuration has no network `{name}`"),
        )
    })?;
    let namespace = offer.namespace().unwrap_or_default();
    if network.allows(&namespace) {
        Ok(network)
    } else {
        Err(Mistake::new(
            "spec.network",
            format!("network `{name}` may not be used from namespace `{namespace}`"),
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
                "the operator's configuration has no signer `{name}` for network `{network}`"
            ));
        };
        if !signer.allows(self.namespace) {
            return refused(format!(
                "signer `{name}` may not be used from namespace `{}`",
                self.namespace
            ));
        }
        if !signer.roles.contains(&role) {
            return refused(format!("signer `{name}` does not have the role {role:?}"));
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

fn address(field: &str, text: &str) -> Result<Address, Mistake> {
    text.parse().map_err(|_| Mistake::new(field, "not 0x and 40 hex digits"))
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
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    const HOT: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    fn config() -> Config {
        Config::parse(&format!(
            concat!(
                "images: {{ prover: p, worker: w }}\n",
                "podsEndpoint: {{ url: 'https://coreward-pods.x.svc:8443' }}\n",
                "networks:\n",
                "  - name: local\n    chainId: 31337\n    endpoints: [ {{ name: a, url: 'http://10.0.0.1:8545' }} ]\n",
                "    contracts: {{ diamond: '{0}', multicall3: '{0}' }}\n",
                "    tokens: [ {{ symbol: USDC, address: '{0}', decimals: 6 }} ]\n",
                "    finalityBlocks: 2\n    pollMilliseconds: 300\n",
                "providers: [ {{ address: '{0}', name: Example }} ]\n",
                "signers:\n",
                "  - {{ name: treasury, type: Secret, network: local, address: '{0}', secretName: t, roles: [Provider] }}\n",
                "  - {{ name: hot, type: Secret, network: local, address: '{1}', secretName: h, roles: [Peer] }}\n",
                "  - {{ name: another, type: Secret, network: local, address: '{1}', secretName: a, roles: [Provider] }}\n",
                "  - {{ name: foreign, type: Secret, network: local, address: '{0}', secretName: f, roles: [Provider], allowedNamespaces: [x] }}\n",
            ),
            ADDRESS, HOT
        ))
        .unwrap()
    }

    fn spec() -> Value {
        json!({
            "network": "local",
            "provider": { "address": ADDRESS, "signer": "treasury" },
            "peers": { "signers": ["hot"] },
            "datacenter": { "countryCode": "DE", "cityCode": "BER", "index": 1 },
            "paymentToken": "USDC",
            "prices": [{ "resource": "1", "price": "0.010" }, { "resource": "3", "price": "0.000002" }],
            "capacity": {
                "nodeSelector": { "matchLabels": { "pool": "compute" } },
                "resources": [{ "resource": "1", "details": { "model": "EPYC" } }, { "resource": "3" }],
            },
        })
    }

    fn offer(change: impl FnOnce(&mut Value)) -> ProviderOffer {
        let mut spec = spec();
        change(&mut spec);
        serde_json::from_value(
            json!({ "metadata": { "name": "fra1", "namespace": "provider" }, "spec": spec }),
        )
        .unwrap()
    }

    #[test]
    fn names_become_what_the_configuration_says() {
        let resolved = resolve(&offer(|_| ()), &config()).unwrap();
        assert_eq!(resolved.wanted.provider_name, "Example");
        assert_eq!(resolved.wanted.peer_owners, vec![HOT.parse::<Address>().unwrap()]);
        assert_eq!(
            resolved.wanted.prices[&ResourceId(B256::with_last_byte(1))],
            U256::from(10_000)
        );
        assert_eq!(resolved.wanted.resources[0].details, r#"{"model":"EPYC"}"#);
        assert_eq!(resolved.wanted.resources[1].details, "{}");
    }

    #[rstest]
    #[case::network("spec.network", |spec: &mut Value| spec["network"] = json!("other"))]
    #[case::provider("spec.provider.address", |spec: &mut Value| spec["provider"]["address"] = json!("0x0000000000000000000000000000000000000001"))]
    #[case::signer("spec.provider.signer", |spec: &mut Value| spec["provider"]["signer"] = json!("nobody"))]
    #[case::another_address("spec.provider.signer", |spec: &mut Value| spec["provider"]["signer"] = json!("another"))]
    #[case::another_namespace("spec.provider.signer", |spec: &mut Value| spec["provider"]["signer"] = json!("foreign"))]
    #[case::another_role("spec.peers.signers[0]", |spec: &mut Value| spec["peers"]["signers"] = json!(["treasury"]))]
    #[case::peer_signer("spec.peers.signers[0]", |spec: &mut Value| spec["peers"]["signers"] = json!(["nobody"]))]
    #[case::token("spec.paymentToken", |spec: &mut Value| spec["paymentToken"] = json!("DAI"))]
    #[case::too_fine("spec.prices[resource=1].price", |spec: &mut Value| spec["prices"][0]["price"] = json!("0.0000001"))]
    #[case::twice("spec.prices[resource=1]", |spec: &mut Value| spec["prices"][1]["resource"] = json!("1"))]
    #[case::payout("spec.payouts.minAmount", |spec: &mut Value| spec["payouts"] = json!({ "everyHours": 1, "minAmount": "0.00000001" }))]
    fn a_mistake_names_its_field(#[case] field: &str, #[case] change: fn(&mut Value)) {
        assert_eq!(resolve(&offer(change), &config()).unwrap_err().field, field);
    }
}
