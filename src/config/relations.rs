//! Which settings depend on each other.

use super::error::Problem;
use super::rules::{self, Leaf};
use super::{Config, ProviderKind};

/// The settings without which there is no LiveKit.
const CREDENTIALS: [&str; 3] = ["livekit.url", "livekit.api_key", "livekit.api_secret"];

/// All that does not go together.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let Config { server, livekit, dispatch, breaker, leader, alerts, .. } = config;
    let mut checks = Checks::new();

    let set = [livekit.url.is_some(), livekit.api_key.is_some(), livekit.api_secret.is_some()];
    checks.credentials(set == [true; 3] || set == [false; 3], "must be set all three, or none");

    let drain = ("server.drain_ms", server.drain_ms);
    checks.at_most(drain, ("server.grace_ms", server.grace_ms), "which includes it");

    let window = ("dispatch.liveness_window_ms", dispatch.liveness_window_ms);
    let believed = ("dispatch.heartbeat_believed_ms", dispatch.heartbeat_believed_ms);
    let check = ("dispatch.check_interval_ms", dispatch.check_interval_ms);
    checks.below(check, window, "or agents lapse between two checks");
    checks.at_most(believed, window, "or a silent agent would be handed out");

    if dispatch.ttl_adapts {
        let ttl = ("dispatch.ttl_seconds", u64::from(dispatch.ttl_seconds));
        let bounds = ["dispatch.ttl_seconds_min", "dispatch.ttl_seconds_max"];
        checks.at_most((bounds[0], dispatch.ttl_seconds_min.into()), ttl, "which is where it begins");
        checks.at_most(ttl, (bounds[1], dispatch.ttl_seconds_max.into()), "or it begins outside its bounds");
    }

    let with_job = ("dispatch.join_deadline_with_job_ms", dispatch.join_deadline_with_job_ms);
    checks.at_most(("dispatch.join_deadline_ms", dispatch.join_deadline_ms), with_job, "for a job can only add time");

    let budget = ("dispatch.creation_budget_ms", dispatch.creation_budget_ms);
    let call = ("livekit.call_timeout_ms", livekit.call_timeout_ms);
    checks.at_most(call, budget, "or one call could use it up");
    if livekit.call_timeout_adapts {
        let least = ("livekit.call_timeout_ms_min", livekit.call_timeout_ms_min);
        checks.at_most(least, call, "which is the longest");
    }
    // Each wait is twice the one before, so all of them are the first × (2^retries − 1).
    let waits = 1u64.checked_shl(dispatch.creation_retries).map_or(u64::MAX, |power| power - 1);
    let waits_ms = dispatch.creation_backoff_ms.saturating_mul(waits);
    let how = format!("so small that the waits of {} retries, {waits_ms} in all, fit into", dispatch.creation_retries);
    let backoff = ("dispatch.creation_backoff_ms", dispatch.creation_backoff_ms);
    checks.demand(waits_ms <= budget.1, backoff, &how, budget, "each is twice the one before");

    let open = ("breaker.open_ms", u64::from(breaker.open_ms));
    checks.at_most(open, ("breaker.open_ms_max", breaker.open_ms_max.into()), "which is where doubling ends");

    let lease = ("leader.lease_ms", leader.lease_ms);
    let scan = ("leader.scan_interval_ms", leader.scan_interval_ms);
    checks.at_most(("dispatch.claim_ms", dispatch.claim_ms), lease, "or a new leader meets claims of before its time");
    let renew = ("leader.renew_ms", leader.renew_ms);
    checks.demand(renew.1 <= lease.1 / 2, renew, "at most half of", lease, "so that one renewal may fail");
    checks.below(scan, lease, "or every term begins with a break");
    let cleanup = ("dispatch.cleanup_interval_ms", dispatch.cleanup_interval_ms);
    checks.at_most(scan, cleanup, "or what is due waits longer than it may");
    let window = ("alerts.window_seconds", u64::from(alerts.window_seconds));
    let interval = ("alerts.interval_ms", alerts.interval_ms);
    let how = "so short that three fit into";
    checks.demand(
        alerts.interval() * 3 <= alerts.window(),
        interval,
        how,
        window,
        "or a window sees one count or none",
    );
    checks.problems
}

/// What a replica that serves needs besides.
pub(super) fn check_serving(config: &Config) -> Vec<Problem> {
    let mut checks = Checks::new();
    let holds = config.dispatch.provider != ProviderKind::LiveKit || config.livekit.credentials().is_some();
    let provider = checks.named("dispatch.provider");
    checks.credentials(holds, &format!("must be set, since {provider} is livekit"));
    if config.server.api_key.is_none() {
        let key = checks.named("server.api_key");
        let text = format!("{key} must be set, to a long random text: callers show it");
        checks.problems.push(Problem { name: "server.api_key".to_owned(), text });
    }
    checks.problems
}

/// A setting's path and its value.
type Setting = (&'static str, u64);

struct Checks {
    leaves: Vec<Leaf>,
    problems: Vec<Problem>,
}

impl Checks {
    fn new() -> Self {
        Self { leaves: rules::leaves(), problems: Vec::new() }
    }

    fn at_most(&mut self, what: Setting, limit: Setting, why: &str) {
        self.demand(what.1 <= limit.1, what, "at most", limit, why);
    }

    fn below(&mut self, what: Setting, limit: Setting, why: &str) {
        self.demand(what.1 < limit.1, what, "less than", limit, why);
    }

    /// Notes a problem unless it `holds` that `what` is `how` (in words) compared with `limit`.
    fn demand(&mut self, holds: bool, what: Setting, how: &str, limit: Setting, why: &str) {
        if !holds {
            let (name, other) = (self.named(what.0), self.named(limit.0));
            let text = format!("{name} is {}; it must be {how} {other}, which is {}: {why}", what.1, limit.1);
            self.problems.push(Problem { name: what.0.to_owned(), text });
        }
    }

    fn credentials(&mut self, holds: bool, text: &str) {
        if !holds {
            let text = format!("{} {text}", CREDENTIALS.map(|path| self.named(path)).join(", "));
            self.problems.push(Problem { name: CREDENTIALS[0].to_owned(), text });
        }
    }

    /// The setting with its variable.
    fn named(&self, path: &str) -> String {
        match self.leaves.iter().find(|leaf| leaf.path() == path).and_then(|leaf| leaf.variable) {
            Some(variable) => format!("{path} (variable {variable})"),
            None => path.to_owned(),
        }
    }
}
