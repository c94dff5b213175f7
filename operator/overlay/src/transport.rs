//! TCP, Noise and yamux.

use std::sync::Arc;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::{Transport as _, identity, noise, tcp};

use crate::admission::{Door, Guarded};
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
