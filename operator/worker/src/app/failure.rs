//! Why a component gave no answer.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::{self, Body};
use crate::metrics::Ending;

/// Why a component gave no answer to a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// As many requests are in work as can be.
    #[error("too many requests are in work")]
    Busy,
    /// Others hold the memory that it needs, or it wants more than there is.
    #[error("the component ran out of memory")]
    OutOfMemory,
    /// It used more CPU time than one request may.
    #[error("the component used more CPU time than one request may")]
    OutOfCpu,
    /// It took longer than the worker's limit.
    #[error("the component did not answer within its time limit")]
    OutOfTime,
    /// The request's body has more bytes than one may.
    #[error("the request's body is too large")]
    RequestTooLarge,
    /// Whoever asked did not send the request's body in time.
    #[error("the request's body did not arrive in time")]
    RequestTooSlow,
    /// The answer's body has more bytes than one may.
    #[error("the component's answer is too large")]
    AnswerTooLarge,
    /// It trapped; the text is the engine's.
    #[error("the component trapped: {0}")]
    Trapped(String),
    /// It returned without an answer.
    #[error("the component ended without an answer")]
    Silent,
    /// It answered with an error instead of a response.
    #[error("the component gave up: {0}")]
    Refused(String),
}

impl Failure {
    /// The answer to whoever asked; says no more than they need.
    pub(crate) fn to_answer(&self) -> Response<Body> {
        let status = match self {
            Self::Busy | Self::OutOfMemory | Self::OutOfCpu => StatusCode::SERVICE_UNAVAILABLE,
            Self::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::AnswerTooLarge => StatusCode::BAD_GATEWAY,
            Self::Trapped(_) | Self::Silent | Self::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let line = match self {
            Self::Trapped(_) => "the component trapped".to_owned(),
            Self::Refused(_) => "the component gave up".to_owned(),
            Self::Busy
            | Self::OutOfMemory
            | Self::OutOfCpu
            | Self::OutOfTime
            | Self::RequestTooLarge
            | Self::RequestTooSlow
            | Self::AnswerTooLarge
            | Self::Silent => self.to_string(),
        };
        let mut answer = body::answer(status, &line);
        if matches!(self, Self::Busy | Self::OutOfMemory) {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }

    pub(crate) const fn ending(&self) -> Ending {
        match self {
            Self::Busy => Ending::Busy,
            Self::OutOfMemory => Ending::OutOfMemory,
            Self::OutOfCpu => Ending::OutOfCpu,
            Self::OutOfTime => Ending::OutOfTime,
            Self::RequestTooLarge => Ending::RequestTooLarge,
            Self::RequestTooSlow => Ending::RequestTooSlow,
            Self::AnswerTooLarge => Ending::AnswerTooLarge,
            Self::Trapped(_) => Ending::Trapped,
            Self::Silent => Ending::Silent,
            Self::Refused(_) => Ending::Refused,
        }
    }
}
