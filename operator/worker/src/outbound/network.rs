//! What of the machine leads outside.

use std::io;
use std::net::SocketAddr;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::{TcpStream, lookup_host};

/// Looks names up and connects.
pub(crate) trait Network: Send + Sync {
    /// The addresses of a host by name, or of one that is an address itself.
    fn lookup(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

    /// A connection to this address, and no other.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>>;
}

/// The machine's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Network for System {
    fn lookup(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        async move { Ok(lookup_host((host, port)).await?.collect()) }.boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        TcpStream::connect(address).boxed()
    }
}
