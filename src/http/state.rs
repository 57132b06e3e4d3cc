//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use super::livekit::door::LiveKitDoor;
use super::operation::readyz::Readiness;
use super::policies::Policies;
use super::texts::Texts;
use crate::access::{Access, Limits, Strangers};
use crate::alert::Alerts;
use crate::breaker::Breakers;
use crate::dispatch::Dispatches;
use crate::error_report::{ErrorReports, Reporter};
use crate::lifecycle::Shutdown;
use crate::lock::Locks;
use crate::name::Name;
use crate::pool::Pools;
use crate::telemetry::Metrics;

/// The state of the handlers.
pub type App = Arc<AppState>;

/// Everything that the handlers of one replica need.
#[derive(Debug)]
pub struct AppState {
    /// The domain.
    pub dispatches: Dispatches,
    /// Locks for whoever calls.
    pub locks: Locks,
    /// Workers kept warm.
    pub pools: Pools,
    /// Failures, ours and those that others report, in their groups.
    pub errors: ErrorReports,
    /// Where our own failures are told.
    pub reporter: Reporter,
    /// What somebody should know of.
    pub alerts: Alerts,
    /// The words that callers and end users read.
    pub texts: Texts,
    /// Breakers, greenroom's own and those of callers.
    pub breakers: Breakers,
    /// Who may call the guarded routes.
    pub access: Access,
    /// How many calls they may make.
    pub limits: Limits,
    /// How many wrong keys an address may show.
    pub strangers: Strangers,
    /// What workers and clients go by.
    pub policies: Policies,
    /// The replica's metrics.
    pub metrics: Arc<Metrics>,
    /// What must hold for the replica to be ready.
    pub readiness: Readiness,
    /// Whether the replica is on its way out.
    pub shutdown: Shutdown,
    /// Webhooks and tokens of LiveKit; none where LiveKit is not configured.
    pub livekit: Option<LiveKitDoor>,
    /// The settings of the HTTP layer.
    pub settings: HttpSettings,
}

/// Settings of the HTTP layer.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The agent where a caller names none.
    pub default_agent: Name,
    /// The agents that a page with a LiveKit token may ask for besides the default one.
    pub page_agents: Vec<Name>,
    /// How long the browser's contract waits for a creation: all that a creation may take.
    pub creation_budget: Duration,
    /// How long `/v1` waits for a creation before it answers 202.
    pub page_patience: Duration,
    /// How long any other request may take; those that wait may take it on top of their wait.
    pub request_timeout: Duration,
    /// The largest body that is read.
    pub body_bytes_max: usize,
    /// The other origins whose pages may call; `*` is all.
    pub cors_origins: Vec<String>,
    /// How many proxies stand in front, whose word on the caller's address is taken.
    pub trusted_proxies: usize,
}

impl HttpSettings {
    /// The defaults, with this agent.
    pub fn new(default_agent: Name) -> Self {
        Self {
            default_agent,
            page_agents: Vec::new(),
            creation_budget: Duration::from_secs(20),
            page_patience: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            body_bytes_max: 256 * 1024,
            cors_origins: Vec::new(),
            trusted_proxies: 0,
        }
    }

    /// How long a request may take that waits for the provider: above every patience.
    pub(super) fn patient_timeout(&self) -> Duration {
        self.creation_budget.max(self.page_patience) + self.request_timeout
    }
}
