//! Days, times of day and time zones, each in its own type.

use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::Text;
use crate::pool::{DAY_MINUTES, Day, is_time_zone};

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct DayName(pub(in crate::http) Day);

/// A time of day, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct ClockTime(pub(in crate::http) u16);

/// A name of the IANA's database of time zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct TimeZoneName(pub(in crate::http) String);

text_field!(DayName, "a day", |text| {
    Day::parse(&text).map(Self).ok_or("must be one of mon, tue, wed, thu, fri, sat, sun")
});
text_field!(ClockTime, "a time of day", |text| {
    minutes(&text).map(Self).ok_or("must have the form 08:45, up to 24:00")
});
text_field!(TimeZoneName, "a time zone", |text| {
    let is_known = is_time_zone(&text);
    is_known.then_some(Self(text)).ok_or("must be a name of the IANA's database, such as Europe/Berlin")
});

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |text: &str| (text.len() == 2).then(|| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = |text: &str| two_digits(text)?.then(|| text.parse::<u16>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY_MINUTES).then_some(all)
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for DayName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl Serialize for TimeZoneName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_one_form() {
        for (text, minutes) in [("00:00", 0), ("08:45", 525), ("23:59", 1_439), ("24:00", 1_440)] {
            let time: ClockTime = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!((time.0, time.to_string().as_str()), (minutes, text));
        }
        for text in ["", "8:45", "08:60", "24:01", "25:00", "+8:45", "08.45", "08:45:00", "0845", "٠٨:٤٥"] {
            assert!(serde_json::from_str::<ClockTime>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }
}
