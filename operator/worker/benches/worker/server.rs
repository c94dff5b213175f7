//! The two sides as processes: `wasmtime serve`, and our worker with the order that it kept.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a first answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two questions whether a server is there: short beside the shortest start.
const AGAIN: Duration = Duration::from_micros(100);

/// A server at work; killed when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    /// Process start to first whole answer.
    pub(crate) first_answer: Duration,
}

/// A way to start one side.
pub(crate) trait Side {
    /// The command that serves on this port.
    fn command(&self, port: u16) -> Command;
}

impl Server {
    /// Starts a side on one core, and waits for its first answer.
    pub(crate) fn start(side: &dyn Side, core: usize) -> Self {
        let port = free_port();
        let command = side.command(port);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        let process = Command::new("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(command.get_program())
            .args(command.get_args())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("taskset of util-linux");
        let mut server = Self { process, address, first_answer: Duration::ZERO };
        while !answers(address) {
            assert!(begun.elapsed() < PATIENCE, "{command:?} does not answer");
            if let Ok(Some(ended)) = server.process.try_wait() {
                panic!("{command:?} ended: {ended}");
            }
            thread::sleep(AGAIN);
        }
        server.first_answer = begun.elapsed();
        server
    }

    /// Memory that is resident, in KiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.expect("the kernel tells of memory")
    }

    /// CPU time that all its threads have used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("the server runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.map(|field| field.parse::<f64>().expect("ticks")).sum();
        ticks / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a free port").port()
}

/// Whether a whole answer with status 200 comes.
fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: bench.example\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// `wasmtime serve` with flags.
pub(crate) struct Reference<'files> {
    pub(crate) wasmtime: &'files Path,
    pub(crate) component: &'files Path,
    pub(crate) flags: &'static [&'static str],
}

impl Side for Reference<'_> {
    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(self.wasmtime);
        // The component's standard library asks for `wasi:cli`.
        command.args(["serve", "-S", "cli", "--addr", &format!("127.0.0.1:{port}")]);
        command.args(self.flags).arg(self.component);
        command
    }
}

/// Our worker, which goes on with the order in its state directory: nobody answers where its operator should be.
pub(crate) struct Worker<'files> {
    pub(crate) program: &'files Path,
    pub(crate) state: &'files Path,
    /// 0: any.
    pub(crate) overlay_port: u16,
}

impl Side for Worker<'_> {
    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(self.program);
        command
            .args(["serve", "--operator-url", &format!("http://127.0.0.1:{}", free_port())])
            .args(["--ca-file", "none", "--token-file", "none", "--state-dir"])
            .arg(self.state)
            .args(["--listen", &format!("127.0.0.1:{}", free_port())])
            .args(["--public-listen", &format!("127.0.0.1:{port}")])
            .args(["--overlay-listen", &format!("/ip4/127.0.0.1/tcp/{}", self.overlay_port)]);
        command
    }
}
