//! The settings' tests: the reference file against the structs, the sources, the refusals.

use std::collections::BTreeSet;
use std::io::Write as _;

use secrecy::ExposeSecret as _;

use super::rules::{AGENT_RULES, Leaf, Rule, leaves, rule_of};
use super::*;

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut settings = tempfile::NamedTempFile::new().expect("a temporary file");
    settings.write_all(file.as_bytes()).expect("written");
    Config::load(Some(settings.path()), env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The refusal's text; the settings must be refused.
fn refused(file: &str, env: &[(&str, &str)]) -> String {
    load(file, env).expect_err("to be refused").to_string()
}

/// Each setting of the reference with the comment above it. An optional one is itself commented out.
fn reference() -> Vec<(String, String)> {
    let (mut section, mut found) = ("", Vec::new());
    for block in DEFAULT_TOML.split("\n\n") {
        let mut comment = String::new();
        for line in block.trim().lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
                comment.clear();
            } else {
                comment += line.trim_start_matches("# ");
                comment += " ";
            }
        }
        // The setting is the block's last line; a block that ends with a section's line has none.
        let last = block.trim().lines().last().unwrap_or_default();
        if let Some((key, _)) = last.trim_start_matches("# ").split_once(" = ") {
            found.push((format!("{section}.{key}"), comment));
        }
    }
    found
}

#[test]
fn the_reference_and_the_structs_have_the_same_settings() {
    let in_file: BTreeSet<_> = reference().into_iter().map(|(path, _)| path).collect();
    let in_structs: BTreeSet<_> = leaves().iter().map(Leaf::path).filter(|path| path != "dispatch.agents").collect();
    assert_eq!(in_file, in_structs);
    assert!(DEFAULT_TOML.contains("\n[dispatch.agents]\n"));
    for (key, _) in AGENT_RULES {
        assert!(DEFAULT_TOML.contains(&format!("\n# {key} = ")), "no example of an agent's {key}");
    }
}

#[test]
fn the_reference_names_each_variable_and_range() {
    let comments: std::collections::BTreeMap<_, _> = reference().into_iter().collect();
    for leaf in leaves() {
        let (Some(comment), Some(rule)) = (comments.get(&leaf.path()), rule_of(&leaf.path())) else { continue };
        if let Some(variable) = leaf.variable {
            assert!(comment.contains(&format!("[{variable}]")), "{}: {comment}", leaf.path());
        }
        if let Rule::Whole(min, max) = rule {
            assert!(comment.contains(&format!(" {min} to {max}. ")), "{}: {min} to {max}: {comment}", leaf.path());
        }
        if let Rule::Word(words) = rule {
            assert!(words.iter().all(|word| comment.contains(&format!("\"{word}\""))), "{}: {comment}", leaf.path());
        }
        assert_eq!(rule.is_secret(), comment.contains("Secret"), "{}: {comment}", leaf.path());
    }
}

#[test]
fn every_setting_has_a_rule_and_a_variable() {
    let exact = [
        "GREENROOM_LISTEN",
        "GREENROOM_API_KEY",
        "GREENROOM_DEFAULT_AGENT",
        "GREENROOM_LOG_FILTER",
        "REDIS_URL",
        "LIVEKIT_URL",
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "AGENT_TTL_SECONDS",
        "CLEANUP_INTERVAL_MS",
        "LOG_RATE_LIMIT",
        "ENABLE_LOG_AGGREGATION",
        "CONTAINER_POOL_MIN_SIZE",
        "CONTAINER_POOL_MAX_SIZE",
        "MAX_SESSIONS_PER_CONTAINER",
        "CONTAINER_TTL_MINUTES",
    ];
    let mut seen = BTreeSet::new();
    for leaf in leaves() {
        assert!(rule_of(&leaf.path()).is_some(), "{} has no rule", leaf.path());
        let Some(variable) = leaf.variable else {
            assert_eq!(leaf.path(), "dispatch.agents");
            continue;
        };
        let plain = format!("GREENROOM_{}_{}", leaf.section, leaf.key).to_uppercase();
        assert!(variable == plain || exact.contains(&variable), "{variable} ought to be {plain}");
        assert!(seen.insert(variable), "{variable} sets two settings");
    }
    assert!(exact.iter().all(|variable| seen.contains(variable)), "{seen:?}");
}

#[test]
fn the_defaults_are_those_that_users_rely_on() {
    let config = load("", &[]).expect("the defaults");
    assert_eq!(config.dispatch.ttl_seconds, 300);
    assert_eq!(config.dispatch.cleanup_interval_ms, 60_000);
    assert_eq!(config.dispatch.liveness_window().as_secs(), 15);
    assert_eq!(config.dispatch.return_policy, ReturnPolicy::Reported);
    assert_eq!(config.server.public_url(), "http://127.0.0.1:8080");
    assert_eq!(config.redis.shards, 32);
    assert_eq!((config.log.rate_limit_per_second, config.log.aggregation), (400, true));
    assert!(config.livekit.credentials().is_none());
    assert!(config.dispatch.agents.is_empty());
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
    let file = "[dispatch]\nttl_seconds = 60\nquick_tries = 2\n[log]\nformat = \"text\"\n";
    let config = load(file, &[("AGENT_TTL_SECONDS", "90"), ("GREENROOM_LISTEN", "[::1]:0")]).expect("good settings");
    assert_eq!(config.dispatch.ttl_seconds, 90);
    assert_eq!(config.dispatch.quick_tries, 2);
    assert_eq!(config.dispatch.creation_retries, 3);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.server.listen.to_string(), "[::1]:0");
}

#[test]
fn the_command_line_names_the_file_before_the_variable_does() {
    let missing = [("GREENROOM_CONFIG".to_owned(), "/nowhere/greenroom.toml".to_owned())];
    let error = Config::load(None, missing.iter().cloned()).expect_err("the file is missing");
    assert!(matches!(&error, ConfigError::Read { path, .. } if path.ends_with("greenroom.toml")), "{error}");
    assert!(load("", &[("GREENROOM_CONFIG", "/nowhere/greenroom.toml")]).is_ok());
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = load("[server]\napi_key = \"from-the-file\"\n", &[("GREENROOM_API_KEY", ""), ("REDIS_URL", "")]);
    let config = config.expect("good settings");
    assert_eq!(config.server.api_key.expect("set").expose_secret(), "from-the-file");
    assert_eq!(config.redis.url.expose_secret(), "redis://127.0.0.1:6379");
}

#[test]
fn agents_have_their_own_settings() {
    let file = "[dispatch.agents.helper]\nreturn_policy = \"always\"\n[dispatch.agents.\"v1.2\"]\nttl_seconds = 5\n";
    let dispatch = load(file, &[]).expect("good settings").dispatch;
    assert_eq!(dispatch.agents["helper"].return_policy, Some(ReturnPolicy::Always));
    assert_eq!((dispatch.agents["helper"].ttl_seconds, dispatch.agents["v1.2"].ttl_seconds), (None, Some(5)));
}

#[test]
fn a_setting_that_does_not_exist_is_refused_with_the_nearest() {
    for (file, expected) in [
        ("[dispatch]\nttl_second = 1\n", "did you mean dispatch.ttl_seconds?"),
        ("[server]\nttl_seconds = 1\n", "did you mean dispatch.ttl_seconds?"),
        ("[dispach]\nttl_seconds = 1\n", "did you mean [dispatch]?"),
        ("[dispatch.agents.a]\nttl = 1\n", "did you mean ttl_seconds?"),
        ("server = 1\n", "must be a section: [server]"),
        ("[dispatch.agents]\nhelper = 1\n", "must be a section: [dispatch.agents.helper]"),
        ("[dispatch.agents.\"a b\"]\n", "is no agent's name"),
    ] {
        let text = refused(file, &[]);
        assert!(text.contains(expected), "{file} was answered {text}");
    }
}

#[test]
fn a_variable_that_does_not_exist_is_refused_with_the_nearest() {
    for (name, expected) in [
        ("GREENROOM_LISTN", "did you mean GREENROOM_LISTEN?"),
        ("GREENROOM_DISPATCH_TTL_SECONDS", "did you mean AGENT_TTL_SECONDS?"),
        ("GREENROOM_REDIS_URL", "did you mean REDIS_URL?"),
        ("GREENROOM_LEADER_LEASE", "did you mean GREENROOM_LEADER_LEASE_MS?"),
    ] {
        let text = refused("", &[(name, "x")]);
        assert!(text.contains(expected), "{name} was answered {text}");
    }
    assert!(load("", &[("PATH", "/bin"), ("REDIS_HOST", "x")]).is_ok());
}

#[test]
fn kubernetes_service_variables_are_not_ours() {
    let links = [
        ("GREENROOM_SERVICE_HOST", "10.0.0.1"),
        ("GREENROOM_SERVICE_PORT_HTTP", "8080"),
        ("GREENROOM_PORT", "tcp://10.0.0.1:8080"),
        ("GREENROOM_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("GREENROOM_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("GREENROOM_REDIS_PORT_6379_TCP_PROTO", "tcp"),
    ];
    assert!(load("", &links).is_ok());
    assert!(load("", &[("GREENROOM_PORT", "8080")]).is_err());
}

#[test]
fn a_value_out_of_range_is_refused_with_its_names_and_range() {
    for (path, file, env) in [
        ("dispatch.ttl_seconds", "[dispatch]\nttl_seconds = 0\n", vec![]),
        ("dispatch.ttl_seconds", "[dispatch]\nttl_seconds = \"300\"\n", vec![]),
        ("dispatch.ttl_seconds", "", vec![("AGENT_TTL_SECONDS", "604801")]),
        ("dispatch.ttl_seconds", "", vec![("AGENT_TTL_SECONDS", "5m")]),
    ] {
        let text = refused(file, &env);
        let all = [path, "AGENT_TTL_SECONDS", "1 to 604800 (seconds)"];
        assert!(all.iter().all(|part| text.contains(part)), "{text}");
    }
    assert!(refused("[dispatch.agents.a]\nttl_seconds = 0\n", &[]).contains("1 to 604800"));
    assert!(refused("", &[("GREENROOM_DISPATCH_PROVIDER", "zoom")]).contains("one of livekit, simulated"));
    assert!(refused("", &[("GREENROOM_LISTEN", "8080")]).contains("127.0.0.1:8080"));
    assert!(refused("", &[("GREENROOM_LOG_FILTER", "a=b=c")]).contains("levels such as"));
    assert!(refused("", &[("REDIS_URL", "http://x")]).contains("redis://"));
}

#[test]
fn every_bound_is_kept_on_both_sides() {
    for leaf in leaves() {
        let (Some(variable), Some(Rule::Whole(min, max))) = (leaf.variable, rule_of(&leaf.path())) else { continue };
        for (value, good) in [(min, true), (max, true), (min - 1, false), (max + 1, false)] {
            let out_of_range = match load("", &[(variable, &value.to_string())]) {
                // What does not go together with the defaults is another matter.
                Err(ConfigError::Invalid { problems }) => problems.iter().any(|problem| problem.name == variable),
                other => other.map(|_| false).expect("settings that can be read"),
            };
            assert_eq!(out_of_range, !good, "{variable}={value}");
        }
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = refused("[log]\nformat = \"xml\"\n[nope]\n", &[("AGENT_TTL_SECONDS", "x"), ("GREENROOM_X", "1")]);
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (file, first, second) in [
        ("[server]\ndrain_ms = 40000", "server.drain_ms", "server.grace_ms"),
        ("[dispatch]\ncheck_interval_ms = 15000", "GREENROOM_DISPATCH_CHECK_INTERVAL_MS", "liveness_window_ms"),
        ("[dispatch]\nheartbeat_believed_ms = 15001", "heartbeat_believed_ms", "liveness_window_ms"),
        ("[dispatch]\njoin_deadline_ms = 60001", "join_deadline_ms", "join_deadline_with_job_ms"),
        ("[livekit]\ncall_timeout_ms = 20001", "livekit.call_timeout_ms", "dispatch.creation_budget_ms"),
        ("[livekit]\ncall_timeout_adapts = true\ncall_timeout_ms = 3999", "call_timeout_ms_min", "call_timeout_ms"),
        ("[dispatch]\ncreation_retries = 5", "the waits of 5 retries, 31000 in all", "creation_budget_ms"),
        ("[breaker]\nopen_ms = 30001", "breaker.open_ms", "GREENROOM_BREAKER_OPEN_MS_MAX"),
        ("[dispatch]\nclaim_ms = 5001", "dispatch.claim_ms", "leader.lease_ms"),
        ("[leader]\nrenew_ms = 2501", "leader.renew_ms", "GREENROOM_LEADER_LEASE_MS"),
        ("[leader]\nscan_interval_ms = 5000", "leader.scan_interval_ms", "leader.lease_ms"),
        ("[dispatch]\ncleanup_interval_ms = 99", "leader.scan_interval_ms", "CLEANUP_INTERVAL_MS"),
        ("[livekit]\nurl = \"ws://localhost:7880\"", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"),
    ] {
        let text = refused(file, &[]);
        assert_eq!(text.lines().count(), 2, "{file}: {text}");
        assert!(text.contains(first) && text.contains(second), "{file}: {text}");
    }
}

#[test]
fn serving_needs_the_provider_s_settings() {
    let text = load("", &[]).expect("the defaults").check_serving().expect_err("no LiveKit").to_string();
    assert!(text.contains("LIVEKIT_API_SECRET") && text.contains("GREENROOM_DISPATCH_PROVIDER"), "{text}");
    assert!(text.contains("GREENROOM_API_KEY"), "{text}");
    let key = ("GREENROOM_API_KEY", "key");
    assert!(load("[dispatch]\nprovider = \"simulated\"\n", &[key]).expect("good").check_serving().is_ok());
    let livekit = [("LIVEKIT_URL", "ws://x"), ("LIVEKIT_API_KEY", "key"), ("LIVEKIT_API_SECRET", "secret")];
    assert!(load("", &livekit).expect("good").check_serving().is_err(), "no key");
    let all = [livekit[0], livekit[1], livekit[2], key];
    assert!(load("", &all).expect("good").check_serving().is_ok());
}

#[test]
fn no_secret_is_shown() {
    const CANARY: &str = "canary-7f3a";
    let url = format!("redis://:{CANARY}@localhost");
    let good = [("GREENROOM_API_KEY", CANARY), ("REDIS_URL", &url), ("LIVEKIT_API_SECRET", CANARY)];
    let livekit = [("LIVEKIT_URL", "ws://x"), ("LIVEKIT_API_KEY", "key")];
    let config = load("", &[&good[..], &livekit[..]].concat()).expect("good settings");
    assert_eq!(config.livekit.credentials().expect("set").api_secret.expose_secret(), CANARY);
    assert!(!format!("{config:?}").contains(CANARY));

    let spaced = format!("{CANARY} {CANARY}");
    for variable in ["GREENROOM_API_KEY", "REDIS_URL", "LIVEKIT_API_SECRET"] {
        let error = load("", &[(variable, &spaced)]).expect_err("a space is refused");
        assert!(!format!("{error} {error:?}").contains(CANARY));
    }
    for file in ["[livekit]\napi_secret = [\"canary-7f3a\"]\n", "[livekit]\napi_secret = canary-7f3a\n"] {
        let error = load(file, &[]).expect_err("no text");
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
        assert!(error.to_string().contains("api_secret") || error.to_string().contains("line 2"), "{error}");
    }
}

#[test]
fn origins_are_a_list_in_the_file_and_have_commas_in_the_variable() {
    assert_eq!(load("", &[]).expect("the defaults").server.cors_origins, Vec::<String>::new());
    let file = "[server]\ncors_origins = [\"https://a.example\", \"http://localhost:3000\"]\n";
    let server = load(file, &[]).expect("good settings").server;
    assert_eq!(server.cors_origins, ["https://a.example", "http://localhost:3000"]);
    let server = load(file, &[("GREENROOM_SERVER_CORS_ORIGINS", "https://b.example, https://c.example:8443")]);
    assert_eq!(server.expect("good settings").server.cors_origins, ["https://b.example", "https://c.example:8443"]);
    let server = load(file, &[("GREENROOM_SERVER_CORS_ORIGINS", "*")]).expect("good settings").server;
    assert_eq!(server.cors_origins, ["*"]);
    for bad in
        ["https://a.example/", "a.example", "https://", "https://A.example", "*,https://a.example", "*.a.example"]
    {
        let text = refused("", &[("GREENROOM_SERVER_CORS_ORIGINS", bad)]);
        assert!(text.contains("it sets server.cors_origins"), "{bad}: {text}");
    }
    assert!(refused("[server]\ncors_origins = \"*\"\n", &[]).contains("server.cors_origins"));
}
