//! What a sender asks of a node.

use alloy::consensus::TxEnvelope;
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind};
use alloy::providers::Provider;
use alloy::rpc::types::{
    BlockId, Transaction, TransactionInput, TransactionReceipt, TransactionRequest,
};

use serde::de::IgnoredAny;

use crate::encode::Encoded;
use crate::endpoint::{Ask, Error, Pool};

/// What a node did with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It has it, now or before.
    Yes,
    /// The nonce is spent: a receipt of somebody's will tell.
    NonceSpent,
    /// Another attempt with the same nonce pays about as much.
    TooCheap,
}

impl Pool {
    /// Runs a call without sending it; the gas limit that it needs is the answer.
    pub(crate) async fn simulate(&self, from: Address, call: &Encoded) -> Result<u64, Error> {
        let request = request(from, call);
        let pending = BlockId::pending();
        let asked = request.clone();
        self.ask(Ask::Call, async move |node| node.call(asked).block(pending).await).await?;
        self.ask(Ask::Estimate, async move |node| node.estimate_gas(request).block(pending).await)
            .await
    }

    /// Runs a call on the state that a block left behind.
    pub(crate) async fn call_at(
        &self,
        from: Address,
        call: &Encoded,
        block: BlockId,
    ) -> Result<Bytes, Error> {
        let request = request(from, call);
        self.ask(Ask::Call, async move |node| node.call(request).block(block).await).await
    }

    /// Transactions of an account that count at a block: its next nonce there.
    pub(crate) async fn nonce(&self, address: Address, block: BlockId) -> Result<u64, Error> {
        self.ask(Ask::Nonce, async |node| node.get_transaction_count(address).block_id(block).await)
            .await
    }

    /// The receipt of a mined transaction.
    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, Error> {
        self.ask(Ask::Receipt, async |node| node.get_transaction_receipt(hash).await).await
    }

    /// The transactions of a block.
    pub(crate) async fn transactions(&self, block: u64) -> Result<Vec<Transaction>, Error> {
        let found = self
            .ask(Ask::Block, async |node| node.get_block_by_number(block.into()).full().await)
            .await?;
        Ok(found.map(|found| found.transactions.into_transactions_vec()).unwrap_or_default())
    }

    /// Whether the node knows a transaction, mined or waiting.
    pub(crate) async fn knows(&self, hash: B256) -> Result<bool, Error> {
        let found: Option<IgnoredAny> = self
            .ask(Ask::Transaction, async |node| {
                node.client().request(Ask::Transaction.method(), (hash,)).await
            })
            .await?;
        Ok(found.is_some())
    }

    /// Hands a signed transaction over.
    pub(crate) async fn send(&self, raw: &Bytes) -> Result<Taken, Error> {
        let sent = self
            .ask(Ask::Send, async |node| node.send_raw_transaction(raw).await.map(|_| ()))
            .await;
        match sent {
            Ok(()) => Ok(Taken::Yes),
            Err(Error::Refused { message, .. })
                if says(&message, &["already known", "already imported"]) =>
            {
                Ok(Taken::Yes)
            }
            Err(Error::Refused { message, .. })
                if says(&message, &["nonce too low", "nonce is too low"]) =>
            {
                Ok(Taken::NonceSpent)
            }
            Err(Error::Refused { message, .. }) if says(&message, &["underpriced"]) => {
                Ok(Taken::TooCheap)
            }
            Err(error) => Err(error),
        }
    }
}

fn says(message: &str, any: &[&str]) -> bool {
    let message = message.to_ascii_lowercase();
    any.iter().any(|words| message.contains(words))
}

fn request(from: Address, call: &Encoded) -> TransactionRequest {
    TransactionRequest {
        from: Some(from),
        to: Some(TxKind::Call(call.to)),
        value: Some(call.value),
        input: TransactionInput::new(call.input.clone()),
        ..TransactionRequest::default()
    }
}

/// Reads signed bytes.
pub(crate) fn envelope(raw: &Bytes) -> Option<TxEnvelope> {
    TxEnvelope::decode_2718(&mut raw.as_ref()).ok()
}
