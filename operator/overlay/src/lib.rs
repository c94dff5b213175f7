//! The closed network of a deal's workers: libp2p over TCP, Noise and yamux, HTTP/1.1 on its streams.
//!
//! Only keys on the member list get a stream, in either direction; the list is given from outside (the chain's) and may
//! change at any time. No address is trusted, only keys. Members speak the libp2p HTTP protocol: one request after another
//! on kept streams of the protocol `/http/1.1`.
//!
//! [`start`] gives a cheap [`Client`] and an [`EventLoop`] that owns the swarm; the caller runs the loop. Every queue is
//! bounded: what does not fit is refused with an answer that says so, never dropped in silence.

mod admission;
mod client;
mod connection;
mod event_loop;
mod gate;
mod member;
mod muxer;
#[cfg(test)]
mod protocol;
mod serve;
mod streams;
mod transport;

pub use client::{Client, Error};
pub use event_loop::{Config, EventLoop, StartError, start};
pub use member::{Key, Member};
pub use serve::{Handler, Refusal};

/// A body on either side; what fails in it is told as text.
pub type Body =
    http_body_util::combinators::BoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The protocol of every stream that carries requests.
pub const PROTOCOL: &str = "/http/1.1";
