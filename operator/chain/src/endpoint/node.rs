//! One node, and how its errors are understood.

use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::client::RpcClient;
use alloy::transports::{RpcError, TransportError};

use super::ask::Ask;
use super::error::Error;
use crate::revert::Revert;

/// One node.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) name: String,
    pub(super) provider: DynProvider,
}

impl Endpoint {
    /// A node behind HTTP.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if the URL does not parse; it may hold a token and is not repeated.
    pub fn http(name: &str, url: &str) -> Result<Self, Error> {
        let url = url.parse().map_err(|error| Error::Url {
            endpoint: name.to_owned(),
            reason: format!("{error}"),
        })?;
        Ok(Self::over(name, RpcClient::new_http(url)))
    }

    /// A node behind any transport.
    #[must_use]
    pub fn over(name: &str, client: RpcClient) -> Self {
        let provider =
            ProviderBuilder::new().disable_recommended_fillers().connect_client(client).erased();
        Self { name: name.to_owned(), provider }
    }

    pub(super) fn error(&self, ask: Ask, error: TransportError) -> Error {
        let endpoint = self.name.clone();
        match error {
            RpcError::ErrorResp(payload) => match payload.as_revert_data() {
                Some(data) => Error::Reverted(Revert::decode(&data)),
                None if payload.message.contains("revert") => Error::Reverted(Revert::Unknown),
                None => Error::Refused {
                    endpoint,
                    ask,
                    code: payload.code,
                    message: payload.message.into_owned(),
                },
            },
            RpcError::NullResp
            | RpcError::UnsupportedFeature(_)
            | RpcError::LocalUsageError(_)
            | RpcError::SerError(_)
            | RpcError::DeserError { .. }
            | RpcError::Transport(_) => Error::Transport { endpoint, ask, source: Box::new(error) },
        }
    }
}
