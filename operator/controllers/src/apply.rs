//! Writing to the API server: under one field manager per controller, and only what changes something.

use coreward_crds::{CapacityUnit, Deal, ProviderOffer};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::turn::Error;

/// The field managers, one per controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Of offers and the mirrors that they make.
    Offer,
    /// Of units' status and pods.
    Unit,
    /// Of deals' status and namespaces.
    Deal,
}

impl Manager {
    /// The name in `managedFields`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offer => "coreward-offer",
            Self::Unit => "coreward-unit",
            Self::Deal => "coreward-deal",
        }
    }

    fn apply(self) -> PatchParams {
        PatchParams::apply(self.name()).force()
    }
}

/// One of our own kinds.
pub trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + std::fmt::Debug
{
}
impl Ours for ProviderOffer {}
impl Ours for CapacityUnit {}
impl Ours for Deal {}

fn api<K: Ours>(client: &Client, namespace: &str) -> Api<K> {
    Api::namespaced(client.clone(), namespace)
}

/// Writes the whole status of an object of ours.
///
/// # Errors
///
/// [`Error::Write`], naming the object.
pub async fn status<K: Ours>(
    client: &Client,
    object: &K,
    status: &impl Serialize,
    manager: Manager,
) -> Result<(), Error> {
    let name = object.name_any();
    let body = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": { "name": name }, "status": status,
    });
    api::<K>(client, &object.namespace().unwrap_or_default())
        .patch_status(&name, &manager.apply(), &Patch::Apply(&body))
        .await
        .map(drop)
        .or_else(gone_is_fine)
        .map_err(|source| Error::write("status", &name, source))
}

/// Applies a body that names its kind, name and namespace. In a namespace that goes away, and of a kind whose definition is
/// gone or goes, nothing is made, and nothing said.
///
/// # Errors
///
/// [`Error::Write`], naming the object.
pub async fn ours<K: Ours>(client: &Client, body: &Value, manager: Manager) -> Result<(), Error> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = body["metadata"]["namespace"].as_str().unwrap_or_default();
    api::<K>(client, namespace)
        .patch(name, &manager.apply(), &Patch::Apply(body))
        .await
        .map(drop)
        .or_else(|error| {
            let cannot_be = is_of_ending_namespace(&error) || is_of_missing_kind(&error);
            if cannot_be { Ok(()) } else { Err(error) }
        })
        .map_err(|source| Error::write("object", name, source))
}

/// Whether the API server takes nothing new since the namespace is being deleted.
fn is_of_ending_namespace(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Whether the API server does not know the kind of what was to be made, or takes no more of it since its definition is being
/// deleted.
#[must_use]
pub fn is_of_missing_kind(error: &kube::Error) -> bool {
    matches!(code(error), Some(404 | 405))
}

/// Sets the finalizers of an object of ours to those that it has, with or without `finalizer`; nothing if that is so.
///
/// # Errors
///
/// [`Error::Write`]; a conflict means that somebody else wrote in between: the next turn looks again.
pub async fn finalizer<K: Ours>(
    client: &Client,
    object: &K,
    finalizer: &str,
    wanted: bool,
) -> Result<(), Error> {
    let present = object.finalizers();
    if present.iter().any(|name| name == finalizer) == wanted {
        return Ok(());
    }
    let mut finalizers: Vec<_> =
        present.iter().filter(|name| *name != finalizer).cloned().collect();
    if wanted {
        finalizers.push(finalizer.to_owned());
    }
    let body = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version() } });
    let name = object.name_any();
    api::<K>(client, &object.namespace().unwrap_or_default())
        .patch(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map(drop)
        .or_else(gone_is_fine)
        .map_err(|source| Error::write("finalizers", &name, source))
}

/// Deletes an object of ours if it is still the one that was seen.
///
/// # Errors
///
/// [`Error::Write`], naming the object.
pub async fn delete<K: Ours>(client: &Client, object: &K) -> Result<(), Error> {
    if object.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = object.name_any();
    api::<K>(client, &object.namespace().unwrap_or_default())
        .delete(&name, &of_uid(object.meta().uid.clone(), None))
        .await
        .map(drop)
        .or_else(gone_is_fine)
        .map_err(|source| Error::write("deletion", &name, source))
}

/// Creates an object; one of that name that exists already is left as it is.
///
/// # Errors
///
/// [`Error::Write`], naming the object.
pub async fn create<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(409) => Ok(()),
        Err(source) => Err(Error::write("creation", &object.name_any(), source)),
    }
}

/// Deletion of exactly the object with this UID.
#[must_use]
pub fn of_uid(uid: Option<String>, grace_seconds: Option<u32>) -> DeleteParams {
    DeleteParams {
        grace_period_seconds: grace_seconds,
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    }
}

/// What is gone needs no further write.
///
/// # Errors
///
/// Every other refusal.
pub fn gone_is_fine(error: kube::Error) -> Result<(), kube::Error> {
    if code(&error) == Some(404) { Ok(()) } else { Err(error) }
}

/// The HTTP code of a refusal by the API server; `None` if it did not answer.
#[must_use]
pub fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error { Some(status.code) } else { None }
}
