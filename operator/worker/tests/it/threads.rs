//! Components that hold all their threads. No single operation of theirs is long enough to show it from outside, so their
//! threads are held by the test.

use core::time::Duration;
use std::sync::mpsc;

use clap::Parser as _;
use coreward_worker::{Args, Command, serve};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use crate::guest::GOOD;
use crate::process::{Worker, free_port};
use crate::world::World;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
const GUEST_THREADS: usize = 2;

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

/// Serves on in this process what another one has put in service, and gives the addresses of its two ports.
fn go_on(worker: &Worker) -> (Args, [String; 2]) {
    let address = || format!("127.0.0.1:{}", free_port());
    let ([public, health], nobody) = ([address(), address()], format!("http://{}", address()));
    let state = worker.directory.path().to_str().unwrap();
    let args = Args::parse_from([
        "coreward-worker",
        "serve",
        "--operator-url",
        &nobody,
        "--ca-file",
        "none",
        "--token-file",
        "none",
        "--state-dir",
        state,
        "--listen",
        &health,
        "--public-listen",
        &public,
        "--overlay-listen",
        &worker.overlay,
    ]);
    (args, [public, health])
}

/// Holds every thread of a runtime until the sender is dropped; returns once it does.
async fn hold(guests: &Handle) -> Vec<mpsc::Sender<()>> {
    let (held, mut all_held) = tokio::sync::mpsc::channel(GUEST_THREADS);
    let mut holders = Vec::new();
    for _ in 0..GUEST_THREADS {
        let (holder, released) = mpsc::channel::<()>();
        let held = held.clone();
        guests.spawn(async move {
            held.send(()).await.unwrap();
            let _dropped = released.recv();
        });
        holders.push(holder);
    }
    for _ in 0..GUEST_THREADS {
        all_held.recv().await.unwrap();
    }
    holders
}

async fn story(mut worker: Worker, guests: &Handle) {
    let (args, [public, health]) = go_on(&worker);
    worker.process.kill().await.unwrap();
    (worker.public, worker.health) = (format!("http://{public}"), format!("http://{health}"));
    let Command::Serve(args) = args.command else { panic!("it is to serve") };
    let asking = async {
        worker.is_ready().await;
        let holders = hold(guests).await;
        assert_eq!(worker.get("/").await, 504, "whoever asks is told in time");
        assert_eq!((worker.page("/livez").await.0, worker.page("/readyz").await.0), (200, 200));
        drop(holders);
        let again = async { while worker.get("/").await != 200 {} };
        timeout(PATIENCE, again).await.expect("it answers again");
    };
    tokio::select! {
        ended = serve(*args, guests.clone()) => panic!("it ended: {ended:?}"),
        () = asking => {}
    }
}

#[test]
fn components_that_hold_all_their_threads_hold_up_neither_health_nor_callers() {
    let (guests, rest) = (runtime(GUEST_THREADS), runtime(1));
    rest.block_on(async {
        let world = World::new().await;
        let cid = world.publish(GOOD.build());
        let worker = world.start(world.duty(1, &cid)).await;
        worker.serves(&cid).await;
        story(worker, guests.handle()).await;
    });
    guests.shutdown_background();
}
