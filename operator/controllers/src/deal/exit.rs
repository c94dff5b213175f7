//! The exit from a deal that a human asked for: first seen at a chain time, which the status keeps.

use std::collections::BTreeSet;

use coreward_crds::{Deal, DesiredState, ProviderOffer, RequestedExit};
use coreward_domain::id::DealAddress;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::labels::EXIT_CONFIRM;

/// Seconds of a minute.
const MINUTE: i64 = 60;

/// The exit that a deal's policy asks for, as its status keeps it; `now` is the chain's time in seconds, and `None` while
/// it is not known: nothing begins then.
#[must_use]
pub fn requested(deal: &Deal, now: Option<u64>) -> Option<RequestedExit> {
    let policy = &deal.spec.policy;
    if policy.desired_state != DesiredState::Exit {
        return None;
    }
    let kept = deal.status.as_ref().and_then(|status| status.exit.as_ref());
    let asked_at = match kept.and_then(|exit| exit.asked_at.parse::<Timestamp>().ok()) {
        Some(asked_at) => asked_at,
        None => Timestamp::from_second(i64::try_from(now?).ok()?).ok()?,
    };
    let minutes = policy.exit.clone().unwrap_or_default().notice_minutes;
    let leaves_at = asked_at.as_second().saturating_add(minutes.saturating_mul(MINUTE));
    Some(RequestedExit {
        asked_at: asked_at.to_string(),
        leaves_at: Timestamp::from_second(leaves_at).ok()?.to_string(),
    })
}

/// The chain's time at which the notice is over, seconds.
#[must_use]
pub fn leaves_at(exit: &RequestedExit) -> u64 {
    let at = exit.leaves_at.parse::<Timestamp>().ok();
    // What we wrote reads again; what does not is no order to leave.
    at.and_then(|at| u64::try_from(at.as_second()).ok()).unwrap_or(u64::MAX)
}

/// Deals whose policy asks to leave them.
pub fn all<'a>(deals: impl Iterator<Item = &'a Deal>) -> BTreeSet<DealAddress> {
    let asked = deals.filter(|deal| deal.spec.policy.desired_state == DesiredState::Exit);
    asked.filter_map(|deal| deal.spec.deal_address.parse().ok()).collect()
}

/// How many deals of an offer may be left at once, by the word of a human; one that is withdrawn leaves all of them.
#[must_use]
pub fn confirmed(offer: &ProviderOffer, is_withdrawn: bool) -> u64 {
    let said = offer.annotations().get(EXIT_CONFIRM).and_then(|count| count.parse().ok());
    if is_withdrawn { u64::MAX } else { said.unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    fn deal(policy: &Value, status: &Value) -> Deal {
        serde_json::from_value(json!({
            "metadata": { "name": "d" },
            "spec": { "network": "local", "dealAddress": ADDRESS, "policy": policy },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_notice_runs_from_when_it_was_seen_first() {
        let policy = json!({ "desiredState": "Exit", "exit": { "noticeMinutes": 5 } });
        let seen = requested(&deal(&policy, &json!({})), Some(1_000)).unwrap();
        assert_eq!(leaves_at(&seen), 1_300);
        let kept = json!({ "exit": { "askedAt": seen.asked_at, "leavesAt": seen.leaves_at } });
        assert_eq!(requested(&deal(&policy, &kept), Some(2_000)), Some(seen.clone()));
        assert_eq!(requested(&deal(&policy, &kept), None), Some(seen), "the chain may be away");
    }

    #[test]
    fn an_hour_is_given_where_nothing_is_said_and_another_wish_ends_it() {
        let exit = json!({ "desiredState": "Exit" });
        let seen = requested(&deal(&exit, &json!({})), Some(1_000)).unwrap();
        assert_eq!(leaves_at(&seen), 4_600);
        let kept = json!({ "exit": { "askedAt": seen.asked_at, "leavesAt": seen.leaves_at } });
        assert_eq!(requested(&deal(&json!({}), &kept), Some(1_000)), None);
        assert_eq!(requested(&deal(&exit, &json!({})), None), None);
    }

    #[test]
    fn those_that_ask_are_counted() {
        let exit = deal(&json!({ "desiredState": "Exit" }), &json!({}));
        let other = deal(&json!({}), &json!({}));
        assert_eq!(all([&exit, &other].into_iter()), BTreeSet::from([ADDRESS.parse().unwrap()]));
        assert_eq!(all([&other].into_iter()), BTreeSet::new());
    }
}
