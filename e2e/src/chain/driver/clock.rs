//! Time: blocks and epochs, moved by timestamps instead of waited for.

use alloy::primitives::U256;

use super::{
    super::{abi::Diamond, error::Result},
    Driver,
};

/// Seconds before an epoch's end in which nobody who looks at the clock sends proofs any more.
const LAST: u64 = 2;

impl Driver {
    /// The epoch of the newest block.
    ///
    /// # Errors
    /// As [`super::Node::view`].
    pub async fn epoch(&self) -> Result<u64> {
        Ok(self.view(&Diamond::currentEpochCall {}).await?.saturating_to())
    }

    /// Mines a block in the next epoch, a second after its start; gives its number.
    ///
    /// # Errors
    /// As [`Driver::to_epoch`].
    pub async fn next_epoch(&self) -> Result<u64> {
        let next = self.epoch().await? + 1;
        self.to_epoch(next).await?;
        Ok(next)
    }

    /// Mines a block a second after the start of epoch `number`; does nothing if the chain is there or beyond. What is on its
    /// way is mined in the last seconds of the epoch before: a jump must not carry it into an epoch that it was not meant for.
    ///
    /// # Errors
    /// [`super::super::Error::Rpc`].
    pub async fn to_epoch(&self, number: u64) -> Result<()> {
        let call = Diamond::epochTimestampCall { epoch: U256::from(number) };
        let start: u64 = self.view(&call).await?.saturating_to();
        self.to_timestamp(start.saturating_sub(LAST)).await?;
        self.to_timestamp(start + 1).await
    }

    /// Mines a block with timestamp `seconds`; does nothing if the chain is there or beyond.
    ///
    /// # Errors
    /// [`super::super::Error::Rpc`].
    pub async fn to_timestamp(&self, seconds: u64) -> Result<()> {
        let (_, now) = self.node.head().await?;
        if now >= seconds {
            return Ok(());
        }
        let what = "set the next block's timestamp";
        self.node
            .request::<_, serde_json::Value>("evm_setNextBlockTimestamp", (seconds,), what)
            .await?;
        self.mine(1).await
    }

    /// Moves the clock of blocks to come without mining: `latest` stays in its epoch, `pending` sees the next.
    ///
    /// # Errors
    /// [`super::super::Error::Rpc`].
    pub async fn time_passes_without_a_block(&self, seconds: u64) -> Result<()> {
        let what = "move the clock";
        self.node
            .request::<_, serde_json::Value>("evm_increaseTime", (seconds,), what)
            .await
            .map(drop)
    }

    /// Mines `blocks` blocks at once.
    ///
    /// # Errors
    /// [`super::super::Error::Rpc`].
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            self.node.request::<_, serde_json::Value>("evm_mine", (), "mine a block").await?;
        }
        Ok(())
    }
}
