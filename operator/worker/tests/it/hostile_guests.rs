//! Components that do their worst, beside a request that behaves: theirs fails alone, and is counted.

use coreward_wire::{Egress, WorkerDuty};
use rstest::rstest;

use crate::guest::{GOOD, Guest};
use crate::world::World;

/// A metric's name and labels for a request that ended so.
macro_rules! ended {
    ($ending:literal) => {
        concat!("coreward_worker_requests_total{ending=\"", $ending, "\",origin=\"public\"}")
    };
}

/// The same for an answer that was cut so.
macro_rules! cut {
    ($reason:literal) => {
        concat!("coreward_worker_answers_cut_total{reason=\"", $reason, "\"}")
    };
}

const LOOP: &str = "(loop $for-ever (br $for-ever))";
const RECURSION: &str = "(drop (call $evil (local.get $request) (local.get $out)))";
const NULL_CALL: &str =
    "(drop (call_indirect $table (type $evil-type) (i32.const 0) (i32.const 0) (i32.const 7)))";
const RECURSION_BY_TABLE: &str = "
    (table.set $table (i32.const 0) (ref.func $evil))
    (drop (call_indirect $table (type $evil-type) (i32.const 0) (i32.const 0) (i32.const 0)))";
const TABLE: &str = "(table $table 8 funcref) (elem declare func $evil)";
const GROW: &str = "
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable";
const GROW_AT_ONCE: &str = "
    (if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))";
const GROW_TABLE: &str = "
    (loop $more
      (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
    unreachable";
const FILL: &str = "
    (drop (memory.grow (i32.const 600)))
    (loop $for-ever
      (memory.fill (i32.const 65536) (i32.const 1) (i32.const 39321600))
      (br $for-ever))";
const BEYOND_MEMORY: &str = "(drop (i32.load (i32.const -4)))";
const BY_ZERO: &str = "(drop (i32.div_u (i32.const 1) (local.get $count)))";
const HANDLES: &str = "(loop $more (drop (call $new-fields)) (br $more))";
const LONG_HEADER: &str = "
    (drop (memory.grow (i32.const 64)))
    (memory.fill (i32.const 65536) (i32.const 97) (i32.const 4000000))
    (call $append (call $new-fields) (i32.const 65536) (i32.const 8) (i32.const 65536) (i32.const 4000000) (i32.const 3072))
    unreachable";
const BODY: &str = "
    (local.set $stream (call $new-response (call $new-fields)))
    (call $body-of (local.get $stream) (i32.const 3072))
    (call $stream-of (i32.load (i32.const 3076)) (i32.const 3072))
    (call $send (local.get $out) (local.get $stream))
    (call $write (i32.load (i32.const 3076)) (i32.const 0) (i32.const 4096) (i32.const 3072))
    unreachable";
const PRINT: &str = "
    (local.set $stream (call $stderr))
    (loop $more
      (call $write (local.get $stream) (i32.const 60000) (i32.const 64) (i32.const 3072))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $count) (i32.const 2000))))";
/// Ends our line, begins one that looks like ours, and paints the terminal; 64 bytes.
const FORGED: &str = r#"(data (i32.const 60000) "\22}\0d\0a{\22level\22:\22ERROR\22,\22message\22:\22forged\22}\0a\1b[2J\1b[31m\00\e2\80\a8\ff end of it \0a\0a\0a\0a\0a\0a\0a\0a\0a\0a")"#;

fn as_it_is(_: &mut WorkerDuty) {}

fn short(duty: &mut WorkerDuty) {
    duty.limits.request_milliseconds = 500;
}

fn little_cpu(duty: &mut WorkerDuty) {
    duty.limits.request.cpu_milliseconds = 200;
}

fn little_memory(duty: &mut WorkerDuty) {
    duty.limits.request.memory_mib = 1;
}

fn small_answers(duty: &mut WorkerDuty) {
    duty.limits.request.answer_bytes = 100_000;
}

/// What the component does, with which further parts of its module.
type Evil = (&'static str, &'static str);

#[rstest]
#[case::loops((LOOP, ""), short, 504, ended!("out_of_time"))]
#[case::computes((LOOP, ""), little_cpu, 503, ended!("out_of_cpu"))]
#[case::fills_memory((FILL, ""), short, 504, ended!("out_of_time"))]
#[case::fills_memory_by_cpu((FILL, ""), little_cpu, 503, ended!("out_of_cpu"))]
#[case::calls_itself((RECURSION, ""), as_it_is, 500, ended!("trapped"))]
#[case::calls_itself_by_table((RECURSION_BY_TABLE, TABLE), as_it_is, 500, ended!("trapped"))]
#[case::calls_nothing((NULL_CALL, TABLE), as_it_is, 500, ended!("trapped"))]
#[case::grows((GROW, ""), as_it_is, 503, ended!("out_of_memory"))]
#[case::grows_at_once((GROW_AT_ONCE, ""), as_it_is, 503, ended!("out_of_memory"))]
#[case::grows_beyond_its_own((GROW, ""), little_memory, 503, ended!("out_of_memory"))]
#[case::grows_a_table((GROW_TABLE, TABLE), as_it_is, 500, ended!("trapped"))]
#[case::reads_beyond_its_memory((BEYOND_MEMORY, ""), as_it_is, 500, ended!("trapped"))]
#[case::divides_by_zero((BY_ZERO, ""), as_it_is, 500, ended!("trapped"))]
#[case::traps(("unreachable", ""), as_it_is, 500, ended!("trapped"))]
#[case::says_nothing(("(return (i32.const 1))", ""), as_it_is, 500, ended!("silent"))]
#[case::hoards_handles((HANDLES, ""), as_it_is, 500, ended!("trapped"))]
#[case::makes_a_long_header((LONG_HEADER, ""), as_it_is, 500, ended!("trapped"))]
#[case::makes_many_headers(("(call $flood (local.get $out))", ""), as_it_is, 500, ended!("trapped"))]
#[case::answers_without_end(("(call $big (local.get $out))", ""), small_answers, 200, cut!("too_large"))]
#[case::dies_in_its_answer((BODY, ""), as_it_is, 200, cut!("stopped"))]
#[case::floods_the_log((PRINT, FORGED), as_it_is, 200, "coreward_worker_log_lines_dropped_total")]
#[tokio::test]
async fn a_component_fails_alone_that(
    #[case] (evil, parts): Evil,
    #[case] tweak: fn(&mut WorkerDuty),
    #[case] status: u16,
    #[case] counter: &str,
) {
    let world = World::new().await;
    let cid = world.publish(Guest { evil, parts, ..GOOD }.build());
    let mut duty = world.duty(7, &cid);
    // Long enough for all that ends for another reason.
    duty.limits.request_milliseconds = 20_000;
    tweak(&mut duty);
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    assert!(worker.metric(counter).await < 1.0);
    let (evil, good) = tokio::join!(worker.whole("/evil"), worker.get("/"));
    assert_eq!((evil, good), (status, 200));
    worker.is_well_and_counted(counter).await;
}

#[tokio::test]
async fn what_a_component_prints_stays_within_its_line() {
    let world = World::new().await;
    let cid = world.publish(Guest { evil: PRINT, parts: FORGED, ..GOOD }.build());
    let worker = world.start(world.duty(7, &cid)).await;
    worker.serves(&cid).await;
    assert_eq!(worker.get("/evil").await, 200);
    let log = worker.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let forged: Vec<_> = lines.iter().filter(|line| line.to_string().contains("forged")).collect();
    assert!(!forged.is_empty(), "{log}");
    for line in forged {
        assert_eq!(line["level"], "WARN", "{line}");
        assert!(line.to_string().contains("guest"), "{line}");
        assert!(line.to_string().contains("\"request.id\":"), "{line}");
    }
}

/// Error codes of `wasi:http` as the sample guest answers with them.
const IP_PROHIBITED: u16 = 604;
const DENIED: u16 = 615;
const LOOPED: u16 = 636;

fn internet(duty: &mut WorkerDuty) {
    duty.egress = Egress::Internet;
}

fn a_list(duty: &mut WorkerDuty) {
    let hosts = ["example.com", "127.0.0.1", "169.254.169.254", "localhost"];
    duty.egress = Egress::AllowList { hosts: hosts.map(ToOwned::to_owned).into() };
}

fn no_connection(duty: &mut WorkerDuty) {
    duty.limits.request.connections = 0;
}

/// A metric's name and labels for a request of the component that went so.
macro_rules! sent {
    ($route:literal) => {
        concat!("coreward_worker_outbound_requests_total{route=\"", $route, "\"}")
    };
}

#[rstest]
#[case::without_a_rule(as_it_is, "/out/example.com", DENIED, sent!("denied"))]
#[case::beside_the_list(a_list, "/out/www.example.com", DENIED, sent!("denied"))]
#[case::this_host_though_listed(a_list, "/out/127.0.0.1:9090/metrics", IP_PROHIBITED, sent!("denied"))]
#[case::this_host_by_a_listed_name(a_list, "/out/localhost:9090", IP_PROHIBITED, sent!("denied"))]
#[case::metadata_though_listed(a_list, "/out/169.254.169.254/latest/meta-data", IP_PROHIBITED, sent!("denied"))]
#[case::metadata(internet, "/out/169.254.169.254/latest/meta-data", IP_PROHIBITED, sent!("denied"))]
#[case::metadata_as_one_number(internet, "/out/2852039166", IP_PROHIBITED, sent!("denied"))]
#[case::metadata_mapped(internet, "/out/[::ffff:169.254.169.254]", IP_PROHIBITED, sent!("denied"))]
#[case::this_host(internet, "/out/127.0.0.1:9090/metrics", IP_PROHIBITED, sent!("denied"))]
#[case::this_host_in_short(internet, "/out/127.1:9090", IP_PROHIBITED, sent!("denied"))]
#[case::this_host_by_zero(internet, "/out/0.0.0.0:9090", IP_PROHIBITED, sent!("denied"))]
#[case::this_host_by_name(internet, "/out/localhost:9090", IP_PROHIBITED, sent!("denied"))]
#[case::this_host_in_version_six(internet, "/out/[::1]:9090", IP_PROHIBITED, sent!("denied"))]
#[case::a_private_address(internet, "/out/10.96.0.1:443", IP_PROHIBITED, sent!("denied"))]
#[case::in_a_circle(as_it_is, "/out/self.subnet.internal/out/7.subnet.internal/out/self.subnet.internal/out/7.subnet.internal/out/self.subnet.internal/out/7.subnet.internal/out/self.subnet.internal/out/7.subnet.internal/out/self.subnet.internal", LOOPED, sent!("loop"))]
#[case::over_its_connections(no_connection, "/out/self.subnet.internal", 611, sent!("over_connections"))]
#[tokio::test]
async fn a_component_asks_in_vain(
    #[case] tweak: fn(&mut WorkerDuty),
    #[case] path: &str,
    #[case] status: u16,
    #[case] counter: &str,
) {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut duty = world.duty(7, &cid);
    tweak(&mut duty);
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    assert_eq!(worker.get(path).await, status);
    worker.is_well_and_counted(counter).await;
}
