//! The cluster's published keys, read again when a token names one that we do not know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use tokio::time::timeout;

use super::token::{Bearer, Keyring, Rejection};
use crate::clock;

/// Where the API server publishes its keys.
const JWKS: &str = "/openid/v1/jwks";
/// Unknown keys lead to at most one look in this time, whoever sends them.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait for the API server.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// The cluster's keys.
#[derive(Clone)]
pub struct ClusterKeys {
    client: kube::Client,
    inner: Arc<Mutex<Known>>,
}

impl std::fmt::Debug for ClusterKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClusterKeys").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Known {
    keys: Arc<Keyring>,
    looked: Option<Instant>,
}

impl ClusterKeys {
    /// No key yet.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        Self { client, inner: Arc::default() }
    }

    /// Whom the token speaks for.
    ///
    /// # Errors
    ///
    /// As [`Keyring::check`].
    pub async fn check(&self, token: &str, audience: &str) -> Result<Bearer, Rejection> {
        let keys = self.keys();
        match keys.check(token, audience) {
            Err(Rejection::UnknownKey) if self.may_look() => {
                self.look().await;
                self.keys().check(token, audience)
            }
            checked => checked,
        }
    }

    /// Reads the keys now; an outage leaves the known ones.
    pub async fn look(&self) {
        match timeout(LOOK_LIMIT, self.fetch()).await {
            Ok(Ok(set)) => {
                self.inner.lock().unwrap_or_else(PoisonError::into_inner).keys =
                    Arc::new(Keyring::of(&set));
            }
            Ok(Err(error)) => {
                let error = coreward_telemetry::causes(&error);
                tracing::warn!(error = %error, "the cluster's keys could not be read");
            }
            Err(_) => tracing::warn!("the cluster's keys could not be read: no answer"),
        }
    }

    async fn fetch(&self) -> Result<JwkSet, kube::Error> {
        let request = http::Request::get(JWKS).body(Vec::new()).map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }

    fn keys(&self) -> Arc<Keyring> {
        Arc::clone(&self.inner.lock().unwrap_or_else(PoisonError::into_inner).keys)
    }

    fn may_look(&self) -> bool {
        let mut known = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if known.looked.is_some_and(|at| now.saturating_duration_since(at) < LOOK_PAUSE) {
            return false;
        }
        known.looked = Some(now);
        true
    }
}
