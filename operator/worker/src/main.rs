//! The pod of a deal's worker: hosts its Wasm component within limits.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use coreward_worker::{Args, Command, compile, serve};

fn main() -> anyhow::Result<ExitCode> {
    let provider = rustls::crypto::ring::default_provider().install_default();
    anyhow::ensure!(provider.is_ok(), "another TLS provider is installed already");
    match Args::parse().command {
        Command::Compile(args) => Ok(compile(&args)),
        Command::Serve(args) => {
            // Never one alone: a guest gives way only between bulk operations, and health must answer meanwhile.
            let threads =
                std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build();
            Ok(runtime.context("start the runtime")?.block_on(serve(*args))?)
        }
    }
}
