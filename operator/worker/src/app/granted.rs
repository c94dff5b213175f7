//! What a component may import. All else is not linked, and the error names it.

use wasmtime::Engine;
use wasmtime::component::{Linker, ResourceType};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

use super::guest::Guest;
use super::keyvalue;

/// Handles of sockets. The C library's `close` can drop any kind of handle, and so whatever is built with it imports
/// these types; nothing here makes a handle of them, and no function of theirs is linked.
const SOCKET_HANDLES: [(&str, &[&str]); 3] = [
    ("wasi:sockets/network@0.2.0", &["network"]),
    ("wasi:sockets/tcp@0.2.0", &["tcp-socket"]),
    (
        "wasi:sockets/udp@0.2.0",
        &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"],
    ),
];

/// The type of a handle that there never is.
#[derive(Debug)]
enum NoSocket {}

/// WASI 0.2 without sockets: `io`, `clocks`, `random`, `cli`, `http`, `config`, `keyvalue`, and a `filesystem` that has no directory to begin
/// with, because what is built with a C library asks for one at its start.
///
/// # Errors
///
/// If an interface is granted twice: a mistake of ours.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let all = &mut linker;
    // io, clocks, random/random, cli/stdin, cli/stdout, cli/stderr
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(all)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(all)?;
    random::insecure::add_to_linker::<_, WasiRandom>(all, Guest::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(all, Guest::random)?;
    cli::environment::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(all, Guest::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(all, Guest::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(all, Guest::filesystem)?;
    wasmtime_wasi_config::add_to_linker(all, Guest::config)?;
    keyvalue::add_to_linker(all, Guest::keyvalues)?;
    for (interface, handles) in SOCKET_HANDLES {
        let mut interface = all.instance(interface)?;
        for handle in handles {
            interface.resource(handle, ResourceType::host::<NoSocket>(), |_, _| Ok(()))?;
        }
    }
    Ok(linker)
}
