//! Putting the real marketplace contracts onto an empty chain.

mod constructor;
mod market;
mod saved;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256, address},
    rpc::types::TransactionRequest,
    sol_types::{SolCall, SolValue},
};

use super::{
    abi::{BalanceKeeper, Diamond, Token},
    contracts::Contracts,
    error::{Error, Result},
    node::{At, Node},
    packages::{Artifact, Packages},
    parameters::Parameters,
};

pub use saved::Saved;

/// The first development account, which deploys and owns everything, and is the price oracle.
pub const OWNER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
/// The second, which plays Fluence's backend: it alone creates and funds deals.
pub const VODOPAD: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
/// The third, which keeps the pool of token balances.
pub const COORDINATOR: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");

/// The development accounts that get tokens in the recipe's order.
const FUNDED: [Address; 10] = [
    OWNER,
    VODOPAD,
    COORDINATOR,
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];
/// Base units of the payment token per funded account.
const TOKENS_EACH: u128 = 10_u128.pow(24);
/// The largest creation takes 6.64 M, the registration of datacenters less.
const GAS: u64 = 12_000_000;

/// The facets in the order of the recipe's nonces 1 to 11; nonce 0 is the facet that the diamond adds itself.
const FACETS: [&str; 11] = [
    "DiamondLoupeFacet",
    "OwnershipFacet",
    "MulticallFacet",
    "CoreFacet",
    "OfferFacet",
    "MarketFacet",
    "OfferV2Facet",
    "MarketV2Facet",
    "CapacityFacet",
    "DealFactoryFacet",
    "ViewerFacet",
];

/// Puts the marketplace onto an empty chain and hands out the parts.
///
/// Replays the 36 transactions of the package's own scripts on an empty chain that mines at once (2 to 3 s), then names
/// [`VODOPAD`] and [`COORDINATOR`]. [`super::start`] does it once and restores the result afterwards.
///
/// # Errors
/// [`Error::Reverted`] and [`Error::Rpc`] of any of its steps, and what [`Packages::artifacts`] reports.
pub async fn deploy(
    node: &Node,
    packages: &Packages,
    parameters: &Parameters,
) -> Result<Contracts> {
    let artifacts = packages.artifacts().await?;
    let mut recipe = Recipe { node, artifacts: &artifacts, nonce: 0 };
    let contracts = recipe.replay(parameters).await?;
    let everyone = U256::MAX;
    let keeper = contracts.balance_keeper;
    node.send(OWNER, contracts.diamond, &Diamond::setVodopadCall { vodopad: VODOPAD }, U256::ZERO)
        .await?;
    let coordinator = BalanceKeeper::setCoordinatorCall { coordinator: COORDINATOR };
    node.send(OWNER, keeper, &coordinator, U256::ZERO).await?;
    let approve = Token::approveCall { spender: keeper, amount: everyone };
    node.send(COORDINATOR, contracts.usdc, &approve, U256::ZERO).await?;
    Ok(contracts)
}

/// The recipe under way: every transaction is the owner's next one.
struct Recipe<'a> {
    node: &'a Node,
    artifacts: &'a BTreeMap<String, Artifact>,
    nonce: u64,
}

impl Recipe<'_> {
    async fn replay(&mut self, parameters: &Parameters) -> Result<Contracts> {
        let cut_facet = self.create("DiamondCutFacet", &[]).await?;
        let mut facets = BTreeMap::new();
        for name in FACETS {
            facets.insert(name, self.create(name, &[]).await?);
        }
        let deal = self.create("Deal", &[]).await?;
        let deal_v2 = self.create("DealV2", &[]).await?;
        let token = ("USD Token".to_owned(), "tUSDC".to_owned(), U256::from(6));
        let usdc = self.create("TestERC20", &token.abi_encode_params()).await?;
        for to in FUNDED {
            let amount = U256::from(TOKENS_EACH);
            self.call(usdc, &Token::transferCall { to, amount }).await?;
        }
        let wflt = self.create("WETH9", &[]).await?;
        let randomx = self.create("RandomXProxyMock", parameters.difficulty.as_slice()).await?;
        let arguments = constructor::arguments(&constructor::Parts {
            parameters,
            cut_facet,
            deal,
            deal_v2,
            randomx,
            oracle: OWNER,
            wflt,
            cut: constructor::cut(&facets, self.artifacts)?,
        });
        let diamond = self.create("Diamond", &arguments).await?;
        self.call(diamond, &Diamond::addPaymentTokenToWhitelistCall { paymentToken: usdc }).await?;
        let multicall3 = self.create("Multicall3", &[]).await?;
        self.send(Some(diamond), Bytes::new(), parameters.reward_balance, "fund rewards").await?;
        let keeper_code = self.create("BalanceKeeper", &[]).await?;
        let initialize = Bytes::from(BalanceKeeper::initializeCall { diamond }.abi_encode());
        let proxied = (keeper_code, initialize).abi_encode_params();
        let balance_keeper = self.create("ERC1967Proxy", &proxied).await?;
        let keeper = Diamond::setBalanceKeeperCall { balanceKeeper: balance_keeper };
        self.call(diamond, &keeper).await?;
        self.call(diamond, &market::resources()).await?;
        self.call(diamond, &market::datacenters()).await?;
        Ok(Contracts { diamond, usdc, balance_keeper, multicall3 })
    }

    async fn create(&mut self, name: &str, arguments: &[u8]) -> Result<Address> {
        let artifact = self.artifacts.get(name).ok_or_else(|| Error::Absent(name.to_owned()))?;
        let code = [artifact.bytecode.as_ref(), arguments].concat();
        let address = OWNER.create(self.nonce);
        self.send(None, code.into(), U256::ZERO, name).await?;
        Ok(address)
    }

    async fn call<C: SolCall>(&mut self, to: Address, call: &C) -> Result<()> {
        self.send(Some(to), call.abi_encode().into(), U256::ZERO, C::SIGNATURE).await
    }

    async fn send(
        &mut self,
        to: Option<Address>,
        data: Bytes,
        value: U256,
        what: &str,
    ) -> Result<()> {
        let mut request = TransactionRequest::default()
            .from(OWNER)
            .nonce(self.nonce)
            .gas_limit(GAS)
            .value(value)
            .input(data.into());
        request.to = Some(to.into());
        let hash = self.node.post(request, what).await?;
        self.node.mined(hash, what).await?;
        self.nonce += 1;
        Ok(())
    }
}

/// Runtime code that hashes with keccak256 instead of RandomX: result i is `keccak256(ks[i] ‖ hs[i])`, so a difficulty
/// is really checked and a wrong nonce reverts. It touches no storage, as the diamond reaches it by delegatecall.
const KECCAK_STAND_IN: &str = "60243560240160043560240160043560040135606052602060405260005b606051811015604e578060051b\
                               8201356000528060051b83013560205260406000208160051b60800152600101601d565b60605160051b\
                               6040016040f3";

/// Replaces the verifier, which accepts everything, by a keccak stand-in that checks the difficulty.
///
/// # Errors
/// [`Error::Rpc`].
pub async fn check_work_by_keccak(node: &Node, contracts: &Contracts) -> Result<()> {
    let proxy = node.view(contracts.diamond, &Diamond::randomXProxyCall {}, At::Latest).await?;
    let code = format!("0x{KECCAK_STAND_IN}");
    let what = "replace the verifier of proofs";
    node.request::<_, serde_json::Value>("anvil_setCode", (proxy, code), what).await.map(drop)
}

/// What the stand-in of [`check_work_by_keccak`] computes for a proof.
#[must_use]
pub fn keccak_of_proof(key: B256, local_nonce: B256) -> B256 {
    alloy::primitives::keccak256([key.as_slice(), local_nonce.as_slice()].concat())
}
