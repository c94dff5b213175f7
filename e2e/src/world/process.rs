//! A pod's processes as this machine sees them: the bed's nodes share its kernel, so no pod has to be asked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{Error, Result};

/// A process of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodProcess {
    /// Its id on this machine.
    pub id: u32,
    /// Its program's name, cut to 15 characters by the kernel; `pause` is the sandbox.
    pub name: String,
    /// The CPUs that it may run on, such as `1` or `0-1`.
    pub cpus: String,
}

/// The processes of the pod with this UID, the sandbox's included.
///
/// # Errors
/// [`Error::Finding`] where the machine's processes cannot be listed.
pub fn processes_of(pod_uid: &str) -> Result<Vec<PodProcess>> {
    let unreadable =
        |error: std::io::Error| Error::Finding(format!("/proc cannot be read: {error}"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        // A process that ends meanwhile is none of the pod's any more.
        found.extend(process(&folder, pod_uid));
    }
    Ok(found)
}

fn process(folder: &Path, pod_uid: &str) -> Option<PodProcess> {
    let id = folder.file_name()?.to_str()?.parse().ok()?;
    let groups = fs::read_to_string(folder.join("cgroup")).ok()?;
    // The kubelet writes the UID with hyphens or, under systemd's driver, with underscores.
    if !groups.contains(pod_uid) && !groups.contains(&pod_uid.replace('-', "_")) {
        return None;
    }
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    Some(PodProcess { id, name: field("Name:")?, cpus: field("Cpus_allowed_list:")? })
}

impl PodProcess {
    /// The CPUs that it finds written in its own container, as a program inside would read them; `None` where the
    /// container shows no groups.
    #[must_use]
    pub fn cpus_seen_inside(&self) -> Option<String> {
        let groups = PathBuf::from(format!("/proc/{}/root/sys/fs/cgroup", self.id));
        // Version 1 of the kernel's groups, then version 2.
        let files = ["cpuset/cpuset.cpus", "cpuset.cpus.effective"];
        let found = files.iter().find_map(|file| fs::read_to_string(groups.join(file)).ok())?;
        Some(found.trim().to_owned())
    }

    /// Clock ticks that it has computed, its threads' and the kernel's on its behalf; `None` once it is gone.
    #[must_use]
    pub fn ticks(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?;
        let (_, fields) = text.rsplit_once(')')?;
        let of_its_own = fields.split_whitespace().skip(11).take(2);
        Some(of_its_own.filter_map(|ticks| ticks.parse::<u64>().ok()).sum())
    }

    /// Ends it as a crash would: with SIGKILL.
    ///
    /// # Errors
    /// [`Error::Finding`] where it is not there any more.
    pub async fn kill(&self) -> Result<()> {
        self.signal("KILL").await
    }

    /// Stops it without ending it, as a hang would; [`PodProcess::resume`] lets it go on.
    ///
    /// # Errors
    /// As [`PodProcess::kill`].
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets a frozen one go on.
    ///
    /// # Errors
    /// As [`PodProcess::kill`].
    pub async fn resume(&self) -> Result<()> {
        self.signal("CONT").await
    }

    /// Starts a process in this one's group that takes memory without end, where `room` bytes more are allowed; this one is the
    /// first that the kernel kills for it.
    ///
    /// # Errors
    /// [`Error::Finding`] where the group is not to be found, or does not take the hog.
    pub fn hog_its_memory(&self, room: u64) -> Result<Hog> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::Finding(format!("{what} of process {}: {error}", self.id))
        };
        let (group, used, limit) =
            self.memory_group().ok_or_else(|| failed("the memory group", &"it is not there"))?;
        let read =
            fs::read_to_string(group.join(used)).map_err(|error| failed("the use", &error))?;
        let bytes: u64 = read.trim().parse().map_err(|error| failed("the use", &error))?;
        fs::write(group.join(limit), (bytes + room).to_string())
            .map_err(|error| failed("the limit", &error))?;
        fs::write(format!("/proc/{}/oom_score_adj", self.id), "1000")
            .map_err(|error| failed("the score", &error))?;
        let enter = "echo $$ > \"$0/cgroup.procs\" && exec tail /dev/zero";
        let hog =
            Command::new("/bin/sh").args(["-c", enter]).arg(&group).kill_on_drop(true).spawn();
        hog.map(Hog).map_err(|error| failed("a hog in the group", &error))
    }

    /// Its memory group, and the files of its use and limit: version 2 of the kernel's groups, then version 1.
    fn memory_group(&self) -> Option<(PathBuf, &'static str, &'static str)> {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", self.id)).ok()?;
        let of = |mark: &str, root: &str| {
            let path = groups.lines().find_map(|line| line.split_once(mark))?.1;
            Some(PathBuf::from(format!("{root}{path}")))
        };
        let old = of(":memory:", "/sys/fs/cgroup/memory")
            .map(|path| (path, "memory.usage_in_bytes", "memory.limit_in_bytes"));
        old.or_else(|| Some((of("0::", "/sys/fs/cgroup")?, "memory.current", "memory.max")))
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let program = PathBuf::from("/bin/kill");
        let status =
            Command::new(&program).args(["-s", signal, &self.id.to_string()]).status().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Error::Finding(format!("no process {} ({}) is there", self.id, self.name))),
        }
    }
}

/// A process that takes memory in a pod's group; it ends with this value.
#[derive(Debug)]
pub struct Hog(tokio::process::Child);

impl Hog {
    /// Ends it.
    pub async fn end(mut self) {
        // It may have been killed instead of the other.
        let _ = self.0.kill().await;
    }
}
