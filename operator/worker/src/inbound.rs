//! Requests to the component: from the public port, and from members over the overlay.

mod head;
pub(crate) mod public;

use core::time::Duration;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::{App, Passage};
use crate::body::{self, Body};
use crate::metrics::{Metrics, Refusal};
use crate::orders::{self, Orders};

/// What comes before the first version serves waits for it so long: who knew the pod asks it while it starts anew, and that takes
/// milliseconds where the code is kept.
const PATIENCE: Duration = Duration::from_secs(1);

/// The version of the component that answers now; `None` before the first one does.
pub(crate) type Current = watch::Receiver<Option<Arc<App>>>;

/// Where requests come in.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) orders: Orders,
    pub(crate) current: Current,
    pub(crate) metrics: Metrics,
}

impl Inbound {
    async fn answer_public(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let mut request = request.map(body::incoming);
        match head::from_public(&mut request) {
            Err(refusal) => self.refuse(Refusal::Host, *refusal),
            Ok(passage) => self.answer(request, passage).await,
        }
    }

    async fn answer_member(
        self,
        caller: coreward_overlay::Key,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let duty = Arc::clone(&self.orders.borrow());
        // The connection is of a member, but the list may have changed while it sent.
        let Some(member) = orders::member_by_key(&duty, &caller) else {
            let answer = body::answer(StatusCode::FORBIDDEN, "not a member of this subnet");
            return self.refuse(Refusal::Stranger, answer);
        };
        let mut request = request.map(body::incoming);
        let own = duty.onchain_worker_id;
        match head::from_member(&mut request, member.onchain_worker_id, own) {
            Err(refusal) => self.refuse(Refusal::Loop, *refusal),
            Ok(passage) => self.answer(request, passage).await,
        }
    }

    async fn answer(&self, request: Request<Body>, passage: Passage) -> Response<Body> {
        let serving = self.current.borrow().clone();
        let Some(app) = (if serving.is_some() { serving } else { self.first().await }) else {
            return body::answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "the component is not loaded yet",
            );
        };
        app.answer(request, passage).await
    }

    /// The first version, once it serves.
    async fn first(&self) -> Option<Arc<App>> {
        let mut current = self.current.clone();
        let serving = timeout(PATIENCE, current.wait_for(Option::is_some)).await.ok()?.ok()?;
        serving.clone()
    }

    fn refuse(&self, reason: Refusal, answer: Response<Body>) -> Response<Body> {
        self.metrics.refused(reason);
        answer
    }
}

impl coreward_overlay::Handler for Inbound {
    fn handle(
        &self,
        caller: coreward_overlay::Key,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<coreward_overlay::Body>> {
        let answer = self.clone().answer_member(caller, request);
        answer.map(|answer| answer.map(body::for_overlay)).boxed()
    }

    fn refused(&self, why: coreward_overlay::Refusal) {
        self.metrics.overlay_refused(why);
    }
}
