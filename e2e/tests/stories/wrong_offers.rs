//! Offers that are wrong: those that the API server refuses, and those that it takes and whose condition tells.

use alloy::primitives::keccak256;
use coreward_e2e::{
    bed::NODES,
    chain::{Account, flt, peer_with_units},
    story::{Teller, ensure, is_ready},
    world::{Error, Party, Result, World, cluster, until},
};
use futures::future;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::{Value, json};

use super::plain_mistakes::TOLD_WITHIN;

/// A change that makes a good offer wrong, and words that tell so.
pub(super) struct Mistake {
    name: &'static str,
    /// What is merged into the good spec; null takes a field away.
    change: Value,
    told: &'static str,
}

pub(super) fn mistake(name: &'static str, change: Value, told: &'static str) -> Mistake {
    Mistake { name, change, told }
}

/// What the API server refuses, naming the field.
fn refused() -> Vec<Mistake> {
    let mut all = accounts();
    all.extend(places_and_prices());
    all.extend(capacity());
    all.extend(policies());
    all.extend(workers());
    all
}

fn accounts() -> Vec<Mistake> {
    let assigned = |peer: &str| json!({ "assignments": [{ "peerID": peer, "nodeName": "n3" }] });
    let somebody = "12D3KooWEyopopk3dHGDHZBNe8LSv2YBvJbx7NsxCAP5AnmHLYCp";
    let withdraw = json!({ "deletionPolicy": "Withdraw", "managementPolicy": "Observe" });
    vec![
        mistake("no network", json!({ "network": null }), "spec.network"),
        mistake("network in capitals", json!({ "network": "Mars!" }), "spec.network"),
        mistake("policy", json!({ "managementPolicy": "Maybe" }), "spec.managementPolicy"),
        mistake("suspend in words", json!({ "suspend": "yes" }), "spec.suspend"),
        mistake("deletion policy", json!({ "deletionPolicy": "Perhaps" }), "spec.deletionPolicy"),
        mistake("withdrawn while observed", withdraw, "cannot be combined with managementPolicy"),
        mistake("short offer id", json!({ "offerID": "0x12" }), "spec.offerID"),
        mistake("no provider", json!({ "provider": null }), "spec.provider"),
        mistake("no address", json!({ "provider": { "address": null } }), "spec.provider.address"),
        mistake("short address", json!({ "provider": { "address": "0x12" } }), "provider.address"),
        mistake("no signer", json!({ "provider": { "signer": "" } }), "spec.provider.signer"),
        mistake("no peer signer", json!({ "peers": { "signers": [] } }), "spec.peers.signers"),
        mistake("signer's name", json!({ "peers": { "signers": ["A_b"] } }), "peers.signers[0]"),
        mistake("assigned a name", json!({ "peers": assigned("Qm1") }), "assignments[0].peerID"),
        mistake("assigned nothing", json!({ "peers": assigned(somebody) }), "they need offerID"),
    ]
}

fn places_and_prices() -> Vec<Mistake> {
    let price = |price: Value| json!({ "prices": [{ "resource": "1", "price": price }] });
    let place = |field: &str, value: Value| json!({ "datacenter": { field: value } });
    let twice = json!([{ "resource": "1", "price": "1" }, { "resource": "1", "price": "2" }]);
    let word = json!({ "prices": [{ "resource": "vcpu", "price": "1" }] });
    let fine = price(json!("0.0000000000000000001"));
    vec![
        mistake("country", place("countryCode", json!("Germany")), "datacenter.countryCode"),
        mistake("city", place("cityCode", json!("b")), "spec.datacenter.cityCode"),
        mistake("index", place("index", json!(-1)), "spec.datacenter.index"),
        mistake("half a place", place("cityCode", json!(null)), "needs either id, or countryCode"),
        mistake("place and id", place("id", json!("1")), "cannot be combined with a place"),
        mistake("id in words", place("id", json!("Berlin")), "spec.datacenter.id"),
        mistake("token", json!({ "paymentToken": "$$$" }), "spec.paymentToken"),
        mistake("no prices", json!({ "prices": [] }), "spec.prices"),
        mistake("resource in words", word, "spec.prices[0].resource"),
        mistake("below zero", price(json!("-1")), "spec.prices[0].price"),
        mistake("for nothing", price(json!("0.00")), "price must be above zero"),
        mistake("cheap", price(json!("cheap")), "spec.prices[0].price"),
        mistake("finer than anything", fine, "spec.prices[0].price"),
        mistake("a number", price(json!(1)), "price"),
        mistake("two prices", json!({ "prices": twice }), "resource=\"1\""),
    ]
}

fn capacity() -> Vec<Mistake> {
    let labels =
        |labels: Value| json!({ "capacity": { "nodeSelector": { "matchLabels": labels } } });
    let of = |field: &str, value: Value| json!({ "capacity": { field: value } });
    let resource = |change: Value| of("resources", json!([change]));
    let nothing = resource(json!({ "resource": "1", "quantityPerNode": 0 }));
    let long = resource(json!({ "resource": "1", "details": { "k".repeat(64): "v" } }));
    let none = json!({ "capacity": { "nodeSelector": null } });
    vec![
        mistake("no nodes", none, "spec.capacity.nodeSelector"),
        mistake("any node", labels(json!({ "coreward.dev/pool": null })), "name the nodes"),
        mistake("label's name", labels(json!({ "not a label!": "x" })), "no label can have"),
        mistake("label's value", labels(json!({ "a": "b c" })), "nodeSelector.matchLabels"),
        mistake("no units", of("unitsPerNode", json!(0)), "Auto or a number from 1"),
        mistake("many units", of("unitsPerNode", json!(5000)), "Auto or a number from 1"),
        mistake("units in words", of("unitsPerNode", json!("Many")), "Auto or a number from 1"),
        mistake("spare nodes", of("spareNodes", json!(-1)), "spec.capacity.spareNodes"),
        mistake("isolation", of("coreIsolation", json!("Sometimes")), "capacity.coreIsolation"),
        mistake("no resources", of("resources", json!([])), "spec.capacity.resources"),
        mistake("a quantity of nothing", nothing, "resources[0].quantityPerNode"),
        mistake("a long detail", long, "details has a key of more than 63"),
    ]
}

fn policies() -> Vec<Mistake> {
    let commitment = |change: Value| json!({ "commitment": change });
    let intake = |change: Value| json!({ "intake": change });
    let endless = json!({ "durationEpochs": 5, "expiryNoticeEpochs": 5 });
    vec![
        mistake("mode", commitment(json!({ "mode": "Later" })), "spec.commitment.mode"),
        mistake("no epochs", commitment(json!({ "durationEpochs": 0 })), "durationEpochs"),
        mistake("expires at once", commitment(endless), "greater than expiryNoticeEpochs"),
        mistake("a bank", commitment(json!({ "collateral": "Bank" })), "commitment.collateral"),
        mistake("renewal", commitment(json!({ "renewal": "Never" })), "spec.commitment.renewal"),
        mistake("target", json!({ "proofs": { "target": "All" } }), "spec.proofs.target"),
        mistake("margin", json!({ "proofs": { "safetyMarginPercent": -5 } }), "safetyMargin"),
        mistake("denied by name", intake(json!({ "denyOwners": ["bob"] })), "denyOwners[0]"),
        mistake("grace", intake(json!({ "unpaidGraceEpochs": -1 })), "unpaidGraceEpochs"),
        mistake("long grace", intake(json!({ "unreadyGraceEpochs": 5000 })), "unreadyGrace"),
        mistake("hours", json!({ "payouts": { "everyHours": -1 } }), "spec.payouts.everyHours"),
        mistake("pay", json!({ "payouts": { "minAmount": "some" } }), "spec.payouts.minAmount"),
        mistake("no gas", json!({ "gas": { "maxFeeGwei": "0" } }), "leave it out for no limit"),
        mistake("gas", json!({ "gas": { "maxFeeGwei": "1e9" } }), "spec.gas.maxFeeGwei"),
        mistake("no budget", json!({ "gas": { "dailyBudget": "0" } }), "leave it out for no limit"),
    ]
}

fn workers() -> Vec<Mistake> {
    let egress = |change: Value| json!({ "worker": { "egress": change } });
    let limits = |change: Value| json!({ "worker": { "limits": change } });
    let star = json!({ "mode": "AllowList", "hosts": ["*.example.com"] });
    let both = json!({ "mode": "None", "hosts": ["example.com"] });
    vec![
        mistake("egress", egress(json!({ "mode": "Everywhere" })), "spec.worker.egress.mode"),
        mistake("no hosts", egress(json!({ "mode": "AllowList" })), "hosts are needed with mode"),
        mistake("hosts for nothing", egress(both), "hosts are needed with mode AllowList"),
        mistake("a pattern", egress(star), "spec.worker.egress.hosts[0]"),
        mistake("connections", limits(json!({ "connections": 0 })), "limits.connections"),
        mistake("time", limits(json!({ "requestMilliseconds": 1 })), "requestMilliseconds"),
        mistake("size", limits(json!({ "artifactBytes": 1 })), "limits.artifactBytes"),
    ]
}

/// What only the operator's configuration, the cluster or the chain can tell; `other` is somebody else.
pub(super) async fn told(world: &World, other: &Party) -> Result<Vec<Mistake>> {
    let nobody = Account::of(world.namespace(), "nobody")?.address;
    let mut all = of_accounts(world, other, &nobody.to_string());
    all.push(of_a_stranger(world).await?);
    all.extend(of_the_market());
    Ok(all)
}

/// The id of an offer that is live, and that another provider owns.
async fn of_a_stranger(world: &World) -> Result<Mistake> {
    let stranger = Account::of(world.namespace(), "stranger")?.address;
    let id = |what: &str| keccak256(format!("{} stranger's {what}", world.namespace()));
    let driver = world.driver();
    driver.set_flt(stranger, flt(1)).await?;
    driver.register_provider(stranger, "Stranger").await?;
    let peer = peer_with_units(id("peer"), stranger, &[id("unit")]);
    let offer = driver.register_offer(stranger, vec![peer]).await?;
    let words = "spec.offerID: the chain has no offer";
    Ok(mistake("adopts-foreign", json!({ "offerID": offer }), words))
}

/// More units than the node without exclusive cores has cores, told while no other offer has the node.
pub(super) async fn of_too_few_cores(world: &World) -> Result<Mistake> {
    let nodes: Api<Node> = Api::all(world.client());
    let node = nodes.get(NODES[2].name).await.map_err(cluster("read a node"))?;
    let room = node.status.and_then(|status| status.allocatable).unwrap_or_default();
    let cpus: u64 = room.get("cpu").and_then(|cpus| cpus.0.parse().ok()).unwrap_or(1);
    let change = json!({ "capacity": {
        "nodeSelector": { "matchLabels": { "coreward.dev/pool": "shared" } },
        "unitsPerNode": cpus + 1,
    } });
    Ok(mistake("few-cores", change, "it has fewer free cores than units"))
}

fn of_accounts(world: &World, other: &Party, nobody: &str) -> Vec<Mistake> {
    let (provider, peer) = (world.party().provider_signer(), world.party().peer_signer());
    let of_provider = |field: &str, value: &str| json!({ "provider": { field: value } });
    let signers = |names: &[&str]| json!({ "peers": { "signers": names } });
    let misspelt = "0x90F79bf6EB2c4f870365E785982E1f101E93b907";
    let of_none = "12D3KooW".to_owned() + &"1".repeat(44);
    let adopts = json!({ "offerID": format!("0x{}", "5a".repeat(32)) });
    let assigned = json!({
        "offerID": format!("0x{}", "5a".repeat(32)),
        "peers": { "assignments": [{ "peerID": of_none, "nodeName": "n3" }] },
    });
    vec![
        mistake("network", json!({ "network": "mars" }), "spec.network"),
        mistake("provider", of_provider("address", nobody), "spec.provider.address"),
        mistake("misspelt-provider", of_provider("address", misspelt), "wrong checksum"),
        mistake("signer", of_provider("signer", "nobody"), "spec.provider.signer"),
        mistake(
            "others-signer",
            of_provider("signer", &other.provider_signer()),
            "has the address",
        ),
        mistake("wrong-role", of_provider("signer", &peer), "does not have the role Provider"),
        mistake("peer-signer", signers(&[&provider]), "does not have the role Peer"),
        mistake("second-signer", signers(&[&peer, "nobody"]), "spec.peers.signers[1]"),
        mistake("adopts-nothing", adopts, "spec.offerID"),
        mistake("assigned", assigned, "is no id of an ed25519 key"),
        mistake(
            "misspelt-owner",
            json!({ "intake": { "denyOwners": [nobody, misspelt] } }),
            "spec.intake.denyOwners[1]",
        ),
    ]
}

fn of_the_market() -> Vec<Mistake> {
    let prices = |id: &str, price: &str| json!({ "prices": [{ "resource": "1", "price": "0.001" }, { "resource": id, "price": price }] });
    let resources = |resources: Value| json!({ "capacity": { "resources": resources } });
    let place = |country: &str, index: u8| json!({ "datacenter": { "countryCode": country, "cityCode": "BER", "index": index } });
    let by_id = json!({ "countryCode": null, "cityCode": null, "index": null, "id": "99" });
    let nodes =
        |labels: Value| json!({ "capacity": { "nodeSelector": { "matchLabels": labels } } });
    let vcpu = json!({ "resource": "1" });
    let counted = json!([{ "resource": "1", "quantityPerNode": 2 }, { "resource": "3" }]);
    let unpriced = json!([vcpu, { "resource": "3" }, { "resource": "2" }]);
    vec![
        mistake("token", json!({ "paymentToken": "DOGE" }), "spec.paymentToken"),
        mistake("fine-price", prices("3", "0.0000001"), "is finer than the smallest unit"),
        mistake("closing-price", prices("3", "1000000000000"), "the price of resource 3 must be"),
        mistake("resource", prices("99", "0.001"), "spec.prices"),
        mistake("no-ram", resources(json!([vcpu])), "spec.capacity.resources"),
        mistake("no-vcpu", resources(json!([{ "resource": "3" }])), "spec.capacity.resources"),
        mistake("counted", resources(counted), "takes no quantityPerNode"),
        mistake("unpriced", resources(unpriced), "has no price"),
        mistake("datacenter", place("AQ", 1), "spec.datacenter"),
        mistake("second-datacenter", place("DE", 77), "spec.datacenter"),
        mistake("datacenter-id", json!({ "datacenter": by_id }), "spec.datacenter"),
        mistake(
            "fine-pay",
            json!({ "payouts": { "minAmount": "0.0000001" } }),
            "spec.payouts.minAmount",
        ),
        mistake("no-node", nodes(json!({ "is": "none" })), "no node"),
        mistake("same-node", nodes(json!({ "coreward.dev/pool": "shared" })), "older offer"),
    ]
}

/// Nobody else's nodes, so that the mistake is the only one.
fn without_nodes(good: &Value) -> Value {
    let mut offer = good.clone();
    offer["spec"]["capacity"]["nodeSelector"]["matchLabels"] =
        json!({ "coreward.dev/pool": "none" });
    offer
}

/// Applies each to the API server, which refuses it with the field's name.
pub(super) async fn are_refused(world: &World, teller: &Teller, good: &Value) -> Result<()> {
    let all = refused();
    for wrong in &all {
        let mut object = without_nodes(good);
        object["metadata"]["name"] = json!("refused");
        merge(&mut object["spec"], &wrong.change);
        let refusal = match world.apply(&object).await {
            Ok(_) => return Err(Error::Finding(format!("{:?} was taken", wrong.name))),
            Err(Error::Cluster { source, .. }) => source.to_string(),
            Err(error) => return Err(error),
        };
        ensure(refusal.contains(wrong.told), || format!("{:?} is told: {refusal}", wrong.name))?;
    }
    teller.aside(&format!("{} mistakes are refused by the API server, by their fields", all.len()));
    Ok(())
}

/// Applies them all at once; each is told in time, and none is Ready.
pub(super) async fn are_told(
    world: &World,
    teller: &Teller,
    (good, all): (&Value, &[Mistake]),
) -> Result<()> {
    for wrong in all {
        let mut object = without_nodes(good);
        object["metadata"]["name"] = json!(wrong.name);
        merge(&mut object["spec"], &wrong.change);
        world.apply(&object).await?;
    }
    let told = future::try_join_all(all.iter().map(|wrong| is_told(world, wrong)));
    let told = teller.step(&format!("{} wrong offers are told", all.len()), told).await?;
    for (wrong, words) in all.iter().zip(told) {
        teller.aside(&format!("{}: {words}", wrong.name));
        world.delete("ProviderOffer", wrong.name).await?;
    }
    Ok(())
}

async fn is_told(world: &World, wrong: &Mistake) -> Result<String> {
    until(&format!("{} is told", wrong.name), TOLD_WITHIN, async || {
        let object = world.get("ProviderOffer", wrong.name).await?;
        let object = object.ok_or_else(|| Error::Finding("it is not there".to_owned()))?;
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let messages: Vec<String> = conditions
            .into_iter()
            .flatten()
            .map(|it| format!("{} {} {}", it["type"], it["reason"], it["message"]))
            .collect();
        ensure(!is_ready(&object), || "it is Ready".to_owned())?;
        let found = messages.iter().find(|message| message.contains(wrong.told));
        found.map(|found| Some(found.clone())).ok_or_else(|| Error::Finding(messages.join("; ")))
    })
    .await
}

/// JSON merge patch (RFC 7396).
fn merge(into: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Value::Object(into) = into else { return };
    for (name, value) in change {
        if value.is_null() {
            into.remove(name);
        } else {
            merge(into.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
