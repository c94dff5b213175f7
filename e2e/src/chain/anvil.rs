//! The Anvil process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use super::{
    error::{Error, Result},
    node::Node,
};

/// Anvil answers some 130 ms after its start; a loaded machine may take longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_INTERVAL: Duration = Duration::from_millis(25);
/// FLT per development account; the deployment alone gives 10,000 and more to the diamond.
const BALANCE: &str = "1000000";
/// Blocks whose states can still be asked for, beyond the last 500: five hours' at one a second. By itself it keeps 3,600, and who
/// computes an hour's proofs again finds the first of them gone.
const KEPT_STATES: &str = "20000";

/// How to start Anvil.
#[derive(Debug, Clone)]
pub struct AnvilConfig {
    /// The program.
    pub program: PathBuf,
    /// A command in front of it, such as one that enters a network namespace; may be empty.
    pub prefix: Vec<String>,
    /// Where it listens; port 0 takes a free one (loopback of this namespace only).
    pub listen: SocketAddr,
    /// The timestamp of the first block, seconds; without it the machine's clock.
    pub first_timestamp: Option<u64>,
    /// The URL under which we reach it, where that is not simply `listen`.
    pub reached_at: Option<String>,
    /// Where its output goes; without it nowhere.
    pub log: Option<PathBuf>,
    /// Where the states of older blocks go, gigabytes in a long run; without it a folder of Anvil's own choice, which it
    /// leaves behind when it is killed.
    pub states: Option<PathBuf>,
    /// Whether it goes on when we end; someone must then end it by its process id.
    pub outlives_us: bool,
}

impl AnvilConfig {
    /// On a free loopback port, a block per transaction: for tests without a cluster.
    #[must_use]
    pub fn loopback(program: PathBuf) -> Self {
        Self {
            program,
            prefix: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            first_timestamp: None,
            reached_at: None,
            log: None,
            states: None,
            outlives_us: false,
        }
    }
}

/// A running Anvil; ended when dropped, unless its configuration says that it outlives us.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    node: Node,
}

impl Anvil {
    /// Starts Anvil and waits until it answers. Blocks come with transactions until [`Anvil::mine_by_interval`].
    ///
    /// # Errors
    /// [`Error::Machine`] where it cannot be started, [`Error::Late`] where it does not answer.
    pub async fn start(config: &AnvilConfig) -> Result<Self> {
        let listen = free_port(config.listen)?;
        let mut words = config.prefix.iter();
        let mut command = words.next().map_or_else(
            || Command::new(&config.program),
            |first| {
                let mut command = Command::new(first);
                command.args(words).arg(&config.program);
                command
            },
        );
        command.args(["--silent", "--auto-impersonate", "--balance", BALANCE]);
        command.args(["--max-persisted-states", KEPT_STATES, "--host"]);
        command.arg(listen.ip().to_string()).arg("--port").arg(listen.port().to_string());
        if let Some(timestamp) = config.first_timestamp {
            command.arg("--timestamp").arg(timestamp.to_string());
        }
        if let Some(states) = &config.states {
            command.arg("--cache-path").arg(states);
        }
        let (output, errors) = streams(config.log.as_deref())?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // A group of its own: an interrupt typed at our terminal must not end a chain that is to stay.
        command.process_group(0).kill_on_drop(!config.outlives_us);
        let child = command.spawn().map_err(Error::machine("start", &config.program))?;
        let url = config.reached_at.clone().unwrap_or_else(|| format!("http://{listen}"));
        let anvil = Self { child, node: Node::at(&url)? };
        anvil.wait_until_it_answers().await?;
        Ok(anvil)
    }

    async fn wait_until_it_answers(&self) -> Result<()> {
        for _ in 0..ANSWERS_WITHIN.as_millis() / ANSWER_INTERVAL.as_millis() {
            if self.node.head().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(ANSWER_INTERVAL).await;
        }
        Err(Error::Late {
            what: format!("an answer from Anvil at {}", self.node.url()),
            limit: ANSWERS_WITHIN,
        })
    }

    /// From now on a block every `seconds`, as real chains do; the driver's own transactions still get one at once.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn mine_by_interval(&self, seconds: u64) -> Result<()> {
        let what = "set the interval of blocks";
        self.node
            .request::<_, serde_json::Value>("evm_setIntervalMining", (seconds,), what)
            .await
            .map(drop)
    }

    /// The connection to it.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Its process id while it runs; with a prefix that does not `exec`, the prefix's.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// [`Error::Machine`].
    pub async fn ended(&mut self) -> Result<()> {
        self.child.wait().await.map(drop).map_err(Error::machine("wait for", "anvil"))
    }
}

fn free_port(listen: SocketAddr) -> Result<SocketAddr> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    std::net::TcpListener::bind(listen)
        .and_then(|listener| listener.local_addr())
        .map_err(Error::machine("find a free port at", listen.to_string()))
}

fn streams(log: Option<&Path>) -> Result<(Stdio, Stdio)> {
    let Some(path) = log else { return Ok((Stdio::null(), Stdio::null())) };
    let file = std::fs::File::create(path).map_err(Error::machine("create", path))?;
    let copy = file.try_clone().map_err(Error::machine("open twice", path))?;
    Ok((file.into(), copy.into()))
}
