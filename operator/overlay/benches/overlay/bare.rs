//! A bare libp2p stream: the library's TCP, Noise and yamux as they come.

use std::io;

use futures::StreamExt as _;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::Behaviour;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use crate::{Side, server};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench");

fn swarm() -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(std::time::Duration::from_hours(1))
        })
        .build()
}

/// Serves until it is killed.
pub(crate) async fn serve() {
    let mut swarm = swarm();
    let mut incoming = swarm.behaviour().new_control().accept(PROTOCOL).unwrap();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(server::answer(stream.compat()));
        }
    });
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            println!("{address}/p2p/{}", swarm.local_peer_id());
        }
    }
}

/// A stream to such a server.
pub(crate) struct Bare(Compat<libp2p::Stream>);

impl Bare {
    pub(crate) async fn connect(address: &str) -> Self {
        let mut swarm = swarm();
        let mut control = swarm.behaviour().new_control();
        let address: Multiaddr = address.parse().unwrap();
        let peer: PeerId = address.to_string().rsplit('/').next().unwrap().parse().unwrap();
        swarm.dial(address).unwrap();
        while !swarm.is_connected(&peer) {
            swarm.select_next_some().await;
        }
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self(control.open_stream(peer, PROTOCOL).await.unwrap().compat())
    }
}

impl Side for Bare {
    async fn download(&mut self, bytes: u64) -> io::Result<()> {
        server::download(&mut self.0, bytes).await
    }

    async fn round_trip(&mut self) -> io::Result<()> {
        server::round_trip(&mut self.0).await
    }
}
