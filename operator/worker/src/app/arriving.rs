//! The body of a request on its way to the component: how large it may get, and how long its sender may be silent.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

use super::Failure;
use crate::body::Body;

/// A sender that owes a part of the body may be silent for so long.
const SILENCE: Duration = Duration::from_secs(10);

/// How it stands with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All that was asked for is there.
    There,
    /// The component waits for the sender.
    Awaited,
    TooLarge,
    TooSlow,
}

/// What the host sees of a body that the component reads.
#[derive(Debug)]
pub(super) struct Arrival(Option<watch::Receiver<State>>);

impl Arrival {
    /// Watches the body of `request`, which may have so many bytes.
    ///
    /// # Errors
    ///
    /// If it says by itself that it has more.
    pub(super) fn of(request: Request<Body>, most: u64) -> Result<(Request<Body>, Self), Failure> {
        if request.body().size_hint().lower() > most {
            return Err(Failure::RequestTooLarge);
        }
        if request.body().is_end_stream() {
            return Ok((request, Self(None)));
        }
        let (state, seen) = watch::channel(State::There);
        let arriving = |body| Arriving { body, left: most, state: Arc::new(state), silence: None };
        Ok((request.map(|body| arriving(body).boxed_unsync()), Self(Some(seen))))
    }

    /// Returns when the sender has done what ends the request; never if it does not.
    pub(super) async fn ended(&mut self) -> Failure {
        if let Some(state) = &mut self.0 {
            let wrong = |state: &State| matches!(state, State::TooLarge | State::TooSlow);
            if let Ok(state) = state.wait_for(wrong).await {
                return match *state {
                    State::TooLarge => Failure::RequestTooLarge,
                    State::There | State::Awaited | State::TooSlow => Failure::RequestTooSlow,
                };
            }
        }
        core::future::pending().await
    }

    /// Why the time of the request is over: its sender's fault, or the component's.
    pub(super) fn late(&self) -> Failure {
        match &self.0 {
            Some(state) if *state.borrow() == State::Awaited => Failure::RequestTooSlow,
            Some(_) | None => Failure::OutOfTime,
        }
    }
}

struct Arriving {
    body: Body,
    left: u64,
    state: Arc<watch::Sender<State>>,
    /// Set while the sender is waited for.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    fn is(&self, now: State) {
        self.state.send_if_modified(|state| core::mem::replace(state, now) != now);
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            self.is(State::Awaited);
            let end = || Box::pin(sleep_until(Instant::now() + SILENCE));
            let silence = self.silence.get_or_insert_with(end);
            return silence.as_mut().poll(context).map(|()| {
                self.is(State::TooSlow);
                Some(Err(Error::ConnectionReadTimeout))
            });
        };
        self.silence = None;
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) | None => 0,
        };
        if bytes > self.left {
            self.is(State::TooLarge);
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
        }
        self.left -= bytes;
        self.is(State::There);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;
    use crate::body::full;

    fn of_frames(frames: usize, then_silent: bool) -> Body {
        let frame = || Ok(Frame::data(Bytes::from_static(b"0123456789")));
        let frames = stream::iter((0..frames).map(move |_| frame()));
        if then_silent {
            StreamBody::new(frames.chain(stream::pending())).boxed_unsync()
        } else {
            StreamBody::new(frames).boxed_unsync()
        }
    }

    #[tokio::test]
    async fn a_body_arrives_whole_up_to_its_limit() {
        let (request, arrival) = Arrival::of(Request::new(of_frames(10, false)), 100).unwrap();
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes().len(), 100);
        assert!(matches!(arrival.late(), Failure::OutOfTime));
    }

    #[tokio::test]
    async fn a_body_over_its_limit_ends_its_request() {
        let said = Arrival::of(Request::new(full(vec![0; 101])), 100);
        assert!(matches!(said, Err(Failure::RequestTooLarge)));
        let (request, mut arrival) = Arrival::of(Request::new(of_frames(11, false)), 100).unwrap();
        assert!(request.into_body().collect().await.is_err());
        assert!(matches!(arrival.ended().await, Failure::RequestTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_ends_its_request_and_one_that_is_not_asked_does_not() {
        let (request, mut arrival) = Arrival::of(Request::new(of_frames(1, true)), 100).unwrap();
        assert!(tokio::time::timeout(SILENCE * 2, arrival.ended()).await.is_err());
        let reading = request.into_body().collect();
        let late = async {
            tokio::time::sleep(SILENCE / 2).await;
            arrival.late()
        };
        let (read, late) = tokio::join!(reading, late);
        assert!(matches!((read, late), (Err(_), Failure::RequestTooSlow)));
        assert!(matches!(arrival.ended().await, Failure::RequestTooSlow));
    }
}
