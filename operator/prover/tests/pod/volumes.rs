//! The prover's own process: on volumes that fail it, on machines that lack something, killed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener as StdListener;
use std::process::{Child, Command as Program, Stdio};
use std::thread;

use coreward_link::cpu::CpuFiles;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

/// A prover in a mount namespace of its own; dropped, it is killed.
struct Process {
    child: Child,
    page: SocketAddr,
    log: mpsc::Receiver<String>,
}

impl Process {
    /// A prover whose state lies on a tmpfs that was mounted with these options.
    fn on_tmpfs(options: &str, operator: SocketAddr, state: &Path) -> Self {
        let mount = format!("mount -t tmpfs -o {options} none {}/volume", state.display());
        Self::after(&mount, "", operator, state)
    }

    /// A prover with more flags, once these commands have changed the files that it sees.
    fn after(commands: &str, flags: &str, operator: SocketAddr, state: &Path) -> Self {
        let page = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(state.join("token"), "token").unwrap();
        fs::create_dir_all(state.join("volume")).unwrap();
        let (prover, state) = (env!("CARGO_BIN_EXE_coreward-prover"), state.display());
        let script = format!(
            "{commands} && exec {prover} prove --operator-url http://{operator} --ca-file {state}/ca.crt \
             --token-file {state}/token --state-dir {state}/volume --listen {page} {flags}"
        );
        let mut child = Program::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let (sender, log) = mpsc::channel(1024);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| sender.blocking_send(line))
        });
        Self { child, page, log }
    }

    /// Waits for a line of the log that contains this.
    async fn says(&mut self, words: &str) {
        let heard = async {
            let mut lines = Vec::new();
            while lines.last().is_none_or(|line: &String| !line.contains(words)) {
                lines.push(self.log.recv().await.expect("it ends only when it is killed"));
            }
        };
        timeout(LIMIT, heard).await.expect("it says so in time");
    }

    /// The value of a series.
    async fn shows(&self, series: &str) -> u64 {
        let mut stream = TcpStream::connect(self.page).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        assert!(value.is_some(), "no {series} in {page}");
        value.unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// An operator that asks for more proofs than a small volume holds.
async fn asking(useful: u32) -> (Shared, SocketAddr) {
    operator(Desk { assignment: Some(told("a", 2, useful, 0)), ..Desk::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_volume_is_told_of_and_gone_on_without_until_it_has_room() {
    let state = tempfile::tempdir().unwrap();
    let (desk, address) = asking(6).await;
    // A page for the assignment, and one for a proof.
    let mut prover = Process::on_tmpfs("size=8k", address, state.path());
    prover.says("the volume takes no proofs").await;
    until(&desk, |desk| nonces(&desk.posted).len() >= 6 && ready(desk)).await;
    assert!(prover.shows("coreward_volume_failures_total").await > 0);
    desk.send_modify(|desk| {
        desk.acknowledges = true;
        desk.assignment = Some(told("b", 2, 12, 6));
    });
    prover.says("the volume takes proofs again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_mounted_read_only_is_told_of_and_gone_on_without() {
    let state = tempfile::tempdir().unwrap();
    let (desk, address) = asking(2).await;
    let mut prover = Process::on_tmpfs("ro", address, state.path());
    prover.says("the volume for proofs cannot be read").await;
    until(&desk, |desk| nonces(&desk.posted).len() >= 2 && ready(desk)).await;
    assert!(prover.shows("coreward_volume_failures_total").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_limit_below_a_dataset_leaves_light_mode_and_the_reason_is_told() {
    let state = tempfile::tempdir().unwrap();
    // So many useful proofs that it still hashes when it reports.
    let (desk, address) = asking(10_000).await;
    let limit = "mount -t tmpfs none /sys/fs/cgroup && echo 1073741824 > /sys/fs/cgroup/memory.max";
    let mut prover = Process::after(limit, "--mode full", address, state.path());
    prover.says("the memory limit is 1073741824 bytes").await;
    let is_slow = |report: &Report| match report {
        Report::Prover(report) => {
            let hindrance = report.hindrance.as_deref().unwrap_or_default();
            !report.ready && report.mode == HashMode::Light && hindrance.contains("memory limit")
        }
        Report::Worker(_) | Report::Node(_) | Report::Probe(_) | Report::Gateway(_) => false,
    };
    until(&desk, |desk| !desk.posted.is_empty() && desk.reports.iter().any(is_slow)).await;
    assert_eq!(prover.shows("coreward_not_ready{reason=\"MemoryLimit\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cpus_that_are_not_whole_cores_of_its_own_are_named_where_those_are_required() {
    let state = tempfile::tempdir().unwrap();
    let (desk, address) = asking(10_000).await;
    // A machine that has no other CPUs than the prover's: they are shared with all else that runs.
    let shared = format!(
        "grep Cpus_allowed_list /proc/self/status | cut -f 2 > {0}/online && mount --bind {0}/online /sys/devices/system/cpu/online",
        state.path().display()
    );
    let prover = Process::after(&shared, "--whole-cores", address, state.path());
    let cpus = CpuFiles::of_this_machine().evidence().unwrap().cpus;
    let names_them = |report: &Report| {
        let Report::Prover(report) = report else { unreachable!("a prover reports") };
        assert!(!report.ready, "{report:?}");
        let hindrance = report.hindrance.as_deref().unwrap_or_default();
        report.hash_rate > 0.0 && hindrance.contains(&format!("CPUs {cpus} of {cpus}"))
    };
    until(&desk, |desk| !desk.posted.is_empty() && desk.reports.iter().any(names_them)).await;
    assert_eq!(prover.shows("coreward_not_ready{reason=\"SharedCores\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_prover_posts_what_it_had_found_to_whoever_leads_then() {
    let state = tempfile::tempdir().unwrap();
    let volume = state.path().join("volume/proofs");
    let away = Desk { assignment: Some(told("a", 2, 10_000, 0)), away: true, ..Desk::default() };
    let (_desk, address) = operator(away).await;
    let prover = Process::after("true", "", address, state.path());
    let enough = holds(|| kept_nonces(&volume).len() >= 3);
    timeout(LIMIT, enough).await.expect("it keeps what it finds");
    drop(prover);
    let found = kept_nonces(&volume);

    // The next operator has nothing to say: the kept assignment is enough to go on with.
    let next = Desk { acknowledges: true, volume: Some(volume), ..Desk::default() };
    let (desk, address) = operator(next).await;
    let _prover = Process::after("true", "", address, state.path());
    let heard = until(&desk, |desk| nonces(&desk.posted).is_superset(&found)).await;
    assert!(heard.not_kept.is_empty(), "each was durable before it was told");
}

#[test]
fn a_calibration_prints_its_lines() {
    let run = Program::new(env!("CARGO_BIN_EXE_coreward-prover"))
        .args(["calibrate", "--mode", "light", "--seconds", "1"])
        .output()
        .unwrap();
    let (out, log) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{log}");
    for words in [
        "hash rate",
        "hash rate per thread",
        "time lost outside hashes",
        "stops hashing within",
        "stops building within",
        "takes a new epoch within",
        "takes a new difficulty within",
        "takes a new epoch while building within",
        "expected proofs per epoch",
        "chance to miss the minimum",
    ] {
        let value =
            out.lines().find_map(|line| line.strip_prefix(words)?.split_whitespace().next());
        let figure = value.and_then(|value| value.parse::<f64>().ok());
        assert!(figure.is_some_and(|figure| figure >= 0.0), "{words}: {out}");
    }
}
