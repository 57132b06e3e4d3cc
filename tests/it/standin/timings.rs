//! How long everything takes: the real server's durations, or shrunk ones.

use std::time::Duration;

/// Every duration of the stand-in. `Default` is what livekit-server 1.13.5 was measured at.
#[derive(Debug, Clone)]
pub(crate) struct Timings {
    /// The second in which a room's time-outs are counted, and the interval at which they are looked at.
    pub(crate) room_second: Duration,
    /// What a room without an `empty_timeout` of its own gets, in room seconds.
    pub(crate) empty_timeout_default: u32,
    /// What a room without a `departure_timeout` of its own gets, in room seconds.
    pub(crate) departure_timeout_default: u32,
    /// How long `ListDispatch` and `DeleteDispatch` wait for the servers of a room that is not there.
    pub(crate) missing_room: Duration,
    /// From a dispatch to its job being given to a worker, and listed while the names are known.
    pub(crate) job_start: Duration,
    /// How long the question for the names of all workers takes, and so a job to be listed.
    pub(crate) names_question: Duration,
    /// How long the names of workers are kept, from the question on.
    pub(crate) names_kept: Duration,
    /// From a job's start to its agent being `JOINED`.
    pub(crate) agent_join: Duration,
    /// From `JOINED` to `ACTIVE`, for everyone; only then `participant_joined` is sent.
    pub(crate) activation: Duration,
    /// From an `AgentSession` being told to end to it having left.
    pub(crate) agent_leave: Duration,
    /// How long an agent that was told to end may stay.
    pub(crate) agent_removal: Duration,
    /// How long a participant whose process is dead stays `ACTIVE`.
    pub(crate) connection_timeout: Duration,
    /// At most one refresh of `num_participants` in this time.
    pub(crate) count_refresh: Duration,
    /// Waits between the tries of a webhook.
    pub(crate) webhook_waits: [Duration; 4],
    /// A webhook older than this is dropped.
    pub(crate) webhook_age_max: Duration,
    /// With more than this many webhooks of one room waiting, further ones are dropped.
    pub(crate) webhook_depth_max: usize,
    /// How long the receiver of a webhook or a report may take.
    pub(crate) request_timeout: Duration,
    /// How often an agent reports that it lives.
    pub(crate) report_interval: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            room_second: Duration::from_secs(1),
            empty_timeout_default: 300,
            departure_timeout_default: 20,
            missing_room: Duration::from_secs(3),
            job_start: Duration::from_millis(200),
            names_question: Duration::from_secs(5),
            names_kept: Duration::from_mins(1),
            agent_join: Duration::from_millis(37),
            activation: Duration::from_millis(30),
            agent_leave: Duration::from_millis(12),
            agent_removal: Duration::from_secs(3),
            connection_timeout: Duration::from_millis(19_200),
            count_refresh: Duration::from_secs(5),
            webhook_waits: [1, 2, 4, 8].map(Duration::from_secs),
            webhook_age_max: Duration::from_secs(30),
            webhook_depth_max: 200,
            request_timeout: Duration::from_secs(30),
            report_interval: Duration::from_secs(2),
        }
    }
}

impl Timings {
    /// A twentieth of the real durations where they are long, so that a test takes less than a second.
    pub(crate) fn fast() -> Self {
        let real = Self::default();
        Self {
            room_second: real.room_second / 20,
            missing_room: real.missing_room / 20,
            job_start: real.job_start / 20,
            names_question: real.names_question / 20,
            names_kept: real.names_kept / 20,
            agent_join: real.agent_join / 5,
            activation: real.activation / 5,
            agent_leave: real.agent_leave / 4,
            agent_removal: real.agent_removal / 20,
            connection_timeout: real.connection_timeout / 24,
            count_refresh: real.count_refresh / 20,
            webhook_waits: real.webhook_waits.map(|wait| wait / 20),
            webhook_age_max: real.webhook_age_max / 20,
            report_interval: real.report_interval / 20,
            ..real
        }
    }
}
