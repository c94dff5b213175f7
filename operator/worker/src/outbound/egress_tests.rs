//! Answers come through real sockets. Only what the machine says of names is made up, and addresses that no test may reach
//! are stood in for by ports of this host.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Mutex;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http::StatusCode;
use http_body_util::BodyExt as _;
use rstest::rstest;
use tokio::net::TcpListener;

use super::*;

/// An address of the internet.
const PUBLIC: &str = "93.184.215.14:80";
const NAME: &str = "api.example.com";

/// A machine whose names lead where a test says: each look-up takes the next answer, and the last one stays.
#[derive(Default)]
struct Scripted {
    names: Mutex<BTreeMap<String, VecDeque<Vec<SocketAddr>>>>,
    stands_in: Option<SocketAddr>,
    looked_up: Mutex<usize>,
    dialled: Mutex<Vec<SocketAddr>>,
}

impl Network for Scripted {
    fn lookup(&self, host: String, _port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        *self.looked_up.lock().unwrap() += 1;
        let mut names = self.names.lock().unwrap();
        let answers = names.get_mut(&host).unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        ready(Ok(next.unwrap())).boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        self.dialled.lock().unwrap().push(address);
        TcpStream::connect(self.stands_in.unwrap()).boxed()
    }
}

async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(async || "an answer"))
        .route("/echo", post(async |body: String| body))
        .route("/moved", get(async || Redirect::to("http://127.0.0.1/private")));
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A machine on which [`NAME`] leads to these addresses, one look-up after the other.
async fn machine(answers: &[&[&str]]) -> Arc<Scripted> {
    let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
    let names = BTreeMap::from([(NAME.to_owned(), answers.iter().map(parse).collect())]);
    let stands_in = Some(server().await);
    Arc::new(Scripted { names: Mutex::new(names), stands_in, ..Scripted::default() })
}

async fn send(
    machine: &Arc<Scripted>,
    rule: &Egress,
    request: Request<Body>,
) -> Result<(StatusCode, String), Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outside = Outside::new(TaskTracker::new(), Arc::<Scripted>::clone(machine));
    let (answer, _connection) = outside.send(rule, request, &RequestOptions::default()).await?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(text.into()).unwrap()))
}

fn ask(path: &str) -> Request<Body> {
    let uri = format!("http://{NAME}{path}");
    Request::builder().uri(uri).header("host", NAME).body(body::full("")).unwrap()
}

fn list() -> Egress {
    Egress::AllowList { hosts: vec![NAME.to_owned()] }
}

fn dialled(machine: &Scripted) -> Vec<String> {
    machine.dialled.lock().unwrap().iter().map(ToString::to_string).collect()
}

#[rstest]
#[case::nothing(Egress::None, NAME, None)]
#[case::a_listed_name(list(), "API.example.com", Some(Reach::Named))]
#[case::a_name_under_a_listed_one(list(), "evil.api.example.com", None)]
#[case::a_name_not_listed(list(), "example.com", None)]
#[case::any_name(Egress::Internet, "example.com", Some(Reach::Public))]
fn a_rule_allows(#[case] rule: Egress, #[case] host: &str, #[case] reach: Option<Reach>) {
    assert_eq!(allowed(&rule, host), reach);
}

#[rstest]
#[case::a_listed_name(list(), PUBLIC)]
#[case::a_listed_name_of_the_same_cluster(list(), "10.96.0.17:80")]
#[case::the_internet(Egress::Internet, PUBLIC)]
#[case::the_internet_in_version_six(Egress::Internet, "[2606:2800:21f:cb07::1]:80")]
#[tokio::test]
async fn an_answer_arrives(#[case] rule: Egress, #[case] address: &str) {
    let machine = machine(&[&[address]]).await;
    let answer = send(&machine, &rule, ask("/")).await.unwrap();
    assert_eq!(answer, (StatusCode::OK, "an answer".to_owned()));
    assert_eq!(dialled(&machine), [address]);
    let mut request = ask("/echo").map(|_| body::full("a question"));
    *request.method_mut() = http::Method::POST;
    assert_eq!(send(&machine, &rule, request).await.unwrap().1, "a question");
}

#[rstest]
#[case::by_no_rule(Egress::None)]
#[case::by_a_list_without_it(Egress::AllowList { hosts: vec!["example.com".to_owned()] })]
#[tokio::test]
async fn a_name_that_is_not_allowed_is_not_even_looked_up(#[case] rule: Egress) {
    let machine = machine(&[&[PUBLIC]]).await;
    assert!(matches!(send(&machine, &rule, ask("/")).await, Err(Error::HttpRequestDenied)));
    assert_eq!((*machine.looked_up.lock().unwrap(), dialled(&machine).len()), (0, 0));
}

#[rstest]
#[case::this_host(Egress::Internet, "127.0.0.1:80")]
#[case::this_host_in_version_six(Egress::Internet, "[::1]:80")]
#[case::this_host_mapped(Egress::Internet, "[::ffff:127.0.0.1]:80")]
#[case::cloud_metadata(Egress::Internet, "169.254.169.254:80")]
#[case::cloud_metadata_by_nat64(Egress::Internet, "[64:ff9b::a9fe:a9fe]:80")]
#[case::a_link(Egress::Internet, "[fe80::1]:80")]
#[case::a_private_network(Egress::Internet, "192.168.0.1:80")]
#[case::a_service_of_the_cluster(Egress::Internet, "10.96.0.1:443")]
#[case::a_pod_of_the_cluster(Egress::Internet, "10.244.1.7:8080")]
#[case::a_pod_in_version_six(Egress::Internet, "[fd00:10:244::7]:8080")]
#[case::a_shared_network(Egress::Internet, "100.64.0.1:80")]
#[case::this_host_though_listed(list(), "127.0.0.1:80")]
#[case::cloud_metadata_though_listed(list(), "169.254.169.254:80")]
#[tokio::test]
async fn a_name_that_leads_inside_is_refused(#[case] rule: Egress, #[case] address: &str) {
    let machine = machine(&[&[address]]).await;
    let refused = send(&machine, &rule, ask("/")).await;
    assert!(matches!(refused, Err(Error::DestinationIpProhibited)), "{refused:?}");
    assert_eq!(dialled(&machine), [""; 0]);
}

#[tokio::test]
async fn of_many_addresses_only_public_ones_are_dialled() {
    let machine = machine(&[&["127.0.0.1:80", "10.0.0.1:80", PUBLIC, "169.254.169.254:80"]]).await;
    assert_eq!(send(&machine, &Egress::Internet, ask("/")).await.unwrap().1, "an answer");
    assert_eq!(dialled(&machine), [PUBLIC]);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let machine = machine(&[&[PUBLIC], &["127.0.0.1:80"]]).await;
    assert_eq!(send(&machine, &Egress::Internet, ask("/")).await.unwrap().1, "an answer");
    assert_eq!(*machine.looked_up.lock().unwrap(), 1, "what was judged is what was dialled");
    let refused = send(&machine, &Egress::Internet, ask("/")).await;
    assert!(matches!(refused, Err(Error::DestinationIpProhibited)), "{refused:?}");
    assert_eq!(dialled(&machine), [PUBLIC]);
}

#[tokio::test]
async fn a_redirect_is_the_components_own_affair() {
    let machine = machine(&[&[PUBLIC]]).await;
    let answer = send(&machine, &Egress::Internet, ask("/moved")).await.unwrap();
    assert_eq!(answer.0, StatusCode::SEE_OTHER);
    assert_eq!(dialled(&machine), [PUBLIC]);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_told() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let names =
        BTreeMap::from([(NAME.to_owned(), VecDeque::from([vec![PUBLIC.parse().unwrap()]]))]);
    let machine =
        Scripted { names: Mutex::new(names), stands_in: Some(closed), ..Scripted::default() };
    let refused = send(&Arc::new(machine), &Egress::Internet, ask("/")).await;
    assert!(matches!(refused, Err(Error::Connect(_))), "{refused:?}");
}
