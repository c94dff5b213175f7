//! The load: one thread that never sleeps, so that both sides meet the same generator.
//!
//! Run as a process of its own (see [`run`]), pinned to the core that the server does not have.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// The argument that makes this program a generator.
pub(crate) const ARGUMENT: &str = "--load";
/// Connections that are kept open.
pub(crate) const CONNECTIONS: usize = 32;
/// Not counted at the start of a turn.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);
/// Requests that are due but not answered when the turn ends are waited for this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is asked each time.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench.example\r\n\r\n";

/// What one turn is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    pub(crate) seconds: f64,
    /// Requests per second on a fixed schedule, whatever the server does; without it each connection asks as soon as it was answered.
    pub(crate) rate: Option<f64>,
}

/// What one turn gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Answers per second.
    pub(crate) rate: f64,
    /// From when a request was due to the end of its answer, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Load {
    /// Runs the turn in a process of its own on `core`.
    pub(crate) fn on_core(self, core: usize) -> Outcome {
        let program = std::env::current_exe().expect("this program");
        let out = Command::new("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(program)
            .args([ARGUMENT, &self.server.to_string(), &self.seconds.to_string()])
            .args(self.rate.map(|rate| rate.to_string()))
            .stderr(Stdio::inherit())
            .output()
            .expect("taskset of util-linux");
        assert!(out.status.success(), "the generator failed");
        let text = String::from_utf8_lossy(&out.stdout);
        let figures: Vec<f64> =
            text.split_whitespace().map(|word| word.parse().expect("figures")).collect();
        let [rate, p50, p99] = figures[..] else { panic!("the generator printed {text:?}") };
        Outcome { rate, p50, p99 }
    }
}

/// The whole life of the generator: takes the turn from the arguments after [`ARGUMENT`], and gives the line to print.
pub(crate) fn run(arguments: &[String]) -> String {
    let (server, seconds, rate) = match arguments {
        [server, seconds] => (server, seconds, None),
        [server, seconds, rate] => (server, seconds, Some(rate)),
        _ => panic!("a server, seconds, and perhaps a rate"),
    };
    let load = Load {
        server: server.parse().expect("an address"),
        seconds: seconds.parse().expect("seconds"),
        rate: rate.map(|rate| rate.parse().expect("a rate")),
    };
    let mut latencies = ask(&load).expect("the server answers");
    latencies.sort_unstable();
    let at = |percent: usize| {
        let place = latencies.len() * percent / 100;
        latencies.get(place).map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e3)
    };
    format!("{} {} {}", latencies.len() as f64 / load.seconds, at(50), at(99))
}

/// One connection's request in work.
#[derive(Default)]
struct Asked {
    due: Option<Instant>,
    answer: Vec<u8>,
}

/// Gives the latency of each request that counts, in nanoseconds.
fn ask(load: &Load) -> io::Result<Vec<u64>> {
    let streams = (0..CONNECTIONS).map(|_| connect(load.server)).collect::<io::Result<Vec<_>>>()?;
    let mut asked: Vec<Asked> = streams.iter().map(|_| Asked::default()).collect();
    let mut latencies = Vec::new();
    let begun = Instant::now();
    let (first, last) = (begun + WARM_UP, begun + WARM_UP + Duration::from_secs_f64(load.seconds));
    let mut sent = 0_u32;
    let mut due = |now: Instant| {
        let due =
            load.rate.map_or(now, |rate| begun + Duration::from_secs_f64(f64::from(sent) / rate));
        let is_due = due <= now && due < last;
        sent += u32::from(is_due);
        is_due.then_some(due)
    };
    loop {
        let ready = ready(&streams)?;
        for ((stream, asked), is_ready) in streams.iter().zip(&mut asked).zip(ready) {
            if is_ready && let Some(begun) = asked.receive(stream)? {
                let now = Instant::now();
                // An open loop counts what was due within the turn, a closed one what was answered.
                let counted = if load.rate.is_some() { begun } else { now };
                if (first..last).contains(&counted) {
                    latencies.push(u64::try_from((now - begun).as_nanos()).unwrap_or(u64::MAX));
                }
            }
            if asked.due.is_none()
                && let Some(due) = due(Instant::now())
            {
                (&*stream).write_all(REQUEST)?;
                asked.due = Some(due);
            }
        }
        let now = Instant::now();
        if now > last && (load.rate.is_none() || asked.iter().all(|asked| asked.due.is_none())) {
            return Ok(latencies);
        }
        if now > last + PATIENCE {
            return Err(io::Error::other("requests were not answered at all"));
        }
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Which connections have something to read, at once.
fn ready(streams: &[TcpStream]) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = streams
        .iter()
        .map(|stream| PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN))
        .collect();
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

impl Asked {
    /// Takes what has arrived; gives when the request was due if its answer is whole now.
    fn receive(&mut self, mut stream: &TcpStream) -> io::Result<Option<Instant>> {
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(length) => self.answer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if !is_whole(&self.answer)? {
            return Ok(None);
        }
        self.answer.clear();
        Ok(self.due.take())
    }
}

/// Whether an answer is whole; one that is not 200 is an error.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, body) = (&answer[..head], &answer[head + 4..]);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(io::Error::other(format!("the server answered {head:?}")));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(match length {
        Some(length) => body.len() >= length.parse().map_err(io::Error::other)?,
        None => body.ends_with(b"\r\n0\r\n\r\n") || body.starts_with(b"0\r\n"),
    })
}
