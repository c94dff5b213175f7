//! The metrics over TLS, for whoever the cluster lets `get` the path `/metrics`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use coreward_telemetry::{Metrics, metrics_page};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::caller::Refusal;
use crate::clock;

/// What a reader must have the right to `get`.
const PATH: &str = "/metrics";
/// Readers asked about at once.
const IN_FLIGHT: usize = 4;
/// Longest wait for the API server's word on one reader.
const LIMIT: Duration = Duration::from_secs(2);
/// Its word holds for this long.
const KEPT: Duration = Duration::from_mins(1);
/// Who was let in this lately is let in while the API server is silent: an outage is when people look.
const OUTAGE: Duration = Duration::from_hours(1);
/// Readers remembered.
const MOST: usize = 64;

/// What the API server says of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Allowed,
    Unknown,
    Stranger,
    Forbidden,
}

/// Words by the hash of the token, and when they were given.
type Words = HashMap<[u8; 32], (Word, Instant)>;

/// Who may read; asks the API server, within bounds.
#[derive(Clone)]
pub struct Readers {
    tokens: Api<TokenReview>,
    access: Api<SubjectAccessReview>,
    permits: Arc<Semaphore>,
    words: Arc<Mutex<Words>>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Readers").finish_non_exhaustive()
    }
}

/// The metrics page behind that question.
pub fn guarded(metrics: Metrics, readers: Readers) -> Router {
    metrics_page(metrics).layer(from_fn_with_state(readers, guard))
}

async fn guard(
    State(readers): State<Readers>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
    readers.admit(token).await?;
    Ok(next.run(request).await)
}

impl Readers {
    /// Readers of whom nothing is known yet.
    #[must_use]
    pub fn new(client: &kube::Client) -> Self {
        Self {
            tokens: Api::all(client.clone()),
            access: Api::all(client.clone()),
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            words: Arc::default(),
        }
    }

    async fn admit(&self, token: Option<&str>) -> Result<(), Refusal> {
        let token = token.ok_or_else(|| {
            Refusal::Unauthenticated(
                "no bearer token: send one of an account of this cluster\n".to_owned(),
            )
        })?;
        match self.word(token).await {
            Word::Allowed => Ok(()),
            Word::Stranger => Err(Refusal::Unauthenticated(
                "the API server does not know this token\n".to_owned(),
            )),
            Word::Forbidden => Err(Refusal::Forbidden(
                "this account may not get /metrics: bind it to the chart's role metrics-reader\n",
            )),
            Word::Unknown => Err(Refusal::Later("the API server does not say who this is\n")),
        }
    }

    async fn word(&self, token: &str) -> Word {
        let key: [u8; 32] = Sha256::digest(token).into();
        let known = self.known(key);
        if let Some((word, age)) = known
            && age < KEPT
        {
            return word;
        }
        let Ok(_permit) = self.permits.try_acquire() else { return Word::Unknown };
        let word = timeout(LIMIT, self.ask(token)).await.unwrap_or(Word::Unknown);
        let was_allowed = matches!(known, Some((Word::Allowed, age)) if age < OUTAGE);
        if word == Word::Unknown && was_allowed {
            return Word::Allowed;
        }
        self.keep(key, word);
        word
    }

    async fn ask(&self, token: &str) -> Word {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let Ok(review) = self.tokens.create(&PostParams::default(), &review).await else {
            return Word::Unknown;
        };
        let Some(status) = review.status else { return Word::Unknown };
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Word::Stranger;
        };
        match self.access.create(&PostParams::default(), &question(user)).await {
            Ok(SubjectAccessReview { status: Some(status), .. }) if status.allowed => Word::Allowed,
            Ok(SubjectAccessReview { status: Some(_), .. }) => Word::Forbidden,
            Ok(_) | Err(_) => Word::Unknown,
        }
    }

    fn known(&self, key: [u8; 32]) -> Option<(Word, Duration)> {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, at) = words.get(&key)?;
        Some((*word, clock::now().saturating_duration_since(*at)))
    }

    fn keep(&self, key: [u8; 32], word: Word) {
        let now = clock::now();
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() >= MOST {
            words.retain(|_, (word, at)| {
                *word == Word::Allowed && now.saturating_duration_since(*at) < OUTAGE
            });
        }
        if word != Word::Unknown && words.len() < MOST {
            words.insert(key, (word, now));
        }
    }
}

fn question(user: UserInfo) -> SubjectAccessReview {
    let asked = NonResourceAttributes { path: Some(PATH.to_owned()), verb: Some("get".to_owned()) };
    let spec = SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        non_resource_attributes: Some(asked),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;
