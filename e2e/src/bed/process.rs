//! Programs that go on: started with a log, remembered by a pid file, ended by it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    error::{Error, Result},
    paths::{self, Paths},
    progress,
};

/// How long a process may take to end when asked before it is killed: all that it could save is deleted next.
const GRACE: Duration = Duration::from_secs(1);
/// How long the kernel may take to bury a killed process.
const BURIAL: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(20);

/// Which namespaces a program of the bed runs in.
#[derive(Debug, Clone)]
pub struct Room {
    network: String,
    mounts: Option<u32>,
}

impl Room {
    /// The named network namespace, with the machine's mounts.
    pub fn network(name: impl Into<String>) -> Self {
        Self { network: name.into(), mounts: None }
    }

    /// The same, with the mounts of this process.
    #[must_use]
    pub fn with_mounts_of(mut self, process: u32) -> Self {
        self.mounts = Some(process);
        self
    }

    /// The command that enters it; the program and its arguments follow. It replaces itself by the program.
    ///
    /// `ip netns exec` is no choice: it hides `/sys/fs/cgroup` behind a fresh sysfs.
    #[must_use]
    pub fn enter(&self) -> Vec<String> {
        let mut words = vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.network)];
        words.extend(self.mounts.map(|process| format!("--mount=/proc/{process}/ns/mnt")));
        words.push("--".into());
        words
    }
}

/// Starts a program in a room, under a name that is unique in the bed. It goes on when we end.
///
/// # Errors
/// [`Error::Start`], [`Error::File`].
pub(super) fn start(
    paths: &Paths,
    name: &str,
    room: Option<&Room>,
    words: &[String],
) -> Result<u32> {
    let log = paths.log(name);
    if let Some(parent) = log.parent() {
        paths::make_folder(parent)?;
    }
    let output = fs::File::create(&log).map_err(Error::file("create", &log))?;
    let errors = output.try_clone().map_err(Error::file("open twice", &log))?;
    let mut line = room.map(Room::enter).unwrap_or_default();
    line.extend_from_slice(words);
    let mut command = Command::new("setsid");
    // No controlling terminal: an interrupt typed there must not end a bed that is to stay.
    command.args(&line).stdin(Stdio::null()).stdout(output).stderr(errors).current_dir("/");
    command.env("PATH", paths::search_path()).env_remove("NOTIFY_SOCKET");
    let child = command.spawn().map_err(|source| Error::Start {
        program: line.join(" "),
        operation: format!("run {name}"),
        source,
    })?;
    remember(paths, name, child.id())?;
    Ok(child.id())
}

/// Writes down that a process belongs to the bed, so that `down` ends it.
///
/// # Errors
/// [`Error::File`].
pub(super) fn remember(paths: &Paths, name: &str, id: u32) -> Result<()> {
    let born = Stat::read(id).map(|stat| stat.started).unwrap_or_default();
    paths::write(&paths.pid_file(name), format!("{id} {born}"))
}

/// The id of a process of the bed, if it is alive and still the one that was started.
#[must_use]
pub(super) fn alive(paths: &Paths, name: &str) -> Option<u32> {
    let text = fs::read_to_string(paths.pid_file(name)).ok()?;
    let (id, born) = text.split_once(' ')?;
    let id = id.parse().ok()?;
    let stat = Stat::read(id)?;
    (stat.state != 'Z' && (born == "0" || stat.started.to_string() == born)).then_some(id)
}

/// The names of all processes that were started and not ended.
#[must_use]
pub(super) fn names(paths: &Paths) -> Vec<String> {
    let Ok(entries) = fs::read_dir(paths.state.join("run")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// Asks processes to end, waits, kills those that do not, and forgets them.
pub(super) async fn end(paths: &Paths, names: &[String]) {
    for name in names {
        signal(paths, name, Signal::TERM);
    }
    let asked = progress::now();
    while asked.elapsed() < GRACE && names.iter().any(|name| alive(paths, name).is_some()) {
        tokio::time::sleep(INTERVAL).await;
    }
    for name in names {
        signal(paths, name, Signal::KILL);
    }
    let killed = progress::now();
    while killed.elapsed() < BURIAL && names.iter().any(|name| alive(paths, name).is_some()) {
        tokio::time::sleep(INTERVAL).await;
    }
    for name in names.iter().filter(|name| alive(paths, name).is_none()) {
        // A file that is gone already is what we want.
        let _ = fs::remove_file(paths.pid_file(name));
    }
}

fn signal(paths: &Paths, name: &str, signal: Signal) {
    let id = alive(paths, name).and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(id) = id {
        // It may have ended since; the wait that follows looks again.
        let _ = kill_process(id, signal);
    }
}

/// Kills every process that runs in one of these network namespaces: what is left of a bed that was not ended in order.
pub(super) fn kill_inside(namespaces: &[String]) {
    let targets: Vec<_> =
        namespaces.iter().filter_map(|name| inode(&Path::new("/run/netns").join(name))).collect();
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for entry in processes.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if inode(&entry.path().join("ns/net")).is_some_and(|inode| targets.contains(&inode))
            && let Some(id) = Pid::from_raw(id)
        {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Two fields of `/proc/<id>/stat`.
struct Stat {
    state: char,
    /// Clock ticks since boot: with the id, this names a process for good.
    started: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { state, started })
    }
}
