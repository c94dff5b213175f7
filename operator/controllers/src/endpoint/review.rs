//! The API server's own opinion of a token: it alone knows that a pod was deleted a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::clock;

/// Reviews in flight; a request beyond them goes by the offline check.
const IN_FLIGHT: usize = 32;
/// An opinion is kept for this long.
const KEPT: Duration = Duration::from_mins(1);
/// Longest wait for an opinion.
const LIMIT: Duration = Duration::from_secs(2);
/// Opinions kept.
const MOST: usize = 16_384;

/// What the API server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// The token is good.
    Good,
    /// The token is not good.
    Bad,
    /// It was not asked, or did not answer: the offline check stands.
    Unknown,
}

/// Opinions by the hash of the token, and when they were given.
type Opinions = HashMap<[u8; 32], (Opinion, Instant)>;

/// Asks the API server, within bounds.
#[derive(Clone)]
pub struct Reviewer {
    api: Api<TokenReview>,
    permits: Arc<Semaphore>,
    opinions: Arc<Mutex<Opinions>>,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reviewer").finish_non_exhaustive()
    }
}

impl Reviewer {
    /// A reviewer that has asked nothing.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        Self {
            api: Api::all(client),
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            opinions: Arc::default(),
        }
    }

    /// What the API server says of a token, now or within the last minute.
    pub async fn opinion(&self, token: &str, audience: &str) -> Opinion {
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.known(key) {
            return known;
        }
        let Ok(_permit) = self.permits.try_acquire() else { return Opinion::Unknown };
        let opinion = self.ask(token, audience).await;
        if opinion != Opinion::Unknown {
            self.keep(key, opinion);
        }
        opinion
    }

    async fn ask(&self, token: &str, audience: &str) -> Opinion {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![audience.to_owned()]),
            },
            ..TokenReview::default()
        };
        let answer = timeout(LIMIT, self.api.create(&PostParams::default(), &review)).await;
        let Ok(Ok(review)) = answer else { return Opinion::Unknown };
        let Some(status) = review.status else { return Opinion::Unknown };
        if status.authenticated == Some(true) { Opinion::Good } else { Opinion::Bad }
    }

    fn known(&self, key: [u8; 32]) -> Option<Opinion> {
        let opinions = self.opinions.lock().unwrap_or_else(PoisonError::into_inner);
        let (opinion, at) = opinions.get(&key)?;
        (clock::now().saturating_duration_since(*at) < KEPT).then_some(*opinion)
    }

    fn keep(&self, key: [u8; 32], opinion: Opinion) {
        let now = clock::now();
        let mut opinions = self.opinions.lock().unwrap_or_else(PoisonError::into_inner);
        if opinions.len() >= MOST {
            opinions.retain(|_, (_, at)| now.saturating_duration_since(*at) < KEPT);
        }
        if opinions.len() < MOST {
            opinions.insert(key, (opinion, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use tower_test::mock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_opinion_is_asked_for_once_a_minute() {
        let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
        let reviewer = Reviewer::new(kube::Client::new(service, "default"));
        let answer = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {},
            "status": { "authenticated": false },
        });
        let play = async {
            let (_, send) = server.next_request().await.unwrap();
            send.send_response(Response::new(Body::from(serde_json::to_vec(&answer).unwrap())));
        };
        let (opinion, ()) = tokio::join!(reviewer.opinion("t", "a"), play);
        assert_eq!(opinion, Opinion::Bad);
        assert_eq!(
            reviewer.opinion("t", "a").await,
            Opinion::Bad,
            "no second request is answered here"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_api_server_leaves_it_unknown() {
        let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
        let reviewer = Reviewer::new(kube::Client::new(service, "default"));
        assert_eq!(reviewer.opinion("t", "a").await, Opinion::Unknown);
        drop(server);
    }
}
