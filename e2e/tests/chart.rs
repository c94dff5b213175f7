//! What the product's chart makes of its values, as Helm renders them.
#![expect(clippy::unwrap_used, reason = "what cannot be rendered ends the test there")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use coreward_e2e::bed::{self, Paths};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Values with all that is required, and not more.
fn required() -> Value {
    let address = "0x0000000000000000000000000000000000000001";
    json!({
        "networks": [{
            "name": "local", "chainId": 1,
            "endpoints": [{ "name": "first", "url": "http://chain" }],
            "contracts": { "diamond": address, "multicall3": address },
            "tokens": [{ "symbol": "USDC", "address": address, "decimals": 6 }],
        }],
    })
}

/// The objects that the chart makes with these values for its gateways, or Helm's words.
async fn rendered(gateways: Value) -> Result<Vec<Value>, String> {
    let mut values = required();
    values["gateways"] = gateways;
    rendered_with(&values).await
}

/// The objects that the chart makes with these values, or Helm's words.
async fn rendered_with(values: &Value) -> Result<Vec<Value>, String> {
    let helm = bed::helm(&Paths::read().unwrap()).await.unwrap();
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/coreward");
    let mut command = Command::new(helm);
    command.args(["template", "coreward", ".", "--kube-version", "1.35.0", "--values", "-"]);
    command.args(["--namespace", "coreward-system"]).current_dir(chart);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    Ok(objects.map(Result::unwrap).collect())
}

fn of_gateways(objects: &[Value], kind: &str) -> Vec<Value> {
    let is_one = |object: &&Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        object["kind"] == kind && name.starts_with("coreward-gateway")
    };
    objects.iter().filter(is_one).cloned().collect()
}

/// The part of the operator's configuration that is about the overlay.
fn overlay(objects: &[Value]) -> Value {
    let text = objects.iter().find_map(|object| object["data"]["config.yaml"].as_str()).unwrap();
    serde_yaml::from_str::<Value>(text).unwrap()["overlay"].clone()
}

#[tokio::test]
async fn without_an_outside_address_there_is_no_gateway() {
    let objects = rendered(json!({})).await.unwrap();
    for kind in ["StatefulSet", "Service", "ServiceAccount", "NetworkPolicy"] {
        assert_eq!(of_gateways(&objects, kind), Vec::<Value>::new());
    }
    assert_eq!(overlay(&objects), json!({ "gateways": 0, "privateGateways": false }));
}

#[tokio::test]
async fn each_outside_address_has_a_replica_and_a_service_of_its_own() {
    let outside = ["203.0.113.7:4001", "[2001:db8::7]:30402"];
    let objects = rendered(json!({ "outside": outside, "private": true })).await.unwrap();
    assert_eq!(overlay(&objects), json!({ "gateways": 2, "privateGateways": true }));
    let sets = of_gateways(&objects, "StatefulSet");
    let [set] = sets.as_slice() else { panic!("{} sets", sets.len()) };
    assert_eq!(set["spec"]["replicas"], 2);
    assert_eq!(set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "state");
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let token = &pod["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "coreward-pods");
    let args = pod["containers"][0]["args"].as_array().unwrap();
    assert!(args.contains(&json!(format!("--outside={}", outside.join(",")))), "{args:?}");
    let services = of_gateways(&objects, "Service");
    let own: Vec<_> = services
        .iter()
        .filter(|service| service["spec"]["type"] == "LoadBalancer")
        .map(|service| {
            let spec = &service["spec"];
            let pod = spec["selector"]["statefulset.kubernetes.io/pod-name"].clone();
            (pod, spec["loadBalancerIP"].clone(), spec["ports"][0]["port"].clone())
        })
        .collect();
    let expected = [
        (json!("coreward-gateway-0"), json!("203.0.113.7"), json!(4001)),
        (json!("coreward-gateway-1"), json!("2001:db8::7"), json!(30402)),
    ];
    assert_eq!(own, expected);
}

#[tokio::test]
async fn a_gateway_is_knocked_at_by_all_and_calls_the_operator_alone() {
    let objects = rendered(json!({ "outside": ["203.0.113.7:4001"] })).await.unwrap();
    let policies = of_gateways(&objects, "NetworkPolicy");
    let [policy] = policies.as_slice() else { panic!("{} policies", policies.len()) };
    let spec = &policy["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(spec["ingress"][0], json!({ "ports": [{ "protocol": "TCP", "port": 4001 }] }));
    let operator =
        json!({ "podSelector": { "matchLabels": { "coreward.dev/component": "operator" } } });
    assert_eq!(spec["egress"][0]["to"], json!([operator]));
    assert_eq!(spec["egress"].as_array().unwrap().len(), 2, "and names");
    let set = &of_gateways(&objects, "StatefulSet")[0];
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["coreward.dev/component"], "gateway");
    assert_eq!(spec["podSelector"]["matchLabels"], json!({ "coreward.dev/component": "gateway" }));
}

#[tokio::test]
async fn a_port_of_the_nodes_is_that_of_the_address() {
    let gateways = json!({ "outside": ["203.0.113.7:30401"], "serviceType": "NodePort" });
    let objects = rendered(gateways).await.unwrap();
    let services = of_gateways(&objects, "Service");
    let ports =
        &services.iter().find(|it| it["spec"]["type"] == "NodePort").unwrap()["spec"]["ports"];
    assert_eq!((&ports[0]["port"], &ports[0]["nodePort"]), (&json!(4001), &json!(30401)));
}

#[tokio::test]
async fn what_is_no_address_is_refused() {
    for wrong in ["203.0.113.7", "gateway.example:4001", "2001:db8::7:4001", "203.0.113.7:port"] {
        let words = rendered(json!({ "outside": [wrong] })).await.unwrap_err();
        assert!(words.contains("/gateways/outside/0"), "{wrong}: {words}");
    }
    let twice = json!({ "outside": ["203.0.113.7:4001", "203.0.113.7:4001"] });
    assert!(rendered(twice).await.unwrap_err().contains("/gateways/outside"));
}

#[tokio::test]
async fn what_is_required_and_missing_or_wrong_fails_the_render_and_is_named() {
    rendered_with(&required()).await.unwrap();
    let signer = json!([{ "name": "one", "type": "Secret", "network": "local", "secretName": "one",
        "roles": ["Provider"], "address": "nobody" }]);
    let wrong = [
        ("/networks", json!([]), "networks"),
        ("/networks/0/name", Value::Null, "name"),
        ("/networks/0/chainId", Value::Null, "chainId"),
        ("/networks/0/chainId", json!("one"), "chainId"),
        ("/networks/0/endpoints", json!([]), "endpoints"),
        ("/networks/0/endpoints/0/url", json!("chain"), "url"),
        ("/networks/0/contracts/diamond", Value::Null, "diamond"),
        ("/networks/0/contracts/multicall3", json!("0x1"), "multicall3"),
        ("/networks/0/tokens/0/decimals", Value::Null, "decimals"),
        ("/networks/0/proverMode", json!("Fast"), "proverMode"),
        ("/signers", signer, "address"),
        ("/clusterName", json!(7), "clusterName"),
        ("/operator", json!({ "replicas": 0 }), "replicas"),
        ("/operatr", json!({}), "operatr"),
    ];
    for (place, value, named) in wrong {
        let mut values = required();
        let (parent, field) = place.rsplit_once('/').unwrap();
        let parent = values.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        // What is null is taken out, as Helm takes it.
        let _was = if value.is_null() {
            parent.remove(field)
        } else {
            parent.insert(field.to_owned(), value)
        };
        let words = rendered_with(&values).await.expect_err(place);
        assert!(words.contains(named), "{place}: {words}");
    }
}

#[tokio::test]
async fn no_right_is_a_wildcard_and_none_to_secrets_holds_for_the_whole_cluster() {
    let mut values = required();
    values["gateways"] = json!({ "outside": ["203.0.113.7:4001"] });
    let objects = rendered_with(&values).await.unwrap();
    let roles: Vec<_> = objects
        .iter()
        .filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole")
        .collect();
    assert!(roles.len() >= 3, "{} roles", roles.len());
    for role in roles {
        let name = &role["metadata"]["name"];
        for rule in role["rules"].as_array().unwrap() {
            assert!(!rule.to_string().contains("\"*\""), "{name}: {rule}");
            let of_secrets = rule["resources"].to_string().contains("secrets");
            assert!(role["kind"] == "Role" || !of_secrets, "{name} reads all secrets: {rule}");
        }
    }
}
