//! The metrics pages: the operator's as a scraper with a token reads it, those of the other pods as anybody does.

use std::net::SocketAddr;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Pod, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{client, ensure, pods, traffic};
use crate::{
    bed::{Bed, NAMESPACE},
    world::{Error, Result, World, cluster},
};

/// The account that reads, and where it lives.
const READER: &str = "bed-reader";
const HOME: &str = "default";
/// The name that the operator's certificate is for, and the port that it is shown at.
const NAME: &str = "coreward-pods.coreward-system.svc";
const PORT: u16 = 8443;
/// Seconds; the API server gives no shorter ones.
const TOKEN_LIFE: i64 = 600;

/// Makes the account that may read the operator's metrics.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn make_reader(bed: &Bed) -> Result<()> {
    let own = PatchParams::apply("bed").force();
    let accounts: Api<ServiceAccount> = Api::namespaced(bed.client().clone(), HOME);
    let account =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": READER } });
    let made = accounts.patch(READER, &own, &Patch::Apply(&account)).await;
    made.map(drop).map_err(cluster("make an account that reads metrics"))?;
    let bindings: Api<ClusterRoleBinding> = Api::all(bed.client().clone());
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": READER },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coreward-metrics-reader" },
        "subjects": [{ "kind": "ServiceAccount", "name": READER, "namespace": HOME }],
    });
    let made = bindings.patch(READER, &own, &Patch::Apply(&binding)).await;
    made.map(drop).map_err(cluster("let it read metrics"))
}

/// A token of an account in the namespace `default`.
async fn token(cluster_client: &Client, account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster_client.clone(), HOME);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFE), ..Default::default() };
    let request = TokenRequest { spec, ..Default::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let made = made.map_err(cluster(format!("get a token of {account}")))?;
    Ok(made.status.map(|status| status.token).unwrap_or_default())
}

/// Status and text of an operator's page, for who has this token or none.
async fn asked(world: &World, pod: &Pod, token: Option<&str>) -> Result<(u16, String)> {
    let anchors: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
    let anchor = anchors.get("coreward-anchor").await.map_err(cluster("read the anchor"))?;
    let trusted = anchor.data.unwrap_or_default().remove("ca.crt").unwrap_or_default();
    let unusable = |error: reqwest::Error| Error::Finding(format!("{NAME}: {error:?}"));
    let address = SocketAddr::from((traffic::address(pod)?, PORT));
    let trusted = reqwest::Certificate::from_pem_bundle(trusted.as_bytes()).map_err(unusable)?;
    let http = client::builder().tls_certs_only(trusted).resolve(NAME, address);
    let mut request = http.build().map_err(unusable)?.get(format!("https://{NAME}:{PORT}/metrics"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.map_err(unusable)?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.map_err(unusable)?))
}

/// The metrics page of a pod of the product.
///
/// # Errors
/// [`Error::Finding`] where it is not shown.
pub async fn of(world: &World, pod: &Pod) -> Result<String> {
    let is_operator = pod.labels().get("coreward.dev/component").is_some_and(|it| it == "operator");
    let (status, text) = if is_operator {
        let token = token(&world.client(), READER).await?;
        asked(world, pod, Some(&token)).await?
    } else {
        let url = format!("http://{}:9090/metrics", traffic::address(pod)?);
        client::get(&client::http()?, &url).await?
    };
    ensure(status == 200, || format!("the metrics of {}: {status} {text}", pod.name_any()))?;
    Ok(text)
}

/// Checks that nobody reads the leader's metrics without a token, with a made-up one, or with that of an account that was
/// not let in; and that no other port of it shows them.
///
/// # Errors
/// [`Error::Finding`] with what was answered.
pub async fn is_closed(world: &World) -> Result<()> {
    let leader = pods::leader(&world.client()).await?;
    let strange = token(&world.client(), "default").await?;
    for (who, token, expected) in [
        ("nobody", None, 401),
        ("who makes up a token", Some("made-up"), 401),
        ("an account without the right", Some(strange.as_str()), 403),
    ] {
        let (status, text) = asked(world, &leader, token).await?;
        ensure(status == expected, || format!("{who} gets {status} {text}"))?;
    }
    let url = format!("http://{}:9090/metrics", traffic::address(&leader)?);
    let (status, text) = client::get(&client::http()?, &url).await?;
    ensure(status == 404, || format!("{url} gives {status} {text}"))
}

/// The values of the series of one name that carry all of `labels`, on the leader's page.
///
/// # Errors
/// [`Error::Finding`] where the page has none; [`Error::Cluster`] where nobody leads.
pub async fn values(world: &World, name: &str, labels: &[(&str, &str)]) -> Result<Vec<f64>> {
    let leader = pods::leader(&world.client()).await?;
    let found = values_in(&of(world, &leader).await?, name, labels);
    ensure(!found.is_empty(), || format!("the leader's page has no {name} with {labels:?}"))?;
    Ok(found)
}

fn values_in(page: &str, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let start = format!("{name}{{");
    let wanted: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    page.lines()
        .filter(|line| line.starts_with(&start) && wanted.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_name_and_labels() {
        let page = "# HELP a words\na{b=\"1\",c=\"2\"} 3.5\na{b=\"2\",c=\"2\"} 4\naa{b=\"1\"} 9\n";
        assert_eq!(values_in(page, "a", &[("b", "1")]), [3.5]);
        assert_eq!(values_in(page, "a", &[("c", "2")]), [3.5, 4.0]);
        assert!(values_in(page, "a", &[("c", "3")]).is_empty());
    }
}
