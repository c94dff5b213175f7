//! The internal authority that makes the pods' endpoint trustworthy.
//!
//! Its key lives in one Secret of the operator's namespace, made by the first leader; its certificate goes as the
//! `coreward-anchor` into each namespace with pods of ours. Each replica signs itself a serving certificate in memory.

mod authority;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};

pub use authority::{Authority, Material};

use crate::stores::{MANAGED_LABEL, MANAGED_VALUE};

/// Secret with the authority's key and certificate, in the operator's namespace.
pub const CA_SECRET: &str = "coreward-pods-ca";
/// `ConfigMap` with the authority's certificate, in each namespace with pods of ours; the owner of bare pods.
pub const ANCHOR: &str = "coreward-anchor";
/// Key of the anchor.
pub const ANCHOR_KEY: &str = "ca.crt";
/// Field manager of what this module writes.
const FIELD_MANAGER: &str = "coreward-pki";

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret cannot be read.
    #[error("read secret `{CA_SECRET}`")]
    Read {
        /// Why.
        source: Box<kube::Error>,
    },
    /// The Secret cannot be made.
    #[error("make secret `{CA_SECRET}`")]
    Make {
        /// Why.
        source: Box<kube::Error>,
    },
    /// The Secret does not hold what it should; delete it, and it is made again.
    #[error("secret `{CA_SECRET}` has no readable `{key}`")]
    Content {
        /// The key of the Secret.
        key: &'static str,
    },
    /// A certificate cannot be made.
    #[error("make a certificate for {subject}")]
    Certificate {
        /// For whom.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// The TLS library does not take what we made.
    #[error("use the serving certificate")]
    Serve {
        /// Why.
        source: rustls::Error,
    },
    /// The anchor cannot be written.
    #[error("write config map `{namespace}/{ANCHOR}`")]
    Anchor {
        /// Where.
        namespace: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// Reads the authority; `None` if nobody has made it yet.
///
/// # Errors
///
/// [`Error::Read`] passes; [`Error::Content`] needs a person.
pub async fn read(client: &kube::Client, namespace: &str) -> Result<Option<Authority>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret =
        api.get_opt(CA_SECRET).await.map_err(|source| Error::Read { source: Box::new(source) })?;
    secret.map(|secret| authority_of(&secret)).transpose()
}

/// Reads the authority, or makes it; for the leader. Whoever is slower reads what the faster one made.
///
/// # Errors
///
/// As [`read`]; [`Error::Make`] passes.
pub async fn ensure(client: &kube::Client, namespace: &str) -> Result<Authority, Error> {
    if let Some(authority) = read(client, namespace).await? {
        return Ok(authority);
    }
    let made = Authority::make()?;
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), &secret_of(made.material(), namespace)).await {
        Ok(_) => Ok(made),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            read(client, namespace).await?.ok_or(Error::Content { key: KEY })
        }
        Err(source) => Err(Error::Make { source: Box::new(source) }),
    }
}

/// Makes the anchor of the operator's namespace what it should be; the same content again writes nothing.
///
/// # Errors
///
/// [`Error::Anchor`]; passes.
pub async fn keep_anchor(
    client: &kube::Client,
    namespace: &str,
    certificate: &str,
) -> Result<(), Error> {
    let failure =
        |source| Error::Anchor { namespace: namespace.to_owned(), source: Box::new(source) };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let wanted = anchor(namespace, certificate);
    let present = api.get_opt(ANCHOR).await.map_err(failure)?;
    if present.is_some_and(|present| present.data == wanted.data) {
        return Ok(());
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(ANCHOR, &parameters, &Patch::Apply(&wanted)).await.map(drop).map_err(failure)
}

fn anchor(namespace: &str, certificate: &str) -> ConfigMap {
    ConfigMap {
        metadata: metadata(ANCHOR, namespace),
        data: Some(BTreeMap::from([(ANCHOR_KEY.to_owned(), certificate.to_owned())])),
        ..ConfigMap::default()
    }
}

fn metadata(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(BTreeMap::from([(MANAGED_LABEL.to_owned(), MANAGED_VALUE.to_owned())])),
        ..ObjectMeta::default()
    }
}

fn secret_of(material: &Material, namespace: &str) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: metadata(CA_SECRET, namespace),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            (CERTIFICATE.to_owned(), bytes(&material.certificate)),
            (KEY.to_owned(), bytes(&material.key)),
        ])),
        ..Secret::default()
    }
}

fn authority_of(secret: &Secret) -> Result<Authority, Error> {
    let text = |key: &'static str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            .ok_or(Error::Content { key })
    };
    Authority::load(Material { certificate: text(CERTIFICATE)?, key: text(KEY)? })
}

/// The authority's certificate, as pods get it.
#[must_use]
pub fn certificate_of(authority: &Authority) -> Arc<str> {
    authority.material().certificate.as_str().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_holds_the_authority() {
        let made = Authority::make().unwrap();
        let read = authority_of(&secret_of(made.material(), "coreward-system")).unwrap();
        assert_eq!(read.material(), made.material());
    }

    #[test]
    fn a_secret_without_a_key_is_named() {
        let error = authority_of(&Secret::default()).unwrap_err();
        assert_eq!(error.to_string(), "secret `coreward-pods-ca` has no readable `tls.crt`");
    }
}
