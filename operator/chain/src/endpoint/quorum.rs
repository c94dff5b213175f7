//! Which of several nodes to ask, from what they say of the chain: pure.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use coreward_domain::chain::Head;

/// A node this many blocks behind the highest that is believed is not asked.
const LAG: u64 = 2;

/// What one node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Voice {
    /// Which node.
    pub(super) index: usize,
    /// Its head.
    pub(super) head: Head,
    /// Its block at the common height; `None` if it has none, or did not say.
    pub(super) vote: Option<B256>,
    /// Whether it failed to answer something lately.
    pub(super) is_demoted: bool,
}

/// The height that more than half of these heads have reached; 0 of none.
pub(super) fn common_height(heads: impl Iterator<Item = u64>) -> u64 {
    let mut heights: Vec<_> = heads.collect();
    heights.sort_unstable_by(|one, other| other.cmp(one));
    heights.get(heights.len() / 2).copied().unwrap_or(0)
}

/// The voice to follow: the one that is ahead among those that more than half agree with; `None` if no block has that many.
///
/// Whoever failed lately, or lags, is followed only when nobody else is left; `chosen` is kept among equals.
pub(super) fn choose(voices: &[Voice], chosen: usize) -> Option<Voice> {
    let mut votes: BTreeMap<B256, usize> = BTreeMap::new();
    for vote in voices.iter().filter_map(|voice| voice.vote) {
        *votes.entry(vote).or_default() += 1;
    }
    let (agreed, _) = votes.into_iter().find(|(_, count)| *count > voices.len() / 2)?;
    let believed = || voices.iter().filter(|voice| voice.vote == Some(agreed));
    let highest = believed().map(|voice| voice.head.number).max()?;
    let rank = |voice: &&Voice| {
        let keeps_up = voice.head.number + LAG >= highest;
        (keeps_up && !voice.is_demoted, keeps_up, voice.head.number, voice.index == chosen)
    };
    believed().max_by_key(rank).copied()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn voice(index: usize, height: u64, vote: u8) -> Voice {
        let head =
            Head { number: height, hash: B256::with_last_byte(vote), timestamp: 0, base_fee: 0 };
        let vote = (vote > 0).then(|| B256::with_last_byte(vote));
        Voice { index, head, vote, is_demoted: false }
    }

    fn demoted(voice: Voice) -> Voice {
        Voice { is_demoted: true, ..voice }
    }

    #[rstest]
    #[case::of_one(&[7], 7)]
    #[case::of_two(&[9, 7], 7)]
    #[case::of_three(&[3, 9, 7], 7)]
    #[case::a_liar_far_ahead(&[1000, 7, 7], 7)]
    #[case::of_none(&[], 0)]
    fn more_than_half_have_reached(#[case] heights: &[u64], #[case] common: u64) {
        assert_eq!(common_height(heights.iter().copied()), common);
    }

    #[rstest]
    #[case::the_only_one(vec![voice(0, 9, 1)], Some(0))]
    #[case::the_one_ahead(vec![voice(0, 9, 1), voice(1, 10, 1)], Some(1))]
    #[case::the_chosen_among_equals(vec![voice(0, 9, 1), voice(1, 9, 1), voice(2, 9, 1)], Some(1))]
    #[case::a_liar_is_outvoted(vec![voice(0, 1000, 2), voice(1, 9, 1), voice(2, 9, 1)], Some(1))]
    #[case::a_laggard_has_no_vote(vec![voice(0, 3, 0), voice(1, 9, 1), voice(2, 10, 1)], Some(2))]
    #[case::two_that_disagree_say_nothing(vec![voice(0, 9, 1), voice(1, 9, 2)], None)]
    #[case::three_that_disagree_say_nothing(vec![voice(0, 9, 1), voice(1, 9, 2), voice(2, 9, 3)], None)]
    #[case::one_that_failed_is_passed_over(vec![demoted(voice(0, 10, 1)), voice(1, 9, 1)], Some(1))]
    #[case::unless_all_failed(vec![demoted(voice(0, 10, 1)), demoted(voice(1, 9, 1))], Some(0))]
    #[case::or_the_other_lags(vec![demoted(voice(0, 20, 1)), voice(1, 9, 1)], Some(0))]
    #[case::nobody(vec![], None)]
    fn it_follows(#[case] voices: Vec<Voice>, #[case] followed: Option<usize>) {
        assert_eq!(choose(&voices, 1).map(|voice| voice.index), followed);
    }
}
