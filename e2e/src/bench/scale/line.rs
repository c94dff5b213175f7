//! A simulated pod's line to the operator: the calls that a real one makes, with the token that a kubelet would bring it.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::{
    api::{
        authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
        core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use reqwest::{Certificate, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    bed::NAMESPACE,
    story::pods,
    world::{Error, Result, cluster},
};

/// The Service that pods call; its name is in the operator's certificate.
const SERVICE: &str = "coreward-pods";
const PORT: u16 = 8443;
/// Whom the tokens of pods are for.
const AUDIENCE: &str = "coreward-pods";
/// Seconds that a token is good for: longer than any run, so that none is renewed.
const TOKEN_SECONDS: i64 = 4 * 3600;
/// The operator holds a poll for ten seconds at most.
const CALL: Duration = Duration::from_secs(13);
/// How long an idle connection is kept, as real pods do.
const IDLE: Duration = Duration::from_secs(5);
/// After a call that failed.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Where the operator answers pods, and what it proves itself with.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    address: SocketAddr,
    authority: Certificate,
}

/// One pod's line; its connections are its own, as a pod's are.
#[derive(Debug)]
pub(super) struct Line {
    http: reqwest::Client,
    token: String,
}

impl Endpoint {
    /// The endpoint of the operator in this cluster.
    ///
    /// # Errors
    /// [`Error::Cluster`], [`Error::Finding`] where the product has not published it.
    pub(super) async fn find(client: &Client) -> Result<Self> {
        let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
        let service = services.get(SERVICE).await.map_err(cluster("read the pods' Service"))?;
        let address = service.spec.and_then(|spec| spec.cluster_ip?.parse().ok());
        let address = address.ok_or_else(|| missing("the pods' Service has no address"))?;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let anchor = maps.get("coreward-anchor").await.map_err(cluster("read the anchor"))?;
        let pem = anchor.data.unwrap_or_default().remove("ca.crt").unwrap_or_default();
        let authority = Certificate::from_pem(pem.as_bytes())
            .map_err(|error| missing(&format!("the anchor has no certificate: {error}")))?;
        Ok(Self { address: SocketAddr::new(address, PORT), authority })
    }
}

impl Line {
    /// A line of this pod, with a token that is bound to it.
    ///
    /// # Errors
    /// [`Error::Cluster`], [`Error::Finding`].
    pub(super) async fn open(endpoint: &Endpoint, client: &Client, pod: &Pod) -> Result<Self> {
        let http = reqwest::Client::builder()
            .tls_certs_only([endpoint.authority.clone()])
            .resolve(&host(), endpoint.address)
            .pool_idle_timeout(IDLE)
            .timeout(CALL)
            .no_proxy()
            .build()
            .map_err(|error| missing(&format!("no line can be made: {error}")))?;
        Ok(Self { http, token: token(client, pod).await? })
    }

    /// Asks for the assignment again and again, and passes each new one on; does not end.
    pub(super) async fn follow(&self, told: watch::Sender<Value>) {
        let mut seen = String::new();
        loop {
            match self.poll(&seen).await {
                Ok(Some(assignment)) => {
                    assignment["revision"].as_str().unwrap_or_default().clone_into(&mut seen);
                    told.send_replace(assignment);
                }
                Ok(None) => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn poll(&self, seen: &str) -> Result<Option<Value>> {
        // A revision is plain hex: nothing of it has to be escaped.
        let url = format!("{}?seen={seen}", url("assignment"));
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.map_err(silent)?;
        let answer = answer.error_for_status().map_err(silent)?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        answer.json().await.map(Some).map_err(silent)
    }

    /// Posts a body; gives the answer's, if it has one.
    ///
    /// # Errors
    /// [`Error::Finding`]; the caller posts again.
    pub(super) async fn post(&self, call: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(url(call)).bearer_auth(&self.token).json(body);
        let answer = request.send().await.map_err(silent)?.error_for_status().map_err(silent)?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        answer.json().await.map_err(silent)
    }
}

async fn token(client: &Client, pod: &Pod) -> Result<String> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    let account = account.ok_or_else(|| missing("a pod has no account"))?;
    let request = TokenRequest {
        metadata: ObjectMeta::default(),
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                uid: Some(pods::uid(pod)),
            }),
            expiration_seconds: Some(TOKEN_SECONDS),
        },
        status: None,
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let made = accounts.create_token_request(&account, &PostParams::default(), &request).await;
    let made = made.map_err(cluster(format!("ask for a token of {}", pod.name_any())))?;
    made.status.map(|status| status.token).ok_or_else(|| missing("a token is empty"))
}

fn host() -> String {
    format!("{SERVICE}.{NAMESPACE}.svc")
}

fn url(call: &str) -> String {
    format!("https://{}:{PORT}/v1/{call}", host())
}

fn missing(what: &str) -> Error {
    Error::Finding(what.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn silent(error: reqwest::Error) -> Error {
    Error::Finding(format!("the operator does not take a call: {error:?}"))
}
