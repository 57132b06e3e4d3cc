//! How often a failure happened over time, and whether it grows.

/// What is compared with the time before.
const RECENT_MINUTES: usize = 10;

/// Counts over time, the oldest first, the last one still running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trend {
    /// Of each of the last 60 minutes.
    pub minutes: Vec<u64>,
    /// Of each of the last 24 hours.
    pub hours: Vec<u64>,
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The last ten minutes had more than half as many again as the ten minutes of the hour before had on average.
    Rising,
    /// They had less than two thirds.
    Falling,
    /// Neither.
    Steady,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::Rising, Self::Falling, Self::Steady];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rising => "rising",
            Self::Falling => "falling",
            Self::Steady => "steady",
        }
    }
}

impl Trend {
    /// Where it goes.
    pub fn direction(&self) -> Direction {
        let split = self.minutes.len().saturating_sub(RECENT_MINUTES);
        let (before, recent) = self.minutes.split_at(split);
        let (before, recent): (u64, u64) = (before.iter().sum(), recent.iter().sum());
        // The time before is five times as long.
        let recent = recent.saturating_mul(5);
        if recent.saturating_mul(2) > before.saturating_mul(3) {
            Direction::Rising
        } else if recent.saturating_mul(3) < before.saturating_mul(2) {
            Direction::Falling
        } else {
            Direction::Steady
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(before: u64, recent: u64) -> Direction {
        let minutes = [vec![before; 60 - RECENT_MINUTES], vec![recent; RECENT_MINUTES]].concat();
        Trend { minutes, hours: vec![0; 24] }.direction()
    }

    #[test]
    fn what_grows_rises_and_what_ceases_falls() {
        assert_eq!(trend(0, 1), Direction::Rising);
        assert_eq!(trend(2, 4), Direction::Rising);
        assert_eq!((trend(0, 0), trend(3, 3), trend(2, 3)), (Direction::Steady, Direction::Steady, Direction::Steady));
        assert_eq!((trend(4, 1), trend(1, 0)), (Direction::Falling, Direction::Falling));
    }
}
