//! The metrics' tests: what is counted, and that every one is documented.

use super::*;

#[test]
fn each_instance_counts_for_itself() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.dispatch_acquired(AcquireOutcome::Reused);
    one.dispatch_acquired(AcquireOutcome::Reused);
    one.provider_called("look", "ok", Duration::from_millis(3));
    one.dispatch_ended("ttl", Duration::from_secs(40));
    one.cleaned_up(true);
    one.set_census(7, 3);
    one.set_leader(true);
    one.reaper_lag(Duration::from_millis(250));
    one.http_answered(HttpLabels { route: "/v1/x", method: "GET", status: "2xx" }, Duration::from_micros(80));
    let text = one.encode().unwrap();
    for line in [
        "greenroom_dispatch_acquired_total{outcome=\"reused\"} 2",
        "greenroom_provider_calls_total{call=\"look\",outcome=\"ok\"} 1",
        "greenroom_provider_call_duration_seconds_count{call=\"look\"} 1",
        "greenroom_dispatches_ended_total{reason=\"ttl\"} 1",
        "greenroom_dispatch_lifetime_seconds_bucket{le=\"60.0\"} 1",
        "greenroom_cleanups_total{outcome=\"ok\"} 1",
        "greenroom_dispatches_live 7",
        "greenroom_agents_reporting 3",
        "greenroom_leader 1",
        "greenroom_reaper_lag_seconds 0.25",
        "greenroom_http_request_duration_seconds_count{route=\"/v1/x\",method=\"GET\",status=\"2xx\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains(concat!("greenroom_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")), "{text}");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.ends_with("# EOF\n"));
    assert!(!other.encode().unwrap().contains("reused"));
}

fn counted_once() -> Metrics {
    let (metrics, second) = (Metrics::new(), Duration::from_secs(1));
    metrics.http_answered(HttpLabels { route: "/v1/x", method: "GET", status: "2xx" }, second);
    metrics.http_problem("internal");
    metrics.rate_limited("key");
    metrics.timed_out("request");
    metrics.dispatch_acquired(AcquireOutcome::Created);
    metrics.provider_called("look", "ok", second);
    metrics.attempt_failed(Operation::DispatchCreation, "retried");
    metrics.redispatched("returned");
    metrics.cleaned_up(true);
    metrics.dispatch_ended("ttl", second);
    metrics.error_reported("network", "medium");
    metrics.set_alert("agents_live", true);
    metrics.set_breaker_state("livekit.look", "open");
    metrics.set_breaker_degraded("livekit.look", true);
    metrics.breaker_refused("livekit.look");
    metrics.breaker_moved("livekit.look", "open");
    metrics
}

/// Both ways: no metric without a row, no row without a metric, and the type is right.
#[test]
fn every_metric_is_documented() {
    let text = counted_once().encode().unwrap();
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut have: Vec<_> = declared
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total | {kind}"),
            "info" => format!("{name}_info | {kind}"),
            _ => format!("{name} | {kind}"),
        })
        .collect();
    let page = include_str!("../../../docs/operations.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows = rows.filter(|(name, _)| name.starts_with("greenroom_") || name.starts_with("process_"));
    let mut told: Vec<_> = rows
        .map(|(name, rest)| {
            let (name, kind) = (name.split('{').next(), rest.split(' ').next());
            format!("{} | {}", name.unwrap_or_default(), kind.unwrap_or_default())
        })
        .collect();
    // What a label was never given to is not shown: `counted_once` must use all of them.
    let code = concat!(include_str!("../metrics.rs"), include_str!("errors.rs"), include_str!("breakers.rs"));
    assert_eq!(have.len(), code.matches("own.register").count() + 6, "those of the process are six");
    have.sort();
    told.sort();
    assert_eq!(have, told);
}

#[test]
fn the_ready_made_rules_name_metrics_that_there_are() {
    let metrics = counted_once();
    for rule in crate::alert::Rule::ALL {
        metrics.set_alert(rule.as_str(), false);
    }
    let text = metrics.encode().unwrap();
    let rules = include_str!("../../../docs/prometheus-rules.yml");
    let mut named = 0;
    for (at, _) in rules.match_indices("greenroom_") {
        let name: String = rules[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        assert!(text.lines().any(|line| line.starts_with(&name)), "{name} is no metric");
        named += 1;
        // The labels that it names, too.
        let labels = rules[at + name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        for label in labels.into_iter().flat_map(|(labels, _)| labels.split(',')) {
            let (label, value) = label.split_once(['=', '!']).unwrap();
            let has_label = |line: &str| line.starts_with(&name) && line.contains(&format!("{label}=\""));
            assert!(text.lines().any(has_label), "{name} has no label {label}");
            let of_rule = label != "rule" || text.contains(&format!("rule={value}"));
            assert!(of_rule, "{value} is no rule");
        }
    }
    assert!(named > 10, "the test looked at {named}");
}

#[test]
fn a_request_is_in_flight_until_its_guard_is_dropped() {
    let metrics = Metrics::new();
    let guard = metrics.http_started();
    assert!(metrics.encode().unwrap().contains("greenroom_http_requests_in_flight 1"));
    drop(guard);
    assert!(metrics.encode().unwrap().contains("greenroom_http_requests_in_flight 0"));
}
