use core::time::Duration;

use coreward_wire::Egress;
use rstest::rstest;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::guest::GOOD;
use crate::process::Worker;
use crate::world::World;

async fn worker() -> Worker {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let worker = world.start(world.duty(7, &cid)).await;
    worker.serves(&cid).await;
    worker
}

#[tokio::test]
async fn a_misbehaving_request_fails_alone() {
    let worker = worker().await;
    let (trap, silent, endless, hog, good) = tokio::join!(
        worker.get("/trap"),
        worker.get("/silent"),
        worker.get("/loop"),
        worker.get("/hog"),
        worker.get("/"),
    );
    assert_eq!((trap, silent, endless, hog, good), (500, 500, 504, 503, 200));
    assert_eq!(worker.get("/").await, 200);
    let metrics = worker.page("/metrics").await.1;
    for ending in ["trapped", "silent", "out_of_time", "out_of_memory"] {
        let line =
            format!("coreward_worker_requests_total{{ending=\"{ending}\",origin=\"public\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(metrics.contains("coreward_worker_component_memory_bytes 0"), "{metrics}");
}

#[tokio::test]
async fn a_request_has_its_own_limit_of_cpu_time() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut duty = world.duty(7, &cid);
    duty.limits.request_milliseconds = 60_000;
    duty.limits.request.cpu_milliseconds = 200;
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    let answer = reqwest::get(format!("{}/loop", worker.public)).await.unwrap();
    assert_eq!(answer.status(), 503);
    let why = answer.text().await.unwrap();
    assert_eq!(why, "the component used more CPU time than one request may\n");
    let ended = "coreward_worker_requests_total{ending=\"out_of_cpu\",origin=\"public\"}";
    assert!((worker.metric(ended).await - 1.0).abs() < f64::EPSILON);
    assert!(worker.metric("coreward_worker_component_cpu_seconds_total").await >= 0.2);
}

#[tokio::test]
async fn endless_requests_do_not_starve_others() {
    let worker = worker().await;
    let loops = futures::future::join_all((0..8).map(|_| worker.get("/loop")));
    let goods = async {
        for _ in 0..20 {
            assert_eq!(worker.get("/").await, 200);
        }
        assert_eq!(worker.page("/livez").await.0, 200);
    };
    let (loops, ()) = tokio::join!(loops, goods);
    assert_eq!(loops, [504; 8]);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_with_its_time() {
    let worker = worker().await;
    let big = async {
        let answer = reqwest::get(format!("{}/big", worker.public)).await.unwrap();
        assert_eq!(answer.status(), 200);
        // Cut or ended: no whole answer has so many bytes.
        answer.bytes().await.is_err()
    };
    let (is_cut, good) = tokio::join!(big, worker.get("/"));
    assert!(is_cut, "a cut answer must not look like a whole one");
    assert_eq!((good, worker.get("/").await), (200, 200));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut_with_its_time() {
    let worker = worker().await;
    let address = worker.public.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let holds_memory = async || {
        let metrics = worker.page("/metrics").await.1;
        !metrics.contains("coreward_worker_component_memory_bytes 0")
    };
    let ended = async {
        while !holds_memory().await {}
        while holds_memory().await {}
    };
    timeout(Duration::from_secs(30), ended).await.expect("it begins, and is cut");
    assert_eq!(worker.get("/").await, 200);
}

#[tokio::test]
async fn headers_without_end_fail_alone() {
    let worker = worker().await;
    let (flood, good) = tokio::join!(worker.get("/flood"), worker.get("/"));
    assert_eq!((flood, good, worker.get("/").await), (500, 200, 200));
}

/// Error codes of `wasi:http` as the sample guest answers with them.
const NOT_FOUND: u16 = 602;
const IP_PROHIBITED: u16 = 604;
const DENIED: u16 = 615;
const LOOP: u16 = 636;

#[rstest]
#[case::itself("/out/self.subnet.internal", 200)]
#[case::itself_by_number("/out/7.subnet.internal", 200)]
#[case::itself_as_a_member("/out/self.subnet.internal/who", 200)]
#[case::the_member_list("/out/subnet.internal/members", 200)]
#[case::another_page_of_the_host("/out/subnet.internal/secrets", 404)]
#[case::a_worker_that_is_no_member("/out/8.subnet.internal", NOT_FOUND)]
#[case::no_worker("/out/eight.subnet.internal", NOT_FOUND)]
#[case::the_outside("/out/example.com", DENIED)]
#[case::nobody_as_nobody("/who", 401)]
#[tokio::test]
async fn a_component_asks(#[case] path: &str, #[case] status: u16) {
    assert_eq!(worker().await.get(path).await, status);
}

#[tokio::test]
async fn a_component_that_asks_itself_without_end_is_stopped() {
    let path = "/out/self.subnet.internal".repeat(12);
    assert_eq!(worker().await.get(&path).await, LOOP);
}

#[tokio::test]
async fn what_the_public_says_of_itself_is_not_believed() {
    let worker = worker().await;
    assert_eq!(worker.get_as("/who", &[("coreward-caller", "1")]).await, 401);
    assert_eq!(worker.get_as("/", &[("host", "7.subnet.internal")]).await, 421);
}

#[rstest]
#[case::this_host("/out/127.0.0.1:1")]
#[case::this_host_by_name("/out/localhost:1")]
#[case::cloud_metadata("/out/169.254.169.254")]
#[case::a_private_address("/out/10.0.0.1")]
#[tokio::test]
async fn the_internet_has_no_private_addresses(#[case] path: &str) {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut duty = world.duty(7, &cid);
    duty.egress = Egress::Internet;
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    assert_eq!(worker.get(path).await, IP_PROHIBITED);
}
