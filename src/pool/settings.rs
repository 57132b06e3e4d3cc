//! How a pool is to be, with the defaults that greenroom ships.

use std::fmt;

use super::Schedule;

/// The settings of a pool that are numbers, each with its bounds.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $default:literal, $least:literal..=$most:literal;)+) => {
        /// What a pool goes by, in numbers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Numbers {$(
            $(#[$doc])*
            pub $name: u32,
        )+}

        impl Default for Numbers {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Numbers {
            /// Each with its name in Redis and in answers, and its bounds.
            pub fn named(&mut self) -> impl Iterator<Item = (&'static str, &mut u32, u32, u32)> {
                [$((stringify!($name), &mut self.$name, $least, $most)),+].into_iter()
            }
        }
    };
}

numbers! {
    /// How many ready workers wait for sessions.
    spare = 2, 0..=1_000;
    /// The fewest workers there are; never more than `max`.
    min = 0, 0..=10_000;
    /// The most workers there are.
    max = 10, 0..=10_000;
    /// How many sessions may wait in line.
    queue_max = 1_000, 0..=100_000;
    /// How long a lease lasts without renewal, where the caller does not say, in milliseconds.
    lease_ms = 60_000, 1_000..=86_400_000;
    /// How long a worker may take to take a session, in milliseconds.
    assign_ms = 2_000, 50..=60_000;
    /// How long a worker may take to start, in milliseconds.
    start_ms = 60_000, 500..=3_600_000;
    /// How long a reset may take, in milliseconds.
    reset_ms = 5_000, 50..=600_000;
    /// How long a worker may take to stop, in milliseconds.
    stop_ms = 30_000, 1_000..=3_600_000;
    /// How many workers may start at once.
    starts_max = 4, 1..=1_000;
    /// After so many sessions a worker is replaced.
    sessions_max = 10, 1..=1_000_000;
    /// After so long a worker is replaced, a tenth sooner or less, so that not all go at once; in milliseconds.
    age_ms = 3_600_000, 1_000..=1_209_600_000;
    /// So many failed checks of its health in a row remove a worker.
    failures_max = 3, 1..=100;
    /// So often may a worker degrade and recover within `flap_ms`: then it is replaced. 0: as often as it does.
    flaps_max = 3, 0..=20;
    /// Within which time a worker that recovers again and again is replaced, in milliseconds.
    flap_ms = 600_000, 1_000..=86_400_000;
    /// Of the workers so many, in percent, may be on their way in or out where others that still live are replaced: those
    /// that fail their checks, are old, or of an older version. One at least.
    replaced_percent_max = 34, 1..=100;
    /// A worker whose processes have more memory, in MB of 1,048,576 bytes, is replaced after its session. 0: none is.
    memory_warning_mb = 500, 0..=1_000_000;
    /// How often a worker's health is checked, in milliseconds.
    health_ms = 30_000, 100..=3_600_000;
    /// How long a session's worker is remembered after its end, in milliseconds.
    affinity_ms = 300_000, 0..=86_400_000;
    /// For so long after it grew a pool does not shrink, in milliseconds.
    cool_down_ms = 60_000, 0..=3_600_000;
    /// After so long without a session there are no workers at all, in milliseconds; 0: there always are.
    zero_ms = 0, 0..=1_209_600_000;
    /// How many keyed sessions there are at most; never more than `max`.
    keyed_max = 3, 0..=10_000;
    /// How long a keyed session that nobody uses keeps its worker, in milliseconds.
    keyed_idle_ms = 600_000, 1_000..=86_400_000;
}

/// What a worker goes through between two sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResetMode {
    /// It clears itself, and that is checked.
    #[default]
    Soft,
    /// Its process is started anew.
    Restart,
    /// Another worker takes its place.
    Fresh,
}

impl ResetMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Soft, Self::Restart, Self::Fresh];

    /// Its name in Redis and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Restart => "restart",
            Self::Fresh => "fresh",
        }
    }

    /// The mode of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// How a pool is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its numbers.
    pub numbers: Numbers,
    /// What happens between two sessions.
    pub reset_mode: ResetMode,
    /// Whether a lease is given only once its worker has taken the session.
    pub confirm: bool,
    /// Whether workers are started for the sessions that the last arrivals let expect.
    pub foresee: bool,
    /// Which version of the worker the pool is of: when it changes, the workers are replaced.
    pub version: String,
    /// Whether the pool gives no more leases, and its spare workers go.
    pub draining: bool,
    /// When it has more workers than else.
    pub schedule: Schedule,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            reset_mode: ResetMode::default(),
            confirm: true,
            foresee: true,
            version: "1".to_owned(),
            draining: false,
            schedule: Schedule::default(),
        }
    }
}

/// The settings as the scripts take them: `spare 2 …`.
impl fmt::Display for PoolSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.numbers;
        for (name, value, ..) in numbers.named() {
            write!(f, "{name} {value} ")?;
        }
        let (confirm, foresee, draining) = (u8::from(self.confirm), u8::from(self.foresee), u8::from(self.draining));
        let reset_mode = self.reset_mode.as_str();
        write!(
            f,
            "reset_mode {reset_mode} confirm {confirm} foresee {foresee} version {} draining {draining} schedule {}",
            self.version,
            self.schedule.text()
        )
    }
}
