//! Rules between fields that the shape alone does not say.

use std::collections::BTreeSet;

use alloy_primitives::Address;

use super::{Config, LeaseTimes, Network, Problem, Signer, Token};

/// Decimals that any token is known to have, and some; 10 to this power is far below what a word holds.
const MOST_DECIMALS: u8 = 36;
/// Bytes of a provider's public name.
const PROVIDER_NAME: usize = 128;
/// Gateways of one peer that whoever dials looks at.
const MOST_GATEWAYS: u32 = 8;

pub(super) fn check(config: &Config) -> Result<(), Problem> {
    if !config.pods_endpoint.url.starts_with("https://") {
        return Err(Problem::field(
            "podsEndpoint.url",
            "must start with https://; pods send their tokens there",
        ));
    }
    for (field, image) in
        [("images.prover", &config.images.prover), ("images.worker", &config.images.worker)]
    {
        if image.is_empty() {
            return Err(Problem::field(field, "is empty; name an image"));
        }
    }
    unique("networks", "name", config.networks.iter().map(|network| network.name.as_str()))?;
    unique("signers", "name", config.signers.iter().map(|signer| signer.name.as_str()))?;
    for (index, network) in config.networks.iter().enumerate() {
        check_network(&format!("networks[{index}]"), network)?;
    }
    check_providers(config)?;
    for (index, signer) in config.signers.iter().enumerate() {
        check_signer(&format!("signers[{index}]"), signer, config)?;
    }
    for (index, gateway) in config.artifact_gateways.iter().enumerate() {
        check_http(&format!("artifactGateways[{index}]"), gateway)?;
    }
    if config.overlay.gateways > MOST_GATEWAYS {
        let message = format!("must be at most {MOST_GATEWAYS}: others look at no more");
        return Err(Problem::field("overlay.gateways", message));
    }
    check_lease(config.lease)
}

fn check_network(path: &str, network: &Network) -> Result<(), Problem> {
    check_name(&format!("{path}.name"), &network.name)?;
    if network.chain_id == 0 {
        return Err(Problem::field(
            format!("{path}.chainId"),
            "is 0; write the EIP-155 id of the chain",
        ));
    }
    if network.endpoints.is_empty() {
        return Err(Problem::field(
            format!("{path}.endpoints"),
            "is empty; name at least one RPC endpoint",
        ));
    }
    unique(
        &format!("{path}.endpoints"),
        "name",
        network.endpoints.iter().map(|endpoint| endpoint.name.as_str()),
    )?;
    for (index, endpoint) in network.endpoints.iter().enumerate() {
        check_name(&format!("{path}.endpoints[{index}].name"), &endpoint.name)?;
        check_http(&format!("{path}.endpoints[{index}].url"), &endpoint.url)?;
        if let Some(url) = &endpoint.web_socket_url
            && !(url.starts_with("ws://") || url.starts_with("wss://"))
        {
            let path = format!("{path}.endpoints[{index}].webSocketUrl");
            return Err(Problem::field(path, "must start with ws:// or wss://"));
        }
    }
    if network.contracts.diamond == Address::ZERO {
        return Err(Problem::field(format!("{path}.contracts.diamond"), "is the zero address"));
    }
    if network.contracts.multicall3 == Address::ZERO {
        return Err(Problem::field(format!("{path}.contracts.multicall3"), "is the zero address"));
    }
    unique(
        &format!("{path}.tokens"),
        "symbol",
        network.tokens.iter().map(|token| token.symbol.as_str()),
    )?;
    for (index, token) in network.tokens.iter().enumerate() {
        check_token(&format!("{path}.tokens[{index}]"), token)?;
    }
    if network.poll_milliseconds < 50 {
        return Err(Problem::field(
            format!("{path}.pollMilliseconds"),
            "is below 50; the endpoint would refuse us",
        ));
    }
    Ok(())
}

fn check_token(path: &str, token: &Token) -> Result<(), Problem> {
    let is_symbol = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'.';
    let starts_well = token.symbol.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if !starts_well || token.symbol.len() > 16 || !token.symbol.bytes().all(is_symbol) {
        return Err(Problem::field(
            format!("{path}.symbol"),
            format!("`{}` must be a letter and at most 15 letters, digits or dots", token.symbol),
        ));
    }
    if token.address == Address::ZERO {
        return Err(Problem::field(format!("{path}.address"), "is the zero address"));
    }
    if token.decimals > MOST_DECIMALS {
        return Err(Problem::field(
            format!("{path}.decimals"),
            format!("is above {MOST_DECIMALS}; write what the token's own `decimals` says"),
        ));
    }
    Ok(())
}

fn check_providers(config: &Config) -> Result<(), Problem> {
    for (index, provider) in config.providers.iter().enumerate() {
        let path = format!("providers[{index}]");
        if provider.address == Address::ZERO {
            return Err(Problem::field(format!("{path}.address"), "is the zero address"));
        }
        if provider.name.trim().is_empty() || provider.name.len() > PROVIDER_NAME {
            return Err(Problem::field(
                format!("{path}.name"),
                format!("must have 1 to {PROVIDER_NAME} bytes; it goes on chain"),
            ));
        }
    }
    let addresses: Vec<_> =
        config.providers.iter().map(|provider| provider.address.to_string()).collect();
    unique("providers", "address", addresses.iter().map(String::as_str))
}

fn check_signer(path: &str, signer: &Signer, config: &Config) -> Result<(), Problem> {
    check_name(&format!("{path}.name"), &signer.name)?;
    if config.network(&signer.network).is_none() {
        return Err(Problem::field(
            format!("{path}.network"),
            format!("`{}` is none of networks[].name", signer.network),
        ));
    }
    if signer.address == Address::ZERO {
        return Err(Problem::field(
            format!("{path}.address"),
            "is the zero address; write the key's address",
        ));
    }
    if signer.secret_name.is_empty() {
        return Err(Problem::field(
            format!("{path}.secretName"),
            "is empty; name a Secret with the key privateKey",
        ));
    }
    if signer.roles.is_empty() {
        return Err(Problem::field(
            format!("{path}.roles"),
            "is empty; write Provider, Peer or both",
        ));
    }
    Ok(())
}

fn check_lease(times: LeaseTimes) -> Result<(), Problem> {
    let LeaseTimes { duration_milliseconds, renew_milliseconds, deadline_milliseconds } = times;
    if renew_milliseconds == 0 || renew_milliseconds >= deadline_milliseconds {
        return Err(Problem::field(
            "lease.renewMilliseconds",
            "must be above 0 and below lease.deadlineMilliseconds",
        ));
    }
    if deadline_milliseconds >= duration_milliseconds {
        return Err(Problem::field(
            "lease.deadlineMilliseconds",
            "must be below lease.durationMilliseconds",
        ));
    }
    if duration_milliseconds < 1000 {
        return Err(Problem::field("lease.durationMilliseconds", "must be at least 1000"));
    }
    Ok(())
}

fn check_http(path: &str, url: &str) -> Result<(), Problem> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(());
    }
    Err(Problem::field(path, "must start with http:// or https://"))
}

/// Names become parts of object names.
fn check_name(path: &str, name: &str) -> Result<(), Problem> {
    let fits = !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(Problem::field(
        path,
        format!("`{name}` must be 1 to 40 of a-z, 0-9 and -, with no - at the ends"),
    ))
}

fn unique<'a>(list: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(Problem::field(
                format!("{list}[{index}].{key}"),
                format!("`{name}` stands there twice"),
            ));
        }
    }
    Ok(())
}
