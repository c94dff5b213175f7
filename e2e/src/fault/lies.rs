//! A node that tells of blocks and logs which nobody else has.

use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use super::{
    Rpc,
    stale::{number, quantity},
};

/// Hex digits of a word, after `0x`.
const WORD: usize = 64;

/// Changes what an answer tells of blocks or of logs, as the fault has it; other answers stay true.
pub(super) fn tell(fault: Rpc, call: &Value, answer: &mut Value) {
    if fault == Rpc::WrongLogs {
        let logs = match call["method"].as_str() {
            Some("eth_getLogs") => &mut answer["result"],
            Some("eth_getTransactionReceipt") if !answer["result"].is_null() => {
                &mut answer["result"]["logs"]
            }
            _ => return,
        };
        if let Some(logs) = logs.as_array_mut() {
            *logs = logs.drain(..).flat_map(with_wrong_ones).collect();
        }
        return;
    }
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

/// A log, and beside it: it once more, the same of another peer, and one of the same peer with another first word, which is the
/// commitment where one is made.
fn with_wrong_ones(log: Value) -> [Value; 4] {
    let (mut of_another, mut of_nothing) = (log.clone(), log.clone());
    if let Some(peer) = of_another["topics"].get_mut(1) {
        make_up(peer);
    }
    let data = log["data"].as_str().unwrap_or_default();
    if let Some((first, rest)) = data.strip_prefix("0x").and_then(|it| it.split_at_checked(WORD)) {
        let mut word = json!(format!("0x{first}"));
        make_up(&mut word);
        of_nothing["data"] = json!(format!("{}{rest}", word.as_str().unwrap_or_default()));
    }
    [log.clone(), log, of_another, of_nothing]
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

    /// The topics and data of logs that a liar shows in such an answer.
    fn logs(method: &str, mut answer: Value, logs: &str) -> Vec<(Value, Value)> {
        tell(Rpc::WrongLogs, &json!({ "method": method, "params": [] }), &mut answer);
        let shown = answer.pointer(logs).and_then(Value::as_array).unwrap();
        shown.iter().map(|log| (log["topics"].clone(), log["data"].clone())).collect()
    }

    #[test]
    fn wrong_logs_stand_beside_the_true_one_in_answers_and_in_receipts() {
        let (event, peer, commitment) = ([1; 32], [2; 32], "33".repeat(32));
        let topics = json!([B256::from(event), B256::from(peer)]);
        let data = json!(format!("0x{commitment}{}", "44".repeat(32)));
        let log = json!({ "topics": topics, "data": data });
        let shown = logs("eth_getLogs", json!({ "result": [log] }), "/result");
        let receipt = json!({ "result": { "logs": [log] } });
        assert_eq!(shown, logs("eth_getTransactionReceipt", receipt, "/result/logs"));
        let [first, again, of_another, of_nothing] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((first, first), (again, &(topics.clone(), data.clone())));
        assert_eq!((&of_another.0[0], &of_another.1), (&topics[0], &data));
        assert_ne!(of_another.0[1], topics[1], "another peer's");
        assert_eq!(of_nothing.0, topics);
        let made_up = of_nothing.1.as_str().unwrap();
        assert_eq!(made_up.len(), data.as_str().unwrap().len());
        assert!(made_up.ends_with(&"44".repeat(32)) && !made_up.contains(&commitment), "{made_up}");
    }

    #[test]
    fn a_receipt_that_is_not_there_yet_stays_away() {
        let call = json!({ "method": "eth_getTransactionReceipt", "params": [] });
        let mut answer = json!({ "result": null });
        tell(Rpc::WrongLogs, &call, &mut answer);
        assert_eq!(answer["result"], Value::Null);
    }

    #[test]
    fn one_of_another_branch_has_other_blocks_at_each_height() {
        let (newest, by_height) = (told(Rpc::Forked, "latest"), told(Rpc::Forked, "0x10"));
        assert_eq!(newest, by_height);
        assert_eq!(newest["number"], "0x10");
        assert_ne!(newest["hash"], json!(B256::ZERO));
    }
}
