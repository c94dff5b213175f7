//! The CPUs of a pod as it sees them itself: evidence of the node's CPU policy.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coreward_wire::CpuEvidence;

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// A file of the kernel cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the kernel says something else than expected.
    #[error("{} has no CPU list: `{text}`", path.display())]
    NoList {
        /// Which.
        path: PathBuf,
        /// What it says.
        text: String,
    },
}

/// A set of logical CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(pub BTreeSet<u32>);

impl CpuList {
    /// Reads the kernel's list form, such as `0-3,8`; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            if last < first || last - first > MOST_CPUS {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(Self(cpus))
    }
}

/// More CPUs than any kernel is built for; a list beyond is not a list.
const MOST_CPUS: u32 = 1 << 16;

/// Where the kernel tells about CPUs.
#[derive(Clone, Debug)]
pub struct CpuFiles {
    root: PathBuf,
}

impl CpuFiles {
    /// The real ones.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::under(Path::new("/"))
    }

    /// Those of a tree with `proc` and `sys` in it, for tests and for agents that see a host's tree elsewhere.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The calling process's CPU set, held against the cores of the node.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the kernel does not tell; trying again does not help.
    pub fn evidence(&self) -> Result<CpuEvidence, CpuError> {
        let (cpus_text, cpus) = self.allowed()?;
        let (online_text, online) = self.online()?;
        let mut whole = !cpus.0.is_empty() && cpus != online;
        let mut threads_per_core = 0;
        for cpu in &cpus.0 {
            let siblings = self.siblings(*cpu)?;
            whole &= siblings.0.is_subset(&cpus.0);
            threads_per_core = threads_per_core.max(siblings.0.len());
        }
        Ok(CpuEvidence {
            cpus: cpus_text,
            online: online_text,
            whole_cores: whole,
            threads_per_core: u32::try_from(threads_per_core).unwrap_or(u32::MAX),
        })
    }

    /// The node's CPUs that are online, as text and as a set.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the kernel does not tell.
    pub fn online(&self) -> Result<(String, CpuList), CpuError> {
        list(&self.root.join("sys/devices/system/cpu/online"))
    }

    /// The threads of the core that `cpu` is one of.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the kernel does not tell.
    pub fn siblings(&self, cpu: u32) -> Result<CpuList, CpuError> {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        list(&self.root.join(path)).map(|(_, list)| list)
    }

    /// Bytes of the third-level cache that fall to the calling process's CPUs; `None` where the kernel knows of no such cache.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the kernel does not tell which CPUs it may use.
    pub fn third_level_share(&self) -> Result<Option<u64>, CpuError> {
        let (_, cpus) = self.allowed()?;
        Ok(cpus.0.iter().map(|cpu| self.third_level_of(*cpu)).sum())
    }

    fn third_level_of(&self, cpu: u32) -> Option<u64> {
        let cache = self.root.join(format!("sys/devices/system/cpu/cpu{cpu}/cache/index3"));
        let size = fs::read_to_string(cache.join("size")).ok()?;
        let kibibytes: u64 = size.trim().strip_suffix('K')?.parse().ok()?;
        let (_, sharing) = list(&cache.join("shared_cpu_list")).ok()?;
        Some(kibibytes * 1024 / sharing.0.len() as u64)
    }

    fn allowed(&self) -> Result<(String, CpuList), CpuError> {
        const FIELD: &str = "Cpus_allowed_list:";
        let path = self.root.join("proc/self/status");
        let status = read(&path)?;
        let line = status.lines().find_map(|line| line.strip_prefix(FIELD)).unwrap_or_default();
        parse(&path, line)
    }
}

fn list(path: &Path) -> Result<(String, CpuList), CpuError> {
    parse(path, &read(path)?)
}

fn read(path: &Path) -> Result<String, CpuError> {
    fs::read_to_string(path).map_err(|source| CpuError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<(String, CpuList), CpuError> {
    let text = text.trim().to_owned();
    match CpuList::parse(&text) {
        Some(list) if !list.0.is_empty() => Ok((text, list)),
        _ => Err(CpuError::NoList { path: path.to_owned(), text }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one("5\n", &[5])]
    #[case::range("0-3", &[0, 1, 2, 3])]
    #[case::mixed("0-1,8,10-11", &[0, 1, 8, 10, 11])]
    #[case::empty("", &[])]
    fn a_kernel_list_is_read(#[case] text: &str, #[case] cpus: &[u32]) {
        assert_eq!(CpuList::parse(text), Some(CpuList(cpus.iter().copied().collect())));
    }

    #[rstest]
    #[case::words("all")]
    #[case::backwards("3-1")]
    #[case::endless("0-4294967295")]
    fn what_is_no_list_is_refused(#[case] text: &str) {
        assert_eq!(CpuList::parse(text), None);
    }

    /// A node whose cores are `cores`, and a process that may use `allowed`.
    fn machine(allowed: &str, online: &str, cores: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "proc/self/status",
            &format!("Name:\tprover\nCpus_allowed_list:\t{allowed}\nMems_allowed:\t1\n"),
        );
        write("sys/devices/system/cpu/online", online);
        for core in cores {
            for cpu in CpuList::parse(core).unwrap().0 {
                write(
                    &format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"),
                    core,
                );
            }
        }
        root
    }

    #[rstest]
    #[case::one_core_of_two_threads("1,3", "0-3", &["0,2", "1,3"], true, 2)]
    #[case::one_core_without_smt("1", "0-1", &["0", "1"], true, 1)]
    #[case::half_a_core("1", "0-3", &["0,2", "1,3"], false, 2)]
    #[case::halves_of_two("0-1", "0-3", &["0,2", "1,3"], false, 2)]
    #[case::the_whole_machine("0-3", "0-3", &["0,2", "1,3"], false, 2)]
    fn only_whole_cores_apart_from_the_machine_count(
        #[case] allowed: &str,
        #[case] online: &str,
        #[case] cores: &[&str],
        #[case] whole_cores: bool,
        #[case] threads_per_core: u32,
    ) {
        let root = machine(allowed, online, cores);
        let evidence = CpuFiles::under(root.path()).evidence().unwrap();
        let (cpus, online) = (allowed.to_owned(), online.to_owned());
        assert_eq!(evidence, CpuEvidence { cpus, online, whole_cores, threads_per_core });
    }

    #[test]
    fn this_machine_can_be_read() {
        let evidence = CpuFiles::of_this_machine().evidence().unwrap();
        assert!(evidence.threads_per_core >= 1);
    }

    #[test]
    fn a_status_without_the_field_is_named() {
        let root = machine("", "0", &["0"]);
        let error = CpuFiles::under(root.path()).evidence().unwrap_err();
        assert!(error.to_string().ends_with("proc/self/status has no CPU list: ``"), "{error}");
    }

    #[rstest]
    #[case::an_eighth_of_a_die("0", "0-7", Some(4 << 20))]
    #[case::two_threads_of_it("0-1", "0-7", Some(8 << 20))]
    #[case::all_of_it("0-1", "0-1", Some(32 << 20))]
    fn a_share_of_the_cache_is_by_cpus(
        #[case] allowed: &str,
        #[case] sharing: &str,
        #[case] share: Option<u64>,
    ) {
        let root = machine(allowed, "0-7", &["0-1"]);
        for cpu in CpuList::parse(sharing).unwrap().0 {
            let cache = root.path().join(format!("sys/devices/system/cpu/cpu{cpu}/cache/index3"));
            fs::create_dir_all(&cache).unwrap();
            fs::write(cache.join("size"), "32768K\n").unwrap();
            fs::write(cache.join("shared_cpu_list"), sharing).unwrap();
        }
        assert_eq!(CpuFiles::under(root.path()).third_level_share().unwrap(), share);
    }

    #[test]
    fn a_machine_without_a_third_level_has_no_share() {
        let root = machine("0-1", "0-7", &["0-1"]);
        assert_eq!(CpuFiles::under(root.path()).third_level_share().unwrap(), None);
    }
}
