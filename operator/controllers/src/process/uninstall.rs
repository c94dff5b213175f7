//! Whether the operator may be uninstalled: its chart asks before anything is removed.

use coreward_crds::ProviderOffer;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::parts;
use crate::apply;

/// Why the operator must stay.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is staked.
    #[error(
        "{offers}. Without an operator their provers go on, but nobody sends their proofs. Let the offers go first, with \
         deletionPolicy Withdraw; or, if another operator takes over, set uninstall.handOver to true and upgrade before \
         you uninstall. Nothing was removed; `helm rollback` to the revision that `helm status` shows puts the release in \
         order again"
    )]
    Staked {
        /// Each offer with what it has at stake.
        offers: String,
    },
    /// The definitions are gone, and with them all that said what is staked.
    #[error(
        "the definition of ProviderOffer is not installed, so that nobody can say what is staked. Install the chart \
         coreward-crds and apply the offers again; or, if nothing of them is to be kept, set uninstall.handOver to true and \
         upgrade before you uninstall. Nothing was removed; `helm rollback` to the revision that `helm status` shows puts the \
         release in order again"
    )]
    Undefined,
    /// Whether anything is staked is unknown.
    #[error("list offers")]
    List {
        /// Why.
        source: Box<kube::Error>,
    },
    /// No client.
    #[error(transparent)]
    Client(#[from] parts::Error),
}

/// Fails while any offer has something at stake, or while that is unknown.
///
/// # Errors
///
/// [`Error`], in words for the person who uninstalls.
pub async fn check() -> Result<(), Error> {
    let offers: Api<ProviderOffer> = Api::all(parts::client().await?);
    let list = match offers.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) if apply::code(&error) == Some(404) => return Err(Error::Undefined),
        Err(source) => return Err(Error::List { source: Box::new(source) }),
    };
    let staked: Vec<_> = list.iter().filter_map(stake).collect();
    if staked.is_empty() { Ok(()) } else { Err(Error::Staked { offers: staked.join("; ") }) }
}

/// What an offer has at stake, in words.
fn stake(offer: &ProviderOffer) -> Option<String> {
    let status = offer.status.as_ref()?;
    let commitments = status.commitments.as_ref();
    let pledged = commitments.map_or(0, |counts| counts.active + counts.pending + counts.failed);
    let serving = status.units.as_ref().map_or(0, |units| units.serving);
    let end = commitments.and_then(|counts| counts.next_end_epoch);
    let end = end.map(|epoch| format!(", the next of which ends in epoch {epoch}"));
    (pledged + serving > 0).then(|| {
        format!(
            "offer {}/{} has {pledged} commitment(s){} and {serving} unit(s) in deals",
            offer.namespace().unwrap_or_default(),
            offer.name_any(),
            end.unwrap_or_default(),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn offer(status: &Value) -> ProviderOffer {
        let mut offer: ProviderOffer = serde_json::from_value(json!({
            "apiVersion": "coreward.dev/v1alpha1", "kind": "ProviderOffer",
            "metadata": { "name": "fra1", "namespace": "provider" },
            "spec": {
                "network": "main", "paymentToken": "USDC",
                "provider": { "address": "0x00", "signer": "treasury" },
                "peers": { "signers": ["hot"] }, "datacenter": { "id": "1" }, "prices": [],
                "capacity": { "nodeSelector": { "matchLabels": {} }, "resources": [] },
                "commitment": {},
            },
        }))
        .unwrap();
        offer.status = serde_json::from_value(status.clone()).unwrap();
        offer
    }

    #[rstest::rstest]
    #[case::not_looked_at_yet(json!(null), None)]
    #[case::nothing_pledged(json!({ "commitments": { "active": 0, "pending": 0, "failed": 0 } }), None)]
    #[case::pledged(
        json!({ "commitments": { "active": 2, "pending": 0, "failed": 0, "nextEndEpoch": 91 } }),
        Some("offer provider/fra1 has 2 commitment(s), the next of which ends in epoch 91 and 0 unit(s) in deals")
    )]
    #[case::rented_without_a_pledge(
        json!({ "units": { "total": 1, "proving": 0, "serving": 1, "spare": 0, "blocked": 0, "atRisk": 0 } }),
        Some("offer provider/fra1 has 0 commitment(s) and 1 unit(s) in deals")
    )]
    fn the_stake_is(#[case] status: Value, #[case] words: Option<&str>) {
        assert_eq!(stake(&offer(&status)).as_deref(), words);
    }
}
