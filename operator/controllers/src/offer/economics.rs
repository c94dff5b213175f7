//! The money of an offer: what is staked, what is at risk, what was earned.

use std::collections::BTreeSet;

use alloy_primitives::U256;
use coreward_crds::{CapacityUnit, Earned, Economics, ProviderOffer};
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::condition::ConditionType;
use coreward_domain::money;
use kube::ResourceExt;

use crate::gate::spent_today;
use crate::identity;
use crate::offer::observe::Sight;
use crate::offer::report::is_true;
use crate::offer::resolve::Resolved;
use crate::turn::Shared;

/// What the snapshot tells of the offer's money; what is at risk by its units' own conditions.
pub(super) fn of(
    (shared, offer): (&Shared, &ProviderOffer),
    (sight, snapshot): (&Sight, &Snapshot),
    resolved: &Resolved,
) -> Economics {
    let peers = || sight.identities.iter().map(|identity| identity.identity.peer);
    let present = peers().filter_map(|peer| snapshot.peers.get(&peer)?.as_ref()?.commitment);
    let ids: BTreeSet<_> = sight
        .identities
        .iter()
        .flat_map(|identity| identity.identity.commitments.iter().copied())
        .chain(present)
        .collect();
    let known: Vec<_> =
        ids.iter().filter_map(|id| snapshot.commitments.get(id)?.as_ref()).collect();
    let staked = known.iter().filter(|known| is_staked(known.status));
    let collateral: U256 =
        staked.map(|known| known.collateral_per_unit * U256::from(known.unit_count)).sum();
    let withdrawn: U256 = known.iter().map(|known| known.withdrawn_rewards).sum();
    let flt: U256 = known.iter().map(|known| known.total_rewards).sum::<U256>() + withdrawn;
    let workers = snapshot.deals.values().flat_map(|deal| deal.workers.values());
    let own: BTreeSet<_> = peers().collect();
    let pay: U256 =
        workers.filter(|worker| own.contains(&worker.peer)).map(|worker| worker.reward).sum();
    let sum = |token: &str, total: String| Earned { token: token.to_owned(), total };
    Economics {
        collateral: money::flt(collateral),
        at_risk: money::flt(at_risk(shared, sight, snapshot)),
        earned: vec![
            sum("FLT", money::flt(flt)),
            sum(&resolved.token.symbol, money::from_base_units(pay, resolved.token.decimals)),
        ],
        withdrawn: vec![sum("FLT", money::flt(withdrawn))],
        slashed: money::flt(known.iter().map(|known| known.slashed(&snapshot.rules)).sum()),
        gas_spent_today: money::flt(spent_today(&shared.context, offer)),
    }
}

const fn is_staked(status: CommitmentStatus) -> bool {
    matches!(
        status,
        CommitmentStatus::Active
            | CommitmentStatus::WaitStart
            | CommitmentStatus::Failed
            | CommitmentStatus::Inactive
    )
}

/// The collateral of the units that say that they are at risk, wei.
fn at_risk(shared: &Shared, sight: &Sight, snapshot: &Snapshot) -> U256 {
    let says_so = |unit: &CapacityUnit| {
        let conditions = unit.status.as_ref().map(|status| status.conditions.as_slice());
        is_true(conditions.unwrap_or_default(), ConditionType::AtRisk)
    };
    let units = shared.context.stores.units.all();
    let of_peer = sight.identities.iter().filter_map(|identity| {
        let commitment = snapshot.peers.get(&identity.identity.peer)?.as_ref()?.commitment?;
        let known = snapshot.commitments.get(&commitment)?.as_ref()?;
        let peer = identity::text(identity.identity.peer);
        let own = units.iter().filter(|unit| {
            unit.namespace().as_deref() == Some(&sight.key.namespace) && unit.spec.peer_id == peer
        });
        let count = own.filter(|unit| is_staked(known.status) && says_so(unit)).count();
        Some(known.collateral_per_unit * U256::from(count))
    });
    of_peer.sum()
}
