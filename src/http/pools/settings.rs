//! The settings of a pool on the wire, with their bounds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schedule::{self, WindowView};
use crate::http::fields::{Count, ResetModeName, VersionName};
use crate::http::problem::{Code, Problem};
use crate::name::Name;
use crate::pool::{Numbers, PoolSettings};

/// How a pool is to be. What is left out is as greenroom ships it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PoolSettings, example = json!({"spare": 2, "max": 10}))]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct SettingsView {
    /// How many ready workers wait for sessions.
    #[schema(value_type = u32, minimum = 0, maximum = 1_000, default = 2)]
    spare: Count,
    /// The fewest workers there are; never more than `max`.
    #[schema(value_type = u32, minimum = 0, maximum = 10_000, default = 0)]
    min: Count,
    /// The most workers there are.
    #[schema(value_type = u32, minimum = 0, maximum = 10_000, default = 10)]
    max: Count,
    /// How many sessions may wait in line.
    #[schema(value_type = u32, minimum = 0, maximum = 100_000, default = 1_000)]
    queue_max: Count,
    /// How long a lease lasts without renewal, where the caller does not say, in milliseconds.
    #[schema(value_type = u32, minimum = 1_000, maximum = 86_400_000, default = 60_000)]
    lease_ms: Count,
    /// How long a worker may take to take a session, in milliseconds.
    #[schema(value_type = u32, minimum = 50, maximum = 60_000, default = 2_000)]
    assign_ms: Count,
    /// How long a worker may take to start, in milliseconds.
    #[schema(value_type = u32, minimum = 500, maximum = 3_600_000, default = 60_000)]
    start_ms: Count,
    /// How long a reset may take, in milliseconds.
    #[schema(value_type = u32, minimum = 50, maximum = 600_000, default = 5_000)]
    reset_ms: Count,
    /// How long a worker may take to stop, in milliseconds.
    #[schema(value_type = u32, minimum = 1_000, maximum = 3_600_000, default = 30_000)]
    stop_ms: Count,
    /// How many workers may start at once.
    #[schema(value_type = u32, minimum = 1, maximum = 1_000, default = 4)]
    starts_max: Count,
    /// After so many sessions a worker is replaced.
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000, default = 10)]
    sessions_max: Count,
    /// After so long a worker is replaced, a tenth sooner or less, so that not all go at once; in milliseconds.
    #[schema(value_type = u32, minimum = 1_000, maximum = 1_209_600_000, default = 3_600_000)]
    age_ms: Count,
    /// So many failed checks of its health in a row remove a worker.
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 3)]
    failures_max: Count,
    /// So often may a worker degrade and recover within `flap_ms`: then it is replaced. 0: as often as it does.
    #[schema(value_type = u32, minimum = 0, maximum = 20, default = 3)]
    flaps_max: Count,
    /// Within which time a worker that recovers again and again is replaced, in milliseconds.
    #[schema(value_type = u32, minimum = 1_000, maximum = 86_400_000, default = 600_000)]
    flap_ms: Count,
    /// Of the workers so many, in percent, may be on their way in or out where others that still live are replaced: those
    /// that fail their checks, are old, or of an older version. One at least.
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 34)]
    replaced_percent_max: Count,
    /// A worker whose processes have more memory, in MB of 1,048,576 bytes, is replaced after its session. 0: none is.
    #[schema(value_type = u32, minimum = 0, maximum = 1_000_000, default = 500)]
    memory_warning_mb: Count,
    /// How often a worker's health is checked, in milliseconds.
    #[schema(value_type = u32, minimum = 100, maximum = 3_600_000, default = 30_000)]
    health_ms: Count,
    /// How long a session's worker is remembered after its end, in milliseconds.
    #[schema(value_type = u32, minimum = 0, maximum = 86_400_000, default = 300_000)]
    affinity_ms: Count,
    /// For so long after it grew a pool does not shrink, in milliseconds.
    #[schema(value_type = u32, minimum = 0, maximum = 3_600_000, default = 60_000)]
    cool_down_ms: Count,
    /// After so long without a session there are no workers at all, in milliseconds; 0: there always are.
    #[schema(value_type = u32, minimum = 0, maximum = 1_209_600_000, default = 0)]
    zero_ms: Count,
    /// How many keyed sessions there are at most; never more than `max`.
    #[schema(value_type = u32, minimum = 0, maximum = 10_000, default = 3)]
    keyed_max: Count,
    /// How long a keyed session that nobody uses keeps its worker, in milliseconds.
    #[schema(value_type = u32, minimum = 1_000, maximum = 86_400_000, default = 600_000)]
    keyed_idle_ms: Count,
    /// What happens to a worker between two sessions.
    #[schema(default = "soft")]
    reset_mode: ResetModeName,
    /// Whether a lease is given only once its worker has taken the session.
    #[schema(default = true)]
    confirm: bool,
    /// Whether workers are started for the sessions that the last arrivals let expect.
    #[schema(default = true)]
    foresee: bool,
    /// Which version of the worker the pool is of: when it changes, the workers are replaced.
    #[schema(default = "1")]
    version: VersionName,
    /// Whether the pool gives no more leases, and its spare workers go.
    #[schema(default = false)]
    draining: bool,
    /// Windows of the week in which it has at least so many workers; the most of all that hold counts.
    #[schema(max_items = 16)]
    schedule: Vec<WindowView>,
}

impl Default for SettingsView {
    fn default() -> Self {
        PoolSettings::default().into()
    }
}

impl From<PoolSettings> for SettingsView {
    fn from(settings: PoolSettings) -> Self {
        let n = settings.numbers;
        Self {
            spare: Count(n.spare),
            min: Count(n.min),
            max: Count(n.max),
            queue_max: Count(n.queue_max),
            lease_ms: Count(n.lease_ms),
            assign_ms: Count(n.assign_ms),
            start_ms: Count(n.start_ms),
            reset_ms: Count(n.reset_ms),
            stop_ms: Count(n.stop_ms),
            starts_max: Count(n.starts_max),
            sessions_max: Count(n.sessions_max),
            age_ms: Count(n.age_ms),
            failures_max: Count(n.failures_max),
            flaps_max: Count(n.flaps_max),
            flap_ms: Count(n.flap_ms),
            replaced_percent_max: Count(n.replaced_percent_max),
            memory_warning_mb: Count(n.memory_warning_mb),
            health_ms: Count(n.health_ms),
            affinity_ms: Count(n.affinity_ms),
            cool_down_ms: Count(n.cool_down_ms),
            zero_ms: Count(n.zero_ms),
            keyed_max: Count(n.keyed_max),
            keyed_idle_ms: Count(n.keyed_idle_ms),
            reset_mode: ResetModeName(settings.reset_mode),
            confirm: settings.confirm,
            foresee: settings.foresee,
            version: VersionName(Name::strict(settings.version).unwrap_or_else(|_| Name::of_code("1"))),
            draining: settings.draining,
            schedule: schedule::view(settings.schedule),
        }
    }
}

impl TryFrom<SettingsView> for PoolSettings {
    type Error = Problem;

    fn try_from(view: SettingsView) -> Result<Self, Problem> {
        let mut numbers = Numbers {
            spare: view.spare.0,
            min: view.min.0,
            max: view.max.0,
            queue_max: view.queue_max.0,
            lease_ms: view.lease_ms.0,
            assign_ms: view.assign_ms.0,
            start_ms: view.start_ms.0,
            reset_ms: view.reset_ms.0,
            stop_ms: view.stop_ms.0,
            starts_max: view.starts_max.0,
            sessions_max: view.sessions_max.0,
            age_ms: view.age_ms.0,
            failures_max: view.failures_max.0,
            flaps_max: view.flaps_max.0,
            flap_ms: view.flap_ms.0,
            replaced_percent_max: view.replaced_percent_max.0,
            memory_warning_mb: view.memory_warning_mb.0,
            health_ms: view.health_ms.0,
            affinity_ms: view.affinity_ms.0,
            cool_down_ms: view.cool_down_ms.0,
            zero_ms: view.zero_ms.0,
            keyed_max: view.keyed_max.0,
            keyed_idle_ms: view.keyed_idle_ms.0,
        };
        for (name, value, least, most) in numbers.named() {
            if !(least..=most).contains(value) {
                return Err(Problem::new(Code::InvalidRequest, format!("{name} must be {least} to {most}")));
            }
        }
        Ok(Self {
            numbers,
            reset_mode: view.reset_mode.0,
            confirm: view.confirm,
            foresee: view.foresee,
            version: view.version.0.as_str().to_owned(),
            draining: view.draining,
            schedule: schedule::read(view.schedule)?,
        })
    }
}
