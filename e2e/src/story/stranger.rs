//! Somebody with a key that is on no list, who wants a stream from a worker.

use std::{future::poll_fn, net::Ipv4Addr, task::Poll, time::Duration};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{
    Multiaddr, Transport as _,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox},
        transport::{DialOpts, PortUse},
        upgrade::Version,
    },
    identity::Keypair,
    noise, tcp, yamux,
};

use crate::world::{Error, Result};

/// The protocol of the streams between workers.
pub const PROTOCOL: &str = "/http/1.1";
/// How long the stranger waits for anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first words of both sides of a stream.
const GREETING: &str = "/multistream/1.0.0";

/// Dials a worker's network with a new key and asks for a stream of `protocol`; gives how far it came: `Ok` is a stream.
///
/// # Errors
/// Where it was turned away, in words.
pub async fn ask(address: Ipv4Addr, port: u16, protocol: &str) -> Result<(), String> {
    let asked = async {
        let mut muxer = dial(address, port).await?;
        let mut stream = open(&mut muxer).await?;
        tokio::select! {
            agreed = negotiate(&mut stream, protocol) => agreed,
            closed = drive(&mut muxer) => Err(closed),
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(asked) => asked,
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

async fn dial(address: Ipv4Addr, port: u16) -> Result<StreamMuxerBox, String> {
    let key = Keypair::generate_ed25519();
    let noise = noise::Config::new(&key).map_err(|error| error.to_string())?;
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .boxed();
    let place: Multiaddr =
        format!("/ip4/{address}/tcp/{port}").parse().map_err(|error| format!("{error}"))?;
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let dialled = transport.dial(place, options).map_err(|error| error.to_string())?;
    let (_, muxer) = dialled.await.map_err(|error| format!("not connected: {error}"))?;
    Ok(muxer)
}

/// Opens a stream; the connection must be driven meanwhile.
async fn open(muxer: &mut StreamMuxerBox) -> Result<SubstreamBox, String> {
    poll_fn(|context| {
        if let Poll::Ready(Err(error)) = muxer.poll_unpin(context) {
            return Poll::Ready(Err(format!("closed before a stream: {error}")));
        }
        muxer.poll_outbound_unpin(context).map_err(|error| format!("no stream: {error}"))
    })
    .await
}

/// Drives the connection until it closes.
async fn drive(muxer: &mut StreamMuxerBox) -> String {
    poll_fn(|context| {
        loop {
            match muxer.poll_unpin(context) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(format!("closed: {error}")),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Agrees on `protocol` as the multistream rules have it: both sides say the greeting, then the protocol.
async fn negotiate(stream: &mut SubstreamBox, protocol: &str) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("the stream ended: {error}");
    for word in [GREETING, protocol] {
        stream.write_all(&framed(word)).await.map_err(broken)?;
    }
    stream.flush().await.map_err(broken)?;
    for word in [GREETING, protocol] {
        let wanted = framed(word);
        let mut said = vec![0; wanted.len()];
        stream.read_exact(&mut said).await.map_err(broken)?;
        if said != wanted {
            return Err(format!("it said {:?} to {word}", String::from_utf8_lossy(&said)));
        }
    }
    Ok(())
}

/// A word with its length in front and a line end behind; words here are shorter than 127 bytes.
fn framed(word: &str) -> Vec<u8> {
    let length = u8::try_from(word.len() + 1).unwrap_or(u8::MAX);
    [&[length], word.as_bytes(), b"\n"].concat()
}

/// Checks that a stranger gets no stream from the worker at `address`; gives how it was turned away.
///
/// # Errors
/// [`Error::Finding`] where it got one.
pub async fn is_turned_away(address: Ipv4Addr, port: u16) -> Result<String> {
    match ask(address, port, PROTOCOL).await {
        Ok(()) => Err(Error::Finding(format!("a stranger got a stream from {address}:{port}"))),
        Err(words) => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use libp2p::{PeerId, SwarmBuilder, ping, swarm::SwarmEvent};

    use super::*;

    #[tokio::test]
    async fn a_stranger_gets_a_stream_where_strangers_are_welcome() {
        let mut host = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| ping::Behaviour::default())
            .unwrap()
            .build();
        let _: PeerId = *host.local_peer_id();
        host.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let port = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = host.select_next_some().await {
                let text = address.to_string();
                break text.rsplit('/').next().unwrap().parse().unwrap();
            }
        };
        let asked = async {
            let welcome = ask(Ipv4Addr::LOCALHOST, port, "/ipfs/ping/1.0.0").await;
            (welcome, ask(Ipv4Addr::LOCALHOST, port, PROTOCOL).await)
        };
        let serve = async {
            loop {
                host.select_next_some().await;
            }
        };
        tokio::select! {
            (welcome, unknown) = asked => {
                assert_eq!(welcome, Ok(()));
                assert!(unknown.is_err(), "the host does not speak {PROTOCOL}");
            }
            () = serve => unreachable!("the host does not end"),
        }
    }
}
