//! Objects of the cluster, by kind and name, without types of the product's own.

use kube::{
    Api, Discovery,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::Scope,
};
use serde_json::Value;

use super::{Error, Result, World, cluster};

/// The group of the product's kinds.
pub(super) const GROUP: &str = "coreward.dev";
const VERSION: &str = "v1alpha1";

impl World {
    /// Applies an object by server-side apply, in its own namespace or else in this world's.
    ///
    /// # Errors
    /// [`Error::Cluster`] with the API server's refusal, [`Error::Finding`] where `object` is no object.
    pub async fn apply(&self, object: &Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| Error::Finding(format!("no object: {error}")))?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let types = object.types.clone().unwrap_or_default();
        let what = format!("apply {} {name}", types.kind);
        let kind = GroupVersionKind::try_from(types)
            .map_err(|error| Error::Finding(format!("no kind: {error}")))?;
        let (resource, capabilities) = kube::discovery::pinned_kind(self.bed.client(), &kind)
            .await
            .map_err(cluster(format!("find the kind {}", kind.kind)))?;
        let namespace = object.metadata.namespace.as_deref().unwrap_or(&self.namespace);
        let api: Api<DynamicObject> = if capabilities.scope == Scope::Namespaced {
            Api::namespaced_with(self.client(), namespace, &resource)
        } else {
            Api::all_with(self.client(), &resource)
        };
        api.patch(&name, &PatchParams::apply("coreward-e2e").force(), &Patch::Apply(&object))
            .await
            .map_err(cluster(what))
    }

    /// One of the product's objects in this world's namespace, if it is there.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<DynamicObject>> {
        self.ours(kind).get_opt(name).await.map_err(cluster(format!("read {kind} {name}")))
    }

    /// All of the product's objects of a kind in this world's namespace.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn list(&self, kind: &str) -> Result<Vec<DynamicObject>> {
        let list = self.ours(kind).list(&ListParams::default()).await;
        Ok(list.map_err(cluster(format!("list {kind}")))?.items)
    }

    /// Asks for the deletion of one of the product's objects in this world's namespace.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn delete(&self, kind: &str, name: &str) -> Result<()> {
        let deleted = self.ours(kind).delete(name, &DeleteParams::default()).await;
        deleted.map(drop).map_err(cluster(format!("delete {kind} {name}")))
    }

    fn ours(&self, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, kind);
        Api::namespaced_with(self.client(), &self.namespace, &ApiResource::from_gvk(&kind))
    }
}

/// Status, reason and message of an object's condition; `None` where it has none of that type.
#[must_use]
pub fn condition(object: &DynamicObject, kind: &str) -> Option<(String, String, String)> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// Every object of the product's kinds in the whole cluster.
///
/// # Errors
/// [`Error::Cluster`].
pub(super) async fn all_of_ours(client: &kube::Client) -> Result<Vec<DynamicObject>> {
    let discovery = Discovery::new(client.clone())
        .filter(&[GROUP])
        .run()
        .await
        .map_err(cluster("find the product's kinds"))?;
    let mut objects = Vec::new();
    for group in discovery.groups() {
        for (resource, _) in group.recommended_resources() {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let list = api.list(&ListParams::default()).await;
            let what = format!("list {}", resource.plural);
            objects.extend(list.map_err(cluster(what))?.items.into_iter().map(|mut object| {
                object.types.get_or_insert_with(|| kube::api::TypeMeta {
                    api_version: resource.api_version.clone(),
                    kind: resource.kind.clone(),
                });
                object
            }));
        }
    }
    Ok(objects)
}
