//! Log format, metrics page, health and shutdown: the same in all binaries.
//!
//! A binary calls [`log_to_stdout`] first, makes one [`Metrics`], one [`Health`] and one [`Shutdown`], hands their
//! handles to its tasks, and serves [`router`] on its `--listen` address.

mod cause;
mod health;
mod listener;
mod log;
mod metrics;
mod page;
mod shutdown;

pub use cause::{Causes, causes};
pub use health::{Health, Liveness, Readiness};
pub use listener::{Limits, ServeError, accept, serve};
pub use log::{LogError, log_to_stderr, log_to_stdout};
pub use metrics::{Metrics, PREFIX};
pub use page::{health_pages, metrics_page, router};
pub use shutdown::{Drained, Shutdown, SignalError};
