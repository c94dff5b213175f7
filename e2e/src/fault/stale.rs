//! A node that stands at a height: what is asked of the newest block is asked of that one, and what is newer is not there.

use serde_json::{Value, json};

/// Changes a call so that it asks about `height` where it asks about the newest block or the pending one.
pub(super) fn turn_back(call: &mut Value, height: u64) {
    let Some(method) = call["method"].as_str() else { return };
    let place = match method {
        "eth_getBlockByNumber" | "eth_getBlockTransactionCountByNumber" => 0,
        "eth_call"
        | "eth_estimateGas"
        | "eth_getBalance"
        | "eth_getCode"
        | "eth_getTransactionCount"
        | "eth_feeHistory" => 1,
        "eth_getStorageAt" | "eth_getProof" => 2,
        "eth_getLogs" => {
            let to = &mut call["params"][0]["toBlock"];
            if is_newest(to) {
                *to = quantity(height);
            }
            return;
        }
        _ => return,
    };
    let Some(params) = call["params"].as_array_mut() else { return };
    if params.len() == place {
        params.push(quantity(height));
    } else if let Some(block) = params.get_mut(place).filter(|block| is_newest(block)) {
        *block = quantity(height);
    }
}

/// Takes out of an answer what is newer than `height`.
pub(super) fn forget_newer(method: &str, answer: &mut Value, height: u64) {
    let result = &mut answer["result"];
    let at = match method {
        "eth_blockNumber" => {
            *result = quantity(height);
            return;
        }
        "eth_getBlockByNumber" | "eth_getBlockByHash" => &result["number"],
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => &result["blockNumber"],
        _ => return,
    };
    if number(at).is_some_and(|at| at > height) {
        *result = Value::Null;
    }
}

/// A tag that moves with the chain; an absent one means the newest block.
fn is_newest(block: &Value) -> bool {
    block.is_null() || matches!(block.as_str(), Some("latest" | "pending" | "safe" | "finalized"))
}

pub(super) fn quantity(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

pub(super) fn number(quantity: &Value) -> Option<u64> {
    u64::from_str_radix(quantity.as_str()?.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(method: &str, params: &Value) -> Value {
        let mut call = json!({ "id": 1, "method": method, "params": params });
        turn_back(&mut call, 16);
        call["params"].take()
    }

    #[test]
    fn the_newest_block_is_the_one_at_the_height() {
        let nonce = turned("eth_getTransactionCount", &json!(["0xab", "pending"]));
        assert_eq!(nonce, json!(["0xab", "0x10"]));
        assert_eq!(
            turned("eth_getBlockByNumber", &json!(["latest", false])),
            json!(["0x10", false])
        );
        assert_eq!(turned("eth_call", &json!([{}])), json!([{}, "0x10"]));
        assert_eq!(turned("eth_getLogs", &json!([{}])), json!([{ "toBlock": "0x10" }]));
    }

    #[test]
    fn a_block_by_its_name_stays() {
        let by_hash = json!([{}, { "blockHash": "0x01" }]);
        assert_eq!(turned("eth_call", &by_hash), by_hash);
        assert_eq!(turned("eth_getBlockByNumber", &json!(["0x9", false])), json!(["0x9", false]));
    }

    #[test]
    fn what_is_newer_is_not_there() {
        let mut receipt = json!({ "result": { "blockNumber": "0x11" } });
        forget_newer("eth_getTransactionReceipt", &mut receipt, 16);
        assert_eq!(receipt, json!({ "result": null }));
        let mut block = json!({ "result": { "number": "0x10" } });
        forget_newer("eth_getBlockByNumber", &mut block, 16);
        assert_eq!(block["result"]["number"], "0x10");
    }
}
