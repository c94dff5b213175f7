//! A chain of its own for each test, with the driver playing everybody.

use alloy::primitives::B256;
use coreward_e2e::chain::{
    Account, Anvil, AnvilConfig, Driver, Oracle, Packages, Parameters, Proof, Result, cache_root,
    flt, peer_with_units, start,
};

/// The app of the deals; nobody runs it here.
pub(crate) const APP: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

/// A chain of its own, and everybody on it.
pub(crate) struct Market {
    pub(crate) anvil: Anvil,
    pub(crate) driver: Driver,
    pub(crate) oracle: Oracle,
    pub(crate) provider: Account,
    pub(crate) peer_owner: Account,
    pub(crate) developer: Account,
}

impl Market {
    /// With epochs that end by themselves, and few fails.
    pub(crate) async fn open() -> Result<Self> {
        Self::open_with(Parameters {
            epoch_duration: 15,
            flt_price_update_period: 15,
            vesting_period_duration: 1,
            max_failed_ratio: 3,
            ..Parameters::for_stories()
        })
        .await
    }

    /// With epochs so long that only the driver ends one.
    pub(crate) async fn open_with_long_epochs() -> Result<Self> {
        Self::open_with(Parameters { max_failed_ratio: 3, ..Parameters::for_stories() }).await
    }

    pub(crate) async fn open_with(parameters: Parameters) -> Result<Self> {
        let cache = cache_root();
        let packages = Packages::install(&cache).await?;
        let config = AnvilConfig::loopback(packages.anvil());
        let (anvil, contracts) = start(&config, &packages, &parameters, &cache).await?;
        let driver = Driver::new(anvil.node().clone(), contracts);
        let oracle = Oracle::new(anvil.node().clone(), contracts);
        let account = |role| Account::of("lifecycle", role);
        let market = Self {
            anvil,
            driver,
            oracle,
            provider: account("provider")?,
            peer_owner: account("peer")?,
            developer: account("developer")?,
        };
        for person in [&market.provider, &market.peer_owner, &market.developer] {
            market.driver.set_flt(person.address, flt(1_000)).await?;
        }
        // Activation in epoch 1 reverts for a peer without commitment: every story starts later.
        market.driver.to_epoch(2).await?;
        Ok(market)
    }

    /// Registers an offer with one peer per list of units.
    pub(crate) async fn offer(&self, peers: &[(B256, Vec<B256>)]) -> Result<B256> {
        self.driver.register_provider(self.provider.address, "Example Hosting").await?;
        let peers = peers
            .iter()
            .map(|(peer, units)| peer_with_units(*peer, self.peer_owner.address, units))
            .collect();
        self.driver.register_offer(self.provider.address, peers).await
    }

    /// Commits and stakes `peer`, and lets the commitment start.
    pub(crate) async fn commit(&self, peer: B256) -> Result<B256> {
        let commitment = self.driver.commit(self.provider.address, peer, 100).await?;
        self.driver.deposit(self.provider.address, commitment).await?;
        self.driver.next_epoch().await?;
        Ok(commitment)
    }

    /// Registers an offer of one peer with one unit, and commits that peer; gives both ids.
    pub(crate) async fn committed_unit(&self) -> Result<(B256, B256)> {
        let (peer, unit) = (id(0xa1), id(1));
        self.offer(&[(peer, vec![unit])]).await?;
        self.commit(peer).await?;
        Ok((peer, unit))
    }

    pub(crate) async fn prove(&self, units: &[B256], seed: u8) -> Result<Vec<bool>> {
        let proofs: Vec<Proof> = units
            .iter()
            .flat_map(|unit| [seed, seed + 1].map(|it| Proof { unit: *unit, local_nonce: id(it) }))
            .collect();
        self.driver.submit_proofs(self.peer_owner.address, &proofs).await
    }
}

pub(crate) fn id(number: u8) -> B256 {
    B256::repeat_byte(number)
}
