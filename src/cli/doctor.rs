//! `greenroom doctor`: checks what greenroom depends on, and says what to do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CliError, say};
use crate::app::store_options;
use crate::config::{Config, ProviderKind};
use crate::provider::livekit::LiveKit;
use crate::store::Store;

/// Redis 7.0 knows the `#!lua` line that the scripts rely on.
const REDIS_MAJOR_MIN: u32 = 7;
/// A clock that is further off makes tokens fail.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5);

struct Finding {
    good: bool,
    text: String,
}

fn good(text: impl Into<String>) -> Finding {
    Finding { good: true, text: text.into() }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding { good: false, text: text.into() }
}

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    let mut findings = redis(&config).await;
    findings.extend(livekit(&config).await);
    if config.server.api_key.is_none() {
        findings.push(bad("no API key: set GREENROOM_API_KEY to a long random text"));
    }
    if !config.server.is_reachable() {
        findings.push(bad(format!(
            "agents are told to report to {}, which is no address: set GREENROOM_SERVER_PUBLIC_URL",
            config.server.public_url()
        )));
    }
    for finding in &findings {
        say(&format!("{} {}", if finding.good { "ok  " } else { "FAIL" }, finding.text))?;
    }
    let failed = findings.iter().filter(|finding| !finding.good).count();
    if failed == 0 { Ok(()) } else { Err(anyhow::anyhow!("{failed} of {} checks failed", findings.len()).into()) }
}

async fn redis(config: &Config) -> Vec<Finding> {
    let options = store_options(config);
    let store = match Store::open(&options, options.shards) {
        Ok(store) => store,
        Err(error) => return vec![bad(format!("REDIS_URL cannot be used: {error}"))],
    };
    let info = match store.info().await {
        Ok(info) => info,
        Err(error) => return vec![bad(format!("Redis: {error}. Is it running, and is REDIS_URL right?"))],
    };
    let mut findings = vec![version(&info), policy(&info)];
    findings.push(match store.redis_time_ms().await {
        Ok(theirs_ms) => clock(theirs_ms),
        Err(error) => bad(format!("Redis does not tell the time: {error}")),
    });
    findings.push(match store.read_schema().await {
        Ok(None) => good("schema: none yet; `greenroom serve` or `greenroom migrate` makes it"),
        Ok(Some(schema)) => match schema.check() {
            Ok(()) => good(format!("schema: version {}, {} shards", schema.version, schema.shards)),
            Err(error) => bad(format!("schema: {error}")),
        },
        Err(error) => bad(format!("schema: {error}")),
    });
    findings
}

fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
}

fn version(info: &str) -> Finding {
    let version = field(info, "redis_version");
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    if major >= REDIS_MAJOR_MIN {
        good(format!("Redis {version}"))
    } else {
        bad(format!("Redis {version}: {REDIS_MAJOR_MIN}.0 or newer is needed"))
    }
}

fn policy(info: &str) -> Finding {
    match field(info, "maxmemory_policy") {
        "noeviction" | "" => good("maxmemory-policy noeviction"),
        other => bad(format!(
            "maxmemory-policy {other} may throw live dispatches away: CONFIG SET maxmemory-policy noeviction"
        )),
    }
}

fn clock(theirs_ms: u64) -> Finding {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let skew = ours.abs_diff(Duration::from_millis(theirs_ms));
    if skew <= CLOCK_SKEW_MAX {
        good(format!("clock: {} ms apart from Redis's", skew.as_millis()))
    } else {
        bad(format!("clock: {} s apart from Redis's; tokens will fail. Run a time service on both", skew.as_secs()))
    }
}

async fn livekit(config: &Config) -> Vec<Finding> {
    if config.dispatch.provider == ProviderKind::Simulated {
        return vec![good("provider: simulated, no LiveKit needed")];
    }
    let Some(credentials) = config.livekit.credentials() else {
        return vec![bad("LiveKit is not configured: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET")];
    };
    let timeout = config.livekit.call_timeout();
    let found = match LiveKit::new(credentials.url, credentials.api_key, credentials.api_secret, timeout) {
        Ok(livekit) => livekit.ping().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    vec![match found {
        Ok(took) => good(format!("LiveKit answers in {} ms and takes the key", took.as_millis())),
        Err(error) => bad(format!("LiveKit: {error}. Check LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET")),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_redis_and_an_evicting_one_are_found() {
        assert!(version("redis_version:7.0.15\r\n").good);
        assert!(!version("redis_version:6.2.1\r\n").good);
        assert!(policy("maxmemory_policy:noeviction\r\n").good);
        assert!(!policy("maxmemory_policy:allkeys-lru\r\n").good);
    }

    #[test]
    fn a_clock_that_is_off_is_found() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        assert!(clock(u64::try_from(now).expect("fits")).good);
        assert!(!clock(u64::try_from(now).expect("fits") - 60_000).good);
    }
}
