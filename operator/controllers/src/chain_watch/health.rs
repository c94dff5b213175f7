//! What is known of a network's endpoints, and what may be done while it is so.

use std::time::{Duration, Instant};

use coreward_domain::chain::Head;
use coreward_domain::condition::ChainHealth;

/// Without a word on the last snapshot for this long, what the chain last said is not acted upon: an endpoint that tells
/// heads and nothing else is as good as silent.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a replaced block is told of.
const REORG_TOLD: Duration = Duration::from_mins(1);

/// What is known of a network's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When a head that is new was last seen, by our clock.
    pub head_at: Option<Instant>,
    /// When enough endpoints last said that the last snapshot's block is still the head.
    pub confirmed_at: Option<Instant>,
    /// When any endpoint last said so of the last that was read, believed or not.
    pub read_at: Option<Instant>,
    /// When endpoints last told no head that enough of them agree upon.
    pub doubted_at: Option<Instant>,
    /// When a block was last replaced by another.
    pub reorg_at: Option<Instant>,
}

impl Health {
    /// How old the last snapshot is: since its block was last said to be the head. `None` if there was none.
    #[must_use]
    pub fn snapshot_age(&self, now: Instant) -> Option<Duration> {
        age(self.confirmed_at, now)
    }

    /// Whether the last snapshot may be acted upon. A head that stands still for longer than `stuck` is a node that is stuck,
    /// whatever it answers.
    #[must_use]
    pub fn may_act(&self, now: Instant, stuck: Duration) -> bool {
        self.snapshot_age(now).is_some_and(|age| age <= SILENCE)
            && self.head_age(now).is_some_and(|age| age <= stuck)
    }

    /// Since the head arrived; `None` if none ever did.
    #[must_use]
    pub fn head_age(&self, now: Instant) -> Option<Duration> {
        age(self.head_at, now)
    }

    /// An endpoint told this head, and `last` was told before.
    pub fn told(&mut self, last: Option<Head>, head: Head, now: Instant) {
        if self.head_at.is_none() || last.is_none_or(|last| last.hash != head.hash) {
            self.head_at = Some(now);
        }
        if last.is_some_and(|last| replaced(last, head)) {
            self.reorg_at = Some(now);
        }
    }

    /// The snapshot that was read last is of the head at this moment.
    pub const fn confirm(&mut self, is_believed: bool, now: Instant) {
        self.read_at = Some(now);
        if is_believed {
            self.confirmed_at = Some(now);
        }
    }

    /// In the words of `ChainSynced`.
    #[must_use]
    pub fn word(&self, now: Instant, stuck: Duration) -> ChainHealth {
        if !self.may_act(now, stuck) {
            let doubted = age(self.doubted_at, now).is_some_and(|age| age <= SILENCE);
            return match (doubted, self.confirmed_at) {
                (true, _) => ChainHealth::EndpointsDisagree,
                (false, None) => ChainHealth::Unknown,
                (false, Some(_)) => ChainHealth::HeadStale,
            };
        }
        if age(self.reorg_at, now).is_some_and(|age| age < REORG_TOLD) {
            return ChainHealth::Reorg;
        }
        ChainHealth::HeadFresh
    }
}

/// Whether the second head cannot stand on the first: the same height or lower, and another block.
pub(super) fn replaced(last: Head, head: Head) -> bool {
    head.number <= last.number && head.hash != last.hash
}

pub(super) fn age(at: Option<Instant>, now: Instant) -> Option<Duration> {
    at.map(|at| now.saturating_duration_since(at))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    const STUCK: Duration = Duration::from_mins(10);

    fn head(number: u64, hash: u8) -> Head {
        Head { number, hash: B256::repeat_byte(hash), timestamp: 0, base_fee: 0 }
    }

    #[rstest::rstest]
    #[case::the_next_block(head(7, 1), head(8, 2), false)]
    #[case::the_same_block(head(7, 1), head(7, 1), false)]
    #[case::another_of_the_same_height(head(7, 1), head(7, 2), true)]
    #[case::a_lower_one(head(7, 1), head(6, 2), true)]
    fn a_block_that_cannot_follow_is_a_reorg(
        #[case] last: Head,
        #[case] now: Head,
        #[case] reorg: bool,
    ) {
        assert_eq!(replaced(last, now), reorg);
    }

    /// Seconds ago, of what may never have been.
    #[derive(Clone, Copy)]
    struct Ago {
        confirmed: Option<u64>,
        doubted: Option<u64>,
        head: Option<u64>,
        reorg: Option<u64>,
    }

    const AGO: Ago = Ago { confirmed: Some(1), doubted: None, head: Some(1), reorg: None };

    #[rstest::rstest]
    #[case::nothing_heard(Ago { confirmed: None, head: None, ..AGO }, ChainHealth::Unknown)]
    #[case::nothing_was_read_yet(Ago { confirmed: None, ..AGO }, ChainHealth::Unknown)]
    #[case::a_new_head(AGO, ChainHealth::HeadFresh)]
    #[case::a_quiet_chain(Ago { head: Some(300), ..AGO }, ChainHealth::HeadFresh)]
    #[case::a_stuck_node(Ago { head: Some(601), ..AGO }, ChainHealth::HeadStale)]
    #[case::a_silent_node(Ago { confirmed: Some(16), head: Some(16), ..AGO }, ChainHealth::HeadStale)]
    #[case::heads_come_and_nothing_can_be_read(Ago { confirmed: Some(16), ..AGO }, ChainHealth::HeadStale)]
    #[case::a_replaced_block(Ago { reorg: Some(59), ..AGO }, ChainHealth::Reorg)]
    #[case::a_replaced_block_long_ago(Ago { reorg: Some(60), ..AGO }, ChainHealth::HeadFresh)]
    #[case::one_of_three_answers_since_the_start(Ago { confirmed: None, doubted: Some(1), ..AGO }, ChainHealth::EndpointsDisagree)]
    #[case::one_of_three_answers(Ago { confirmed: Some(16), doubted: Some(1), ..AGO }, ChainHealth::EndpointsDisagree)]
    #[case::one_of_three_answers_for_a_moment(Ago { confirmed: Some(2), doubted: Some(1), ..AGO }, ChainHealth::HeadFresh)]
    #[case::then_none(Ago { confirmed: Some(40), doubted: Some(16), ..AGO }, ChainHealth::HeadStale)]
    fn health_has_a_word(#[case] past: Ago, #[case] word: ChainHealth) {
        let now = crate::clock::now() + Duration::from_hours(1);
        let ago = |seconds: Option<u64>| {
            seconds.and_then(|seconds| now.checked_sub(Duration::from_secs(seconds)))
        };
        let health = Health {
            head_at: ago(past.head),
            confirmed_at: ago(past.confirmed),
            doubted_at: ago(past.doubted),
            read_at: None,
            reorg_at: ago(past.reorg),
        };
        assert_eq!(health.word(now, STUCK), word);
    }

    #[test]
    fn the_same_head_again_is_no_sign_of_life() {
        let (begun, later) = (crate::clock::now(), crate::clock::now() + Duration::from_secs(5));
        let mut health = Health::default();
        health.told(None, head(7, 1), begun);
        health.told(Some(head(7, 1)), head(7, 1), later);
        assert_eq!((health.head_at, health.reorg_at), (Some(begun), None));
        health.told(Some(head(7, 1)), head(8, 2), later);
        assert_eq!((health.head_at, health.reorg_at), (Some(later), None));
        health.told(Some(head(8, 2)), head(8, 3), later);
        assert_eq!(health.reorg_at, Some(later));
    }
}
