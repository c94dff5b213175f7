//! The proxy before the WebSocket of an endpoint: bytes pass, until a connection is dead and does not know.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::bed::Addresses;

/// From an endpoint's port to that of its WebSocket.
pub(super) const BESIDE: u16 = 10;
/// A dead connection is held for this long: whoever waits for it that long never gives it up.
const HELD: Duration = Duration::from_mins(5);

/// What is done to connections, and what was seen of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Controls {
    /// How often all connections of the time died.
    pub(super) deaths: watch::Sender<u64>,
    /// How many were taken.
    pub(super) taken: Arc<AtomicU64>,
}

/// The proxy.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    addresses: Addresses,
    port: u16,
    controls: Controls,
}

impl Proxy {
    /// A proxy for the WebSocket of the endpoint at `port`.
    pub(super) fn new(addresses: Addresses, port: u16, controls: &Controls) -> Self {
        Self { addresses, port: port + BESIDE, controls: controls.clone() }
    }

    pub(super) fn address(&self) -> (Ipv4Addr, u16) {
        (self.addresses.control(), self.port)
    }

    /// Serves until dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            self.controls.taken.fetch_add(1, Ordering::Relaxed);
            connections.spawn(pass(
                self.addresses.chain_socket(),
                stream,
                self.controls.deaths.subscribe(),
            ));
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn pass(chain: (Ipv4Addr, u16), mut here: TcpStream, mut deaths: watch::Receiver<u64>) {
    let Ok(mut there) = TcpStream::connect(chain).await else { return };
    tokio::select! {
        // How a connection ends is its two sides' matter.
        _ = copy_bidirectional(&mut here, &mut there) => return,
        Ok(()) = deaths.changed() => {}
    }
    let held = async {
        let mut nothing = [0; 256];
        while here.read(&mut nothing).await.is_ok_and(|length| length > 0) {}
    };
    // Late or not, it is closed then.
    let _ = timeout(HELD, held).await;
}
