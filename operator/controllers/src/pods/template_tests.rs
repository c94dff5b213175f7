use alloy_primitives::{Address, B256};

use super::*;

fn config() -> Config {
    Config::parse(concat!(
        "images: { prover: 'prover:1', worker: 'worker:1' }\n",
        "podsEndpoint: { url: 'https://coreward-pods.coreward-system.svc:8443' }\n",
        "networks: []\n",
    ))
    .unwrap()
}

fn offer() -> OfferKey {
    OfferKey { namespace: "provider".into(), name: "fra1".into() }
}

fn at(config: &Config) -> Surroundings<'_> {
    Surroundings {
        config,
        namespace: "coreward-system",
        anchor: "uid",
        node: "n1",
        threads_per_core: 2,
    }
}

fn order(offer: &OfferKey) -> ProverOrder<'_> {
    let unit = UnitId(B256::repeat_byte(5));
    ProverOrder {
        offer,
        peer: PeerId(B256::repeat_byte(1)),
        unit,
        mode: ProverMode::Full,
        isolation: CoreIsolation::Required,
        attempt: 0,
    }
}

fn json_of(pod: &Pod) -> Value {
    serde_json::to_value(pod).unwrap()
}

#[test]
fn a_prover_is_guaranteed_whole_cores() {
    let (config, offer) = (config(), offer());
    let pod = json_of(&prover(&at(&config), &order(&offer)).unwrap());
    let resources = &pod["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"], resources["limits"]);
    assert_eq!(resources["limits"], json!({ "cpu": "2", "memory": "4608Mi" }));
    assert!(pod["spec"]["nodeName"].is_null());
}

#[test]
fn a_prover_is_told_whether_only_whole_cores_will_do() {
    let (config, offer) = (config(), offer());
    for (isolation, told) in [(CoreIsolation::Required, true), (CoreIsolation::Preferred, false)] {
        let pod = prover(&at(&config), &ProverOrder { isolation, ..order(&offer) }).unwrap();
        let arguments = pod.spec.unwrap().containers.remove(0).args.unwrap_or_default();
        assert_eq!(arguments.contains(&"--whole-cores".to_owned()), told, "{arguments:?}");
    }
}

#[test]
fn a_unit_pod_is_restricted_and_has_no_token_but_its_own() {
    let (config, offer) = (config(), offer());
    let pod = json_of(&prover(&at(&config), &order(&offer)).unwrap());
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    let security = &pod["spec"]["containers"][0]["securityContext"];
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(security["readOnlyRootFilesystem"], true);
}

#[test]
fn units_of_a_peer_share_a_template_and_nodes_do_not() {
    let (config, offer) = (config(), offer());
    let one = prover_template(&at(&config), &order(&offer)).unwrap();
    let other_unit =
        ProverOrder { unit: UnitId(B256::repeat_byte(6)), attempt: 3, ..order(&offer) };
    assert_eq!(prover_template(&at(&config), &other_unit).unwrap(), one);
    let other_node = Surroundings { node: "n2", ..at(&config) };
    assert_ne!(prover_template(&other_node, &order(&offer)).unwrap(), one);
}

#[test]
fn the_template_is_the_one_on_the_pod() {
    let (config, offer) = (config(), offer());
    let pod = prover(&at(&config), &order(&offer)).unwrap();
    assert_eq!(
        pod.metadata.labels.unwrap()[TEMPLATE],
        prover_template(&at(&config), &order(&offer)).unwrap()
    );
}

#[test]
fn a_worker_has_the_cores_of_its_units_and_the_memory_of_its_deal() {
    let (config, offer) = (config(), offer());
    let units = BTreeSet::from([UnitId(B256::repeat_byte(5)), UnitId(B256::repeat_byte(6))]);
    let seat = Seat { deal: Address::repeat_byte(0x7f), worker: B256::with_last_byte(3).into() };
    let peer = PeerId(B256::repeat_byte(1));
    let order =
        WorkerOrder { offer: &offer, peer, seat, units: &units, memory_mib: 1024, attempt: 0 };
    let pod = worker(&at(&config), &order).unwrap();
    assert_eq!(pod.metadata.name.as_deref(), Some("w-3-0"));
    let limits = &json_of(&pod)["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(*limits, json!({ "cpu": "4", "memory": "1280Mi" }));
}
