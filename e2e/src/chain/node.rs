//! One JSON-RPC endpoint, spoken to without any of the product's code.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{
        json_rpc::{RpcRecv, RpcSend},
        types::{Block, Filter, Log, TransactionReceipt, TransactionRequest},
    },
    sol_types::{SolCall, SolEvent},
    transports::{RpcError, TransportErrorKind},
};

use super::{
    error::{Error, Result},
    revert,
};

/// What the settlement of an epoch may add to a call.
const SETTLEMENT_GAS: u64 = 5_000_000;
/// What a block takes.
const BLOCK_GAS: u64 = 30_000_000;

/// How long a transaction of ours may stay unmined; Anvil mines at once or once a second.
const MINED_WITHIN: Duration = Duration::from_secs(15);
/// Pause between two looks for a receipt.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(20);
/// Looks for a receipt before a block is demanded from a node that mines by interval.
const LOOKS_BEFORE_MINING: u32 = 2;

/// The block at which a view is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest block, with its timestamp.
    Latest,
    /// The block that would be mined now; only this one sees an epoch that no block has entered yet.
    Pending,
    /// A block by its number.
    Number(u64),
}

impl At {
    fn tag(self) -> serde_json::Value {
        match self {
            Self::Latest => "latest".into(),
            Self::Pending => "pending".into(),
            Self::Number(number) => format!("{number:#x}").into(),
        }
    }
}

/// A connection to one node; cheap to clone.
#[derive(Debug, Clone)]
pub struct Node {
    url: String,
    provider: DynProvider,
}

impl Node {
    /// Prepares a connection to `url` (http); nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Text`] where `url` is no URL.
    pub fn at(url: &str) -> Result<Self> {
        // The TLS stack asks for a process-wide provider even for plain HTTP; a second install is harmless.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let parsed = url.parse().map_err(|_| Error::Text { what: "URL", text: url.to_owned() })?;
        let provider =
            ProviderBuilder::new().disable_recommended_fillers().connect_http(parsed).erased();
        Ok(Self { url: url.to_owned(), provider })
    }

    /// The endpoint's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Any method by name; `what` completes the sentence "cannot …".
    ///
    /// # Errors
    /// [`Error::Rpc`] with the node's answer.
    pub async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
        what: &str,
    ) -> Result<R> {
        self.provider.raw_request(method.into(), params).await.map_err(|source| rpc(what, source))
    }

    /// Reads a view of the contract at `to`.
    ///
    /// # Errors
    /// [`Error::Reverted`] with the contract's reason, [`Error::Rpc`], [`Error::Undecodable`].
    pub async fn view<C: SolCall>(&self, to: Address, call: &C, at: At) -> Result<C::Return> {
        let what = C::SIGNATURE;
        let request = serde_json::json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self
            .provider
            .raw_request("eth_call".into(), (request, at.tag()))
            .await
            .map_err(|source| refused(what, source))?;
        C::abi_decode_returns(&answer)
            .map_err(|source| Error::Undecodable { what: what.to_owned(), source })
    }

    /// Tries `call` as `from` would send it, at `at`, without sending anything.
    ///
    /// # Errors
    /// As [`Node::view`].
    pub async fn try_call<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: &C,
        at: At,
    ) -> Result<()> {
        let request =
            serde_json::json!({ "from": from, "to": to, "data": Bytes::from(call.abi_encode()) });
        self.provider
            .raw_request::<_, Bytes>("eth_call".into(), (request, at.tag()))
            .await
            .map(drop)
            .map_err(|source| refused(C::SIGNATURE, source))
    }

    /// Sends `call` from an account that the node signs for, and waits until it is mined with success.
    ///
    /// # Errors
    /// [`Error::Reverted`] before or after mining, [`Error::Late`] if it stays unmined.
    pub async fn send<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: &C,
        value: U256,
    ) -> Result<TransactionReceipt> {
        let request = TransactionRequest::default()
            .from(from)
            .to(to)
            .value(value)
            .input(call.abi_encode().into());
        let gas: U256 = self
            .provider
            .raw_request("eth_estimateGas".into(), (request.clone(), "pending"))
            .await
            .map_err(|source| refused(C::SIGNATURE, source))?;
        // A story beside this one may end the epoch before the transaction is mined: the contract then settles what the
        // estimate did not see, which costs some millions.
        let limit = gas.to::<u64>().saturating_add(SETTLEMENT_GAS).min(BLOCK_GAS);
        let hash = self.post(request.gas_limit(limit), C::SIGNATURE).await?;
        self.mined(hash, C::SIGNATURE).await
    }

    /// Sends `call` with a fixed gas limit and no simulation before, so that a revert is mined too.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Late`]; a revert is told by the receipt only.
    pub async fn send_unchecked<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: &C,
        gas: u64,
    ) -> Result<TransactionReceipt> {
        let request = TransactionRequest::default()
            .from(from)
            .to(to)
            .input(call.abi_encode().into())
            .gas_limit(gas);
        let hash = self.post(request, C::SIGNATURE).await?;
        self.receipt(hash, C::SIGNATURE).await
    }

    /// Hands a request to the node, which signs and numbers it; gives its hash.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Reverted`] where the node runs it first.
    pub async fn post(&self, request: TransactionRequest, what: &str) -> Result<B256> {
        self.provider
            .raw_request("eth_sendTransaction".into(), (request,))
            .await
            .map_err(|source| refused(what, source))
    }

    /// Waits for the receipt of `hash`, and fails if it reverted.
    ///
    /// # Errors
    /// [`Error::Reverted`], [`Error::Late`], [`Error::Rpc`].
    pub async fn mined(&self, hash: B256, what: &str) -> Result<TransactionReceipt> {
        let receipt = self.receipt(hash, what).await?;
        if receipt.status() {
            Ok(receipt)
        } else {
            Err(Error::Reverted { what: what.to_owned(), reason: format!("when mined as {hash}") })
        }
    }

    async fn receipt(&self, hash: B256, what: &str) -> Result<TransactionReceipt> {
        let looks =
            u32::try_from(MINED_WITHIN.as_millis() / RECEIPT_INTERVAL.as_millis()).unwrap_or(1);
        for look in 0..looks {
            let receipt: Option<TransactionReceipt> =
                self.request("eth_getTransactionReceipt", (hash,), "read a receipt").await?;
            if let Some(receipt) = receipt {
                return Ok(receipt);
            }
            if look == LOOKS_BEFORE_MINING {
                self.request::<_, serde_json::Value>("evm_mine", (), "mine a block").await?;
            }
            tokio::time::sleep(RECEIPT_INTERVAL).await;
        }
        Err(Error::Late { what: format!("{what} in a block"), limit: MINED_WITHIN })
    }

    /// The number and timestamp (seconds) of the newest block.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn head(&self) -> Result<(u64, u64)> {
        let block = self.block("latest".into(), false).await?;
        Ok((block.header.number, block.header.timestamp))
    }

    pub(crate) async fn block(&self, tag: serde_json::Value, full: bool) -> Result<Block> {
        let what = format!("block {tag}");
        let block: Option<Block> =
            self.request("eth_getBlockByNumber", (tag, full), "read a block").await?;
        block.ok_or(Error::Absent(what))
    }

    /// The balance of `address` in wei at the newest block.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn balance(&self, address: Address) -> Result<U256> {
        self.request("eth_getBalance", (address, "latest"), "read a balance").await
    }

    /// All events of type `E` that `contract` emitted since `from_block`, with their logs.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Undecodable`].
    pub async fn events<E: SolEvent>(
        &self,
        contract: Address,
        from_block: u64,
    ) -> Result<Vec<(E, Log)>> {
        let filter = Filter::new()
            .address(contract)
            .event_signature(E::SIGNATURE_HASH)
            .from_block(from_block);
        let logs: Vec<Log> = self.request("eth_getLogs", (filter,), "read events").await?;
        logs.into_iter().map(|log| Ok((decode::<E>(&log)?, log))).collect()
    }
}

/// The first event of type `E` from `contract` in a receipt.
///
/// # Errors
/// [`Error::Absent`] where there is none.
pub fn event_of<E: SolEvent>(receipt: &TransactionReceipt, contract: Address) -> Result<E> {
    receipt
        .logs()
        .iter()
        .find(|log| log.address() == contract && log.topic0() == Some(&E::SIGNATURE_HASH))
        .map_or_else(
            || Err(Error::Absent(format!("{} in {}", E::SIGNATURE, receipt.transaction_hash))),
            decode,
        )
}

/// All events of type `E` from `contract` in a receipt, in order.
///
/// # Errors
/// [`Error::Undecodable`].
pub fn events_of<E: SolEvent>(receipt: &TransactionReceipt, contract: Address) -> Result<Vec<E>> {
    receipt
        .logs()
        .iter()
        .filter(|log| log.address() == contract && log.topic0() == Some(&E::SIGNATURE_HASH))
        .map(decode)
        .collect()
}

fn decode<E: SolEvent>(log: &Log) -> Result<E> {
    E::decode_log(&log.inner)
        .map(|log| log.data)
        .map_err(|source| Error::Undecodable { what: E::SIGNATURE.to_owned(), source })
}

fn rpc(what: &str, source: RpcError<TransportErrorKind>) -> Error {
    Error::Rpc { what: what.to_owned(), source }
}

/// Tells a revert from every other refusal.
fn refused(what: &str, source: RpcError<TransportErrorKind>) -> Error {
    match source.as_error_resp().map(|answer| (answer.as_revert_data(), answer.message.as_ref())) {
        Some((Some(data), _)) => {
            Error::Reverted { what: what.to_owned(), reason: revert::reason(&data) }
        }
        Some((None, message)) if message.contains("revert") => {
            Error::Reverted { what: what.to_owned(), reason: "no revert data".to_owned() }
        }
        _ => rpc(what, source),
    }
}
