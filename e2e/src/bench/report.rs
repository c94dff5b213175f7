//! The figures as a table, and each target as one line.

use std::{
    fmt::{self, Write as _},
    fs,
    time::Duration,
};

use crate::story::today;

use super::{
    scale::{Scale, mebibytes},
    watch::{Return, Steps},
};

/// One match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// From the match to the first answer.
    pub serving: Steps,
    /// From the deal's end to the unit hashing again.
    pub hashing: Return,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Steps { prover_stopping, pod_created, container_running, ready, answered, .. } =
            self.serving;
        write!(
            f,
            "stopping {} ms, pod {} ms, running {} ms, ready {} ms, answered {} ms, outside {} ms; \
             back {} ms",
            prover_stopping.as_millis(),
            pod_created.as_millis(),
            container_running.as_millis(),
            ready.as_millis(),
            answered.as_millis(),
            self.serving.answered_outside.as_millis(),
            self.hashing.hashing.as_millis()
        )
    }
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// From `helm install` to two units that hash.
    pub install_to_proving: Duration,
    /// Resident memory of the larger replica with two units, MiB.
    pub operator_memory_mib: u64,
    /// The same after all matches.
    pub operator_memory_after_mib: u64,
    /// The matches that count.
    pub matches: Vec<Measured>,
    /// What a unit costs the operator.
    pub scale: Scale,
}

/// MiB of the operator's memory per 1,000 units that must not be passed.
const MEMORY_LIMIT: f64 = 36.0;

/// A target of the project: its name, the share of the runs that it is about in percent, and the limit.
const BARS: [(&str, usize, u128); 6] = [
    ("match_to_answer_p50_ms", 50, 4_000),
    ("match_to_answer_p99_ms", 99, 10_000),
    ("match_to_outside_p50_ms", 50, 4_000),
    ("match_to_outside_p99_ms", 99, 10_000),
    ("end_to_hashing_p50_ms", 50, 4_000),
    ("end_to_hashing_p99_ms", 99, 10_000),
];

impl Figures {
    /// The whole report in Markdown.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = format!(
            "# How fast the loop is, and what a unit costs\n\nWritten by `make bench`. {}\n\n{} matches one after the other, image and artifact \
             cached; times in milliseconds since the block that holds the match (or the deal's end) was mined.\n\n\
             | step | median | p99 | largest |\n| --- | --- | --- | --- |\n",
            machine(),
            self.matches.len(),
        );
        for (name, times) in self.columns() {
            let [median, high, most] = [50, 99, 100].map(|share| percentile(&times, share));
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "| {name} | {median} | {high} | {most} |");
        }
        let _ = write!(
            text,
            "\n| other figures | |\n| --- | --- |\n| `helm install`, image check included, to both units hashing | {:.1} s |\n\
             | resident memory of an operator replica, 2 units | {} MiB |\n\
             | the same after all matches | {} MiB |\n\n",
            self.install_to_proving.as_secs_f32(),
            self.operator_memory_mib,
            self.operator_memory_after_mib,
        );
        text += &self.scale_table();
        text += "\n```\n";
        for (name, share, limit) in BARS {
            let times = if name.starts_with("match_to_answer") {
                self.answers()
            } else if name.starts_with("match_to_outside") {
                self.outside()
            } else {
                self.returns()
            };
            let value = percentile(&times, share);
            let end = if value <= limit { "ok" } else { "missed" };
            let _ = writeln!(text, "BAR {name} value={value} must={limit} {end}");
        }
        text + &self.scale_bar() + "```\n"
    }

    /// What a unit costs the operator, alone.
    #[must_use]
    pub fn scale_report(&self) -> String {
        self.scale_table() + "\n" + &self.scale_bar()
    }

    fn scale_table(&self) -> String {
        let Scale { few, many, offer_to_proofs } = self.scale;
        format!(
            "The leading replica at rest with the bed's {} units, and with {} more on nodes that KWOK plays: the API server, \
             the contracts and the operator are real, reports and proofs of the {} are played.\n\n\
             | the leader | {} units | {} units | |\n| --- | --- | --- | --- |\n\
             | resident memory | {:.1} MiB | {:.1} MiB | {:.1} KiB a unit |\n\
             | requests to the chain per block | {:.2} | {:.2} | |\n\
             | applied offer to each new unit's minimum on chain | | {:.0} s | |\n",
            few.units,
            many.units.saturating_sub(few.units),
            many.units.saturating_sub(few.units),
            few.units,
            many.units,
            mebibytes(few.memory_kib),
            mebibytes(many.memory_kib),
            self.scale.kib_per_unit(),
            few.requests_per_block,
            many.requests_per_block,
            offer_to_proofs.as_secs_f32(),
        )
    }

    fn scale_bar(&self) -> String {
        let value = self.scale.mib_per_thousand();
        let end = if value <= MEMORY_LIMIT { "ok" } else { "missed" };
        format!(
            "BAR operator_memory_per_1000_units_mib value={value:.1} must={MEMORY_LIMIT:.0} {end}\n"
        )
    }

    fn answers(&self) -> Vec<u128> {
        self.matches.iter().map(|it| it.serving.answered.as_millis()).collect()
    }

    fn outside(&self) -> Vec<u128> {
        self.matches.iter().map(|it| it.serving.answered_outside.as_millis()).collect()
    }

    fn returns(&self) -> Vec<u128> {
        self.matches.iter().map(|it| it.hashing.hashing.as_millis()).collect()
    }

    fn columns(&self) -> Vec<(&'static str, Vec<u128>)> {
        let column = |step: fn(&Steps) -> Duration| {
            self.matches.iter().map(|it| step(&it.serving).as_millis()).collect()
        };
        let back = |step: fn(&Return) -> Duration| {
            self.matches.iter().map(|it| step(&it.hashing).as_millis()).collect()
        };
        vec![
            ("match → prover told to stop", column(|it| it.prover_stopping)),
            ("match → worker pod created", column(|it| it.pod_created)),
            ("match → its container runs", column(|it| it.container_running)),
            ("match → it is Ready", column(|it| it.ready)),
            ("**match → first answer of the worker**", self.answers()),
            ("match → first answer from outside the cluster", self.outside()),
            ("deal's end → worker told to stop", back(|it| it.worker_stopping)),
            ("deal's end → prover pod created", back(|it| it.pod_created)),
            ("deal's end → its container runs", back(|it| it.container_running)),
            ("**deal's end → unit hashing again**", self.returns()),
        ]
    }
}

/// The smallest value that `share` percent of all do not exceed; 0 of nothing.
fn percentile(values: &[u128], share: usize) -> u128 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * share).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

/// The machine and the day.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(field);
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find(|line| line.starts_with("MemTotal")).and_then(field);
    format!(
        "{count} CPUs of {}, {} of memory, {}.",
        model.unwrap_or_else(|| "an unnamed model".to_owned()),
        memory.unwrap_or_else(|| "an unknown amount".to_owned()),
        today(),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::scale::Reading, *};

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<u128> = (1..=20).rev().collect();
        assert_eq!([50, 99, 100].map(|share| percentile(&values, share)), [10, 20, 20]);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn a_target_says_whether_it_was_met() {
        let slow = Measured {
            serving: Steps { answered: Duration::from_secs(5), ..Steps::default() },
            hashing: Return { hashing: Duration::from_secs(1), ..Return::default() },
        };
        let report = Figures { matches: vec![slow], ..Figures::default() }.report();
        assert!(report.contains("BAR match_to_answer_p50_ms value=5000 must=4000 missed"));
        assert!(report.contains("BAR end_to_hashing_p50_ms value=1000 must=4000 ok"));
    }

    #[test]
    fn memory_is_judged_by_its_slope() {
        let reading = |units, memory_kib| Reading { units, memory_kib, requests_per_block: 2.5 };
        let scale =
            Scale { few: reading(2, 51_200), many: reading(202, 59_392), ..Scale::default() };
        let report = Figures { scale, ..Figures::default() }.report();
        assert!(
            report.contains("| resident memory | 50.0 MiB | 58.0 MiB | 41.0 KiB a unit |"),
            "{report}"
        );
        assert!(
            report.contains("BAR operator_memory_per_1000_units_mib value=40.0 must=36 missed")
        );
    }
}
