//! CoreDNS, on the node without exclusive cores.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    addresses::Addresses,
    error::{Error, Result},
    image,
};

const NAME: &str = "coredns";
const NAMESPACE: &str = "kube-system";
/// Without a cache and with short lives, a Service that is new is found at once.
const COREFILE: &str = ".:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 1
    }
    loadbalance
}
";

/// Writes CoreDNS's objects.
///
/// # Errors
/// [`Error::Cluster`].
pub(super) async fn deploy(client: &Client, addresses: Addresses, image: &str) -> Result<()> {
    debug_assert!(image.starts_with(image::PREFIX), "only images that were imported can run here");
    let meta = json!({ "name": NAME, "namespace": NAMESPACE, "labels": { "k8s-app": "kube-dns" } });
    let namespaced = || Api::namespaced(client.clone(), NAMESPACE);
    apply::<ServiceAccount>(&namespaced(), &json!({ "metadata": meta })).await?;
    let role = json!({
        "metadata": { "name": "system:coredns" },
        "rules": [
            { "apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"] },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
        ],
    });
    apply::<ClusterRole>(&Api::all(client.clone()), &role).await?;
    let binding = json!({
        "metadata": { "name": "system:coredns" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns" },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE }],
    });
    apply::<ClusterRoleBinding>(&Api::all(client.clone()), &binding).await?;
    apply::<ConfigMap>(
        &Api::namespaced(client.clone(), NAMESPACE),
        &json!({ "metadata": meta, "data": { "Corefile": COREFILE } }),
    )
    .await?;
    apply::<Service>(&Api::namespaced(client.clone(), NAMESPACE), &service(addresses)).await?;
    apply::<Deployment>(&Api::namespaced(client.clone(), NAMESPACE), &deployment(&meta, image))
        .await
}

fn service(addresses: Addresses) -> Value {
    json!({
        "metadata": { "name": "kube-dns", "namespace": NAMESPACE, "labels": { "k8s-app": "kube-dns" } },
        "spec": {
            "clusterIP": addresses.dns_service().to_string(),
            "selector": { "k8s-app": "kube-dns" },
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP" },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
            ],
        },
    })
}

fn deployment(meta: &Value, image: &str) -> Value {
    json!({
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "k8s-app": "kube-dns" } },
            "template": {
                "metadata": { "labels": { "k8s-app": "kube-dns" } },
                "spec": {
                    "serviceAccountName": NAME,
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "nodeSelector": { "coreward.dev/pool": "shared" },
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [{
                        "name": NAME,
                        "image": image,
                        "imagePullPolicy": "Never",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "securityContext": { "runAsUser": 0 },
                        "readinessProbe": { "httpGet": { "path": "/ready", "port": 8181 }, "periodSeconds": 1 },
                        "volumeMounts": [{ "name": "config", "mountPath": "/etc/coredns", "readOnly": true }],
                    }],
                    "volumes": [{ "name": "config", "configMap": { "name": NAME } }],
                },
            },
        },
    })
}

async fn apply<K>(api: &Api<K>, body: &Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let mut object = body.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".into(), K::api_version(&()).into());
        fields.insert("kind".into(), K::kind(&()).into());
    }
    let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let params = PatchParams::apply("coreward-bed").force();
    api.patch(name, &params, &Patch::Apply(&object))
        .await
        .map(drop)
        .map_err(Error::cluster(format!("apply {} {name}", K::kind(&()))))
}
