//! What was sent, by whom, in which block.

use std::{collections::BTreeMap, fmt::Write as _};

use alloy::primitives::{Address, B256, Bytes};
use serde::Deserialize;

use super::{
    super::{
        abi::{BalanceKeeper, Deal, Diamond, Token},
        error::{Error, Result},
        revert,
    },
    Oracle,
};

/// A mined transaction of one sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its nonce.
    pub nonce: u64,
    /// Its hash.
    pub hash: B256,
    /// The block that holds it.
    pub block: u64,
    /// The called function's name, or the selector in hex where it is none of the market's.
    pub function: String,
    /// Whether it succeeded.
    pub succeeded: bool,
}

#[derive(Deserialize)]
struct RawBlock {
    #[serde(deserialize_with = "quantity")]
    number: u64,
    #[serde(deserialize_with = "quantity")]
    timestamp: u64,
    transactions: Vec<RawTransaction>,
}

#[derive(Deserialize)]
struct RawTransaction {
    hash: B256,
    from: Address,
    to: Option<Address>,
    #[serde(deserialize_with = "quantity")]
    nonce: u64,
    input: Bytes,
}

fn quantity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(serde::de::Error::custom)
}

impl Oracle {
    /// The transactions that `sender` has in blocks since `from_block`, by nonce.
    ///
    /// # Errors
    /// [`Error::Finding`] where a nonce stands twice or one is missing in between; else [`Error::Rpc`].
    pub async fn used_nonces(&self, sender: Address, from_block: u64) -> Result<Vec<Sent>> {
        let mut by_nonce: BTreeMap<u64, Sent> = BTreeMap::new();
        for number in from_block..=self.block_number().await? {
            for transaction in self.raw_block(number).await?.transactions {
                if transaction.from != sender {
                    continue;
                }
                let sent = self.sent(number, &transaction).await?;
                if let Some(other) = by_nonce.insert(sent.nonce, sent) {
                    return Err(Error::Finding(format!(
                        "{sender} used nonce {} in {} and in {}",
                        other.nonce, other.hash, transaction.hash
                    )));
                }
            }
        }
        let sent: Vec<Sent> = by_nonce.into_values().collect();
        match sent.windows(2).find(|pair| pair[0].nonce + 1 != pair[1].nonce) {
            None => Ok(sent),
            Some(pair) => Err(Error::Finding(format!(
                "{sender} has no transaction between nonces {} and {}",
                pair[0].nonce, pair[1].nonce
            ))),
        }
    }

    async fn sent(&self, block: u64, transaction: &RawTransaction) -> Result<Sent> {
        Ok(Sent {
            nonce: transaction.nonce,
            hash: transaction.hash,
            block,
            function: function_name(&transaction.input),
            succeeded: self.outcome(transaction).await?.is_none(),
        })
    }

    /// Why a mined transaction failed; `None` where it did not.
    async fn outcome(&self, transaction: &RawTransaction) -> Result<Option<String>> {
        let what = "read a receipt";
        let receipt: serde_json::Value =
            self.node.request("eth_getTransactionReceipt", (transaction.hash,), what).await?;
        if receipt["status"] == "0x1" {
            return Ok(None);
        }
        let parameters = (
            transaction.hash,
            serde_json::json!({ "disableStorage": true, "disableMemory": true, "disableStack": true }),
        );
        let trace: Result<serde_json::Value> =
            self.node.request("debug_traceTransaction", parameters, "trace a transaction").await;
        let data = trace.ok().and_then(|trace| {
            trace["returnValue"].as_str().and_then(|text| alloy::hex::decode(text).ok())
        });
        Ok(Some(data.map_or_else(|| "reverted".to_owned(), |data| revert::reason(&data))))
    }

    /// The last `count` blocks in words, as evidence when a story fails.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn dump_last_blocks(&self, count: u64) -> Result<String> {
        let head = self.block_number().await?;
        let epoch = self.epoch().await?;
        let mut text =
            format!("block {head}, epoch {}, global nonce {}\n", epoch.number, epoch.global_nonce);
        for number in head.saturating_sub(count.saturating_sub(1))..=head {
            let block = self.raw_block(number).await?;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  block {} at {}", block.number, block.timestamp);
            for it in &block.transactions {
                let outcome = self.outcome(it).await?.unwrap_or_else(|| "ok".to_owned());
                let to = it.to.map_or_else(|| "(creation)".to_owned(), |to| to.to_string());
                let function = function_name(&it.input);
                let _ = writeln!(
                    text,
                    "    {} #{} -> {to} {function}: {outcome} [{}]",
                    it.from, it.nonce, it.hash
                );
            }
        }
        Ok(text)
    }

    async fn raw_block(&self, number: u64) -> Result<RawBlock> {
        let what = "read a block";
        let block: Option<serde_json::Value> =
            self.node.request("eth_getBlockByNumber", (format!("{number:#x}"), true), what).await?;
        let block = block.ok_or_else(|| Error::Absent(format!("block {number}")))?;
        serde_json::from_value(block).map_err(|source| Error::Malformed {
            what: "block",
            path: format!("number {number}").into(),
            source,
        })
    }
}

fn function_name(input: &[u8]) -> String {
    let Some(selector) = input.first_chunk::<4>() else { return "transfer".to_owned() };
    Diamond::DiamondCalls::name_by_selector(*selector)
        .or_else(|| Deal::DealCalls::name_by_selector(*selector))
        .or_else(|| BalanceKeeper::BalanceKeeperCalls::name_by_selector(*selector))
        .or_else(|| Token::TokenCalls::name_by_selector(*selector))
        .map_or_else(|| alloy::hex::encode_prefixed(selector), str::to_owned)
}
