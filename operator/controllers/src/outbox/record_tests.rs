use coreward_chain::encode::Unsaid;
use rstest::rstest;

use super::*;

fn receipt() -> Receipt {
    Receipt {
        hash: B256::repeat_byte(4),
        block: 77,
        block_hash: B256::repeat_byte(5),
        succeeded: false,
        revert: Some("Compute unit is in deal".into()),
        gas_used: 21_000,
        effective_gas_price: 2_000_000_000,
        accepted_proofs: Some(3),
        refused_proofs: Some(0),
    }
}

fn attempt(purpose: Purpose, byte: u8) -> Attempt {
    Attempt {
        purpose,
        raw: vec![byte; 40].into(),
        hash: B256::repeat_byte(byte),
        max_fee_per_gas: 7,
    }
}

fn entry(state: State) -> Entry {
    let record = Record {
        network: "local".into(),
        address: Address::repeat_byte(0xa1),
        nonce: 12,
        function: "submitProofs".into(),
        why: "proofs found".into(),
        unsaid: Unsaid { epoch: Some(7), ..Unsaid::default() },
        first: attempt(Purpose::Intent, 1),
    };
    let further = vec![attempt(Purpose::HigherFee, 2), attempt(Purpose::Cancel, 3)];
    Entry { record, further, state, version: "5".into() }
}

#[rstest]
#[case::kept(State::Signed)]
#[case::sent(State::Sent)]
#[case::mined(State::Mined(receipt()))]
#[case::done(State::Final(receipt()))]
#[case::cancelled(State::Cancelled(receipt()))]
#[case::replaced(State::Replaced(receipt()))]
#[case::displaced(State::Displaced)]
fn what_is_kept_is_read_back(#[case] state: State) {
    let entry = entry(state);
    let contracts = coreward_chain::Contracts { diamond: Address::ZERO, multicall3: Address::ZERO };
    let mut object = to_object(&entry.record, "coreward-system", contracts);
    object.status = Some(to_status(&entry.further, &entry.state));
    object.metadata.resource_version = Some("5".into());
    let text = serde_json::to_string(&object).unwrap();
    assert_eq!(from_object(&serde_json::from_str(&text).unwrap()), Ok(entry));
}

#[test]
fn an_object_without_status_was_kept_and_perhaps_sent() {
    let entry = entry(State::Signed);
    let contracts = coreward_chain::Contracts { diamond: Address::ZERO, multicall3: Address::ZERO };
    let object = to_object(&entry.record, "coreward-system", contracts);
    assert_eq!(from_object(&object).map(|entry| entry.state), Ok(State::Signed));
}

#[test]
fn a_garbled_field_is_named() {
    let entry = entry(State::Signed);
    let contracts = coreward_chain::Contracts { diamond: Address::ZERO, multicall3: Address::ZERO };
    let mut object = to_object(&entry.record, "coreward-system", contracts);
    object.spec.raw_transaction = "0xzz".into();
    assert_eq!(from_object(&object).map_err(|error| error.field), Err("spec.rawTransaction"));
}
