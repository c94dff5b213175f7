//! The one `EndpointSlice` behind the Service of the pods' endpoint: written by whoever leads, so that pods reach no other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};

use crate::stores::{MANAGED_LABEL, MANAGED_VALUE};

/// Name of the Service, and of its slice.
pub const SERVICE: &str = "coreward-pods";

/// Why the slice does not show this replica.
#[derive(Debug, thiserror::Error)]
#[error("{operation} endpoint slice `{SERVICE}`")]
pub struct Error {
    operation: &'static str,
    source: Box<kube::Error>,
}

/// Makes the slice show this replica and no other; writes nothing if it does. A slice that another leader wrote meanwhile is
/// a conflict, and left alone.
///
/// # Errors
///
/// [`Error`]; look again.
pub async fn claim(
    client: &kube::Client,
    namespace: &str,
    serving: SocketAddr,
) -> Result<(), Error> {
    let failure = |operation| move |source| Error { operation, source: Box::new(source) };
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let mut wanted = slice(namespace, serving);
    let present = api.get_opt(SERVICE).await.map_err(failure("read"))?;
    match step(present.as_ref(), &wanted) {
        Step::Nothing => Ok(()),
        Step::Create => {
            api.create(&PostParams::default(), &wanted).await.map(drop).map_err(failure("create"))
        }
        Step::Replace => {
            wanted.metadata.resource_version =
                present.and_then(|present| present.resource_version());
            api.replace(SERVICE, &PostParams::default(), &wanted)
                .await
                .map(drop)
                .map_err(failure("replace"))
        }
        Step::Remake => {
            let version = present.and_then(|present| present.resource_version());
            let preconditions = Preconditions { resource_version: version, uid: None };
            let parameters =
                DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            api.delete(SERVICE, &parameters).await.map_err(failure("delete"))?;
            api.create(&PostParams::default(), &wanted).await.map(drop).map_err(failure("create"))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Create,
    Replace,
    /// The family of the address cannot be changed.
    Remake,
}

fn step(present: Option<&EndpointSlice>, wanted: &EndpointSlice) -> Step {
    let Some(present) = present else { return Step::Create };
    if present.address_type != wanted.address_type {
        return Step::Remake;
    }
    let labelled =
        wanted.labels().iter().all(|(key, value)| present.labels().get(key) == Some(value));
    let addresses = |slice: &EndpointSlice| -> Vec<(Vec<String>, Option<bool>)> {
        let ready = |endpoint: &Endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready)
        };
        let endpoints = slice.endpoints.iter();
        endpoints.map(|endpoint| (endpoint.addresses.clone(), ready(endpoint))).collect()
    };
    let same = labelled && addresses(present) == addresses(wanted) && present.ports == wanted.ports;
    if same { Step::Nothing } else { Step::Replace }
}

fn slice(namespace: &str, serving: SocketAddr) -> EndpointSlice {
    let labels = [
        ("kubernetes.io/service-name", SERVICE),
        ("endpointslice.kubernetes.io/managed-by", "coreward.dev"),
        (MANAGED_LABEL, MANAGED_VALUE),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(SERVICE.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        },
        address_type: if serving.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: vec![Endpoint {
            addresses: vec![serving.ip().to_string()],
            conditions: Some(EndpointConditions {
                ready: Some(true),
                ..EndpointConditions::default()
            }),
            ..Endpoint::default()
        }],
        ports: Some(vec![EndpointPort {
            name: Some("pods".to_owned()),
            port: Some(i32::from(serving.port())),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        }]),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(address: &str) -> EndpointSlice {
        slice("coreward-system", SocketAddr::new(address.parse().unwrap(), 8443))
    }

    #[rstest]
    #[case::there_is_none(None, Step::Create)]
    #[case::it_is_ours(Some(of("10.0.0.1")), Step::Nothing)]
    #[case::it_is_the_old_leaders(Some(of("10.0.0.2")), Step::Replace)]
    #[case::it_is_of_another_family(Some(of("fd00::1")), Step::Remake)]
    fn the_slice_follows_the_leader(
        #[case] present: Option<EndpointSlice>,
        #[case] expected: Step,
    ) {
        assert_eq!(step(present.as_ref(), &of("10.0.0.1")), expected);
    }
}
