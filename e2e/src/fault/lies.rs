//! A node that tells of blocks which nobody else has.

use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use super::{
    Rpc,
    stale::{number, quantity},
};

/// Changes the block in an answer as the fault has it; other answers stay true.
pub(super) fn tell(fault: Rpc, call: &Value, answer: &mut Value) {
    if call["method"] != "eth_getBlockByNumber" || answer["result"].is_null() {
        return;
    }
    let block = &mut answer["result"];
    if let Rpc::Ahead(blocks) = fault
        && call["params"][0] == "latest"
    {
        if let Some(height) = number(&block["number"]) {
            block["number"] = quantity(height + blocks);
        }
        make_up(&mut block["hash"]);
    }
    if fault == Rpc::Forked {
        make_up(&mut block["hash"]);
    }
}

/// Another hash, always the same for the same block.
fn make_up(hash: &mut Value) {
    let true_one: B256 = hash.as_str().and_then(|hash| hash.parse().ok()).unwrap_or_default();
    *hash = json!(keccak256(true_one));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fault: Rpc, asked: &str) -> Value {
        let call = json!({ "method": "eth_getBlockByNumber", "params": [asked, false] });
        let mut answer = json!({ "result": { "number": "0x10", "hash": B256::ZERO } });
        tell(fault, &call, &mut answer);
        answer["result"].take()
    }

    #[test]
    fn one_far_ahead_lies_about_the_newest_block_only() {
        let newest = told(Rpc::Ahead(16), "latest");
        assert_eq!(newest["number"], "0x20");
        assert_ne!(newest["hash"], json!(B256::ZERO));
        assert_eq!(told(Rpc::Ahead(16), "0x10")["hash"], json!(B256::ZERO));
    }

    #[test]
    fn one_of_another_branch_has_other_blocks_at_each_height() {
        let (newest, by_height) = (told(Rpc::Forked, "latest"), told(Rpc::Forked, "0x10"));
        assert_eq!(newest, by_height);
        assert_eq!(newest["number"], "0x10");
        assert_ne!(newest["hash"], json!(B256::ZERO));
    }
}
