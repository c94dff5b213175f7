//! The pod of a deal's worker: hosts its Wasm component within limits.

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use coreward_worker::{Args, Command, compile, serve};
use tokio::runtime::{Builder, Runtime};

/// Never one alone: a component that holds one up leaves the other to the rest.
const LEAST_GUEST_THREADS: usize = 2;
/// Cores whose components one thread for ports, overlay, health and the line to the operator serves.
const CORES_PER_IO_THREAD: usize = 4;

fn main() -> anyhow::Result<ExitCode> {
    let provider = rustls::crypto::ring::default_provider().install_default();
    anyhow::ensure!(provider.is_ok(), "another TLS provider is installed already");
    match Args::parse().command {
        Command::Compile(args) => Ok(compile(&args)),
        Command::Serve(args) => {
            let cores =
                std::thread::available_parallelism().map_or(LEAST_GUEST_THREADS, Into::into);
            // Two runtimes: components give way only between bulk operations, and while they fill gigabytes the rest goes on.
            let guests = runtime("guest", cores.max(LEAST_GUEST_THREADS))
                .context("start the threads of components")?;
            let rest = runtime("io", cores.div_ceil(CORES_PER_IO_THREAD))
                .context("start the threads of ports")?;
            let code = rest.block_on(serve(*args, guests.handle().clone()));
            // Not waited for: a component at work would hold up the end.
            guests.shutdown_background();
            Ok(code?)
        }
    }
}

fn runtime(name: &str, threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}
