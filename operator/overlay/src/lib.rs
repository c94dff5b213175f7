//! The closed network of a deal's workers: libp2p over TCP, Noise and yamux, HTTP/1.1 on its streams.
//!
//! Only keys on the member list get a stream, in either direction; the list is given from outside (the chain's) and may
//! change at any time. No address is trusted, only keys. Members speak the libp2p HTTP protocol: one request after another
//! on kept streams of the protocol `/http/1.1`.
//!
//! Members that do not reach each other meet at a gateway, a circuit relay v2 that admits members only: a member keeps a
//! reservation at each of its own gateways, and is dialled at `<gateway>/p2p-circuit/p2p/<key>`. A gateway's key opens a
//! connection for the relay, identify and ping, and carries no request.
//!
//! [`start`] gives a cheap [`Client`] and an [`EventLoop`] that owns the swarm; the caller runs the loop. Every queue is
//! bounded: what does not fit is refused with an answer that says so, never dropped in silence.

mod admission;
mod client;
mod connection;
mod event_loop;
mod gate;
pub mod gateway;
pub mod internet;
mod io;
mod kept;
mod member;
mod muxer;
#[cfg(test)]
mod protocol;
mod reservations;
mod serve;
mod streams;
mod transport;
mod way;

pub use client::{Client, Error, Gateways};
pub use event_loop::{Config, EventLoop, StartError, start};
pub use member::{Key, Member};
pub use serve::{Handler, Refusal};

/// A body on either side; what fails in it is told as text.
pub type Body =
    http_body_util::combinators::BoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The protocol of every stream that carries requests.
pub const PROTOCOL: &str = "/http/1.1";
