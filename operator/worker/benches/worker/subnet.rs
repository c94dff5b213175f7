//! Requests of a member through the overlay, beside requests to the public port of the same worker.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coreward_overlay::{Body, Client, Config, Handler, Key, Member, start};
use ed25519_dalek::SigningKey;
use futures::future::{BoxFuture, join_all};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::load::{CONNECTIONS, Load, WARM_UP};
use crate::report::{Report, Row, Sense, median};
use crate::server::{Server, Worker, free_port};
use crate::{Bench, GENERATOR_CORE, SECONDS, SERVER_CORE, TURNS, tools, worker};

/// The argument that makes this program a member that asks.
pub(crate) const ARGUMENT: &str = "--member";
/// The seed of the member's key.
const SEED: [u8; 32] = [2; 32];
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn key_of(seed: [u8; 32]) -> Key {
    SigningKey::from_bytes(&seed).verifying_key().to_bytes()
}

/// Answers per second through the subnet and directly, in turns on one worker.
pub(crate) fn subnet(bench: &mut Bench, report: &mut Report) {
    let state = bench.directory.path().join("subnet");
    bench.ready(&state, false, vec![tools::member(key_of(SEED).into())]);
    let overlay_port = free_port();
    let server = Server::start(&Worker { overlay_port, ..worker(&state) }, SERVER_CORE);
    let overlay = SocketAddr::from(([127, 0, 0, 1], overlay_port));
    let turn = |seconds: f64| {
        let through = on_core(overlay, seconds);
        let direct =
            Load { server: server.address, seconds, rate: None }.on_core(GENERATOR_CORE).rate;
        println!("  {through:.0} answers/s through the subnet, {direct:.0} directly");
        [through, direct]
    };
    turn(1.0);
    let turns: Vec<_> = (0..TURNS).map(|_| turn(SECONDS)).collect();
    let ratios = turns.iter().map(|[through, direct]| through / direct).collect();
    report.push(Row::new("requests_subnet_to_direct", ratios, Sense::AtLeast(0.3), Some(0.5)));
    let rate = |side: usize| median(&turns.iter().map(|turn| turn[side]).collect::<Vec<_>>());
    report.note(format!(
        "answers per second of one worker: {:.0} through the subnet (a member on the generator's core, kept streams, {CONNECTIONS} in flight), {:.0} at its public port",
        rate(0),
        rate(1)
    ));
}

fn on_core(overlay: SocketAddr, seconds: f64) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let out = Command::new("taskset")
        .args(["--cpu-list", &GENERATOR_CORE.to_string()])
        .arg(program)
        .args([ARGUMENT, &overlay.to_string(), &seconds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("taskset of util-linux");
    assert!(out.status.success(), "the member failed");
    let text = String::from_utf8_lossy(&out.stdout);
    text.trim().parse().expect("a figure")
}

/// The whole life of the member: takes the worker's address and the seconds from the arguments after [`ARGUMENT`]; gives the
/// answers per second.
pub(crate) fn run(arguments: &[String]) -> f64 {
    let [overlay, seconds] = arguments else { panic!("an address and seconds") };
    let overlay: SocketAddr = overlay.parse().expect("an address");
    let seconds: f64 = seconds.parse().expect("seconds");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(ask(overlay, seconds))
}

async fn ask(overlay: SocketAddr, seconds: f64) -> f64 {
    let config = Config { seed: SEED, listen: "/ip4/127.0.0.1/tcp/0".to_owned() };
    let (client, event_loop) = start(&config, Arc::new(Nobody)).expect("a node");
    let worker = key_of(tools::WORKER_SEED);
    let address = format!("/ip4/{}/tcp/{}", overlay.ip(), overlay.port());
    let members = vec![Member { key: worker, addresses: vec![address] }];
    let stop = CancellationToken::new();
    let asking = async {
        client.set_members(members).await.expect("the node runs");
        let first = Instant::now() + WARM_UP;
        let last = first + Duration::from_secs_f64(seconds);
        let answered = Rc::new(RefCell::new(0_u32));
        join_all((0..CONNECTIONS).map(|_| {
            let (client, answered) = (client.clone(), Rc::clone(&answered));
            async move {
                while Instant::now() < last {
                    one(&client, worker).await;
                    if (first..last).contains(&Instant::now()) {
                        *answered.borrow_mut() += 1;
                    }
                }
            }
        }))
        .await;
        let answered = *answered.borrow();
        stop.cancel();
        f64::from(answered) / seconds
    };
    let (answered, ()) = tokio::join!(asking, event_loop.run(stop.clone()));
    answered
}

async fn one(client: &Client, worker: Key) {
    let request = Request::builder().uri("/").header("host", "1.subnet.internal");
    let body: Body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    let request = request.body(body).expect("a request");
    let asked = async {
        let answer = client.request(worker, request).await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
        answer.into_body().collect().await.expect("a whole answer")
    };
    timeout(PATIENCE, asked).await.expect("an answer in time");
}

/// Nobody asks the member.
struct Nobody;

impl Handler for Nobody {
    fn handle(&self, _: Key, _: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async {
            Response::new(
                Empty::new().map_err(|never: core::convert::Infallible| match never {}).boxed(),
            )
        })
    }
}
