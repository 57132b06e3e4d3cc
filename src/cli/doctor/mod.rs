//! `greenroom doctor`: checks what greenroom depends on, and says what to do.

use super::{CliError, say};
use crate::config::{Config, ProviderKind};
use crate::provider::livekit::LiveKit;

mod redis;

struct Finding {
    level: Level,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    /// Works, and could be better.
    Note,
    Bad,
}

fn good(text: impl Into<String>) -> Finding {
    Finding { level: Level::Good, text: text.into() }
}

fn note(text: impl Into<String>) -> Finding {
    Finding { level: Level::Note, text: text.into() }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding { level: Level::Bad, text: text.into() }
}

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    let mut findings = redis::findings(&config).await;
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
        let level = match finding.level {
            Level::Good => "ok  ",
            Level::Note => "note",
            Level::Bad => "FAIL",
        };
        say(&format!("{level} {}", finding.text))?;
    }
    let failed = findings.iter().filter(|finding| finding.level == Level::Bad).count();
    if failed == 0 { Ok(()) } else { Err(anyhow::anyhow!("{failed} of {} checks failed", findings.len()).into()) }
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
