//! The anchor of a namespace: a `ConfigMap` that owns our bare pods and carries the authority that they trust.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta};

use crate::apply;
use crate::labels::{ANCHOR, ANCHOR_KEY};
use crate::stores::{MANAGED_LABEL, MANAGED_VALUE};
use crate::turn::{Error, Shared};

/// UID of a namespace's anchor, which must be there already. Read anew each time: a pod that names an anchor that was replaced
/// is collected as garbage.
///
/// # Errors
///
/// [`Error::NoAnchor`] if it is not; [`Error::Read`].
pub async fn uid(shared: &Shared, namespace: &str) -> Result<String, Error> {
    let api: Api<ConfigMap> = Api::namespaced(shared.context.client.clone(), namespace);
    let present =
        api.get_opt(ANCHOR).await.map_err(|source| Error::read("anchor", namespace, source))?;
    present.and_then(|anchor| anchor.metadata.uid).ok_or(Error::NoAnchor)
}

/// Makes a namespace's anchor.
///
/// # Errors
///
/// [`Error::NoAnchor`] while there is no certificate; [`Error::Write`].
pub async fn ensure(shared: &Shared, namespace: &str) -> Result<(), Error> {
    let certificate = shared.context.anchor.borrow().clone().ok_or(Error::NoAnchor)?;
    let anchor = ConfigMap {
        metadata: ObjectMeta {
            name: Some(ANCHOR.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(MANAGED_LABEL.to_owned(), MANAGED_VALUE.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(ANCHOR_KEY.to_owned(), certificate.to_string())])),
        ..ConfigMap::default()
    };
    apply::create(&Api::namespaced(shared.context.client.clone(), namespace), &anchor).await
}
