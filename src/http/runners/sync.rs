//! `POST /v1/runners/{runner}/sync`: a runner tells what it runs, and hears what is to become of it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::auth::By;
use crate::http::budget::Until;
use crate::http::extract::{InPath, JsonBody};
use crate::http::fields::{
    Amount, Capacity, Count, DriverName, Label, ObservedName, PoolNameText, RunnerName, SessionName, WaitSeconds,
};
use crate::http::openapi::refusals::refusals;
use crate::http::pools::pool_of;
use crate::http::problem::{Code, Problem};
use crate::http::state::App;
use crate::id::{LeaseId, WorkerId};
use crate::pool::{Action, Instruction, Observed, Runner, SessionRef, Synced};

/// The most workers that a runner tells of.
const WORKERS_MAX: usize = 200;
/// The longest address of a worker, and the longest word on why something failed.
const TEXT_CHARS_MAX: usize = 1_000;

/// What a runner has.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RunnerReport, example = json!({"pool": "py", "boot": "9f1c", "report": 1, "host": "node-1", "driver": "process", "capacity": 10,
    "workers": []}))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    pool: PoolNameText,
    /// New at each start of the runner.
    boot: Label,
    /// The number of this report: higher with each call of a start. What comes after a newer one is refused.
    #[schema(value_type = u64, maximum = 9_007_199_254_740_991_u64)]
    report: Amount,
    /// The number of a report of this start that was answered: `workers` then tells only what is new since that one.
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    since: Option<Amount>,
    host: Label,
    driver: DriverName,
    capacity: Capacity,
    /// On its way out: its spare workers are stopped, and it gets no new ones.
    #[serde(default)]
    draining: bool,
    /// How long to wait for another answer than the one that `revision` names. Less where the runner has to be heard sooner.
    #[serde(default)]
    wait_seconds: WaitSeconds,
    /// Of the last answer.
    revision: Option<Label>,
    /// Of the last answer; where the store is another by now, the answer comes at once.
    store: Option<Label>,
    /// Every worker that it has, and, once, those that are gone; with `since` only those of which there is something new.
    #[schema(max_items = 200)]
    workers: Vec<ReportedWorker>,
}

/// A worker as its runner sees it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReportedWorker {
    #[schema(value_type = WorkerId)]
    id: String,
    state: ObservedName,
    /// The last instruction that ended.
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    instruction: Option<Amount>,
    /// Whether that was done; what is not done has failed.
    #[serde(default)]
    done: bool,
    /// Why it failed.
    #[schema(max_length = 1_000)]
    detail: Option<String>,
    /// The lease that it serves.
    #[schema(value_type = Option<LeaseId>)]
    lease: Option<String>,
    /// The session that it serves.
    session: Option<SessionName>,
    /// Whether the worker says that this session is over: its lease then ends as if its holder had given it back.
    #[serde(default)]
    released: bool,
    /// Whether `session` is a key.
    #[serde(default)]
    keyed: bool,
    /// How many checks of its health failed in a row.
    #[serde(default)]
    #[schema(value_type = u32, default = 0, maximum = 4_294_967_295_u32)]
    failures: Count,
    /// The memory of its processes.
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    memory_bytes: Option<Amount>,
    #[schema(value_type = Option<u32>, maximum = 4_294_967_295_u32)]
    pid: Option<Count>,
    /// Where its session reaches it.
    #[schema(max_length = 1_000)]
    endpoint: Option<String>,
    /// How many requests its session made.
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    requests: Option<Amount>,
    /// How many of them failed.
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991_u64)]
    errors: Option<Amount>,
}

/// What is to become of the runner's workers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunnerInstructions)]
pub(in crate::http) struct Answer {
    /// Names the store: where it changes, Redis came back empty, and the runner tells anew what it has.
    store: String,
    /// Names this answer.
    revision: String,
    /// How often the runner is to be heard, in seconds.
    heartbeat_seconds: u64,
    /// How often its workers' health is to be checked, in seconds.
    health_seconds: u64,
    /// Whether `workers` has all that it has or is to have: one that is not there is to be stopped. Else it has only those of
    /// which there is something new since the answer that `revision` named.
    complete: bool,
    /// What is to become of workers.
    workers: Vec<InstructionView>,
}

/// What is to become of a worker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerInstruction)]
struct InstructionView {
    #[schema(value_type = WorkerId)]
    id: String,
    /// `run`: it is to be there; `assign`: it is to take a session; `keep`: it serves one; `reset`: it is to forget one;
    /// `stop`: it is to go.
    action: &'static str,
    /// Names the instruction in the report of its end; it grows with each.
    instruction: u64,
    /// How long that may take, in milliseconds.
    within_ms: u64,
    /// What it is to take, with `assign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignment: Option<AssignmentView>,
    /// How it is to forget, with `reset`: `soft` or `restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<&'static str>,
}

/// A session, for the worker alone.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionAssignment)]
struct AssignmentView {
    #[schema(value_type = LeaseId)]
    lease: String,
    session: String,
    /// Whether `session` is a key: told again with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    keyed: bool,
    environment: BTreeMap<String, String>,
    metadata: String,
}

/// Shows nothing of the session.
impl std::fmt::Debug for AssignmentView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssignmentView").field("lease", &self.lease).finish_non_exhaustive()
    }
}

refusals!(StaleReport, IncompleteReport, TooManyPools, StoreUnavailable);

/// Tell what a runner has
///
/// The runner's heartbeat, and the way by which it hears what to do. Both are whole, or add to what was answered before: so
/// nothing is lost with a call. A pool that is not there is made as greenroom ships it. `docs/worker-protocol.md` has the rules.
#[utoipa::path(post, path = "/v1/runners/{runner}/sync", operation_id = "syncRunner", tag = "runners",
    params(("runner" = RunnerName, Path, description = "The runner's name, its own within the pool.")),
    request_body = Request,
    responses((status = 200, description = "What is to become of its workers.", body = Answer), Refusals))]
pub(in crate::http) async fn sync(
    State(app): State<App>,
    By(caller): By,
    Until(deadline): Until,
    InPath(RunnerName(name)): InPath<RunnerName>,
    JsonBody(request): JsonBody<Request>,
) -> Result<Json<Answer>, Problem> {
    if request.workers.len() > WORKERS_MAX {
        return Err(Problem::new(Code::InvalidRequest, "workers must be 200 at most"));
    }
    let workers: Vec<Observed> = request.workers.into_iter().map(Observed::try_from).collect::<Result<_, _>>()?;
    let pool = pool_of(&caller, request.pool);
    let wait = deadline.within(Duration::from_secs(request.wait_seconds.0.into()));
    let runner = Runner {
        name,
        host: request.host.0,
        driver: request.driver.0,
        capacity: request.capacity.0,
        draining: request.draining,
        boot: request.boot.0,
        report: request.report.0,
        since: request.since.map(|number| number.0),
        workers,
    };
    let store = app.pools.store_id().await?;
    let known = request.revision.filter(|_| request.store.is_some_and(|known| known.0.as_str() == store));
    let known = known.as_ref().map(|revision| revision.0.as_str());
    let synced = app.pools.sync(&pool, &runner, known, wait).await?;
    Ok(Json(Answer::new(store, synced)))
}

impl TryFrom<ReportedWorker> for Observed {
    type Error = Problem;

    fn try_from(worker: ReportedWorker) -> Result<Self, Problem> {
        let bad = |what: &'static str| Problem::new(Code::InvalidRequest, what);
        let id: WorkerId = worker.id.parse().map_err(|_| bad("workers: id is no worker's id"))?;
        let lease = worker.lease.map(|lease| lease.parse::<LeaseId>()).transpose();
        let lease = lease.map_err(|_| bad("workers: lease is no lease's id"))?;
        let is_short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.chars().count() <= TEXT_CHARS_MAX);
        if !is_short(&worker.endpoint) || !is_short(&worker.detail) {
            return Err(bad("workers: endpoint and detail must have at most 1,000 characters"));
        }
        if let Some(detail) = worker.detail.filter(|_| !worker.done) {
            tracing::info!(worker = %id, detail, "a worker failed");
        }
        let whose = if worker.keyed { SessionRef::Keyed } else { SessionRef::Named };
        let session = worker.session.map(|session| whose(session.0));
        Ok(Self {
            id: id.to_string(),
            state: worker.state.0,
            instruction: worker.instruction.map(|number| number.0),
            done: worker.done,
            lease: lease.map(|lease| lease.to_string()),
            session: session.map(|session| session.encoded().into_owned()),
            released: worker.released,
            failures: worker.failures.0,
            memory_bytes: worker.memory_bytes.map(|number| number.0),
            pid: worker.pid.map(|pid| pid.0),
            endpoint: worker.endpoint,
            requests: worker.requests.map(|number| number.0),
            errors: worker.errors.map(|number| number.0),
        })
    }
}

impl Answer {
    fn new(store: String, synced: Synced) -> Self {
        Self {
            store,
            revision: synced.revision,
            complete: synced.complete,
            heartbeat_seconds: synced.heartbeat_ms.div_ceil(1_000),
            health_seconds: u64::from(synced.health_ms).div_ceil(1_000),
            workers: synced.instructions.into_iter().map(InstructionView::from).collect(),
        }
    }
}

impl From<Instruction> for InstructionView {
    fn from(told: Instruction) -> Self {
        let parts = (told.action == Action::Assign).then(|| told.assignment.parts());
        let assignment = parts.map(|parts| AssignmentView {
            lease: told.lease.unwrap_or_default(),
            keyed: told.session.as_ref().is_some_and(SessionRef::is_keyed),
            session: told.session.map(|session| session.name().as_str().to_owned()).unwrap_or_default(),
            environment: parts.environment,
            metadata: parts.metadata,
        });
        let reset = match told.action {
            Action::Reset => Some("soft"),
            Action::Restart => Some("restart"),
            _ => None,
        };
        Self {
            id: told.worker,
            action: told.action.as_str(),
            instruction: told.token,
            within_ms: told.within_ms,
            assignment,
            reset,
        }
    }
}
