//! What keeps the pod from being Ready.

use core::time::Duration;

use coreward_randomx::Mode;
use coreward_wire::CpuEvidence;

use crate::miner::Phase;

/// How long a prover that worked may rebuild its engine before it is no longer ready; light mode takes one second.
const REBUILD_GRACE: Duration = Duration::from_secs(10);

/// Why the pod is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// It has not computed anything yet.
    Starting,
    /// It builds what it hashes with.
    Building,
    /// It hashes, and its rate is not known yet.
    Unmeasured,
    /// Its engine cannot be built.
    Broken,
    /// It hashes in light mode only because its memory limit is too small for a dataset.
    MemoryLimit,
    /// It works on CPUs that are not whole cores of its own, and must not.
    SharedCores,
}

impl Hindrance {
    /// All, for what is told of each.
    pub(crate) const ALL: [Self; 6] = [
        Self::Starting,
        Self::Building,
        Self::Unmeasured,
        Self::Broken,
        Self::MemoryLimit,
        Self::SharedCores,
    ];

    /// Its name on the metrics page.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Building => "Building",
            Self::Unmeasured => "Unmeasured",
            Self::Broken => "Broken",
            Self::MemoryLimit => "MemoryLimit",
            Self::SharedCores => "SharedCores",
        }
    }

    /// In words for whoever looks at the unit, where it may last.
    pub(crate) fn words(self, cpu: &CpuEvidence) -> Option<String> {
        match self {
            Self::Starting | Self::Unmeasured => None,
            Self::Building => Some("the prover builds its dataset".to_owned()),
            Self::Broken => {
                Some("the prover cannot build its RandomX engine: see its log".to_owned())
            }
            Self::MemoryLimit => Some(
                "the prover hashes in light mode, at about a sixteenth of the rate: its memory limit is too small for a dataset; give the pod the memory that its log tells"
                    .to_owned(),
            ),
            Self::SharedCores => Some(format!(
                "the prover has CPUs {} of {}, which are not whole cores of its own: give the node the CPU manager policy static with full-pcpus-only, or set spec.capacity.coreIsolation to Preferred",
                cpu.cpus, cpu.online
            )),
        }
    }
}

/// What is known of the pod's work.
#[expect(clippy::struct_excessive_bools, reason = "each is an observation of its own")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    /// What the miner does.
    pub(crate) phase: Phase,
    /// Since when.
    pub(crate) in_phase: Duration,
    /// Whether a rate is known.
    pub(crate) is_measured: bool,
    /// Whether the pod was ready just before.
    pub(crate) was_ready: bool,
    /// Whether there is no memory for the dataset that it was to hash with.
    pub(crate) lacks_memory: bool,
    /// Its CPUs.
    pub(crate) cpu: &'a CpuEvidence,
    /// Whether it may only work on whole cores.
    pub(crate) whole_cores: bool,
}

/// What keeps the pod from being ready; it works if it hashes and its rate is measured, or rests because nothing is of use now.
pub(crate) fn hindrance(work: Work<'_>) -> Option<Hindrance> {
    if work.whole_cores && !work.cpu.whole_cores {
        return Some(Hindrance::SharedCores);
    }
    match work.phase {
        Phase::Hashing(Mode::Light) if work.lacks_memory => Some(Hindrance::MemoryLimit),
        Phase::Hashing(_) => (!work.is_measured).then_some(Hindrance::Unmeasured),
        Phase::Resting => None,
        Phase::Building if work.was_ready && work.in_phase < REBUILD_GRACE => None,
        Phase::Building => Some(Hindrance::Building),
        Phase::Starting => Some(Hindrance::Starting),
        Phase::Broken => Some(Hindrance::Broken),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HASHING: Phase = Phase::Hashing(Mode::Full);

    #[rstest]
    #[case::starting(Phase::Starting, false, false, 0, Some(Hindrance::Starting))]
    #[case::hashes_and_measured(HASHING, true, false, 0, None)]
    #[case::hashes_without_a_rate(HASHING, false, true, 0, Some(Hindrance::Unmeasured))]
    #[case::rests(Phase::Resting, false, false, 0, None)]
    #[case::first_build(Phase::Building, false, false, 1, Some(Hindrance::Building))]
    #[case::short_rebuild(Phase::Building, true, true, 1, None)]
    #[case::long_rebuild(Phase::Building, true, true, 10, Some(Hindrance::Building))]
    #[case::broken(Phase::Broken, true, true, 0, Some(Hindrance::Broken))]
    fn ready_means_that_it_works(
        #[case] phase: Phase,
        #[case] is_measured: bool,
        #[case] was_ready: bool,
        #[case] seconds: u64,
        #[case] told: Option<Hindrance>,
    ) {
        let in_phase = Duration::from_secs(seconds);
        let cpu = CpuEvidence::default();
        let work = Work {
            phase,
            in_phase,
            is_measured,
            was_ready,
            lacks_memory: false,
            cpu: &cpu,
            whole_cores: false,
        };
        assert_eq!(hindrance(work), told);
    }

    #[rstest]
    #[case::light_for_want_of_memory(Phase::Hashing(Mode::Light), Some(Hindrance::MemoryLimit))]
    #[case::it_was_given_more(Phase::Hashing(Mode::Full), None)]
    #[case::all_of_use_is_found_all_the_same(Phase::Resting, None)]
    fn light_mode_where_full_was_wanted_is_not_ready(
        #[case] phase: Phase,
        #[case] told: Option<Hindrance>,
    ) {
        let cpu = CpuEvidence::default();
        let work = Work {
            phase,
            in_phase: Duration::ZERO,
            is_measured: true,
            was_ready: true,
            lacks_memory: true,
            cpu: &cpu,
            whole_cores: false,
        };
        assert_eq!(hindrance(work), told);
    }

    #[rstest]
    #[case::its_own(true, true, None)]
    #[case::shared(true, false, Some(Hindrance::SharedCores))]
    #[case::shared_as_the_offer_allows(false, false, None)]
    fn where_whole_cores_are_required_no_other_will_do(
        #[case] required: bool,
        #[case] whole_cores: bool,
        #[case] told: Option<Hindrance>,
    ) {
        let cpu = CpuEvidence {
            cpus: "0-1".to_owned(),
            online: "0-3".to_owned(),
            whole_cores,
            threads_per_core: 2,
        };
        let work = Work {
            phase: HASHING,
            in_phase: Duration::ZERO,
            is_measured: true,
            was_ready: true,
            lacks_memory: false,
            cpu: &cpu,
            whole_cores: required,
        };
        assert_eq!(hindrance(work), told);
        let words = Hindrance::SharedCores.words(&cpu).unwrap();
        assert!(words.contains("CPUs 0-1 of 0-3"), "{words}");
    }
}
