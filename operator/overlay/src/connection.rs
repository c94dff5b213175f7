//! One connection: opens streams on request and hands over those that the other side opens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol,
};

use crate::PROTOCOL;
use crate::event_loop::NEGOTIATING_STREAMS;

/// Ties an answer to the request for a stream.
pub(crate) type OpenId = u64;

/// What a connection tells.
#[derive(Debug)]
pub(crate) enum FromConnection {
    /// The other side opened a stream.
    Inbound(Stream),
    /// A stream that was asked for.
    Opened(OpenId, Stream),
    /// A stream that was asked for and could not be had.
    Refused(OpenId, String),
}

/// The handler of one connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// No more than the event loop's table of opens has for one peer.
    wanted: VecDeque<OpenId>,
    /// No more than what was wanted, and `NEGOTIATING_STREAMS`: the connection takes what is here before it agrees on the
    /// next stream, and waits while the event loop is behind.
    told: VecDeque<FromConnection>,
}

impl ConnectionHandler for Connection {
    type FromBehaviour = OpenId;
    type ToBehaviour = FromConnection;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenId;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(PROTOCOL)), ())
    }

    fn connection_keep_alive(&self) -> bool {
        // Only members and gateways are connected, and their number is the deal's.
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, OpenId, FromConnection>> {
        if let Some(event) = self.told.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if let Some(id) = self.wanted.pop_front() {
            let protocol =
                SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(PROTOCOL)), id);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, id: OpenId) {
        self.wanted.push_back(id);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events grow; those not named are none of ours"
    )]
    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), OpenId>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) if self.told.len() < NEGOTIATING_STREAMS => {
                self.told.push_back(FromConnection::Inbound(protocol));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
                ..
            }) => {
                self.told.push_back(FromConnection::Opened(info, protocol));
            }
            ConnectionEvent::DialUpgradeError(failure) => {
                let error = failure.error.map_upgrade_err(|never: Infallible| match never {});
                self.told.push_back(FromConnection::Refused(failure.info, error.to_string()));
            }
            _ => {}
        }
    }
}
