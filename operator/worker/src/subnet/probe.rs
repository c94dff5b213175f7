//! Whether the other members answer: each is asked in turn, at a bounded rate.

use core::time::Duration;
use std::collections::BTreeMap;

use alloy_primitives::B256;
use coreward_wire::{Member, SubnetReport, WorkerDuty};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::orders::{self, Orders};

/// From the start of one probe to the next: 20 members a second, however often the list changes.
const SPACING: Duration = Duration::from_millis(50);
/// Probes under way.
const PROBES: usize = 16;
/// From one round over all members to the next when all answered.
const CALM: Duration = Duration::from_secs(30);
/// The same while one does not answer; grows to `CALM`.
const UNEASY: Duration = Duration::from_secs(1);

/// Asks one member for a sign of life.
pub(crate) trait Probe {
    /// Whether it gave one.
    fn probe(&self, member: &Member) -> impl Future<Output = bool> + Send;
}

impl Probe for coreward_overlay::Client {
    async fn probe(&self, member: &Member) -> bool {
        let answered = self.probe(member.offchain_worker_id.0).await;
        if let Err(error) = &answered {
            let id = orders::decimal(member.onchain_worker_id);
            tracing::info!(member.id = %id, %error, "a member of the subnet does not answer");
        }
        answered.is_ok()
    }
}

/// What each key answered last.
type Seen = BTreeMap<B256, bool>;

/// Probes the other members, round after round: at once where the list has changed, those first that were never asked.
pub(crate) async fn run(
    mut applied: Orders,
    prober: impl Probe,
    reports: watch::Sender<SubnetReport>,
    stop: CancellationToken,
) {
    let probing = async {
        let (mut pace, mut pause, mut seen) = (pace(), UNEASY, Seen::new());
        loop {
            let duty = applied.borrow_and_update().clone();
            let others = others(&duty, &mut seen);
            let round = round(others, &prober, &mut pace);
            let is_whole = tokio::select! {
                () = learn(round, &mut seen) => true,
                changed = changed(&mut applied, &duty) => match changed {
                    Ok(()) => false,
                    Err(_) => return,
                },
            };
            let report = report(&duty, &seen);
            let is_well = report.unreachable.is_empty();
            reports.send_if_modified(|last| replace(last, report));
            if !is_whole {
                pause = UNEASY;
                continue;
            }
            pause = if is_well { CALM } else { (pause * 2).min(CALM) };
            tokio::select! {
                () = sleep(pause) => {}
                changed = changed(&mut applied, &duty) => match changed {
                    Ok(()) => pause = UNEASY,
                    Err(_) => return,
                }
            }
        }
    };
    stop.run_until_cancelled(probing).await;
}

fn pace() -> Interval {
    let mut pace = interval(SPACING);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

async fn changed(applied: &mut Orders, duty: &WorkerDuty) -> Result<(), watch::error::RecvError> {
    let differs =
        applied.wait_for(|now| now.members != duty.members || now.gateways != duty.gateways);
    differs.await.map(drop)
}

/// The members to ask, and no others in `seen`.
fn others(duty: &WorkerDuty, seen: &mut Seen) -> Vec<Member> {
    let own = orders::own_key(duty);
    let others = duty.members.iter().filter(|member| member.offchain_worker_id.0 != own);
    let mut others: Vec<_> = others.cloned().collect();
    seen.retain(|key, _| others.iter().any(|member| member.offchain_worker_id == *key));
    others.sort_by_key(|member| seen.contains_key(&member.offchain_worker_id));
    others
}

fn round<'run, P: Probe>(
    others: Vec<Member>,
    prober: &'run P,
    pace: &'run mut Interval,
) -> impl Stream<Item = (B256, bool)> + use<'run, P> {
    let paced = stream::unfold((others.into_iter(), pace), async move |(mut others, pace)| {
        let member = others.next()?;
        pace.tick().await;
        Some((ask(prober, member), (others, pace)))
    });
    paced.buffer_unordered(PROBES)
}

async fn ask(prober: &impl Probe, member: Member) -> (B256, bool) {
    (member.offchain_worker_id, prober.probe(&member).await)
}

async fn learn(round: impl Stream<Item = (B256, bool)>, seen: &mut Seen) {
    let mut round = core::pin::pin!(round);
    while let Some((key, answered)) = round.next().await {
        seen.insert(key, answered);
    }
}

/// What was seen of the listed members; one that was not asked yet is in neither part.
fn report(duty: &WorkerDuty, seen: &Seen) -> SubnetReport {
    let of = |wanted: bool| {
        let members = duty
            .members
            .iter()
            .filter(|member| seen.get(&member.offchain_worker_id) == Some(&wanted));
        let mut ids: Vec<_> = members.map(|member| member.onchain_worker_id).collect();
        ids.sort_unstable();
        ids
    };
    SubnetReport { members_block: duty.members_block, reachable: of(true), unreachable: of(false) }
}

/// Replaces a report; false if it says the same of the same members, so that a quiet subnet makes no noise.
fn replace(last: &mut SubnetReport, report: SubnetReport) -> bool {
    let news = *last != report;
    *last = report;
    news
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use alloy_primitives::Address;
    use coreward_wire::{ArtifactOrder, Egress, Gateways, RequestLimits, SecretSeed, WorkerLimits};
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    /// Members with an even number answer at once, the others after a while that they are down.
    #[derive(Clone, Default)]
    struct Subnet {
        under_way: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        asked: Arc<AtomicUsize>,
    }

    impl Probe for Subnet {
        async fn probe(&self, member: &Member) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(under_way, Ordering::Relaxed);
            let answers = member.offchain_worker_id.0[31].is_multiple_of(2);
            if !answers {
                sleep(Duration::from_secs(10)).await;
            }
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            answers
        }
    }

    fn id(number: u16) -> B256 {
        B256::left_padding_from(&number.to_be_bytes())
    }

    fn duty(block: u64, members: impl Iterator<Item = u16>) -> Arc<WorkerDuty> {
        let member = |number| Member {
            onchain_worker_id: id(number),
            offchain_worker_id: id(number),
            addresses: Vec::new(),
        };
        Arc::new(WorkerDuty {
            deal: Address::ZERO,
            onchain_worker_id: B256::ZERO,
            key_seed: SecretSeed(B256::repeat_byte(1)),
            artifact: ArtifactOrder { cid: String::new(), max_bytes: 1, from: String::new() },
            limits: WorkerLimits {
                memory_mib: 1,
                request_milliseconds: 1,
                connections: 1,
                storage_mib: 0,
                request: RequestLimits::default(),
                reuse_instances: false,
            },
            egress: Egress::None,
            members: members.map(member).collect(),
            members_block: block,
            gateways: Gateways::default(),
        })
    }

    struct Run {
        subnet: Subnet,
        orders: watch::Sender<Arc<WorkerDuty>>,
        reports: watch::Receiver<SubnetReport>,
        _tasks: JoinSet<()>,
    }

    fn start(first: Arc<WorkerDuty>) -> Run {
        let (orders, applied) = watch::channel(first);
        let (sender, reports) = watch::channel(SubnetReport::default());
        let (subnet, mut tasks) = (Subnet::default(), JoinSet::new());
        tasks.spawn(run(applied, subnet.clone(), sender, CancellationToken::new()));
        Run { subnet, orders, reports, _tasks: tasks }
    }

    async fn report_of(run: &mut Run, block: u64) -> SubnetReport {
        run.reports.wait_for(|report| report.members_block == block).await.unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn each_member_is_asked_once_a_round_at_the_rate() {
        let mut run = start(duty(1, (2..202).filter(|number| number % 2 == 0)));
        let began = Instant::now();
        let report = report_of(&mut run, 1).await;
        assert_eq!(report.reachable.len(), 100);
        assert_eq!(run.subnet.asked.load(Ordering::Relaxed), 100);
        assert!(began.elapsed() >= SPACING * 99, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn members_that_hang_are_told_and_no_more_than_a_few_are_waited_for() {
        let mut run = start(duty(1, 1..101));
        let report = report_of(&mut run, 1).await;
        assert_eq!((report.reachable.len(), report.unreachable.len()), (50, 50));
        assert!(report.unreachable.iter().all(|id| id.0[31] % 2 == 1));
        assert_eq!(run.subnet.most.load(Ordering::Relaxed), PROBES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_changes_all_the_time_is_probed_to_its_end_at_the_same_rate() {
        let members = || (2..402).filter(|number| number % 2 == 0);
        let mut run = start(duty(1, members()));
        let began = Instant::now();
        for block in 2..40 {
            sleep(Duration::from_millis(500)).await;
            // One member comes and goes.
            let list: Vec<_> = members().chain((block % 2 == 0).then_some(1000)).collect();
            run.orders.send_replace(duty(block, list.into_iter()));
        }
        let report = report_of(&mut run, 39).await;
        assert_eq!(report.reachable.len(), 200);
        let asked = u32::try_from(run.subnet.asked.load(Ordering::Relaxed)).unwrap();
        assert!(SPACING * (asked - 1) <= began.elapsed(), "{asked} in {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_went_is_forgotten() {
        let mut run = start(duty(1, 2..4));
        assert_eq!(report_of(&mut run, 1).await.unreachable, [id(3)]);
        run.orders.send_replace(duty(2, 2..3));
        let report = report_of(&mut run, 2).await;
        assert_eq!((report.reachable, report.unreachable), (vec![id(2)], vec![]));
    }
}
