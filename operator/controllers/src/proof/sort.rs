//! Which proofs of a refused batch have it refused: found by halves, without sending anything.

use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::Proof;

/// Simulations that one refused batch may cost: enough to find a few bad proofs among five hundred.
const SIMULATIONS: usize = 48;

/// What the chain says of a batch without taking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It would be taken.
    Good,
    /// One of its proofs is wrong, and stays so.
    Wrong,
    /// One of its units was matched meanwhile: its proofs are not wanted, and nobody is to blame.
    Matched,
    /// Anything else: nothing follows for any single proof.
    Unknown,
}

impl Word {
    /// What a refusal says.
    pub(super) const fn of(revert: Option<&Revert>) -> Self {
        match revert {
            Some(Revert::Known(Refusal::ProofTooBig)) => Self::Wrong,
            Some(Revert::Known(Refusal::UnitInDeal)) => Self::Matched,
            Some(_) | None => Self::Unknown,
        }
    }
}

/// A batch, sorted; proofs in neither list wait for the next turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Would be taken.
    pub(super) good: Vec<Proof>,
    /// Wrong for good.
    pub(super) wrong: Vec<Proof>,
}

/// A refused batch while it is sorted.
#[derive(Debug)]
pub(super) struct Sorting<'batch> {
    /// Not asked about yet; the last one is next.
    parts: Vec<&'batch [Proof]>,
    asked: usize,
    sorted: Sorted,
}

impl<'batch> Sorting<'batch> {
    /// Nothing is known of any of them.
    pub(super) fn of(proofs: &'batch [Proof]) -> Self {
        Self { parts: vec![proofs], asked: 0, sorted: Sorted::default() }
    }

    /// The proofs to ask about next; `None` when nothing is left, or enough was asked.
    pub(super) fn part(&self) -> Option<&'batch [Proof]> {
        self.parts.last().copied().filter(|_| self.asked < SIMULATIONS)
    }

    /// What the chain says of that part. An unknown answer ends it: what was learned stands, and nobody else is blamed.
    pub(super) fn heard(&mut self, word: Word) {
        let Some(part) = self.parts.pop() else { return };
        self.asked += 1;
        match word {
            Word::Good => self.sorted.good.extend(part),
            Word::Wrong if part.len() <= 1 => self.sorted.wrong.extend(part),
            Word::Matched if part.len() <= 1 => {}
            Word::Wrong | Word::Matched => {
                let (first, second) = part.split_at(part.len() / 2);
                self.parts.extend([second, first]);
            }
            Word::Unknown => self.parts.clear(),
        }
    }

    /// What was learned.
    pub(super) fn end(self) -> Sorted {
        self.sorted
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coreward_domain::id::UnitId;
    use rstest::rstest;

    use super::*;

    /// Proof of a number; every unit has three.
    fn proof(number: u16) -> Proof {
        let word = |number: u16| B256::left_padding_from(&number.to_be_bytes());
        Proof { unit: UnitId(word(number / 3)), local_nonce: word(number), result_hash: B256::ZERO }
    }

    fn proofs(numbers: impl IntoIterator<Item = u16>) -> Vec<Proof> {
        numbers.into_iter().map(proof).collect()
    }

    /// Sorts a batch by a chain that answers so; says how often it was asked, too.
    fn asking(batch: u16, mut chain: impl FnMut(&[Proof]) -> Word) -> (Sorted, usize) {
        let batch = proofs(0..batch);
        let mut sorting = Sorting::of(&batch);
        while let Some(part) = sorting.part() {
            sorting.heard(chain(part));
        }
        let asked = sorting.asked;
        (sorting.end(), asked)
    }

    /// As the contract has it: its word is of the first proof that it stumbles upon.
    fn sorted(batch: u16, word_of: impl Fn(&Proof) -> Word) -> (Sorted, usize) {
        asking(batch, |part| {
            part.iter().map(&word_of).find(|word| *word != Word::Good).unwrap_or(Word::Good)
        })
    }

    #[rstest]
    #[case::the_first(8, &[0])]
    #[case::the_last(8, &[7])]
    #[case::one_in_the_middle_of_an_odd_batch(7, &[3])]
    #[case::several(16, &[1, 2, 9, 15])]
    #[case::the_only_one(1, &[0])]
    #[case::all(8, &[0, 1, 2, 3, 4, 5, 6, 7])]
    #[case::a_few_of_a_great_batch(500, &[0, 250, 499])]
    fn the_wrong_ones_are_found_and_no_other(#[case] batch: u16, #[case] wrong: &[u16]) {
        let wrong = proofs(wrong.iter().copied());
        let word = |proof: &Proof| if wrong.contains(proof) { Word::Wrong } else { Word::Good };
        let (sorted, asked) = sorted(batch, word);
        let mut good = proofs(0..batch);
        good.retain(|proof| !wrong.contains(proof));
        assert_eq!(sorted, Sorted { good, wrong });
        assert!(asked <= SIMULATIONS, "{asked}");
    }

    #[test]
    fn a_matched_unit_costs_nothing_but_a_batch_without_it() {
        let matched = proof(6).unit;
        let word = |proof: &Proof| if proof.unit == matched { Word::Matched } else { Word::Good };
        let (sorted, _) = sorted(12, word);
        let mut good = proofs(0..12);
        good.retain(|proof| proof.unit != matched);
        assert_eq!(sorted, Sorted { good, wrong: Vec::new() });
    }

    #[test]
    fn a_wrong_proof_is_told_from_a_matched_unit_in_one_batch() {
        let matched = proof(0).unit;
        let word = |told: &Proof| match () {
            () if told.unit == matched => Word::Matched,
            () if *told == proof(11) => Word::Wrong,
            () => Word::Good,
        };
        let (sorted, _) = sorted(12, word);
        assert_eq!(sorted, Sorted { good: proofs(3..11), wrong: proofs([11]) });
    }

    #[test]
    fn an_unknown_answer_ends_it_and_blames_nobody() {
        let (of_all, asked) = sorted(8, |_| Word::Unknown);
        assert_eq!((of_all, asked), (Sorted::default(), 1));
        // The first of eight is wrong, and the chain is gone once that is known.
        // The first of eight is wrong, and the chain is gone once that is known.
        let mut answers = [Word::Wrong, Word::Wrong, Word::Wrong, Word::Wrong].into_iter();
        let (sorted, asked) = asking(8, |_| answers.next().unwrap_or(Word::Unknown));
        assert_eq!(sorted, Sorted { good: Vec::new(), wrong: proofs([0]) });
        assert_eq!(asked, 5);
    }

    #[test]
    fn no_more_is_asked_than_a_batch_may_cost() {
        let (sorted, asked) = sorted(512, |_| Word::Wrong);
        assert_eq!(asked, SIMULATIONS);
        assert!(sorted.good.is_empty() && !sorted.wrong.is_empty(), "{sorted:?}");
    }

    #[rstest]
    #[case::too_big(Some(Revert::Known(Refusal::ProofTooBig)), Word::Wrong)]
    #[case::matched(Some(Revert::Known(Refusal::UnitInDeal)), Word::Matched)]
    #[case::a_commitment_that_ended(Some(Revert::CommitmentNotActive(3)), Word::Unknown)]
    #[case::no_words(Some(Revert::Unknown), Word::Unknown)]
    #[case::no_answer(None, Word::Unknown)]
    fn only_two_refusals_are_of_single_proofs(#[case] revert: Option<Revert>, #[case] word: Word) {
        assert_eq!(Word::of(revert.as_ref()), word);
    }
}
