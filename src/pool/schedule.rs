//! Windows of the week in which a pool is kept warmer than else, each by the clocks of its own time zone.
//!
//! A window goes by local time: on the days when clocks are changed it is an hour longer or shorter, or has the hour that
//! comes twice, twice. The time zones are those that greenroom was built with, the same on every host.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

/// How many windows a pool may have.
pub const WINDOWS_MAX: usize = 16;
/// The minutes of a day: the latest end of a window.
pub const DAY_MINUTES: u16 = 24 * 60;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// Its name in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    /// The day of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.as_str() == text)
    }

    fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// A window of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// On which days it begins; every day where there is none.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it begins, in minutes of the day.
    pub from: u16,
    /// When it ends, in minutes of the day: of the next one, where that is not after `from`.
    pub to: u16,
    /// By whose clocks.
    pub time_zone: String,
    /// At least so many ready workers wait for sessions.
    pub spare: u32,
    /// At least so many workers there are.
    pub min: u32,
}

impl Window {
    fn begins_on(&self, day: Day) -> bool {
        self.days.is_empty() || self.days.contains(&day)
    }

    fn holds(&self, at: Timestamp) -> bool {
        let Some(zone) = zone(&self.time_zone) else { return false };
        let local = at.to_zoned(zone);
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let (today, yesterday) = (Day::of(local.weekday()), Day::of(local.weekday().previous()));
        if self.from < self.to {
            self.begins_on(today) && (self.from..self.to).contains(&minute)
        } else {
            self.begins_on(today) && minute >= self.from || self.begins_on(yesterday) && minute < self.to
        }
    }
}

/// What a schedule asks for at some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// At least so many ready workers wait for sessions.
    pub spare: u32,
    /// At least so many workers there are.
    pub min: u32,
}

/// The windows of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Window>);

impl Schedule {
    /// As the store keeps it: without a blank.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As the store has it.
    pub fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// What it asks for at that time, in milliseconds since 1970: the most of all windows.
    pub fn at(&self, now_ms: u64) -> Scheduled {
        let now = i64::try_from(now_ms).ok().and_then(|now| Timestamp::from_millisecond(now).ok());
        let Some(now) = now else { return Scheduled::default() };
        let windows = self.0.iter().filter(|window| window.holds(now));
        windows.fold(Scheduled::default(), |most, window| Scheduled {
            spare: most.spare.max(window.spare),
            min: most.min.max(window.min),
        })
    }
}

/// Whether there is a time zone of that name.
pub fn is_time_zone(name: &str) -> bool {
    zone(name).is_some()
}

/// Of those that are built in: what the host has may be another, or none.
fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Day], from: u16, to: u16, time_zone: &str, spare: u32) -> Window {
        Window { days: days.to_vec(), from, to, time_zone: time_zone.to_owned(), spare, min: 0 }
    }

    fn spare_at(schedule: &Schedule, utc: &str) -> u32 {
        let at: Timestamp = utc.parse().expect("a time");
        schedule.at(at.as_millisecond().unsigned_abs()).spare
    }

    #[test]
    fn a_window_goes_by_the_clocks_of_its_time_zone_through_the_year() {
        use Day::{Fri, Mon, Thu, Tue, Wed};
        let schedule = Schedule(vec![window(&[Mon, Tue, Wed, Thu, Fri], 525, 1_080, "Europe/Berlin", 5)]);
        for (utc, spare) in [
            // Friday, 20 November 2026: an hour ahead of UTC.
            ("2026-11-20T07:44:59Z", 0),
            ("2026-11-20T07:45:00Z", 5),
            ("2026-11-20T16:59:59Z", 5),
            ("2026-11-20T17:00:00Z", 0),
            ("2026-11-21T12:00:00Z", 0),
            // Wednesday in July: two hours ahead.
            ("2026-07-15T06:44:59Z", 0),
            ("2026-07-15T06:45:00Z", 5),
            ("2026-07-15T16:00:00Z", 0),
        ] {
            assert_eq!(spare_at(&schedule, utc), spare, "{utc}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let schedule = Schedule(vec![window(&[Day::Sun], 1_320, 360, "America/New_York", 3)]);
        for (utc, spare) in [
            // Sunday, 22:00 in New York, to Monday, 6:00.
            ("2026-11-23T02:59:00Z", 0),
            ("2026-11-23T03:00:00Z", 3),
            ("2026-11-23T10:59:00Z", 3),
            ("2026-11-23T11:00:00Z", 0),
            ("2026-11-22T10:00:00Z", 0),
            ("2026-11-24T03:00:00Z", 0),
        ] {
            assert_eq!(spare_at(&schedule, utc), spare, "{utc}");
        }
    }

    #[test]
    fn the_most_of_all_windows_counts_and_a_whole_day_has_no_gap() {
        let all_day = window(&[], 0, DAY_MINUTES, "Asia/Kolkata", 2);
        let morning = Window { min: 9, ..window(&[], 360, 720, "UTC", 7) };
        let schedule = Schedule(vec![all_day, morning]);
        assert_eq!(schedule.at(0), Scheduled { spare: 2, min: 0 });
        assert_eq!(schedule.at(6 * 3_600_000), Scheduled { spare: 7, min: 9 });
        assert_eq!(schedule.at(u64::MAX), Scheduled::default());
        for hour in 0..48 {
            assert!(schedule.at(hour * 3_600_000).spare >= 2, "{hour}");
        }
    }

    #[test]
    fn the_hour_that_clocks_skip_is_skipped_and_the_one_that_comes_twice_counts_twice() {
        let schedule = Schedule(vec![window(&[], 120, 180, "Europe/Berlin", 1)]);
        // 29 March 2026: after 1:59 comes 3:00.
        assert_eq!((spare_at(&schedule, "2026-03-29T00:59:00Z"), spare_at(&schedule, "2026-03-29T01:00:00Z")), (0, 0));
        // 25 October 2026: after 2:59 comes 2:00.
        assert_eq!((spare_at(&schedule, "2026-10-25T00:30:00Z"), spare_at(&schedule, "2026-10-25T01:30:00Z")), (1, 1));
        assert_eq!(spare_at(&schedule, "2026-10-25T02:00:00Z"), 0);
    }

    #[test]
    fn it_is_kept_as_it_was_and_has_no_blank() {
        let schedule = Schedule(vec![window(&Day::ALL, 0, 1, "America/Argentina/ComodRivadavia", 4)]);
        assert_eq!(Schedule::from_text(&schedule.text()), schedule);
        assert!(!schedule.text().contains(' '), "{}", schedule.text());
        assert_eq!((Schedule::default().text().as_str(), Schedule::from_text("")), ("[]", Schedule::default()));
        assert!(is_time_zone("UTC") && is_time_zone("Europe/Berlin") && !is_time_zone("Europe/Atlantis"));
        assert!(!is_time_zone("") && !is_time_zone("../Europe/Berlin"));
    }
}
