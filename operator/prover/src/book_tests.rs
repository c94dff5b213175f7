use coreward_wire::ProofTarget;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const UNIT: B256 = B256::repeat_byte(0x22);

fn puzzle(epoch: u64, nonce: u8, on_chain: u32) -> Puzzle {
    Puzzle {
        epoch,
        global_nonce: B256::repeat_byte(nonce),
        difficulty: B256::repeat_byte(0xff),
        target: ProofTarget { minimum: 2, useful: 5, on_chain },
        remaining_seconds: 60,
    }
}

fn duty(puzzle: Option<Puzzle>) -> ProverDuty {
    ProverDuty { unit_id: UNIT, puzzle, acknowledged: Vec::new() }
}

fn proof(epoch: u64, nonce: u8, local: u8) -> Entry {
    let proof = FoundProof {
        epoch,
        global_nonce: B256::repeat_byte(nonce),
        local_nonce: B256::repeat_byte(local),
        result_hash: B256::ZERO,
    };
    Entry { unit_id: UNIT, proof }
}

fn local(bytes: &[u8]) -> Vec<B256> {
    bytes.iter().copied().map(B256::repeat_byte).collect()
}

fn posted_locals(book: &Book) -> Vec<B256> {
    book.to_post()
        .map_or_else(Vec::new, |post| post.proofs.iter().map(|proof| proof.local_nonce).collect())
}

fn book_at(puzzle: Puzzle) -> Book {
    let mut book = Book::default();
    book.take("a", duty(Some(puzzle)));
    book
}

/// Takes a found proof that the volume takes, too.
fn find_and_save(book: &mut Book, entry: Entry) {
    let local_nonce = entry.proof.local_nonce;
    assert!(book.find(entry));
    book.saved(local_nonce);
}

#[rstest]
#[case::nothing_on_chain(0, 0, true)]
#[case::on_its_way_counts(0, 5, false)]
#[case::on_chain_counts(5, 0, false)]
#[case::both_together(3, 2, false)]
#[case::one_is_missing(3, 1, true)]
#[case::more_than_enough(9, 0, false)]
fn it_stops_at_the_useful_maximum(#[case] on_chain: u32, #[case] found: u8, #[case] hashes: bool) {
    let mut book = book_at(puzzle(7, 1, on_chain));
    for each in 0..found {
        assert!(book.find(proof(7, 1, each)));
    }
    assert_eq!(matches!(book.goal(), Goal::Hash(_)), hashes);
}

#[test]
fn without_a_puzzle_it_rests_and_keeps_what_it_has() {
    let mut book = Book::with_saved(vec![proof(7, 1, 1)]);
    assert_eq!((book.goal(), book.to_post()), (Goal::Unknown, None));
    assert_eq!(book.take("a", duty(None)), Done::default());
    assert_eq!((book.goal(), book.kept()), (Goal::Rest, 1));
}

#[test]
fn a_new_epoch_drops_the_proofs_of_the_old_and_counts_them() {
    let mut book = book_at(puzzle(7, 1, 0));
    book.find(proof(7, 1, 1));
    let done = book.take("a", duty(Some(puzzle(8, 2, 0))));
    assert_eq!(done, Done { acknowledged: vec![], stale: local(&[1]) });
    assert!(!book.find(proof(7, 1, 2)), "found while the puzzle changed");
    assert_eq!((book.stale(), book.kept()), (2, 0));
}

#[test]
fn another_global_nonce_of_the_same_epoch_keeps_them_for_the_way_back() {
    let mut book = book_at(puzzle(7, 1, 0));
    find_and_save(&mut book, proof(7, 1, 1));
    assert_eq!(book.take("a", duty(Some(puzzle(7, 2, 0)))), Done::default());
    assert_eq!((book.found(), posted_locals(&book)), (0, vec![]));
    book.take("a", duty(Some(puzzle(7, 1, 0))));
    assert_eq!((book.found(), posted_locals(&book)), (1, local(&[1])));
}

#[test]
fn a_new_leader_is_told_everything_again() {
    let mut book = book_at(puzzle(7, 1, 0));
    find_and_save(&mut book, proof(7, 1, 1));
    let post = book.to_post().unwrap();
    book.posted("a", &post);
    assert_eq!(book.to_post(), None);
    book.take("b", duty(Some(puzzle(7, 1, 0))));
    assert_eq!(book.to_post(), Some(post.clone()));
    book.posted("a", &post);
    assert_eq!(
        book.to_post(),
        Some(post),
        "the old leader's answer says nothing about the new one"
    );
}

#[test]
fn an_acknowledgement_removes_and_is_safe_to_repeat() {
    let mut book = book_at(puzzle(7, 1, 0));
    book.find(proof(7, 1, 1));
    book.find(proof(7, 1, 2));
    assert_eq!(book.acknowledge(&local(&[1, 9])), local(&[1]));
    let told = ProverDuty { acknowledged: local(&[1, 2]), ..duty(Some(puzzle(7, 1, 2))) };
    assert_eq!(book.take("a", told.clone()).acknowledged, local(&[2]));
    assert_eq!(book.take("a", told), Done::default());
    assert_eq!((book.kept(), book.found()), (0, 2));
}

#[test]
fn a_post_carries_at_most_what_the_wire_allows() {
    let mut book = book_at(puzzle(7, 1, 0));
    for each in 0..100 {
        find_and_save(&mut book, proof(7, 1, each));
    }
    let first = book.to_post().unwrap();
    book.posted("a", &first);
    let second = book.to_post().unwrap();
    assert_eq!((first.proofs.len(), second.proofs.len()), (64, 36));
}

#[test]
fn a_proof_is_not_posted_before_the_volume_has_taken_or_refused_it() {
    let mut book = book_at(puzzle(7, 1, 0));
    book.find(proof(7, 1, 1));
    book.find(proof(7, 1, 2));
    assert_eq!((book.waiting(), posted_locals(&book)), (2, vec![]));
    book.saved(B256::repeat_byte(2));
    assert_eq!((book.waiting(), posted_locals(&book)), (1, local(&[2])));
    book.refused(B256::repeat_byte(1));
    assert_eq!((book.waiting(), posted_locals(&book)), (0, local(&[1, 2])));
}

#[test]
fn what_the_volume_refused_is_remembered_until_it_takes_it() {
    let mut book = book_at(puzzle(7, 1, 0));
    book.find(proof(7, 1, 1));
    assert_eq!(book.to_save(), Some(proof(7, 1, 1)));
    book.refused(B256::repeat_byte(1));
    assert_eq!(book.to_save(), None, "it is not asked for at once");
    book.save_again();
    book.find(proof(7, 1, 2));
    assert_eq!(book.to_save(), Some(proof(7, 1, 2)), "the new one comes first");
    book.saved(B256::repeat_byte(2));
    assert_eq!((book.to_save(), posted_locals(&book)), (Some(proof(7, 1, 1)), local(&[1, 2])));
    book.saved(B256::repeat_byte(1));
    book.save_again();
    assert_eq!(book.to_save(), None);
}

#[test]
fn a_volume_of_another_unit_is_stale() {
    let mut entry = proof(7, 1, 1);
    entry.unit_id = B256::ZERO;
    let mut book = Book::with_saved(vec![entry]);
    assert_eq!(book.take("a", duty(Some(puzzle(7, 1, 0)))).stale, local(&[1]));
}

proptest! {
    /// Whatever is heard in whatever order, a proof leaves the book only acknowledged or stale.
    #[test]
    fn no_proof_is_lost(events in prop::collection::vec((0_u8..4, 5_u64..8, 0_u8..6), 0..60)) {
        let mut book = Book::default();
        let (mut kept, mut epoch) = (std::collections::BTreeSet::new(), 0);
        for (kind, at, byte) in events {
            match kind {
                0 => {
                    epoch = at;
                    book.take("a", duty(Some(puzzle(at, byte, 0))));
                    kept.retain(|(of, _)| *of >= at);
                }
                1 => if book.find(proof(at, 1, byte)) {
                    kept.retain(|(_, local)| *local != byte);
                    kept.insert((at, byte));
                } else {
                    prop_assert!(at < epoch);
                },
                2 => {
                    book.acknowledge(&local(&[byte]));
                    kept.retain(|(_, local)| *local != byte);
                }
                _ => if let Some(post) = book.to_post() { book.posted("a", &post) },
            }
            prop_assert_eq!(book.kept(), kept.len());
        }
    }
}
