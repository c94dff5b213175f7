//! The table of network holes by packets: pods that listen at every port, under the policies of the chart and of two
//! deals, in a network that enforces them in both IP families.
#![expect(clippy::unwrap_used, reason = "what cannot be set up ends the test there")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use coreward_e2e::{
    bed::{self, Bed, NAMESPACE, kubectl},
    story::{
        ensure,
        holes::{Hole, PORTS, ports, same, written},
    },
    world::{Error, Result, processes_of, until},
};
use futures::{StreamExt as _, stream};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

/// Policies reach the engine's agents by the API server.
const LIMIT: Duration = Duration::from_mins(2);
/// Ends that send at once.
const AT_ONCE: usize = 4;
const WORKER: &str = "worker";
const SECOND: &str = "worker of the same deal";
const OTHER: &str = "worker of another deal";
const STRANGER: &str = "stranger";
const DNS: &str = "cluster DNS";
const PUBLIC: &str = "public address";
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
/// Addresses outside the cluster by the table's words, of both families.
const OUTSIDE: [(&str, [&str; 2]); 3] = [
    (PUBLIC, ["8.8.8.8", "2600:1f18::5"]),
    ("private address", ["10.77.0.1", "fd12:3456::1"]),
    ("metadata address", ["169.254.169.254", "fd00:ec2::254"]),
];

/// One end of connections.
struct End {
    /// The table's word for it.
    name: &'static str,
    /// One of each family.
    addresses: [IpAddr; 2],
    /// The command that enters its network; what is to run there follows.
    enter: Vec<String>,
    /// Whether it has more addresses than these, so that a connection has to say whose it is.
    is_outside: bool,
}

/// Two deals, each its namespace and then its policies, as the operator makes them: the first without egress, the second
/// with the internet.
fn of_deals() -> [Vec<Value>; 2] {
    serde_json::from_str(include_str!("isolation/deals.json")).unwrap()
}

fn policies(objects: Vec<Value>) -> Vec<Value> {
    objects.into_iter().filter(|object| object["kind"] == "NetworkPolicy").collect()
}

/// The policies of the chart, as Helm renders them.
async fn of_chart(bed: &Bed) -> Vec<Value> {
    let address = "0x0000000000000000000000000000000000000001";
    let values = json!({ "networks": [{
        "name": "local", "chainId": 1,
        "endpoints": [{ "name": "first", "url": "http://chain" }],
        "contracts": { "diamond": address, "multicall3": address },
        "tokens": [{ "symbol": "USDC", "address": address, "decimals": 6 }],
    }], "gateways": { "outside": ["203.0.113.7:4001"] } });
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/coreward");
    let helm = bed.programs().join("helm").display().to_string();
    let words = ["template", "coreward", &chart.display().to_string(), "--namespace", NAMESPACE]
        .map(str::to_owned);
    let rest = ["--kube-version", "1.35.0", "--values", "-"].map(str::to_owned);
    let line = [&[helm][..], &words, &rest].concat();
    let rendered = run(&line, &values.to_string()).await.unwrap();
    let objects = serde_yaml::Deserializer::from_str(&rendered).map(Value::deserialize);
    policies(objects.map(std::result::Result::unwrap).collect())
}

/// Runs a program with this on its standard input; what it wrote to its standard output.
async fn run(line: &[String], input: &str) -> Result<String> {
    let failed = |words: &dyn std::fmt::Display| Error::Finding(format!("{line:?}: {words}"));
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).await.map_err(|error| failed(&error))?;
    drop(pipe);
    let output = child.wait_with_output().await.map_err(|error| failed(&error))?;
    ensure(output.status.success(), || {
        format!("{line:?}: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn apply(bed: &Bed, objects: &[Value]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    std::fs::write(file.path(), list.to_string()).unwrap();
    kubectl(bed, &["apply", "--filename", file.path().to_str().unwrap()]).await.unwrap();
}

/// A pod that listens at every port; a worker's namespace takes no other than a restricted one.
fn pod(namespace: &str, name: &str, component: Option<&str>, node: &str) -> Value {
    let listen = PORTS.map(|(protocol, port)| format!("{}/:{port}", protocol.to_lowercase()));
    let words = [&["listen".to_owned()][..], &listen[..]].concat();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": component.map(|it| json!({ "coreward.dev/component": it })),
        },
        "spec": {
            "nodeSelector": { "kubernetes.io/hostname": node },
            "tolerations": [{ "operator": "Exists" }],
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" },
                "sysctls": [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "0" }],
            },
            "containers": [{
                "name": "probe", "image": "coreward.local/probe:dev", "imagePullPolicy": "Never", "args": words,
                // A kubelet's probes pass whatever the policies say.
                "readinessProbe": { "tcpSocket": { "port": 443 }, "periodSeconds": 1, "failureThreshold": 1 },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

/// Starts a pod of each kind that the table names, on nodes such that kinds meet on one node and on two.
async fn pods(bed: &Bed, one: &str, other: &str) -> Vec<End> {
    let kinds = [
        ("operator", NAMESPACE, "operator", Some("operator"), "n3"),
        ("node agent", NAMESPACE, "agent", Some("node"), "n1"),
        ("gateway", NAMESPACE, "gateway", Some("gateway"), "n3"),
        ("probe", NAMESPACE, "probe", Some("probe"), "n2"),
        ("prover", NAMESPACE, "prover", Some("prover"), "n1"),
        (WORKER, one, "first", Some("worker"), "n1"),
        (SECOND, one, "second", Some("worker"), "n2"),
        (OTHER, other, "first", Some("worker"), "n1"),
        (STRANGER, "somebody-elses", "stranger", None, "n2"),
        (DNS, "kube-system", "names", None, "n3"),
    ];
    let objects =
        kinds.map(|(_, namespace, name, component, node)| pod(namespace, name, component, node));
    apply(bed, &objects).await;
    let mut ends = Vec::new();
    for (kind, namespace, name, ..) in kinds {
        let words = ["--namespace", namespace, "wait", "--for=condition=Ready", "--timeout=60s"];
        let pod = format!("pod/{name}");
        kubectl(bed, &[&words[..], &[pod.as_str()]].concat()).await.unwrap();
        let got = kubectl(bed, &["--namespace", namespace, "get", &pod, "--output=json"]).await;
        let object: Value = serde_json::from_str(&got.unwrap()).unwrap();
        let addresses = object["status"]["podIPs"].as_array().unwrap().iter();
        let addresses: Vec<IpAddr> =
            addresses.map(|it| it["ip"].as_str().unwrap().parse().unwrap()).collect();
        let processes = processes_of(object["metadata"]["uid"].as_str().unwrap()).unwrap();
        let enter = ["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", processes[0].id)];
        ends.push(End {
            name: kind,
            addresses: addresses.try_into().unwrap(),
            enter: enter.into(),
            is_outside: false,
        });
    }
    ends
}

/// Ends outside the cluster, in the control plane's network, and what listens at every port of theirs.
async fn outside(bed: &Bed) -> (Vec<End>, Child) {
    let enter = bed.control_room().enter();
    let mut ends = Vec::new();
    let mut listen = [&enter[..], &[program(bed), "listen".to_owned()]].concat();
    for (name, addresses) in OUTSIDE {
        let addresses: [IpAddr; 2] = addresses.map(|it| it.parse().unwrap());
        for address in addresses {
            let words = format!("ip addr replace {address} dev lo");
            let words = words.split(' ').map(str::to_owned).collect::<Vec<_>>();
            run(&[&enter[..], &words].concat(), "").await.unwrap();
            listen.extend(PORTS.map(|(protocol, port)| {
                format!("{}/{}", protocol.to_lowercase(), SocketAddr::from((address, port)))
            }));
        }
        ends.push(End { name, addresses, enter: enter.clone(), is_outside: true });
    }
    let mut command = Command::new(&listen[0]);
    (ends, command.args(&listen[1..]).kill_on_drop(true).spawn().unwrap())
}

fn program(bed: &Bed) -> String {
    bed.programs().join("probe").display().to_string()
}

/// Whether our policies decide between these two, and the table says how: what a worker of another deal lets in, and that it may
/// ask for names, is said of workers.
fn is_ours(from: &str, to: &str) -> bool {
    let foreign = |name: &str| {
        [STRANGER, DNS].contains(&name) || OUTSIDE.iter().any(|(outside, _)| *outside == name)
    };
    match (from, to) {
        (from, to) if from == to => false,
        (WORKER | SECOND, OTHER) => true,
        (_, OTHER) => false,
        (OTHER, to) => to != DNS,
        (from, to) => !(foreign(from) && foreign(to)),
    }
}

/// Which of all connections between the ends are answered, in each family.
async fn answered(bed: &Bed, ends: &[End]) -> Result<[BTreeSet<Hole>; 2]> {
    let senders = ends.iter().flat_map(|from| [(from, 0), (from, 1)]);
    let runs = senders.map(|(from, family)| async move {
        let holes = answers(bed, from, ends, family).await?;
        Ok::<_, Error>((family, holes))
    });
    let mut runs = stream::iter(runs).buffer_unordered(AT_ONCE);
    let mut open = [BTreeSet::new(), BTreeSet::new()];
    while let Some(run) = runs.next().await {
        let (family, holes) = run?;
        open[family].extend(holes);
    }
    Ok(open)
}

/// Which of all connections from one end are answered, in one family.
async fn answers(bed: &Bed, from: &End, ends: &[End], family: usize) -> Result<Vec<Hole>> {
    let mut line = [&from.enter[..], &[program(bed), "reach".to_owned()]].concat();
    line.extend(from.is_outside.then(|| from.addresses[family].to_string()));
    let mut wanted = Vec::new();
    for to in ends.iter().filter(|to| is_ours(from.name, to.name)) {
        wanted.extend(PORTS.map(|(protocol, port)| {
            let address = SocketAddr::from((to.addresses[family], port));
            let hole = (from.name.into(), to.name.into(), format!("{protocol} {port}"));
            (format!("{} {address}", protocol.to_lowercase()), hole)
        }));
    }
    let lines: Vec<&str> = wanted.iter().map(|(line, _)| line.as_str()).collect();
    let output = run(&line, &lines.join("\n")).await?;
    let came: BTreeSet<&str> = output.lines().collect();
    wanted.retain(|(line, _)| came.contains(line.as_str()));
    Ok(wanted.into_iter().map(|(_, hole)| hole).collect())
}

/// Looks once whether what is answered is this, in both families.
async fn look(bed: &Bed, ends: &[End], wanted: &BTreeSet<Hole>) -> Result<()> {
    let open = answered(bed, ends).await?;
    FAMILIES.iter().zip(&open).try_for_each(|(family, open)| {
        same(open, wanted).map_err(|error| Error::Finding(format!("{family}: {error}")))
    })
}

/// Waits until it is this.
async fn only(bed: &Bed, ends: &[End], wanted: &BTreeSet<Hole>, what: &str) {
    let seen = until(what, LIMIT, async || look(bed, ends, wanted).await.map(Some));
    seen.await.unwrap();
}

#[tokio::test]
#[ignore = "builds an engine that enforces policies, some minutes once; `make test-isolation` asks for it"]
async fn packets_pass_where_the_table_says_and_nowhere_else() {
    let bed = Box::pin(bed::up()).await.unwrap();
    assert!(bed.paths().enforced, "this bed enforces nothing; set {}", bed::ENFORCE_VARIABLE);
    let [mut first, mut second] = of_deals();
    let namespaces = [first.remove(0), second.remove(0)];
    let name = |namespace: &Value| namespace["metadata"]["name"].as_str().unwrap().to_owned();
    let [one, other] = [&namespaces[0], &namespaces[1]].map(name);
    let plain = ["somebody-elses", NAMESPACE].map(
        |name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
    );
    apply(&bed, &[&namespaces[..], &plain].concat()).await;
    let policies = [first, second, of_chart(&bed).await].concat();
    for name in [one.as_str(), &other, "somebody-elses", NAMESPACE] {
        let own = ["--namespace", name];
        let wait = ["wait", "--for=create", "serviceaccount/default", "--timeout=20s"];
        kubectl(&bed, &[&own[..], &wait].concat()).await.unwrap();
        kubectl(&bed, &[&own[..], &["delete", "networkpolicies", "--all"]].concat()).await.unwrap();
    }
    let mut ends = pods(&bed, &one, &other).await;
    let (strangers, _listening) = outside(&bed).await;
    ends.extend(strangers);

    let pairs: BTreeSet<(&str, &str)> = ends
        .iter()
        .flat_map(|from| ends.iter().map(|to| (from.name, to.name)))
        .filter(|(from, to)| is_ours(from, to))
        .collect();
    let on_all_ports = |pair: &(&str, &str)| {
        let (from, to) = (pair.0.to_owned(), pair.1.to_owned());
        ports().map(|port| (from.clone(), to.clone(), port))
    };
    let all: BTreeSet<Hole> = pairs.iter().flat_map(on_all_ports).collect();
    only(&bed, &ends, &all, "without policies everything is answered").await;

    apply(&bed, &policies).await;
    let mut holes = written(&pairs).unwrap();
    holes.extend(on_all_ports(&(OTHER, PUBLIC)));
    // A worker lets any customer in; one of another deal is kept from it by its own deal's policies.
    holes.retain(|(from, to, _)| from != OTHER || ![WORKER, SECOND].contains(&to.as_str()));
    only(&bed, &ends, &holes, "what the table says is answered, and nothing else").await;
    look(&bed, &ends, &holes).await.unwrap();
    // All are Ready still: the kubelet's probes pass.
    pods(&bed, &one, &other).await;
    bed::say(format_args!(
        "{} connections tried in each IP family, {} answered",
        all.len(),
        holes.len()
    ));
}
