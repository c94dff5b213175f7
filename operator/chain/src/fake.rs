//! A node for tests: answers by method, counts what it is asked, can be away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use alloy::primitives::{Address, B256, address};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{
    ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload,
};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Pool, Timeouts, Unobserved};

/// The account whose transactions there are.
pub(crate) const ACCOUNT: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

/// What a node's answer is made by: method and parameters in, result or error out.
pub(crate) type Answerer = dyn Fn(&str, &Value) -> Result<Value, ErrorPayload> + Send + Sync;

/// A transport whose other end is a function.
#[derive(Clone)]
pub(crate) struct FakeNode {
    answer: Arc<Answerer>,
    /// Methods in the order in which they were asked.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Whether nothing is answered.
    pub(crate) is_away: Arc<Mutex<bool>>,
    /// Whether transactions are taken and no answer follows.
    pub(crate) is_mute: Arc<Mutex<bool>>,
}

impl FakeNode {
    pub(crate) fn new(
        answer: impl Fn(&str, &Value) -> Result<Value, ErrorPayload> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            asked: Arc::default(),
            is_away: Arc::default(),
            is_mute: Arc::default(),
        }
    }

    pub(crate) fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::over(name, RpcClient::new(self.clone(), true))
    }

    pub(crate) fn pool(&self) -> Pool {
        Pool::new(vec![self.endpoint("fake")], Timeouts::default(), Arc::new(Unobserved)).unwrap()
    }

    fn respond(&self, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
        if *self.is_away.lock().unwrap() {
            return Err(TransportErrorKind::custom_str("connection refused"));
        }
        let RequestPacket::Single(request) = packet else { panic!("batches are not used") };
        self.asked.lock().unwrap().push(request.method().to_owned());
        let params = request
            .params()
            .map_or(Value::Null, |params| serde_json::from_str(params.get()).unwrap());
        let payload = match (self.answer)(request.method(), &params) {
            Ok(value) => ResponsePayload::Success(to_raw_value(&value).unwrap()),
            Err(error) => ResponsePayload::Failure(error),
        };
        Ok(ResponsePacket::Single(Response { id: request.id().clone(), payload }))
    }
}

impl tower::Service<RequestPacket> for FakeNode {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let node = self.clone();
        Box::pin(async move {
            let is_order = matches!(&packet, RequestPacket::Single(request) if request.method() == "eth_sendRawTransaction");
            let answer = node.respond(packet);
            if is_order && *node.is_mute.lock().unwrap() {
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}

/// A block as a node tells it.
pub(crate) fn block(number: u64, base_fee: u64) -> Value {
    let zero = B256::ZERO;
    json!({
        "number": format!("0x{number:x}"), "hash": block_hash(number), "parentHash": zero, "sha3Uncles": zero,
        "miner": "0x0000000000000000000000000000000000000000", "stateRoot": zero, "transactionsRoot": zero,
        "receiptsRoot": zero, "logsBloom": format!("0x{}", "00".repeat(256)), "difficulty": "0x0",
        "gasLimit": "0x1c9c380", "gasUsed": "0x0", "timestamp": format!("0x{:x}", 1_000 + number), "extraData": "0x",
        "mixHash": zero, "nonce": "0x0000000000000000", "baseFeePerGas": format!("0x{base_fee:x}"), "size": "0x0",
        "uncles": [], "transactions": [],
    })
}

pub(crate) fn block_hash(number: u64) -> B256 {
    B256::left_padding_from(&number.to_be_bytes())
}

/// What a node says of a call that a contract turned back with this data.
pub(crate) fn reverted(data: &[u8]) -> ErrorPayload {
    let data: Box<RawValue> = to_raw_value(&alloy::hex::encode_prefixed(data)).unwrap();
    ErrorPayload { code: 3, message: "execution reverted".into(), data: Some(data) }
}

/// A node's own refusal.
pub(crate) fn refused(message: &str) -> ErrorPayload {
    ErrorPayload { code: -32000, message: message.to_owned().into(), data: None }
}

/// A transaction as a node tells it.
fn told(raw: &str) -> Value {
    let envelope = crate::node::envelope(&alloy::hex::decode(raw).unwrap().into()).unwrap();
    let mut told = serde_json::to_value(envelope).unwrap();
    told["from"] = json!(ACCOUNT);
    told
}

/// A chain of one account's transactions.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) head: u64,
    pub(crate) base_fee: u64,
    /// The account's nonce by height.
    pub(crate) nonces: BTreeMap<u64, u64>,
    /// Hashes that wait.
    pub(crate) waiting: Vec<B256>,
    /// Height by hash.
    pub(crate) mined: BTreeMap<B256, u64>,
    /// What simulations are refused with.
    pub(crate) refusal: Option<Vec<u8>>,
    /// What sending is refused with.
    pub(crate) send_refusal: Option<&'static str>,
    /// Every transaction ever handed over.
    pub(crate) sent: Vec<String>,
}

impl Ledger {
    /// Answers like a node.
    pub(crate) fn answer(&mut self, method: &str, params: &Value) -> Result<Value, ErrorPayload> {
        match method {
            "eth_getBlockByNumber" if params[1] == true => Ok(self.whole_block(&params[0])),
            "eth_getBlockByNumber" => Ok(block(self.head, self.base_fee)),
            "eth_call" | "eth_estimateGas" => match &self.refusal {
                Some(data) => Err(reverted(data)),
                None if method == "eth_call" => Ok(json!("0x")),
                None => Ok(json!("0x186a0")),
            },
            "eth_getTransactionCount" => {
                Ok(json!(format!("0x{:x}", self.nonce(params[1].as_str().unwrap()))))
            }
            "eth_sendRawTransaction" => self.take(params[0].as_str().unwrap()),
            "eth_getTransactionReceipt" => Ok(self.receipt(params[0].as_str().unwrap())),
            "eth_getTransactionByHash" => {
                let hash: B256 = params[0].as_str().unwrap().parse().unwrap();
                let is_known = self.waiting.contains(&hash) || self.mined.contains_key(&hash);
                Ok(if is_known { json!({ "hash": hash }) } else { Value::Null })
            }
            other => panic!("{other} is not asked"),
        }
    }

    /// A block with the transactions in it.
    fn whole_block(&self, at: &Value) -> Value {
        let height = self.height(at.as_str().unwrap());
        let is_in_it = |raw: &&String| {
            let hash = alloy::primitives::keccak256(alloy::hex::decode(raw).unwrap());
            self.mined.get(&hash) == Some(&height)
        };
        let mut block = block(height, self.base_fee);
        block["transactions"] = self.sent.iter().filter(is_in_it).map(|raw| told(raw)).collect();
        block
    }

    fn height(&self, at: &str) -> u64 {
        match at {
            "latest" | "pending" => self.head,
            number => u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap(),
        }
    }

    fn nonce(&self, at: &str) -> u64 {
        let height = self.height(at);
        self.nonces.range(..=height).next_back().map_or(0, |(_, nonce)| *nonce)
    }

    fn take(&mut self, raw: &str) -> Result<Value, ErrorPayload> {
        if let Some(message) = self.send_refusal {
            return Err(refused(message));
        }
        let bytes = alloy::hex::decode(raw).unwrap();
        let hash = alloy::primitives::keccak256(bytes);
        self.sent.push(raw.to_owned());
        self.waiting.push(hash);
        Ok(json!(hash))
    }

    /// Mines a transaction in a new block.
    pub(crate) fn mine(&mut self, hash: B256) {
        let nonce = self.nonce("latest");
        self.head += 1;
        self.waiting.retain(|waiting| *waiting != hash);
        self.mined.insert(hash, self.head);
        self.nonces.insert(self.head, nonce + 1);
    }

    fn receipt(&self, hash: &str) -> Value {
        let Some(height) = self.mined.get(&hash.parse::<B256>().unwrap()) else {
            return Value::Null;
        };
        json!({
            "transactionHash": hash, "transactionIndex": "0x0", "blockHash": block_hash(*height),
            "blockNumber": format!("0x{height:x}"), "gasUsed": "0x5208", "cumulativeGasUsed": "0x5208",
            "effectiveGasPrice": "0x7", "from": "0x0000000000000000000000000000000000000001",
            "to": "0x0000000000000000000000000000000000000002", "contractAddress": null, "status": "0x1", "type": "0x2",
            "logs": [], "logsBloom": format!("0x{}", "00".repeat(256)),
        })
    }
}
