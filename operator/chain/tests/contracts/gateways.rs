//! What a peer publishes of its gateways, and who reads it.

use std::collections::BTreeMap;

use coreward_domain::call::Call;
use coreward_domain::id::ResourceId;

use crate::market::{DealOrder, committed, deal, matching, new_peer, registered, word};
use crate::world::{DIAMOND, VODOPAD, World};

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn gateways_are_published_while_a_unit_is_rented_and_read_by_the_deals_other_provider() {
    const GATEWAY: &str = "/ip4/203.0.113.7/tcp/4001/p2p/x";
    let (ours, theirs) = (World::new("ours").await, World::new("theirs").await);
    ours.next_epoch().await;
    let (own, foreign) = (new_peer(&ours, "own", 1), new_peer(&theirs, "foreign", 1));
    for (world, peer) in [(&ours, &own), (&theirs, &foreign)] {
        registered(world, vec![peer.clone()]).await;
        committed(world, peer.peer, 20).await;
    }
    let deal = deal(&ours, &DealOrder { workers: 2, ..DealOrder::default() }).await;
    let seats = [(own.peer, own.units[0]), (foreign.peer, foreign.units[0])];
    ours.play(VODOPAD, DIAMOND, &matching(deal, &seats)).await;
    assert_eq!(ours.look().await.gateways, BTreeMap::new());
    let details = format!(r#"{{"gateways":["{GATEWAY}"],"model":"x"}}"#);
    let call = Call::ChangeResourceDetails {
        peer: foreign.peer,
        resource: ResourceId(word(1)),
        details: details.clone(),
    };
    theirs.act(call).await;
    let seen = ours.look().await;
    assert_eq!(seen.gateways, BTreeMap::from([(foreign.peer, vec![GATEWAY.to_owned()])]));
    assert!(!seen.peers.contains_key(&foreign.peer), "it is none of ours");
    let peer = theirs.look().await.peers[&foreign.peer].clone().unwrap();
    assert_eq!(peer.resources[&ResourceId(word(1))].details, details);
}
