//! The machine's cores and cgroups, as nodes share them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::error::{Error, Result};

const ROOT: &str = "/sys/fs/cgroup";
const INTERVAL: Duration = Duration::from_millis(20);
const ATTEMPTS: usize = 200;

/// The CPUs that a compute node keeps from its units: all but one core, another core for each node.
///
/// # Errors
/// [`Error::Missing`] on a machine with one core, [`Error::File`].
pub(super) fn reserved_on(number: u8) -> Result<String> {
    let cores = cores()?;
    let count = cores.len();
    if count < 2 {
        return Err(Error::Missing {
            missing: "this machine has one core".into(),
            remedy: "The bed needs two: each of its two compute nodes hands one out.".into(),
        });
    }
    let own = (count - usize::from(number) % count) % count;
    let reserved: BTreeSet<u32> = cores
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != own)
        .flat_map(|(_, core)| core.iter().copied())
        .collect();
    Ok(reserved.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
}

/// Each core's CPUs, from the kernel's lists of siblings.
fn cores() -> Result<Vec<BTreeSet<u32>>> {
    let folder = Path::new("/sys/devices/system/cpu");
    let mut cores = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(Error::file("list", folder))?.flatten() {
        if let Ok(list) = fs::read_to_string(entry.path().join("topology/thread_siblings_list")) {
            cores.insert(parse_list(list.trim()));
        }
    }
    Ok(cores.into_iter().filter(|core| !core.is_empty()).collect())
}

/// A list of CPUs as the kernel writes it: `0-1,4`.
fn parse_list(text: &str) -> BTreeSet<u32> {
    text.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
        })
        .flatten()
        .collect()
}

/// The roots of the cgroup hierarchies: one with version 2, one per controller with version 1.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Makes a node's group in every hierarchy; kubelets of one machine must not share the one at the top.
///
/// # Errors
/// [`Error::File`].
pub(super) fn make_cgroup(name: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).map_err(Error::file("make the group", &group))?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            // Version 1 starts a group with an empty set, in which nothing can run.
            let (from, to) = (hierarchy.join(file), group.join(file));
            if from.exists() {
                fs::copy(&from, &to).map_err(Error::file("set", &to))?;
            }
        }
        if hierarchy.join("cgroup.subtree_control").exists() && hierarchy == Path::new(ROOT) {
            for folder in [&hierarchy, &group] {
                let file = folder.join("cgroup.subtree_control");
                fs::write(&file, "+cpu +cpuset +memory +pids")
                    .map_err(Error::file("set", &file))?;
            }
        }
    }
    Ok(())
}

/// Kills every process of a node's group and deletes the group; what is not there is no error.
pub(super) async fn remove_cgroup(name: &str) {
    let groups: Vec<PathBuf> =
        hierarchies().iter().map(|root| root.join(name)).filter(|group| group.exists()).collect();
    for _ in 0..ATTEMPTS {
        let left = groups
            .iter()
            .filter(|group| group.exists())
            .fold(0, |left, group| left + remove_group(group));
        if left == 0 {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Kills what runs in a group and below, deletes what is empty, and returns how many groups are left.
fn remove_group(group: &Path) -> usize {
    let below: usize = fs::read_dir(group)
        .map(|entries| {
            entries.flatten().filter(|e| e.path().is_dir()).map(|e| remove_group(&e.path())).sum()
        })
        .unwrap_or_default();
    for line in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(id) = line.parse().ok().and_then(Pid::from_raw) {
            // Gone already is as good as killed.
            let _ = kill_process(id, Signal::KILL);
        }
    }
    below + usize::from(fs::remove_dir(group).is_err())
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn lists_of_cpus_have_ranges_and_single_ones() {
        assert_eq!(parse_list("0-2,5").into_iter().collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(parse_list("3").into_iter().collect::<Vec<_>>(), [3]);
        assert!(parse_list("").is_empty());
    }
}
