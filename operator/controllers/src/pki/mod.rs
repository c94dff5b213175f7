//! The internal authority that makes the pods' endpoint trustworthy.
//!
//! Its key lives in one Secret of the operator's namespace, made by the first leader and replaced every 90 days; its
//! certificate goes as the `coreward-anchor` into each namespace with pods of ours. Each replica signs itself a serving
//! certificate in memory.

mod authority;
mod rotation;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

pub use authority::{Authority, Material};

use crate::clock;
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
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS_CERTIFICATE: &str = "previous.crt";
/// Annotation of the Secret: when the last step of a rotation was taken. An earlier time makes the next step due.
const SINCE: &str = "coreward.dev/since";

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

/// The authority over time, as the Secret keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generations {
    /// The one that signs.
    pub current: Material,
    /// The one that will sign; pods trust it already.
    pub next: Option<Material>,
    /// Certificate of the one that signed before; pods trust it still.
    pub previous: Option<String>,
    /// When the last of these steps was taken.
    pub since: Timestamp,
}

/// Reads the authority; `None` if nobody has made it yet.
///
/// # Errors
///
/// [`Error::Read`] passes; [`Error::Content`] needs a person.
pub async fn read(client: &kube::Client, namespace: &str) -> Result<Option<Generations>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    get(&api).await?.map(|secret| generations_of(&secret)).transpose()
}

/// Reads the authority, makes it where there is none, and replaces it when its term is over; for the leader. Whoever is
/// slower reads what the faster one wrote.
///
/// # Errors
///
/// As [`read`]; [`Error::Make`] passes.
pub async fn ensure(client: &kube::Client, namespace: &str) -> Result<Generations, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let now = clock::wall();
    let Some(secret) = get(&api).await? else {
        let made = Generations::first(Authority::make()?.material().clone(), now);
        let created = api.create(&PostParams::default(), &secret_of(&made, namespace)).await;
        return settle(&api, created, made).await;
    };
    let kept = generations_of(&secret)?;
    let Some(due) = rotation::due(&kept, now)? else { return Ok(kept) };
    let mut written = secret_of(&due, namespace);
    written.metadata.resource_version = secret.metadata.resource_version;
    let replaced = api.replace(CA_SECRET, &PostParams::default(), &written).await;
    tracing::info!(
        secret.name = CA_SECRET,
        "the authority of the pods' endpoint takes a step of its rotation"
    );
    settle(&api, replaced, due).await
}

async fn get(api: &Api<Secret>) -> Result<Option<Secret>, Error> {
    api.get_opt(CA_SECRET).await.map_err(|source| Error::Read { source: Box::new(source) })
}

/// What stands after a write: ours, or that of whoever was faster.
async fn settle(
    api: &Api<Secret>,
    written: kube::Result<Secret>,
    ours: Generations,
) -> Result<Generations, Error> {
    match written {
        Ok(_) => Ok(ours),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let secret = get(api).await?.ok_or(Error::Content { key: KEY })?;
            generations_of(&secret)
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

/// Brings another namespace's anchor up to date; one that is not there yet is made with the rest of its namespace.
///
/// # Errors
///
/// [`Error::Anchor`]; passes.
pub async fn refresh_anchor(
    client: &kube::Client,
    namespace: &str,
    bundle: &str,
) -> Result<(), Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "data": { ANCHOR_KEY: bundle } }));
    match api.patch(ANCHOR, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => {
            Err(Error::Anchor { namespace: namespace.to_owned(), source: Box::new(source) })
        }
    }
}

fn secret_of(kept: &Generations, namespace: &str) -> Secret {
    let next = kept.next.as_ref();
    let parts = [
        (CERTIFICATE, Some(&kept.current.certificate)),
        (KEY, Some(&kept.current.key)),
        (NEXT_CERTIFICATE, next.map(|next| &next.certificate)),
        (NEXT_KEY, next.map(|next| &next.key)),
        (PREVIOUS_CERTIFICATE, kept.previous.as_ref()),
    ];
    let data = parts
        .into_iter()
        .filter_map(|(key, text)| Some((key.to_owned(), ByteString(text?.as_bytes().to_vec()))));
    let mut secret = Secret {
        metadata: metadata(CA_SECRET, namespace),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    };
    secret.metadata.annotations = Some([(SINCE.to_owned(), kept.since.to_string())].into());
    secret
}

fn generations_of(secret: &Secret) -> Result<Generations, Error> {
    let text = |key: &'static str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
    };
    let needed = |key| text(key).ok_or(Error::Content { key });
    let current = Material { certificate: needed(CERTIFICATE)?, key: needed(KEY)? };
    let next = match (text(NEXT_CERTIFICATE), text(NEXT_KEY)) {
        (Some(certificate), Some(key)) => Some(Material { certificate, key }),
        _ => None,
    };
    let metadata = &secret.metadata;
    let told = metadata.annotations.as_ref().and_then(|all| all.get(SINCE)?.parse().ok());
    let made = metadata.creation_timestamp.as_ref().map(|made| made.0);
    Ok(Generations {
        current,
        next,
        previous: text(PREVIOUS_CERTIFICATE),
        since: told.or(made).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::one(|_: &mut Generations| ())]
    #[case::a_next_one(|kept: &mut Generations| kept.next = Some(kept.current.clone()))]
    #[case::a_previous_one(|kept: &mut Generations| kept.previous = Some("old".to_owned()))]
    fn the_secret_holds_the_authority(#[case] change: fn(&mut Generations)) {
        let material = Authority::make().unwrap().material().clone();
        let mut kept = Generations::first(material, Timestamp::UNIX_EPOCH);
        change(&mut kept);
        assert_eq!(generations_of(&secret_of(&kept, "coreward-system")).unwrap(), kept);
    }

    #[test]
    fn a_secret_without_a_key_is_named() {
        let error = generations_of(&Secret::default()).unwrap_err();
        assert_eq!(error.to_string(), "secret `coreward-pods-ca` has no readable `tls.crt`");
    }
}
