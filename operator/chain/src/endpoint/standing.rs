//! What is remembered of the nodes between two looks.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::B256;
use coreward_domain::chain::Head;
use tokio::time::Instant;

use super::quorum::Voice;

/// What a node said of its chain holds for this long: an address may come to lead to another node without any failure.
pub(super) const CHAIN_HOLDS: Duration = Duration::from_mins(5);

/// A node that failed to answer is passed over for this long.
pub(super) const DEMOTION: Duration = Duration::from_secs(15);

/// What is remembered of the nodes; all of it can be lost.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The chain that every node must be of; `None` before that was asked.
    pub(super) chain: Option<u64>,
    /// Who said that it is, by index, and when; who failed since says it again.
    pub(super) of_chain: BTreeMap<usize, Instant>,
    /// The last head of each, by index.
    pub(super) heads: BTreeMap<usize, Head>,
    /// Until when a node is passed over, by index.
    pub(super) demoted: BTreeMap<usize, Instant>,
    /// Until when a node that did not show what it had told of is not trusted, by index.
    pub(super) distrusted: BTreeMap<usize, Instant>,
    /// Whether no head was believed at the last look: nobody is left in peace then.
    pub(super) is_unsure: bool,
    /// Who agreed last, by index, with the head that each told: the same again need no second question.
    pub(super) agreed: Vec<(usize, B256)>,
    /// The block that they agreed upon.
    pub(super) common: Option<Head>,
    /// The last block that was believed, and since when it is the newest.
    pub(super) believed: Option<(Head, Instant)>,
}

impl Standing {
    /// Whoever failed lately, too often or too slow, is asked again when that is over.
    pub(super) fn demoted(&mut self) -> BTreeSet<usize> {
        self.demoted.retain(|_, until| *until > Instant::now());
        self.demoted.keys().copied().collect()
    }

    /// The chain that a node must be asked for; `None` if it said that it is of it and nothing speaks against that.
    pub(super) fn unsaid_chain(&self, index: usize) -> Option<u64> {
        let holds = self.of_chain.get(&index).is_some_and(|said| said.elapsed() < CHAIN_HOLDS);
        self.chain.filter(|_| !holds)
    }

    /// Takes note of a node's head; one that is no successor of its last may be another node's.
    pub(super) fn hears(&mut self, (index, head): (usize, Head)) {
        let last = self.heads.insert(index, head);
        let is_other = |last: Head| {
            head.number < last.number || (head.number == last.number && head.hash != last.hash)
        };
        if last.is_some_and(is_other) {
            self.of_chain.remove(&index);
        }
    }

    pub(super) fn pass_over(&mut self, index: usize) {
        self.demoted.insert(index, Instant::now() + DEMOTION);
        self.of_chain.remove(&index);
    }

    /// Passes over a node that did not show what it had told of.
    pub(super) fn distrust(&mut self, index: usize) {
        self.distrusted.insert(index, Instant::now() + DEMOTION);
        self.pass_over(index);
    }

    /// What a node says; `vote` is its block at the common height.
    pub(super) fn voice(&self, (index, head): (usize, Head), vote: Option<Head>) -> Voice {
        let lasts = |until: Option<&Instant>| until.is_some_and(|until| *until > Instant::now());
        let is_demoted = lasts(self.demoted.get(&index));
        let is_distrusted = lasts(self.distrusted.get(&index));
        Voice { index, head, vote, is_demoted, is_distrusted }
    }

    /// The block that was agreed upon last, if every node is one of those that agreed and tells the same head.
    pub(super) fn agreed_block(&self, heads: &[(usize, Head)]) -> Option<Head> {
        let is_same = |(index, head): &(usize, Head)| self.agreed.contains(&(*index, head.hash));
        self.common.filter(|_| heads.iter().all(is_same))
    }

    /// Takes note of the believed block; for how long no newer one was.
    pub(super) fn stands(&mut self, head: Head) -> Duration {
        let now = Instant::now();
        let since = self.believed.filter(|(last, _)| last.hash == head.hash);
        let since = since.map_or(now, |(_, since)| since);
        self.believed = Some((head, since));
        now.saturating_duration_since(since)
    }
}
