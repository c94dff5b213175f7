//! The prover's own process on volumes that fail it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener as StdListener;
use std::process::{Child, Command as Program, Stdio};
use std::thread;

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
        let page = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(state.join("token"), "token").unwrap();
        fs::create_dir(state.join("volume")).unwrap();
        let (prover, state) = (env!("CARGO_BIN_EXE_coreward-prover"), state.display());
        let script = format!(
            "mount -t tmpfs -o {options} none {state}/volume && exec {prover} prove --operator-url http://{operator} \
             --ca-file {state}/ca.crt --token-file {state}/token --state-dir {state}/volume --listen {page}"
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

    /// The value of a series without labels.
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
