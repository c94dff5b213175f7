//! A member made of the library's own parts, with streams of bytes.

use coreward_overlay::{Member, PROTOCOL};
use futures::StreamExt as _;
use libp2p::identity::{Keypair, ed25519};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Stream, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::{Control, IncomingStreams};
use tokio::task::JoinSet;

use crate::node::Node;

pub(crate) struct Bare {
    pub(crate) member: Member,
    pub(crate) incoming: IncomingStreams,
    control: Control,
}

impl Bare {
    /// Starts one that knows where `other` is.
    pub(crate) async fn start(tasks: &mut JoinSet<()>, other: &Node) -> Self {
        let pair = ed25519::Keypair::generate();
        let mut swarm = SwarmBuilder::with_existing_identity(Keypair::from(pair.clone()))
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .build();
        let mut control = swarm.behaviour().new_control();
        let incoming = control.accept(StreamProtocol::new(PROTOCOL)).unwrap();
        swarm.add_peer_address(peer_of(other), other.address.parse().unwrap());
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address.to_string();
            }
        };
        tasks.spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        let member = Member { key: pair.public().to_bytes(), addresses: vec![address] };
        Self { member, incoming, control }
    }

    pub(crate) async fn open(&mut self, to: &Node) -> Stream {
        self.control.open_stream(peer_of(to), StreamProtocol::new(PROTOCOL)).await.unwrap()
    }
}

fn peer_of(node: &Node) -> PeerId {
    let key = ed25519::PublicKey::try_from_bytes(&node.key).unwrap();
    PeerId::from_public_key(&key.into())
}
