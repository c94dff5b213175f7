//! What to do about a Lease, from what was seen of it: pure.

use std::time::Duration;

/// A Lease as it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who holds it; `None` when it was given back or never held.
    pub holder: Option<String>,
    /// What its holder promised: it may be taken when it stood still for this long.
    pub duration: Duration,
    /// How long it has stood still, by our clock, since we first saw this version.
    pub unchanged: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is none: make it, ours.
    Create,
    /// It is free or its holder is silent: put our name into it.
    Take,
    /// It is ours: write it again.
    Renew,
    /// Another holds it: look again later.
    Wait,
}

/// Decides; `None` is a Lease that does not exist, which the API server said positively.
#[must_use]
pub fn decide(me: &str, seen: Option<&Observation>) -> Decision {
    let Some(lease) = seen else { return Decision::Create };
    match &lease.holder {
        Some(holder) if holder == me => Decision::Renew,
        Some(holder) if lease.unchanged < patience(me, holder, lease.duration) => Decision::Wait,
        Some(_) | None => Decision::Take,
    }
}

/// How long a silent holder is waited for. What crashed in this pod may crash again: its successor here gives the standby
/// a third more of the lease's duration to go first.
fn patience(me: &str, holder: &str, duration: Duration) -> Duration {
    if pod_of(me) == pod_of(holder) { duration + duration / 3 } else { duration }
}

/// A candidate is named by its pod, and by a word of its own after an underscore, which no pod's name has.
fn pod_of(candidate: &str) -> &str {
    candidate.split_once('_').map_or(candidate, |(pod, _)| pod)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn seen(holder: Option<&str>, unchanged: u64) -> Observation {
        Observation {
            holder: holder.map(str::to_owned),
            duration: Duration::from_secs(15),
            unchanged: Duration::from_secs(unchanged),
        }
    }

    #[rstest]
    #[case::none_exists(None, Decision::Create)]
    #[case::ours(Some(seen(Some("me"), 0)), Decision::Renew)]
    #[case::ours_but_old(Some(seen(Some("me"), 60)), Decision::Renew)]
    #[case::of_another(Some(seen(Some("other"), 14)), Decision::Wait)]
    #[case::of_another_and_silent(Some(seen(Some("other"), 15)), Decision::Take)]
    #[case::of_this_pods_predecessor(Some(seen(Some("me_old"), 19)), Decision::Wait)]
    #[case::of_this_pods_predecessor_and_nobody_else_came(
        Some(seen(Some("me_old"), 20)),
        Decision::Take
    )]
    #[case::given_back(Some(seen(None, 0)), Decision::Take)]
    fn it(#[case] seen: Option<Observation>, #[case] decision: Decision) {
        assert_eq!(decide("me", seen.as_ref()), decision);
    }
}
