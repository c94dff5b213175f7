//! What the control group allows.

use std::fs;
use std::path::Path;

/// Where the two generations of control groups keep the limits, as a container sees its own.
const MEMORY: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
const HUGE_PAGES: [&str; 2] =
    ["/sys/fs/cgroup/hugetlb.2MB.max", "/sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes"];

/// Above this a number stands for no limit.
const UNLIMITED: u64 = 1 << 60;

/// Bytes that this process's control group may use; `None` where there is no limit, or none can be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Of memory, without what is set aside as huge pages.
    pub(crate) memory: Option<u64>,
    /// Of huge pages of 2 MiB that were set aside.
    pub(crate) huge: Option<u64>,
}

impl Limits {
    pub(crate) fn read() -> Self {
        let first = |files: [&str; 2]| files.iter().find_map(|file| limit_in(Path::new(file)));
        Self { memory: first(MEMORY), huge: first(HUGE_PAGES) }
    }
}

fn limit_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|limit| *limit < UNLIMITED)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_limit("4831838208\n", Some(4_831_838_208))]
    #[case::none_in_words("max\n", None)]
    #[case::none_in_numbers("9223372036854771712\n", None)]
    #[case::nonsense("-1", None)]
    fn a_limit_is_read(#[case] text: &str, #[case] want: Option<u64>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        assert_eq!(limit_in(file.path()), want);
    }

    #[test]
    fn a_file_that_is_not_there_is_no_limit() {
        assert_eq!(limit_in(Path::new("/nowhere/memory.max")), None);
    }
}
