//! Everybody on the chain, with keys of their own for each test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use alloy::primitives::{Address, B256, Bytes, address, keccak256};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::{BlockId, TransactionReceipt, TransactionRequest};
use alloy::sol_types::SolCall;
use coreward_chain::Contracts;
use coreward_chain::effect::Effect;
use coreward_chain::endpoint::{Ask, Code, Endpoint, Observer, Pool, Timeouts};
use coreward_chain::outbox::{
    Account, Change, Error, FeePolicy, Order, Sender, State, Submitted, Tick,
};
use coreward_chain::revert::Revert;
use coreward_chain::signer::{Permitted, Secret};
use coreward_chain::snapshot::Reader;
use coreward_domain::call::{Call, KeyRole};
use coreward_domain::chain::{Head, Snapshot, Watchlist};

use crate::shelf::Shelf;

pub(crate) const URL: &str = "http://127.0.0.1:18546";
pub(crate) const DIAMOND: Address = address!("09635F643e140090A9A8Dcd712eD6285858ceBef");
pub(crate) const USDC: Address = address!("9A676e781A523b5d0C0e43731313A708CB607508");
pub(crate) const KEEPER: Address = address!("84eA74d481Ee0A5332c457a4d796187F6Ba67fEB");
pub(crate) const MULTICALL3: Address = address!("67d269191c92Caf3cD7723F116c85e6E9bf55933");
pub(crate) const VODOPAD: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
pub(crate) const OWNER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
pub(crate) const COORDINATOR: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
pub(crate) const FINALITY: u64 = 2;

#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Vec<Ask>>);

impl Observer for Counter {
    fn asked(&self, _endpoint: &str, ask: Ask, _code: Code) {
        self.0.lock().unwrap().push(ask);
    }

    fn head(&self, _endpoint: &str, _head: &Head) {}
}

pub(crate) struct World {
    pub(crate) node: alloy::providers::DynProvider,
    pub(crate) counter: Arc<Counter>,
    pub(crate) reader: Reader,
    pub(crate) shelf: Shelf,
    pub(crate) pool: Pool,
    pub(crate) provider: Address,
    pub(crate) peer_owner: Address,
    pub(crate) keys: BTreeMap<Address, Sender<Shelf>>,
    /// The secret keys of both, and what they sign.
    secrets: BTreeMap<Address, (String, KeyRole)>,
    finality: u64,
    pub(crate) seen: Mutex<Watchlist>,
}

pub(crate) fn contracts() -> Contracts {
    Contracts { diamond: DIAMOND, multicall3: MULTICALL3 }
}

fn sender(
    (secret, role): (&str, KeyRole),
    finality: u64,
    pool: &Pool,
    shelf: Shelf,
) -> Sender<Shelf> {
    let address = secret.parse::<alloy::signers::local::PrivateKeySigner>().unwrap().address();
    let secret = Secret::new(secret, address).unwrap();
    let account = Account {
        network: "local".to_owned(),
        chain_id: 31337,
        contracts: contracts(),
        finality_blocks: finality,
    };
    let signer = Permitted::new(Box::new(secret), vec![role], DIAMOND);
    Sender::new(account, signer, pool.clone(), shelf, FeePolicy::default())
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
        Self::of(name, FINALITY).await
    }

    /// Where a block is final once `finality` others are on top of it.
    pub(crate) async fn of(name: &str, finality: u64) -> Self {
        let node = ProviderBuilder::new()
            .disable_recommended_fillers()
            .connect_http(URL.parse().unwrap())
            .erased();
        let counter = Arc::new(Counter::default());
        let pool = Pool::new(
            vec![Endpoint::http("anvil", URL).unwrap()],
            Timeouts::default(),
            counter.clone(),
        )
        .unwrap();
        pool.check_chain(31337).await.unwrap();
        let shelf = Shelf::default();
        let mut keys = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        let mut addresses = Vec::new();
        for role in [KeyRole::Provider, KeyRole::Peer] {
            let stamp = node.get_block_number().await.unwrap();
            let secret = keccak256(format!("{name} {role:?} {stamp}")).to_string();
            let key: alloy::signers::local::PrivateKeySigner = secret.parse().unwrap();
            let address = key.address();
            let million = format!("0x{:x}", 1_000_000_000_000_000_000_000_u128);
            let _: Option<()> =
                node.raw_request("anvil_setBalance".into(), (address, million)).await.unwrap();
            keys.insert(address, sender((&secret, role), finality, &pool, shelf.clone()));
            secrets.insert(address, (secret, role));
            addresses.push(address);
        }
        let (provider, peer_owner) = (addresses[0], addresses[1]);
        let seen = Watchlist {
            providers: BTreeSet::from([provider]),
            wallets: BTreeSet::from([provider, peer_owner]),
            tokens: BTreeSet::from([USDC, DIAMOND]),
            ..Watchlist::default()
        };
        let reader = Reader::new(pool.clone(), contracts(), finality);
        Self {
            node,
            counter,
            reader,
            shelf,
            pool,
            provider,
            peer_owner,
            keys,
            secrets,
            finality,
            seen: Mutex::new(seen),
        }
    }

    /// An outbox with one of the keys in another cluster, where nothing was kept yet.
    pub(crate) fn elsewhere(&self, address: Address) -> (Sender<Shelf>, Shelf) {
        let (secret, role) = &self.secrets[&address];
        let kept = Shelf::default();
        (sender((secret, *role), self.finality, &self.pool, kept.clone()), kept)
    }

    pub(crate) async fn look(&self) -> Snapshot {
        let watch = self.seen.lock().unwrap().clone();
        self.reader.snapshot(&watch).await.unwrap()
    }

    pub(crate) fn watch(&self, change: impl FnOnce(&mut Watchlist)) {
        change(&mut self.seen.lock().unwrap());
    }

    pub(crate) fn sender(&self, call: &Call) -> &Sender<Shelf> {
        let address =
            if call.key_role() == KeyRole::Peer { self.peer_owner } else { self.provider };
        &self.keys[&address]
    }

    /// Carries a call out and follows it to its block.
    pub(crate) async fn act(&self, call: Call) -> Vec<Effect> {
        let head = self.pool.head().await.unwrap();
        let order = Order { call: call.clone(), why: "story".to_owned(), planned_at: head.number };
        let sender = self.sender(&call);
        let submitted = sender.submit(&order, &|_| true).await.unwrap();
        let Submitted::Kept { name, sent, .. } = submitted else { panic!("{submitted:?}") };
        assert!(sent, "{name}");
        let unseen = sender.in_flight(head.number).await.unwrap();
        assert_eq!(unseen.last().unwrap().call, call, "in flight reads back as it was ordered");
        let change = self.tick(sender, &name).await;
        let State::Mined(receipt) = &change.state else { panic!("{:?}", change.state) };
        assert!(receipt.succeeded, "{receipt:?}");
        change.effects
    }

    pub(crate) async fn tick(&self, sender: &Sender<Shelf>, name: &str) -> Change {
        for _ in 0..5_000 {
            let snapshot = self.look().await;
            let tick = Tick { head: snapshot.head, epoch: snapshot.epoch };
            let followed = sender.tick(&tick, &|_| true).await.unwrap();
            assert!(followed.failures.is_empty(), "{:?}", followed.failures);
            if let Some(change) = followed.changes.into_iter().find(|change| change.name == name) {
                return change;
            }
        }
        panic!("{name} does not move")
    }

    pub(crate) async fn play(
        &self,
        from: Address,
        to: Address,
        call: &impl SolCall,
    ) -> TransactionReceipt {
        let request = TransactionRequest::default()
            .from(from)
            .to(to)
            .input(Bytes::from(call.abi_encode()).into());
        let receipt = self.sent(request).await;
        assert!(receipt.status());
        receipt
    }

    /// Sends from an account of the node's own, to its block, whatever comes of it there.
    pub(crate) async fn sent(&self, request: TransactionRequest) -> TransactionReceipt {
        let hash: B256 =
            self.node.raw_request("eth_sendTransaction".into(), (request,)).await.unwrap();
        loop {
            if let Some(receipt) = self.node.get_transaction_receipt(hash).await.unwrap() {
                break receipt;
            }
        }
    }

    /// Lets the node send with this key although it does not have it.
    pub(crate) async fn impersonate(&self, address: Address) {
        let _: Option<()> =
            self.node.raw_request("anvil_impersonateAccount".into(), (address,)).await.unwrap();
    }

    /// What the contract says to a call of ours that it does not take.
    pub(crate) async fn refusal(&self, call: &Call) -> Revert {
        match self.sender(call).simulate(call).await {
            Err(Error::WouldRevert { revert, .. }) => revert,
            other => panic!("{}: {other:?}", call.function()),
        }
    }

    /// Whether the contract would take a call of ours.
    pub(crate) async fn takes(&self, call: &Call) -> bool {
        self.sender(call).simulate(call).await.is_ok()
    }

    /// What a contract says to somebody else's call at a block, if it does not take it.
    pub(crate) async fn refusal_of(
        &self,
        (from, to): (Address, Address),
        call: &impl SolCall,
        block: BlockId,
    ) -> Option<Revert> {
        let request = TransactionRequest::default()
            .from(from)
            .to(to)
            .input(Bytes::from(call.abi_encode()).into());
        let error = self.node.call(request).block(block).await.err()?;
        let data = error.as_error_resp().unwrap().as_revert_data().unwrap_or_default();
        Some(Revert::decode(&data))
    }

    pub(crate) async fn next_epoch(&self) {
        let snapshot = self.look().await;
        let start =
            snapshot.head.timestamp + snapshot.calendar.remaining(snapshot.head.timestamp) + 1;
        let _: serde_json::Value =
            self.node.raw_request("evm_setNextBlockTimestamp".into(), (start,)).await.unwrap();
        let _: serde_json::Value = self.node.raw_request("evm_mine".into(), ()).await.unwrap();
        assert_eq!(self.look().await.epoch.0, snapshot.epoch.0 + 1);
    }

    pub(crate) fn calls(&self) -> Vec<Ask> {
        std::mem::take(&mut *self.counter.0.lock().unwrap())
    }
}
