//! The closed libp2p network of a deal's workers.
