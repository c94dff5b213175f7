//! TCP or a circuit, Noise and yamux.

use std::sync::Arc;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::{PeerId, Transport as _, identity, noise, relay, tcp};

use crate::admission::{Door, Guarded, HANDSHAKE_TIMEOUT};
use crate::muxer::Yamux;

/// The transport, behind this door.
///
/// # Errors
///
/// If the key cannot sign.
pub(crate) fn guarded(
    keypair: &identity::Keypair,
    door: Arc<Door>,
) -> Result<Guarded, noise::Error> {
    let inner = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(Yamux)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    Ok(Guarded { inner, door })
}

/// The transport over circuits through gateways, with the same bounds on streams. It has no door: a circuit comes from a
/// gateway of ours, and the gateway bounds them.
///
/// # Errors
///
/// If the key cannot sign.
pub(crate) fn relayed(
    keypair: &identity::Keypair,
    circuits: relay::client::Transport,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    Ok(circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(Yamux)
        .timeout(HANDSHAKE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed())
}
