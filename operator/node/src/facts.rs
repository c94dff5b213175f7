//! What the node is, read from the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coreward_link::cpu::{CpuError, CpuFiles};
use coreward_wire::NodeFacts;

/// Why a fact is not known.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The kernel does not tell about its CPUs.
    #[error("count the node's cores")]
    Cpu(#[from] CpuError),
    /// A file of the kernel cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the kernel lacks what it should say.
    #[error("{} does not tell the node's memory", path.display())]
    NoMemory {
        /// Which.
        path: PathBuf,
    },
}

/// Where the kernel tells about the node.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    root: PathBuf,
    cpus: CpuFiles,
}

impl NodeFiles {
    /// The real ones; a container sees its host's here.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::under(Path::new("/"))
    }

    /// Those of a tree with `proc` and `sys` in it.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self { root: root.to_owned(), cpus: CpuFiles::under(root) }
    }

    /// Reads all facts. What a kernel may lack (huge pages, NUMA, a model's name) is empty or one; cores and memory are
    /// not guessed.
    ///
    /// # Errors
    ///
    /// [`FactsError`]; trying again does not help.
    pub fn read(&self) -> Result<NodeFacts, FactsError> {
        let (cores, threads_per_core) = self.cores()?;
        Ok(NodeFacts {
            cores,
            threads_per_core,
            memory_mib: self.memory_mib()?,
            cpu_model: self.cpu_model(),
            transparent_huge_pages: self.transparent_huge_pages(),
            numa_nodes: self.numa_nodes(),
        })
    }

    /// Physical cores online, and the most threads that one of them has.
    fn cores(&self) -> Result<(u32, u32), FactsError> {
        let (_, online) = self.cpus.online()?;
        let (mut cores, mut threads) = (BTreeSet::new(), 0);
        for cpu in &online.0 {
            let siblings: Vec<u32> =
                self.cpus.siblings(*cpu)?.0.intersection(&online.0).copied().collect();
            threads = threads.max(siblings.len());
            cores.insert(siblings);
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok((count(cores.len()), count(threads)))
    }

    fn memory_mib(&self) -> Result<u64, FactsError> {
        let path = self.root.join("proc/meminfo");
        let text = fs::read_to_string(&path)
            .map_err(|source| FactsError::Read { path: path.clone(), source })?;
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let kib: Option<u64> = kib.and_then(|kib| kib.trim().parse().ok());
        kib.map(|kib| kib / 1024).ok_or(FactsError::NoMemory { path })
    }

    /// The kernel's name of the first CPU; Arm kernels give none.
    fn cpu_model(&self) -> String {
        let text = self.text("proc/cpuinfo");
        let model = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        model.unwrap_or_default()
    }

    /// The mode in brackets, such as `madvise` in `always [madvise] never`.
    fn transparent_huge_pages(&self) -> String {
        let text = self.text("sys/kernel/mm/transparent_hugepage/enabled");
        let mode = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        mode.map_or_else(|| "never".to_owned(), |(mode, _)| mode.to_owned())
    }

    fn numa_nodes(&self) -> u32 {
        let Ok(entries) = fs::read_dir(self.root.join("sys/devices/system/node")) else { return 1 };
        let is_node = |name: &str| {
            name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let nodes = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_node))
            .count();
        u32::try_from(nodes).unwrap_or(u32::MAX).max(1)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const SIBLINGS: [(&str, &str); 4] = [
        ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
        ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
        ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n"),
        ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"),
    ];

    #[test]
    fn a_server_with_smt_is_read_whole() {
        let root = tree(&[
            SIBLINGS[0],
            SIBLINGS[1],
            SIBLINGS[2],
            SIBLINGS[3],
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("proc/meminfo", "MemTotal:       65811380 kB\nMemFree:  1 kB\n"),
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9354P\nflags\t\t: fpu\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/devices/system/node/node0/cpulist", "0,2\n"),
            ("sys/devices/system/node/node1/cpulist", "1,3\n"),
            ("sys/devices/system/node/possible", "0-1\n"),
        ]);
        let facts = NodeFiles::under(root.path()).read().unwrap();
        assert_eq!(
            facts,
            NodeFacts {
                cores: 2,
                threads_per_core: 2,
                memory_mib: 64_268,
                cpu_model: "AMD EPYC 9354P".to_owned(),
                transparent_huge_pages: "madvise".to_owned(),
                numa_nodes: 2,
            }
        );
    }

    #[test]
    fn a_sibling_that_is_offline_is_no_thread() {
        let root = tree(&[
            SIBLINGS[0],
            SIBLINGS[1],
            SIBLINGS[2],
            SIBLINGS[3],
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("proc/meminfo", "MemTotal: 8192 kB\n"),
        ]);
        let facts = NodeFiles::under(root.path()).read().unwrap();
        assert_eq!((facts.cores, facts.threads_per_core, facts.memory_mib), (2, 1, 8));
        assert_eq!((facts.transparent_huge_pages.as_str(), facts.numa_nodes), ("never", 1));
    }

    #[test]
    fn memory_is_not_guessed() {
        let root = tree(&[
            SIBLINGS[0],
            ("sys/devices/system/cpu/online", "0\n"),
            ("proc/meminfo", "MemFree: 1 kB\n"),
        ]);
        let error = NodeFiles::under(root.path()).read().unwrap_err();
        assert!(
            error.to_string().ends_with("proc/meminfo does not tell the node's memory"),
            "{error}"
        );
    }

    #[test]
    fn cores_are_not_guessed() {
        let root = tree(&[
            ("sys/devices/system/cpu/online", "0\n"),
            ("proc/meminfo", "MemTotal: 8192 kB\n"),
        ]);
        assert_eq!(
            NodeFiles::under(root.path()).read().unwrap_err().to_string(),
            "count the node's cores"
        );
    }

    #[test]
    fn this_machine_can_be_read() {
        let facts = NodeFiles::of_this_machine().read().unwrap();
        assert!(facts.cores >= 1 && facts.memory_mib > 0, "{facts:?}");
    }
}
