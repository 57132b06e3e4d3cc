//! The states of a worker, and the steps between them. `lua/pool/states.lua` has the same table, and rules.

/// Where a worker is in its life. Its health, and whether it is cordoned, are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// It starts.
    Initializing,
    /// It waits for a session.
    Ready,
    /// It has a session.
    Busy,
    /// It is made as if it had had none.
    Resetting,
    /// It waits, and fails its checks.
    Degraded,
    /// It stops.
    Terminating,
    /// It is gone.
    Terminated,
}

impl WorkerState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Initializing,
        Self::Ready,
        Self::Busy,
        Self::Resetting,
        Self::Degraded,
        Self::Terminating,
        Self::Terminated,
    ];

    /// Its name in Redis and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Resetting => "resetting",
            Self::Degraded => "degraded",
            Self::Terminating => "terminating",
            Self::Terminated => "terminated",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// For what reasons a worker may go from here to `to`.
    pub fn reasons_to(self, to: Self) -> &'static [&'static str] {
        use WorkerState::{Busy, Degraded, Initializing, Ready, Resetting, Terminated, Terminating};
        match (self, to) {
            (Initializing, Ready) => &["started"],
            (Initializing, Terminating) => &["start_timeout", "scaled_in", "drained", "recycled", "rolled_over"],
            (Initializing, Terminated) => &["start_failed", "crashed", "lost", "runner_lost"],
            (Ready, Busy) => &["allocated", "adopted"],
            (Ready, Degraded) => &["unhealthy"],
            (Ready, Terminating) => &["unhealthy", "memory_high", "scaled_in", "drained", "recycled", "rolled_over"],
            (Degraded, Terminating) => &["unhealthy", "flapping", "scaled_in", "drained", "recycled", "rolled_over"],
            (Ready | Busy | Resetting | Degraded, Terminated) => &["crashed", "lost", "runner_lost"],
            (Busy, Resetting) => &["released", "lapsed", "abandoned", "idle", "evicted"],
            (Busy, Terminating) => &[
                "released",
                "lapsed",
                "abandoned",
                "idle",
                "evicted",
                "assign_failed",
                "assign_timeout",
                "unhealthy",
                "drained",
                "recycled",
                "rolled_over",
            ],
            (Resetting, Ready) => &["reset_proved"],
            (Resetting, Terminating) => {
                &["reset_failed", "reset_timeout", "unhealthy", "drained", "recycled", "rolled_over"]
            }
            (Degraded, Ready) => &["recovered"],
            (Initializing | Degraded, Busy) => &["adopted"],
            (Terminating, Terminated) => &["stopped", "crashed", "lost", "stop_timeout", "runner_lost"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of the table in Lua, as `from to reason`.
    fn steps_in_lua() -> Vec<String> {
        let text = include_str!("../../lua/pool/states.lua");
        let table = text.split_once("local TRANSITIONS = {").and_then(|(_, rest)| rest.split_once("\n}\n"));
        let table = table.expect("a table").0;
        let mut steps = Vec::new();
        for entry in table.split('}').filter(|entry| entry.contains('{')) {
            let (from, steps_of) = entry.split_once('{').expect("a table");
            let from = from.trim_matches([' ', '\n', ',', '=']);
            let words: Vec<&str> = steps_of.split('\'').collect();
            for pair in words.chunks_exact(2) {
                let to = pair[0].trim_matches([' ', '\n', ',', '=']);
                steps.extend(pair[1].split(' ').map(|reason| format!("{from} {to} {reason}")));
            }
        }
        steps.retain(|step| !step.starts_with("none "));
        steps.sort();
        steps
    }

    #[test]
    fn the_table_in_lua_has_the_same_steps() {
        let mut steps = Vec::new();
        for (from, to) in WorkerState::ALL.into_iter().flat_map(|from| WorkerState::ALL.map(|to| (from, to))) {
            let reasons = from.reasons_to(to).iter();
            steps.extend(reasons.map(|reason| format!("{} {} {reason}", from.as_str(), to.as_str())));
        }
        steps.sort();
        assert_eq!(steps, steps_in_lua());
    }

    #[test]
    fn every_live_state_has_a_way_out_and_none_leads_back() {
        for state in WorkerState::ALL {
            let ends = !state.reasons_to(WorkerState::Terminated).is_empty();
            assert_eq!(ends, state != WorkerState::Terminated, "{state:?}");
        }
    }
}
