//! Which of several nodes to ask, from what they say of the chain: pure.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use coreward_domain::chain::Head;

/// A node this many blocks away from what is believed is not asked.
const LAG: u64 = 2;

/// What one node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Voice {
    /// Which node.
    pub(super) index: usize,
    /// Its head.
    pub(super) head: Head,
    /// Its block at the common height; `None` if it has none, or did not say.
    pub(super) vote: Option<Head>,
    /// Whether it failed to answer something lately.
    pub(super) is_demoted: bool,
    /// Whether it did not show lately what it had told of.
    pub(super) is_distrusted: bool,
}

/// The voice to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) voice: Voice,
    /// The block to act by: no newer than what enough nodes have reached.
    pub(super) head: Head,
    /// Whether enough of all nodes agree with it: the silence of the others proves nothing.
    pub(super) is_believed: bool,
}

/// The height that more than half of all nodes have reached by these heads; if fewer tell one, that each of them has; 0 of none.
pub(super) fn common_height(heads: impl Iterator<Item = u64>, configured: usize) -> u64 {
    let mut heights: Vec<_> = heads.collect();
    heights.sort_unstable_by(|one, other| other.cmp(one));
    let lowest = heights.len().saturating_sub(1);
    heights.get(lowest.min(configured / 2)).copied().unwrap_or(0)
}

/// How many nodes must agree to be believed: more than half of three or more. One of one, and one of two while the other is
/// silent: who has two could not bear the loss of either else. That two which contradict each other say nothing is not a
/// matter of numbers: neither has more than half of those that answer.
const fn enough(configured: usize) -> usize {
    match configured {
        0..=2 => 1,
        _ => configured / 2 + 1,
    }
}

impl Voice {
    /// Whether this is its block at the common height.
    pub(super) fn agrees(&self, block: B256) -> bool {
        self.vote.is_some_and(|vote| vote.hash == block)
    }
}

/// The voice to follow, one of those that more than half of all voices agree with; `None` if no block has that many.
///
/// Of three nodes and more the block is the one they agree upon: whoever agrees there and tells more, far more even, tells
/// what nobody else has seen. Of two it is the head of the one that is ahead, as the other may be the one that is stuck.
/// Whoever failed lately, or is far from the others, is followed only when nobody else is left; `chosen` is kept among equals.
///
/// Of two, one that is distrusted loses to the other, whatever it tells. What the other tells alone is not believed then: it
/// may be stuck.
pub(super) fn choose(voices: &[Voice], chosen: usize, configured: usize) -> Option<Choice> {
    let is_told_by_one = enough(configured) == 1;
    let (common, agreeing) = majority(voices).or_else(|| {
        let trusted: Vec<_> = voices.iter().filter(|voice| !voice.is_distrusted).copied().collect();
        is_told_by_one.then(|| majority(&trusted)).flatten()
    })?;
    let agreed = || voices.iter().filter(|voice| voice.agrees(common.hash));
    let highest = agreed().map(|voice| voice.head.number).max()?;
    let keeps_pace = |voice: &Voice| match voice.head.number {
        height if is_told_by_one => height.saturating_add(LAG) >= highest,
        height => height <= common.number.saturating_add(LAG),
    };
    let rank = |voice: &&Voice| {
        let (is_trusted, keeps_pace) = (!voice.is_distrusted, keeps_pace(voice));
        let is_preferred = is_told_by_one && is_trusted;
        let height = voice.head.number;
        (is_preferred, keeps_pace && !voice.is_demoted, keeps_pace, height, voice.index == chosen)
    };
    let voice = agreed().max_by_key(rank).copied()?;
    if is_told_by_one {
        let is_believed = agreeing == voices.len() && keeps_pace(&voice);
        return Some(Choice { voice, head: voice.head, is_believed });
    }
    Some(Choice { voice, head: common, is_believed: agreeing >= enough(configured) })
}

/// The block that more than half of these voices have, and how many do.
fn majority(voices: &[Voice]) -> Option<(Head, usize)> {
    let mut votes: BTreeMap<B256, (Head, usize)> = BTreeMap::new();
    for vote in voices.iter().filter_map(|voice| voice.vote) {
        votes.entry(vote.hash).or_insert((vote, 0)).1 += 1;
    }
    votes.into_values().find(|(_, count)| *count > voices.len() / 2)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn voice(index: usize, height: u64, vote: u8) -> Voice {
        let head =
            Head { number: height, hash: B256::with_last_byte(vote), timestamp: 0, base_fee: 0 };
        // All that have reached it have the same block, or another one, at height 9.
        let vote = (vote > 0).then_some(Head { number: 9, ..head });
        Voice { index, head, vote, is_demoted: false, is_distrusted: false }
    }

    fn demoted(voice: Voice) -> Voice {
        Voice { is_demoted: true, ..voice }
    }

    fn distrusted(voice: Voice) -> Voice {
        Voice { is_distrusted: true, ..demoted(voice) }
    }

    #[rstest]
    #[case::of_one(&[7], 1, 7)]
    #[case::of_two(&[9, 7], 2, 7)]
    #[case::of_three(&[3, 9, 7], 3, 7)]
    #[case::a_liar_far_ahead(&[1000, 7, 7], 3, 7)]
    #[case::one_of_two(&[9], 2, 9)]
    #[case::one_of_three(&[9], 3, 9)]
    #[case::two_of_three(&[9, 7], 3, 7)]
    #[case::three_of_five_must_all_have_it(&[9, 7, 8], 5, 7)]
    #[case::four_of_five_spare_a_laggard(&[9, 3, 7, 8], 5, 7)]
    #[case::of_none(&[], 3, 0)]
    fn more_than_half_have_reached(
        #[case] heights: &[u64],
        #[case] configured: usize,
        #[case] common: u64,
    ) {
        assert_eq!(common_height(heights.iter().copied(), configured), common);
    }

    #[rstest]
    #[case::the_only_one(vec![voice(0, 9, 1)], 1, Some(true))]
    #[case::one_of_two_while_the_other_is_silent(vec![voice(1, 9, 1)], 2, Some(true))]
    #[case::both_of_two(vec![voice(0, 9, 1), voice(1, 9, 1)], 2, Some(true))]
    #[case::two_that_disagree(vec![voice(0, 9, 1), voice(1, 9, 2)], 2, None)]
    #[case::one_of_three(vec![voice(2, 1000, 1)], 3, Some(false))]
    #[case::two_of_three(vec![voice(0, 9, 1), voice(1, 9, 1)], 3, Some(true))]
    #[case::two_of_three_that_disagree(vec![voice(0, 9, 1), voice(1, 9, 2)], 3, None)]
    #[case::two_against_a_liar(vec![voice(0, 9, 1), voice(1, 9, 1), voice(2, 9, 2)], 3, Some(true))]
    #[case::two_of_four(vec![voice(0, 9, 1), voice(1, 9, 1)], 4, Some(false))]
    #[case::three_of_four(vec![voice(0, 9, 1), voice(1, 9, 1), voice(2, 9, 1)], 4, Some(true))]
    #[case::two_of_five_and_a_liar(vec![voice(0, 9, 1), voice(1, 9, 1), voice(2, 9, 2)], 5, Some(false))]
    #[case::three_of_five(vec![voice(0, 9, 1), voice(1, 9, 1), voice(2, 9, 1)], 5, Some(true))]
    #[case::none_of_three(vec![], 3, None)]
    #[case::two_of_which_one_is_distrusted(vec![distrusted(voice(0, 10, 1)), voice(1, 9, 1)], 2, Some(true))]
    #[case::one_of_two_against_a_distrusted_one_far_ahead(vec![distrusted(voice(0, 1000, 1)), voice(1, 9, 1)], 2, Some(false))]
    #[case::one_of_two_against_a_distrusted_one_elsewhere(vec![distrusted(voice(0, 1000, 2)), voice(1, 9, 1)], 2, Some(false))]
    #[case::one_of_two_against_a_distrusted_one_that_shows_nothing(vec![distrusted(voice(0, 1000, 0)), voice(1, 9, 1)], 2, Some(false))]
    #[case::two_distrusted_that_disagree(vec![distrusted(voice(0, 9, 1)), distrusted(voice(1, 9, 2))], 2, None)]
    #[case::two_of_three_that_disagree_and_one_is_distrusted(vec![distrusted(voice(0, 9, 1)), voice(1, 9, 2)], 3, None)]
    fn the_silence_of_others_proves_nothing(
        #[case] voices: Vec<Voice>,
        #[case] configured: usize,
        #[case] believed: Option<bool>,
    ) {
        assert_eq!(choose(&voices, 1, configured).map(|choice| choice.is_believed), believed);
    }

    #[rstest]
    #[case::the_only_one(vec![voice(0, 9, 1)], Some(0))]
    #[case::the_one_ahead(vec![voice(0, 9, 1), voice(1, 10, 1)], Some(1))]
    #[case::the_chosen_among_equals(vec![voice(0, 9, 1), voice(1, 9, 1), voice(2, 9, 1)], Some(1))]
    #[case::one_far_ahead_is_passed_over(vec![voice(0, 1000, 1), voice(1, 9, 1), voice(2, 9, 1)], Some(1))]
    #[case::a_liar_is_outvoted(vec![voice(0, 1000, 2), voice(1, 9, 1), voice(2, 9, 1)], Some(1))]
    #[case::a_laggard_has_no_vote(vec![voice(0, 3, 0), voice(1, 9, 1), voice(2, 10, 1)], Some(2))]
    #[case::two_that_disagree_say_nothing(vec![voice(0, 9, 1), voice(1, 9, 2)], None)]
    #[case::three_that_disagree_say_nothing(vec![voice(0, 9, 1), voice(1, 9, 2), voice(2, 9, 3)], None)]
    #[case::one_that_failed_is_passed_over(vec![demoted(voice(0, 10, 1)), voice(1, 9, 1)], Some(1))]
    #[case::unless_all_failed(vec![demoted(voice(0, 10, 1)), demoted(voice(1, 9, 1))], Some(0))]
    #[case::or_the_other_lags(vec![demoted(voice(0, 20, 1)), voice(1, 9, 1)], Some(0))]
    #[case::never_one_that_is_distrusted(vec![distrusted(voice(0, 1000, 1)), voice(1, 9, 1)], Some(1))]
    #[case::even_if_the_other_failed(vec![distrusted(voice(0, 1000, 1)), demoted(voice(1, 9, 1))], Some(1))]
    #[case::nor_where_it_is_elsewhere(vec![distrusted(voice(0, 1000, 2)), voice(1, 9, 1)], Some(1))]
    #[case::nor_where_it_is_behind(vec![voice(0, 1000, 1), distrusted(voice(1, 9, 1))], Some(0))]
    #[case::unless_it_is_alone(vec![distrusted(voice(0, 9, 1))], Some(0))]
    #[case::or_both_are(vec![distrusted(voice(0, 1000, 1)), distrusted(voice(1, 9, 1))], Some(0))]
    #[case::of_three_one_far_ahead_is_no_better_for_being_trusted(vec![voice(0, 1000, 1), distrusted(voice(1, 9, 1)), distrusted(voice(2, 9, 1))], Some(1))]
    #[case::nobody(vec![], None)]
    fn it_follows(#[case] voices: Vec<Voice>, #[case] followed: Option<usize>) {
        let choice = choose(&voices, 1, voices.len());
        assert_eq!(choice.map(|choice| choice.voice.index), followed);
    }

    #[rstest]
    #[case::of_three_what_two_have_reached(&[1000, 9, 9], 3, 9)]
    #[case::of_three_what_both_that_answer_have_reached(&[1000, 9], 3, 9)]
    #[case::of_two_the_one_ahead(&[10, 9], 2, 10)]
    fn it_acts_by(#[case] heights: &[u64], #[case] configured: usize, #[case] number: u64) {
        let voices = heights.iter().enumerate();
        let voices: Vec<_> = voices.map(|(index, height)| voice(index, *height, 1)).collect();
        assert_eq!(choose(&voices, 0, configured).map(|choice| choice.head.number), Some(number));
    }
}
