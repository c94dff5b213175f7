//! Who calls: a token becomes a pod of ours, or a refusal.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coreward_wire::TOKEN_AUDIENCE;
use kube::ResourceExt;

use super::keys::ClusterKeys;
use super::review::{Opinion, Reviewer};
use super::token::{Bearer, Rejection};
use crate::pods::Pod;
use crate::stores::{COMPONENT_LABEL, Stores};

/// Callers that are told to wait come back after this long.
const LATER: Duration = Duration::from_secs(1);

/// What a pod of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The node agent.
    Node,
    /// Hashes for an idle unit.
    Prover,
    /// Brings evidence of the CPU policy.
    Probe,
    /// Hosts a deal's component.
    Worker,
    /// Relays for the members of subnets.
    Gateway,
}

impl Component {
    fn of(pod: &Pod) -> Option<Self> {
        match pod.labels().get(COMPONENT_LABEL)?.as_str() {
            "node" => Some(Self::Node),
            "prover" => Some(Self::Prover),
            "probe" => Some(Self::Probe),
            "worker" => Some(Self::Worker),
            "gateway" => Some(Self::Gateway),
            _ => None,
        }
    }
}

/// A pod of ours that calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its UID.
    pub uid: String,
    /// What it is.
    pub component: Component,
    /// The pod as last seen.
    pub pod: Arc<Pod>,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 401: no token, or not a good one.
    Unauthenticated(String),
    /// 403: a good token of a pod that is none of ours, or over.
    Forbidden(&'static str),
    /// 503: this replica cannot tell, or does not lead.
    Later(&'static str),
    /// 400: the body says what cannot be.
    Nonsense(&'static str),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated(why) => (StatusCode::UNAUTHORIZED, why).into_response(),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, why).into_response(),
            Self::Nonsense(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            Self::Later(why) => {
                let mut response = (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from(LATER.as_secs()));
                // A kept connection would come back to this replica, although another leads by now.
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
        }
    }
}

/// Turns tokens into pods.
#[derive(Clone, Debug)]
pub struct Doorkeeper {
    keys: ClusterKeys,
    reviewer: Reviewer,
    stores: Stores,
    namespace: String,
}

impl Doorkeeper {
    /// A doorkeeper who knows the pods of these stores.
    #[must_use]
    pub const fn new(
        keys: ClusterKeys,
        reviewer: Reviewer,
        stores: Stores,
        namespace: String,
    ) -> Self {
        Self { keys, reviewer, stores, namespace }
    }

    /// Who calls.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as the answer to the call.
    pub async fn admit(&self, token: Option<&str>) -> Result<Caller, Refusal> {
        let token = token.ok_or_else(|| Refusal::Unauthenticated("no bearer token".to_owned()))?;
        let bearer =
            self.keys.check(token, TOKEN_AUDIENCE).await.map_err(|rejection| match rejection {
                Rejection::UnknownKey | Rejection::Invalid { .. } | Rejection::NotBound => {
                    Refusal::Unauthenticated(rejection.to_string())
                }
            })?;
        if self.reviewer.opinion(token, TOKEN_AUDIENCE).await == Opinion::Bad {
            return Err(Refusal::Unauthenticated(
                "the API server does not know this token".to_owned(),
            ));
        }
        let pod = self
            .stores
            .pod_of_uid(&bearer.uid)
            .ok_or(Refusal::Later("this pod is not known yet"))?;
        let ours = |namespace: &str| self.stores.namespaces.get_cluster(namespace).is_some();
        let component = judge(&pod, &bearer, &self.namespace, ours)?;
        Ok(Caller { uid: bearer.uid, component, pod })
    }
}

/// Labels alone prove nothing, since whoever may make pods in a namespace of their own may write them: unit pods, node
/// agents and gateways live in the operator's namespace, workers in namespaces that we made.
fn judge(
    pod: &Pod,
    bearer: &Bearer,
    operator: &str,
    ours: impl Fn(&str) -> bool,
) -> Result<Component, Refusal> {
    let namespace = pod.namespace().unwrap_or_default();
    if namespace != bearer.namespace || pod.name_any() != bearer.pod {
        return Err(Refusal::Forbidden("the token is of another pod"));
    }
    let component = Component::of(pod).ok_or(Refusal::Forbidden("this pod is none of ours"))?;
    let home = match component {
        Component::Node | Component::Prover | Component::Probe | Component::Gateway => {
            namespace == operator
        }
        Component::Worker => ours(&namespace),
    };
    if !home {
        return Err(Refusal::Forbidden("pods of this kind do not live in this namespace"));
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Err(Refusal::Forbidden("this pod is over"));
    }
    Ok(component)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, component: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "p", "namespace": namespace, "uid": "u",
                "labels": { "coreward.dev/component": component },
            },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    fn bearer(namespace: &str, pod: &str) -> Bearer {
        Bearer {
            namespace: namespace.into(),
            pod: pod.into(),
            uid: "u".into(),
            service_account: "coreward-unit".into(),
        }
    }

    #[rstest]
    #[case::a_prover(
        pod("system", "prover", "Running"),
        bearer("system", "p"),
        Ok(Component::Prover)
    )]
    #[case::a_worker(
        pod("deal-1", "worker", "Running"),
        bearer("deal-1", "p"),
        Ok(Component::Worker)
    )]
    #[case::a_gateway(
        pod("system", "gateway", "Running"),
        bearer("system", "p"),
        Ok(Component::Gateway)
    )]
    #[case::a_gateway_elsewhere(pod("deal-1", "gateway", "Running"), bearer("deal-1", "p"), Err(()))]
    #[case::a_prover_elsewhere(pod("deal-1", "prover", "Running"), bearer("deal-1", "p"), Err(()))]
    #[case::a_worker_of_a_strangers_namespace(pod("strange", "worker", "Running"), bearer("strange", "p"), Err(()))]
    #[case::a_successor_of_the_same_uid(pod("system", "prover", "Running"), bearer("system", "q"), Err(()))]
    #[case::an_unknown_component(pod("system", "operator", "Running"), bearer("system", "p"), Err(()))]
    #[case::one_that_is_over(pod("system", "prover", "Failed"), bearer("system", "p"), Err(()))]
    fn a_caller_is_judged(
        #[case] pod: Pod,
        #[case] bearer: Bearer,
        #[case] expected: Result<Component, ()>,
    ) {
        let judged = judge(&pod, &bearer, "system", |namespace| namespace.starts_with("deal-"));
        assert_eq!(judged.map_err(drop), expected);
    }
}
