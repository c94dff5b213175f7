//! The marketplace's contracts themselves, with the driver playing the provider too.
//!
//! It needs no cluster, and keeps the fact sheet of the contracts honest: if a package behaves otherwise one day, it is
//! seen here first.
//!
//! Each pitfall of the fact sheet by its number, and the tests that show it: those here, or those of the operator's crates,
//! where what we do about it is shown as well.
//!
//! | pitfall | shown by |
//! | --- | --- |
//! | 1 | `a_stopped_deal_keeps_half_of_its_workers_until_someone_removes_them`, `stop_leaves_half_of_the_workers_and_we_remove_the_rest` |
//! | 2 | `a_resource_removed_under_a_worker_is_declared_again_so_that_it_can_leave` |
//! | 3 | `a_removed_peer_leaves_resources_behind_that_block_its_return`, `leftover_resources_keep_a_peer_from_coming_back_so_they_go_before_it` |
//! | 4 | `units_could_be_added_under_a_commitment_and_we_wait_for_its_end` |
//! | 5 | `the_first_epoch_takes_no_activation_and_we_wait_for_the_second` |
//! | 6 | `the_first_word_of_a_deals_app_names_another_deal_and_we_read_the_deal_itself` |
//! | 7 | `what_is_logged_of_a_commitment_comes_before_its_start_and_after_its_failure`, `a_commitment_takes_no_proof_before_its_start` |
//! | 8 | `what_was_not_vested_when_a_commitment_failed_is_lost_and_the_rest_is_fetched`, `a_stranger_can_finish_a_failed_commitment_and_our_plan_ends_there` |
//! | 9 | `proofs_of_a_past_epoch_end_as_an_empty_transfer`, `the_keccak_stand_in_refuses_what_is_no_work` |
//! | 10 | `after_a_reorg_a_commitment_has_another_id_and_only_that_one_takes_the_deposit` |
//! | 11 | `a_worker_that_is_gone_is_an_absence_and_no_error` |
//! | 12 | `a_strangers_transaction_displaces_ours_once_it_is_final`, `what_is_stuck_for_its_low_fee_is_replaced_by_a_dearer_one` |
//! | 13 | `with_a_dead_socket`, `a_transaction_whose_block_was_taken_back_is_sent_again_and_ends` |
//! | 14 | `every_units_minimum_goes_in_one_batch` |
//! | 15 | `the_peers_key_alone_serves_a_deal_and_the_provider_is_paid` |
//! | 16 | `a_deposit_must_be_exact_to_the_wei` |
//! | 17 | `a_chain_that_mines_by_the_second_is_driven_without_waiting_for_it` |
//! | 18 | `a_multicall_is_the_callers_own_and_whole_or_nothing_and_no_key_of_ours_signs_one` |
//! | 19 | `a_commitment_made_while_a_unit_is_in_a_deal_fails_with_all_units_proven`, `a_unit_in_a_deal_could_be_pledged_and_we_do_not` |
//! | 20 | `a_removed_peer_would_take_its_rewards_along_and_we_keep_it` |
//! | 21 | `a_commitment_cannot_be_renewed_before_its_end_and_we_do_not_try` |
//! | 22 | `views_forget_a_renewed_commitment_and_the_logs_do_not` |
//! | 23 | `a_high_rate_of_ones_own_stake_gives_the_deals_coin_away_and_a_low_one_keeps_it`, `without_a_delegator_a_stranger_stakes_first_and_we_always_name_the_provider` |
//! | 24 | `more_ram_than_that_of_the_units_sells_the_provers_memory_and_we_declare_exactly_that` |
//! | 25 | `a_frozen_provider_can_neither_leave_nor_be_paid_and_is_told_why`, `a_frozen_developer_blocks_neither_activation_nor_pay_nor_removal` |
//! | 26 | `out_of_gas_looks_like_an_answer_and_is_none` |
//! | 27 | `at_an_epochs_end_without_a_block_only_pending_sees_the_new_nonce`, `an_epoch_that_ends_without_a_block_is_seen_by_our_simulation` |
//! | 28 | `a_peers_owner_is_for_ever_and_a_strange_one_is_told`, `a_price_can_be_neither_zero_nor_taken_back_and_is_refused_before`, `the_closing_price_lets_every_match_fail_cleanly_and_a_higher_one_panics`, `a_peers_id_can_be_taken_by_anyone_first_and_we_take_another` |
//! | 29 | `a_price_that_moves_before_the_deposit_does_not_change_the_deposit`, `a_deposit_inside_a_multicall_is_refused`, `access_that_is_revoked_blocks_new_commitments_and_nothing_else` |
//! | 30 | `after_a_reorg_a_commitment_has_another_id_and_only_that_one_takes_the_deposit`, `a_second_registration_would_be_taken_and_is_not_planned` |

mod epochs;
mod lifecycle;
mod market;
mod stakes;
mod traps;

use coreward_e2e::sources::Sources;

/// Pitfalls of the fact sheet.
const PITFALLS: u32 = 30;

#[test]
fn each_pitfall_is_in_the_table_once_and_each_test_of_it_exists() {
    let sources = Sources::read().unwrap();
    let mut numbers = Vec::new();
    for row in include_str!("main.rs").lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let (number, tests) = row.split_once(" | ").unwrap();
        let Ok(number) = number.parse::<u32>() else { continue };
        numbers.push(number);
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "pitfall {number} has no test");
        for test in tests {
            assert!(sources.have_function(test), "pitfall {number}: there is no test {test}");
        }
    }
    assert_eq!(numbers, (1..=PITFALLS).collect::<Vec<_>>());
}
