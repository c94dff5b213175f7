//! Peers whose offer is not there, though their identities and pods are: deleted by force, or with its definition. What they
//! work for may be staked, so the minimum of their units is sent, by whichever key of ours owns the peer on chain.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use coreward_domain::chain::Watchlist;
use coreward_domain::id::PeerId;

use crate::chain_watch::NetworkHandle;
use crate::clock;
use crate::config::{Config, Signer, SignerRole};
use crate::context::Context;
use crate::identity::PeerIdentity;
use crate::labels::OfferKey;

/// By this name they are watched on every network: nobody says which one is theirs.
const OWNER: &str = "peers without an offer";

/// Asks every network for them; `watched` are those of the last time.
pub(super) fn watch(context: &Context, watched: &mut BTreeSet<PeerId>) {
    let peers = peers(context);
    if peers == *watched {
        return;
    }
    for peer in peers.difference(watched) {
        tracing::error!(peer.id = %peer, "the offer of a peer is not there: the minimum of its units is proven, a prover that ends is made again, and nothing else is done for it until the offer is applied again");
    }
    for network in context.networks.values() {
        network.watch(OWNER, Watchlist { peers: peers.clone(), ..Watchlist::default() });
    }
    *watched = peers;
}

fn peers(context: &Context) -> BTreeSet<PeerId> {
    let stores = &context.stores;
    let has_no_offer = |key: &OfferKey| stores.offer(key).is_none();
    let secrets = stores.identities.all();
    let orphans = secrets.iter().filter_map(|secret| {
        // Reading one costs the derivation of its key.
        OfferKey::of_labels(secret.as_ref()).filter(has_no_offer)?;
        PeerIdentity::read(secret).filter(|identity| !identity.retired)
    });
    orphans.map(|identity| identity.identity.peer).collect()
}

/// The network that such a peer is registered on, as far as that was read.
pub(super) fn network(context: &Context, peer: PeerId) -> Option<String> {
    let now = clock::now();
    let has_it = |network: &&NetworkHandle| {
        let read = network.last_read(now);
        read.is_some_and(|read| matches!(read.snapshot.peers.get(&peer), Some(Some(_))))
    };
    Some(context.networks.values().find(has_it)?.network().name.clone())
}

/// The signer that may prove for the owner of such a peer.
pub(super) fn signer<'config>(
    config: &'config Config,
    (network, namespace): (&str, &str),
    owner: Address,
) -> Option<&'config str> {
    let may = |signer: &&Signer| {
        signer.network == network
            && signer.address == owner
            && signer.roles.contains(&SignerRole::Peer)
            && signer.allows(namespace)
    };
    Some(config.signers.iter().find(may)?.name.as_str())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const OWNED: Address = Address::repeat_byte(0x55);

    fn config() -> Config {
        let signer = |name: &str, address: Address, roles: &str, namespaces: &str| {
            format!(
                "  - {{ name: {name}, type: Secret, network: local, address: \"{address}\", secretName: {name}, roles: [{roles}], allowedNamespaces: [{namespaces}] }}\n"
            )
        };
        let signers = signer("cold", OWNED, "Provider", "")
            + &signer("others", Address::repeat_byte(0x66), "Peer", "")
            + &signer("hot", OWNED, "Peer", "provider");
        let (diamond, multicall) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let text = format!(
            "images: {{ prover: p, worker: w }}\n\
             podsEndpoint: {{ url: \"https://pods\" }}\n\
             networks:\n  - name: local\n    chainId: 1\n    endpoints: [ {{ name: a, url: \"http://a\" }} ]\n    \
             contracts: {{ diamond: \"{diamond}\", multicall3: \"{multicall}\" }}\n    finalityBlocks: 2\n    pollMilliseconds: 300\n\
             signers:\n{signers}"
        );
        Config::parse(&text).unwrap()
    }

    #[rstest]
    #[case::of_its_owner(("local", "provider"), OWNED, Some("hot"))]
    #[case::of_another_namespace(("local", "elsewhere"), OWNED, None)]
    #[case::of_another_network(("mainnet", "provider"), OWNED, None)]
    #[case::of_a_stranger(("local", "provider"), Address::repeat_byte(0x77), None)]
    fn an_orphan_is_proven_for_by_a_key(
        #[case] place: (&str, &str),
        #[case] owner: Address,
        #[case] signer: Option<&str>,
    ) {
        assert_eq!(super::signer(&config(), place, owner), signer);
    }
}
