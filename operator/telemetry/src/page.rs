//! What `--listen` serves: `/metrics`, `/livez`, `/readyz`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::TEXT_FORMAT;
use tracing::error;

use crate::cause::causes;
use crate::health::{Findings, Health, now};
use crate::metrics::Metrics;

/// The three pages, for a listener of the caller or a test without a socket.
pub fn router(metrics: Metrics, health: Health) -> Router {
    metrics_page(metrics).merge(health_pages(health))
}

/// `/metrics` alone.
pub fn metrics_page(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(show_metrics).with_state(metrics))
}

/// `/livez` and `/readyz`.
pub fn health_pages(health: Health) -> Router {
    Router::new()
        .route("/livez", get(show_liveness).with_state(health.clone()))
        .route("/readyz", get(show_readiness).with_state(health))
}

async fn show_metrics(State(metrics): State<Metrics>) -> Response {
    match metrics.page() {
        Ok(page) => ([(CONTENT_TYPE, TEXT_FORMAT)], page).into_response(),
        Err(error) => {
            error!(error = %causes(&error), "the metrics page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn show_liveness(State(health): State<Health>) -> Response {
    tell(&health.stuck(now()))
}

async fn show_readiness(State(health): State<Health>) -> Response {
    tell(&health.unready())
}

fn tell(findings: &Findings) -> Response {
    if findings.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, findings.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_pages_tell_what_the_handles_say() {
        let health = Health::new();
        let router = router(Metrics::new("test", "0").unwrap(), health.clone());
        let ok = (StatusCode::OK, "ok\n".to_owned());

        assert_eq!(ask(&router, "/livez").await, ok);
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        health.readiness("hashing").set(true);
        assert_eq!(ask(&router, "/readyz").await, ok);
        let _turns = health.liveness("turns", Duration::from_mins(10));
        assert_eq!(ask(&router, "/livez").await, ok);
        let (status, page) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("coreward_build_info"), "{page}");
    }
}
