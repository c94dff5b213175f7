//! RandomX with Fluence's parameters, in this process.

use alloy::primitives::{B256, keccak256};
use ccp_randomx::{Cache, RandomXFlags, RandomXVM};

use super::super::error::{Error, Result};

/// The key of a unit's dataset in an epoch.
#[must_use]
pub fn key_of(global_nonce: B256, unit: B256) -> B256 {
    keccak256([global_nonce.as_slice(), unit.as_slice()].concat())
}

/// The hashes of `inputs` under `key`, in light mode (256 MiB while it runs), on a thread of their own.
///
/// # Errors
/// [`Error::Finding`] where RandomX cannot be set up.
pub async fn randomx_hashes(key: B256, inputs: Vec<B256>) -> Result<Vec<B256>> {
    tokio::task::spawn_blocking(move || hashes(key, &inputs))
        .await
        .map_err(|error| Error::Finding(format!("the oracle's RandomX ended: {error}")))?
}

fn hashes(key: B256, inputs: &[B256]) -> Result<Vec<B256>> {
    let failed = |error| Error::Finding(format!("RandomX cannot be set up: {error}"));
    let flags = RandomXFlags::recommended();
    let cache = Cache::new(key.as_slice(), flags).map_err(failed)?;
    let machine = RandomXVM::light(cache.handle(), flags).map_err(failed)?;
    Ok(inputs.iter().map(|input| B256::from(machine.hash(input.as_slice()).into_slice())).collect())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    #[tokio::test]
    async fn the_fact_sheets_vectors_come_out() {
        let key = key_of(B256::repeat_byte(0x11), B256::repeat_byte(0x22));
        let expected_key =
            b256!("3e92e0db88d6afea9edc4eedf62fffa4d92bcdfc310dccbe943747fe8302e871");
        let first = b256!("7adce3372ba6aa75a71db697f7cee24208ff68605cfd2a0f3774714c3d33b278");
        let second = b256!("6b366e77bfd1e3814d18925d667254b717f7995b3688bd521c8921b0435edc88");
        assert_eq!(key, expected_key);
        assert_eq!(randomx_hashes(key, vec![B256::repeat_byte(0x33)]).await.unwrap(), [first]);
        assert_eq!(randomx_hashes(B256::ZERO, vec![B256::ZERO]).await.unwrap(), [second]);
    }
}
