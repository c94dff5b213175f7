use alloy::hex;
use alloy::primitives::{Address, B256, U256, address};
use coreward_domain::call::{Call, NewPeer, NewResource, Proof, ResourcePrice};
use coreward_domain::chain::ResourceClass;
use coreward_domain::epoch::Epoch;

use crate::decode::{DecodeError, decode};
use crate::encode::{Encoded, Unsaid, encode};

const DIAMOND: Address = address!("00000000000000000000000000000000000000d1");
const DEAL: Address = address!("00000000000000000000000000000000000000d2");
const TOKEN: Address = address!("00000000000000000000000000000000000000d3");

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn resource() -> NewResource {
    NewResource { resource: word(3).into(), supply: 4096, details: r#"{"model":"x"}"#.to_owned() }
}

fn peers() -> Vec<NewPeer> {
    vec![NewPeer {
        peer: word(1).into(),
        owner: TOKEN,
        resources: vec![resource()],
        units: vec![word(2).into()],
    }]
}

fn proof(byte: u8) -> Proof {
    Proof { unit: word(byte).into(), local_nonce: word(byte + 1), result_hash: word(byte + 2) }
}

fn offer_calls() -> Vec<(&'static str, Call)> {
    let price = ResourcePrice {
        class: ResourceClass::Bandwidth,
        resource: word(4).into(),
        price: U256::from(10),
    };
    let (offer, peer) = (word(9).into(), word(1).into());
    vec![
        ("c685738e", Call::SetProviderInfo { name: "Example".to_owned() }),
        (
            "32788086",
            Call::RegisterOffer {
                payment_token: TOKEN,
                prices: vec![price],
                peers: peers(),
                datacenter: word(5).into(),
            },
        ),
        ("4c75eea8", Call::AddPeers { offer, peers: peers() }),
        (
            "da180c16",
            Call::AddUnits { peer, units: vec![word(2).into(), word(6).into()], vcpu: resource() },
        ),
        ("0affe01f", Call::ChangePrice { offer, resource: word(3).into(), price: U256::from(7) }),
        ("9b0fbffe", Call::SetDatacenter { offer, datacenter: word(5).into() }),
        ("087b97ba", Call::ChangePaymentToken { offer, token: TOKEN }),
        ("3153741a", Call::RegisterPeerResource { peer, resource: resource() }),
        (
            "336afed2",
            Call::ChangeResourceDetails {
                peer,
                resource: word(3).into(),
                details: "{}".to_owned(),
            },
        ),
        ("a5d038df", Call::ChangeResourceSupply { peer, resource: word(3).into(), supply: 12 }),
    ]
}

fn commitment_calls() -> Vec<(&'static str, Call)> {
    let commitment = word(8).into();
    vec![
        (
            "886f0e87",
            Call::CreateCommitment {
                peer: word(1).into(),
                duration: 20,
                delegator: TOKEN,
                delegation_rate: 1,
            },
        ),
        ("d6a1c7f8", Call::RemoveCommitment { commitment }),
        ("3d5f526c", Call::DepositCollateral { commitment, value: U256::from(200) }),
        (
            "64b75e31",
            Call::SubmitProofs {
                peer: word(1).into(),
                epoch: Epoch(7),
                proofs: vec![proof(10), proof(20)],
            },
        ),
        ("474b5809", Call::WithdrawCommitmentRewards { commitment, unlocked: U256::from(5) }),
        ("d3cde344", Call::WithdrawCollateral { commitment }),
        ("8e7af1d1", Call::RemoveUnitsFromCommitment { commitment, units: vec![word(2).into()] }),
        ("ea03ef52", Call::FinishCommitment { commitment }),
    ]
}

fn removal_calls() -> Vec<(&'static str, Call)> {
    let (peer, resource) = (word(1).into(), word(3).into());
    vec![
        ("f4f9f54d", Call::RemoveUnit { unit: word(2).into(), vcpu: resource }),
        ("44a4e395", Call::RemovePeerResource { peer, resource }),
        ("68a22c21", Call::RemovePeer { peer }),
        ("663e7fe0", Call::RemoveOffer { offer: word(9).into() }),
    ]
}

fn deal_calls() -> Vec<(&'static str, Call)> {
    let worker = word(7).into();
    vec![
        ("22ebd58a", Call::ActivateWorker { deal: DEAL, worker, offchain: word(6).into() }),
        ("bc126f1f", Call::RemoveWorker { deal: DEAL, worker }),
        ("7dfb6626", Call::WithdrawDealRewards { deal: DEAL, worker, claimable: U256::from(3) }),
    ]
}

fn all_calls() -> Vec<(&'static str, Call)> {
    [offer_calls(), commitment_calls(), removal_calls(), deal_calls()].concat()
}

#[test]
fn every_call_has_the_selector_of_the_contract() {
    for (selector, call) in all_calls() {
        let encoded = encode(&call, DIAMOND);
        assert_eq!(hex::encode(&encoded.input[..4]), selector, "{}", call.function());
        assert_eq!(encoded.to, call.deal().unwrap_or(DIAMOND));
    }
}

#[test]
fn every_call_reads_back_as_it_was() {
    for (_, call) in all_calls() {
        let read = decode(&encode(&call, DIAMOND), DIAMOND, &Unsaid::of(&call));
        assert_eq!(read, Ok(call));
    }
}

#[test]
fn proofs_without_their_epoch_do_not_read() {
    let (_, call) = commitment_calls().swap_remove(3);
    let read = decode(&encode(&call, DIAMOND), DIAMOND, &Unsaid::default());
    assert_eq!(read, Err(DecodeError::Incomplete { function: "submitProofs" }));
}

#[test]
fn bytes_that_are_no_call_of_ours_do_not_read() {
    for input in [
        hex!("deadbeef").to_vec(),
        Vec::new(),
        hex!("76671808").to_vec(),
        hex!("92163b4b").to_vec(),
    ] {
        let encoded = Encoded { to: DIAMOND, input: input.into(), value: U256::ZERO };
        assert_eq!(
            decode(&encoded, DIAMOND, &Unsaid::default()),
            Err(DecodeError::Foreign { to: DIAMOND })
        );
    }
}
