//! The schedule of a pool on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::fields::{ClockTime, Count, DayName, TimeZoneName};
use crate::http::problem::{Code, Problem};
use crate::pool::{DAY_MINUTES, Schedule, WINDOWS_MAX, Window};

/// The most spare workers, and the most workers, that a window asks for.
const SPARE_MAX: u32 = 1_000;
const MIN_MAX: u32 = 10_000;

/// A window of the week in which a pool has at least so many workers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PoolWindow, example = json!({"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:45", "to": "18:00",
    "time_zone": "Europe/Berlin", "spare": 10}))]
#[serde(deny_unknown_fields)]
pub(super) struct WindowView {
    /// The days on which it begins; every day where there is none.
    #[serde(default)]
    #[schema(max_items = 7)]
    days: Vec<DayName>,
    from: ClockTime,
    /// Where it is not after `from`, on the next day.
    to: ClockTime,
    time_zone: TimeZoneName,
    /// At least so many ready workers wait for sessions.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 0, maximum = 1_000, default = 0)]
    spare: Count,
    /// At least so many workers there are; never more than `max`.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 0, maximum = 10_000, default = 0)]
    min: Count,
}

pub(super) fn view(schedule: Schedule) -> Vec<WindowView> {
    let view = |Window { days, from, to, time_zone, spare, min }| WindowView {
        days: days.into_iter().map(DayName).collect(),
        from: ClockTime(from),
        to: ClockTime(to),
        time_zone: TimeZoneName(time_zone),
        spare: Count(spare),
        min: Count(min),
    };
    schedule.0.into_iter().map(view).collect()
}

pub(super) fn read(views: Vec<WindowView>) -> Result<Schedule, Problem> {
    if views.len() > WINDOWS_MAX {
        return Err(Problem::new(Code::InvalidRequest, "schedule must have at most 16 windows"));
    }
    views.into_iter().map(WindowView::read).collect::<Result<_, _>>().map(Schedule)
}

impl WindowView {
    fn read(self) -> Result<Window, Problem> {
        let bad = |what: &'static str| Err(Problem::new(Code::InvalidRequest, what));
        let (ClockTime(from), ClockTime(to)) = (self.from, self.to);
        if self.days.len() > 7 {
            return bad("schedule: days must be at most 7");
        } else if from == DAY_MINUTES {
            return bad("schedule: from must be before 24:00");
        } else if from == to {
            return bad("schedule: from and to must differ; a whole day is 00:00 to 24:00");
        } else if self.spare.0 > SPARE_MAX || self.min.0 > MIN_MAX {
            return bad("schedule: spare must be 0 to 1000, min 0 to 10000");
        }
        let days = self.days.into_iter().map(|day| day.0).collect();
        let (TimeZoneName(time_zone), Count(spare), Count(min)) = (self.time_zone, self.spare, self.min);
        Ok(Window { days, from, to, time_zone, spare, min })
    }
}
