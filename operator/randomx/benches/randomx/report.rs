//! The table, and a line for each bar.

use std::fmt::Write as _;
use std::fs;

/// What a bar asks of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sense {
    AtLeast(f64),
    AtMost(f64),
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: &'static str,
    ratios: Vec<f64>,
    must: Sense,
    aim: Option<f64>,
}

impl Row {
    pub(crate) fn new(name: &'static str, ratios: Vec<f64>, must: Sense, aim: Option<f64>) -> Self {
        Self { name, ratios, must, aim }
    }

    fn median(&self) -> f64 {
        median(&self.ratios)
    }

    fn is_met(&self) -> bool {
        match self.must {
            Sense::AtLeast(limit) => self.median() >= limit,
            Sense::AtMost(limit) => self.median() <= limit,
        }
    }

    const fn limit(&self) -> (&'static str, f64) {
        match self.must {
            Sense::AtLeast(limit) => ("≥", limit),
            Sense::AtMost(limit) => ("≤", limit),
        }
    }

    fn bar(&self, subject: &str) -> String {
        let end = if self.is_met() { "ok" } else { "missed" };
        format!(
            "BAR {subject}_{} value={:.3} must={} {end}",
            self.name,
            self.median(),
            self.limit().1
        )
    }

    fn line(&self) -> String {
        let (sign, limit) = self.limit();
        let aim = self.aim.map_or(String::new(), |aim| format!("{sign} {aim}"));
        let all: Vec<_> = self.ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        format!(
            "| {} | {:.3} | {sign} {limit} | {aim} | {} |",
            self.name.replace('_', " "),
            self.median(),
            all.join(", ")
        )
    }
}

/// The middle one.
pub(crate) fn median(ratios: &[f64]) -> f64 {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What is measured, in the words of its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    /// Begins the name of each bar.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What a person types to measure it again.
    pub(crate) command: &'static str,
    pub(crate) explanation: &'static str,
}

/// All comparisons of a run.
#[derive(Debug)]
pub(crate) struct Report {
    subject: Subject,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) const fn of(subject: Subject) -> Self {
        Self { subject, rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Row) {
        println!("{}", row.bar(self.subject.name));
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: String) {
        println!("{note}");
        self.notes.push(note);
    }

    /// Writes the table beside the code.
    pub(crate) fn end(&self) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/BENCH.md");
        if let Err(error) = fs::write(file, self.text()) {
            eprintln!("write {file}: {error}");
        }
    }

    fn text(&self) -> String {
        let Subject { title, command, explanation, .. } = self.subject;
        let mut text =
            format!("# {title}\n\nWritten by `{command}`. {}\n\n{explanation}\n\n", machine());
        text.push_str(
            "| figure | median | must | aim | turns |\n| --- | --- | --- | --- | --- |\n",
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text.push_str("\n```\n");
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.bar(self.subject.name));
        }
        text.push_str("```\n");
        text
    }
}

/// The machine and the day.
fn machine() -> String {
    let value = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let today = std::process::Command::new("date")
        .arg("-I")
        .output()
        .map(|out| out.stdout)
        .unwrap_or_default();
    format!(
        "{cpus} CPUs of {}, {} of memory, {}; load average at the end {}.",
        value("/proc/cpuinfo", "model name"),
        value("/proc/meminfo", "MemTotal"),
        String::from_utf8_lossy(&today).trim(),
        load_average()
    )
}

/// The kernel's three averages: a busy machine makes other figures.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(", ")
}
