//! Compilation in a process of its own: a compile cannot be cancelled, and a small module can ask for gigabytes.

use core::time::Duration;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};

use bytes::Bytes;
use coreward_wire::ArtifactFault;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::fault::Rejection;
use super::inspect::inspect;
use crate::app::engine;
use crate::args::CompileArgs;

/// The child's exit code when the bytes are no component; the reason is on its standard output.
const NOT_A_COMPONENT: u8 = 3;
/// The child's exit code when memory ran out but could still be reported.
const NO_MEMORY: u8 = 4;
/// The child's exit code when it refuses to begin; the reason is on its standard output.
const TOO_MUCH: u8 = 6;
/// The child's exit code when the machine failed, not the component.
const BROKEN: u8 = 5;
/// Compiled code beyond this is refused.
const CODE_BYTES: u64 = 1 << 30;
/// Wall time of a compilation, in multiples of its CPU time: cores may be shared.
const WALL_PER_CPU: u32 = 2;
/// The lowest priority for a core.
const LAST_IN_LINE: i32 = 19;
/// Bytes of the reason.
const REASON_BYTES: usize = 2000;

/// Compiles components by running this same binary.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    /// The program and its first arguments.
    pub(crate) program: PathBuf,
    /// Arguments before ours; none but in tests.
    pub(crate) first: Vec<OsString>,
    /// CPU seconds for one compilation.
    pub(crate) cpu_seconds: u64,
}

impl Compiler {
    /// Compiles `wasm` into the file `code`.
    pub(super) async fn compile(
        &self,
        wasm: &Bytes,
        code: &Path,
        memory_mib: u64,
    ) -> Result<(), Rejection> {
        let partial = code.with_extension("partial");
        let broken = |error: io::Error| {
            Rejection::for_now(ArtifactFault::CompileLimit, format!("run the compiler: {error}"))
        };
        let mut child = Command::new(&self.program)
            .args(&self.first)
            .arg("compile")
            .arg("--output")
            .arg(&partial)
            .args([
                "--memory-mib",
                &memory_mib.to_string(),
                "--cpu-seconds",
                &self.cpu_seconds.to_string(),
            ])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(broken)?;
        let stdin = child.stdin.take();
        let wall = Duration::from_secs(self.cpu_seconds) * WALL_PER_CPU;
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A child that ends early closes the pipe; its exit code says why.
                let _fed = stdin.write_all(wasm).await;
            }
        };
        let run = async { tokio::join!(feed, child.wait_with_output()).1 };
        let late = |_| {
            Rejection::for_good(
                ArtifactFault::CompileLimit,
                format!("compiling took longer than {} seconds", wall.as_secs()),
            )
        };
        let output = timeout(wall, run).await.map_err(late)?.map_err(broken)?;
        judge(&output, memory_mib, self.cpu_seconds)?;
        settle(&partial, code).await.map_err(broken)
    }
}

/// Gives whole code its name: what is found under it after a crash of the machine will be run.
async fn settle(partial: &Path, code: &Path) -> io::Result<()> {
    tokio::fs::File::open(partial).await?.sync_all().await?;
    tokio::fs::rename(partial, code).await
}

fn judge(output: &Output, memory_mib: u64, cpu_seconds: u64) -> Result<(), Rejection> {
    let reason = String::from_utf8_lossy(&output.stdout).into_owned();
    let over = format!(
        "compiling needs more than {memory_mib} MiB of memory or {cpu_seconds} seconds of CPU time"
    );
    match (output.status.code().map(u8::try_from), output.status.signal()) {
        (Some(Ok(0)), _) => Ok(()),
        (Some(Ok(NOT_A_COMPONENT)), _) => {
            Err(Rejection::for_good(ArtifactFault::InvalidWasm, reason))
        }
        (Some(Ok(TOO_MUCH)), _) => Err(Rejection::for_good(ArtifactFault::CompileLimit, reason)),
        (Some(Ok(BROKEN)), _) => Err(Rejection::for_now(
            ArtifactFault::CompileLimit,
            format!("the compiler failed: {reason}"),
        )),
        (Some(Ok(NO_MEMORY)), _) | (None, Some(_)) => {
            Err(Rejection::for_good(ArtifactFault::CompileLimit, over))
        }
        (Some(code), _) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            tracing::warn!(compiler.exit = ?code, compiler.error = %stderr, "the compiler ended in an unknown way");
            Err(Rejection::for_good(ArtifactFault::CompileLimit, "the compiler broke down on it"))
        }
        (None, None) => Err(Rejection::for_now(
            ArtifactFault::CompileLimit,
            "the compiler ended in an unknown way",
        )),
    }
}

/// How the child failed.
enum Failure {
    NotAComponent(String),
    TooMuch(String),
    NoMemory,
    Broken(String),
}

/// Compiles the component on standard input; the whole life of the child process.
#[must_use]
pub fn compile(args: &CompileArgs) -> ExitCode {
    let (code, reason) = match run(args) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::NotAComponent(reason)) => (NOT_A_COMPONENT, reason),
        Err(Failure::TooMuch(reason)) => (TOO_MUCH, reason),
        Err(Failure::NoMemory) => (NO_MEMORY, String::new()),
        Err(Failure::Broken(reason)) => (BROKEN, reason),
    };
    let shown: String = reason.chars().take(REASON_BYTES).collect();
    // Nobody may be listening any more; the exit code stands.
    let _told = io::stdout().write_all(shown.as_bytes());
    ExitCode::from(code)
}

fn run(args: &CompileArgs) -> Result<(), Failure> {
    let broken =
        |what: &'static str| move |error: io::Error| Failure::Broken(format!("{what}: {error}"));
    limit(args).map_err(broken("set limits"))?;
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm).map_err(broken("read the component"))?;
    inspect(&wasm).map_err(Failure::TooMuch)?;
    let engine = engine::compiling()
        .map_err(|error| Failure::Broken(format!("start the compiler: {error}")))?;
    let code = engine.precompile_component(&wasm).map_err(|error| refusal(&error))?;
    fs::write(&args.output, code).map_err(broken("write the code"))
}

fn refusal(error: &wasmtime::Error) -> Failure {
    let out_of_memory = error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::OutOfMemory)
    });
    if out_of_memory {
        Failure::NoMemory
    } else {
        Failure::NotAComponent(format!("not a usable component: {error:#}"))
    }
}

/// From here on this process is killed when it uses too much.
fn limit(args: &CompileArgs) -> io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    // What is written to counts, not what is reserved: allocators and thread stacks reserve much more than they use.
    setrlimit(Resource::Data, both(args.memory_mib << 20))?;
    setrlimit(Resource::Cpu, both(args.cpu_seconds))?;
    setrlimit(Resource::Fsize, both(CODE_BYTES))?;
    setrlimit(Resource::Core, both(0))?;
    // What serves comes first.
    nice(LAST_IN_LINE)?;
    Ok(())
}
