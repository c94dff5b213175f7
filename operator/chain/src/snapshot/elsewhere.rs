//! What the peers of others, who serve in our deals, publish of their gateways.
//!
//! The details of a peer's vCPU resource are a JSON object with free keys. `gateways` among them is a list of multiaddrs
//! `/ip4/<address>/tcp/<port>/p2p/<key>`, or with `ip6`. Strangers write them: a peer that cannot be read, or writes nonsense,
//! has none, and keeps nobody else from being read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use alloy::primitives::Address;
use coreward_domain::chain::{Peer, ResourceClass};
use coreward_domain::id::PeerId;
use serde::Deserialize;
use serde_json::Value;

use super::UNITS_AT_FIRST;
use super::batch::{Answer, Answers, Batch};
use super::peer::PeerQuestion;

/// Gateways of one peer that are looked at.
const MOST: usize = 8;
/// Bytes of one; a longer text is none.
const LONGEST: usize = 128;
/// Bytes of details; longer ones are not looked into.
const LONGEST_DETAILS: usize = 16 << 10;
/// Units that a peer is taken to have that could not be read: it is asked for in a call of its own from then on, so that what it
/// costs to read is taken from nobody else.
const UNITS_ALONE: u64 = 2_500;

/// What is remembered of these peers from block to block.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    shown: Mutex<BTreeMap<PeerId, Shown>>,
}

#[derive(Clone, Debug)]
struct Shown {
    /// Only to cut batches to size.
    units: u64,
    gateways: Vec<String>,
}

/// The places of their answers.
pub(super) type Questions = Vec<(PeerId, PeerQuestion)>;

impl Elsewhere {
    /// Asks for each of them.
    pub(super) fn ask(
        &self,
        batch: &mut Batch,
        diamond: Address,
        peers: BTreeSet<PeerId>,
    ) -> Questions {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let units = |peer: &PeerId| shown.get(peer).map_or(UNITS_AT_FIRST, |shown| shown.units);
        let ask = |peer| (peer, PeerQuestion::ask(batch, diamond, peer, units(&peer)));
        peers.into_iter().map(ask).collect()
    }

    /// The gateways of those that have some: of one that was not read, those that it had.
    pub(super) fn read(
        &self,
        questions: Questions,
        answers: Option<&Answers>,
    ) -> BTreeMap<PeerId, Vec<String>> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = BTreeMap::new();
        for (id, question) in questions {
            let before = shown.remove(&id);
            let now = match answers.map(|answers| question.read(answers)) {
                Some(Answer::Value(peer)) => {
                    Some(Shown { units: peer.units.len() as u64, gateways: published(&peer) })
                }
                Some(Answer::Refused(_)) => None,
                Some(Answer::Unknown) => Some(Shown {
                    units: UNITS_ALONE,
                    gateways: before.map(|before| before.gateways).unwrap_or_default(),
                }),
                None => before,
            };
            read.extend(now.map(|now| (id, now)));
        }
        (*shown).clone_from(&read);
        let gateways = read.into_iter().map(|(id, shown)| (id, shown.gateways));
        gateways.filter(|(_, gateways)| !gateways.is_empty()).collect()
    }
}

#[derive(Deserialize)]
struct Details {
    gateways: Vec<Value>,
}

/// The gateways in the details of a peer's vCPU; empty if there are none, or the text is not what it should be.
fn published(peer: &Peer) -> Vec<String> {
    let vcpu = peer.resources.values().find(|resource| resource.class == ResourceClass::Vcpu);
    let details =
        vcpu.map(|vcpu| vcpu.details.as_str()).filter(|text| text.len() <= LONGEST_DETAILS);
    let details = details.and_then(|text| serde_json::from_str::<Details>(text).ok());
    let gateways = details.into_iter().flat_map(|details| details.gateways);
    let texts = gateways.filter_map(|gateway| gateway.as_str().map(str::to_owned));
    texts.filter(|gateway| gateway.len() <= LONGEST).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use coreward_domain::chain::PeerResource;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::two(r#"{"model":"EPYC","gateways":["/ip4/1.1.1.1/tcp/4001/p2p/x","b"]}"#, &["/ip4/1.1.1.1/tcp/4001/p2p/x", "b"])]
    #[case::none(r#"{"model":"EPYC"}"#, &[])]
    #[case::empty("{}", &[])]
    #[case::no_text("", &[])]
    #[case::no_list(r#"{"gateways":"/ip4/1.1.1.1"}"#, &[])]
    #[case::not_all_texts(r#"{"gateways":[1,"a",{"b":"c"},null,["d"]]}"#, &["a"])]
    #[case::twice(r#"{"gateways":["a"],"gateways":["b"]}"#, &[])]
    #[case::no_object("[]", &[])]
    #[case::no_json("gateways", &[])]
    #[case::cut_off(r#"{"gateways":["a""#, &[])]
    fn others_write_what_they_like(#[case] details: &str, #[case] expected: &[&str]) {
        assert_eq!(published(&peer(details)), expected);
    }

    #[test]
    fn a_long_list_is_cut_and_a_long_text_is_left_out() {
        let long = "x".repeat(LONGEST + 1);
        let texts: Vec<_> = [long].into_iter().chain((0..100).map(|at| at.to_string())).collect();
        let details = serde_json::json!({ "gateways": texts }).to_string();
        assert_eq!(published(&peer(&details)), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn neither_long_nor_deep_details_are_looked_into() {
        let long = format!(r#"{{"model":"{}","gateways":["a"]}}"#, "x".repeat(LONGEST_DETAILS));
        let deep = format!(r#"{{"gateways":["a",{}1{}]}}"#, "[".repeat(4_000), "]".repeat(4_000));
        for details in [long, deep] {
            assert_eq!(published(&peer(&details)), [""; 0]);
        }
    }

    #[test]
    fn gateways_of_another_resource_are_none() {
        let mut peer = peer("{}");
        let storage = PeerResource {
            class: ResourceClass::Storage,
            details: r#"{"gateways":["a"]}"#.to_owned(),
            available: 1,
            supply: 1,
        };
        peer.resources.insert(B256::with_last_byte(5).into(), storage);
        assert_eq!(published(&peer), [""; 0]);
    }

    fn peer(details: &str) -> Peer {
        let vcpu = PeerResource {
            class: ResourceClass::Vcpu,
            details: details.to_owned(),
            available: 2,
            supply: 2,
        };
        Peer {
            offer: B256::ZERO.into(),
            owner: Address::ZERO,
            commitment: None,
            units: BTreeMap::new(),
            resources: BTreeMap::from([(B256::with_last_byte(1).into(), vcpu)]),
        }
    }
}
