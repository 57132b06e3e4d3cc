//! Agents that report that they live, as greenroom's helper for agents does: to the address and
//! with the token that they find in their job's attributes.

use std::sync::Arc;

use greenroom::provider::{ATTRIBUTE_ID, ATTRIBUTE_TOKEN, ATTRIBUTE_URL};
use livekit_protocol as proto;
use serde_json::json;

use super::Shared;
use crate::support::client::status_of_post;

/// What an agent would say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Open,
    Busy,
    Closed,
    /// It cannot say anything any more.
    Silent,
}

/// Reports for one agent until it is gone, dead, deaf, or sent away.
pub(super) async fn report(shared: Arc<Shared>, room: String, sid: String) {
    let stop = shared.stop.clone();
    stop.run_until_cancelled(report_until_over(&shared, &room, &sid)).await;
}

async fn report_until_over(shared: &Arc<Shared>, room: &str, sid: &str) {
    let job = shared.with(|world, _| {
        let agent = world.find(room, |one| one.info.sid == sid)?.agent.as_ref()?;
        Some(agent.job.clone())
    });
    let Some(job) = job else { return };
    let mut changes = shared.version.subscribe();
    loop {
        let word = shared.with(|world, _| word_of(world, room, sid));
        let text = match word {
            Word::Open => "open",
            Word::Busy => "busy",
            Word::Closed => "closed",
            Word::Silent => return,
        };
        let status = send(shared, &job, text).await;
        // As the Python helper does: an id that is unknown ends no agent.
        if matches!(status, Some(409 | 410)) {
            shared.with(|world, now| world.leave(now, room, sid));
            return;
        }
        if word == Word::Closed && status.is_some_and(|status| status < 500) {
            return;
        }
        // Until it is time again, or there is something else to say.
        let over = async {
            while changes.changed().await.is_ok() {
                if shared.with(|world, _| word_of(world, room, sid)) != word {
                    return;
                }
            }
        };
        // A time-out is the usual case: nothing new, say the same again.
        let _ = tokio::time::timeout(shared.timings.report_interval, over).await;
    }
}

fn word_of(world: &super::world::World, room: &str, sid: &str) -> Word {
    let agent = world.find(room, |one| one.info.sid == sid).and_then(|one| one.agent.as_ref());
    match agent {
        Some(agent) if agent.dead => Word::Silent,
        Some(agent) if agent.deaf => Word::Closed,
        Some(agent) if agent.busy => Word::Busy,
        Some(_) => Word::Open,
        None => Word::Silent,
    }
}

async fn send(shared: &Arc<Shared>, job: &proto::Job, state: &str) -> Option<u16> {
    let attribute = |name: &str| job.attributes.get(name).map(String::as_str);
    let (id, token, url) = (attribute(ATTRIBUTE_ID)?, attribute(ATTRIBUTE_TOKEN)?, attribute(ATTRIBUTE_URL)?);
    let url = format!("{}/v1/dispatches/{id}/alive", url.trim_end_matches('/'));
    let request = shared.client.post(url).bearer_auth(token).json(&json!({"state": state}));
    let answer = request.timeout(shared.timings.request_timeout).send().await;
    status_of_post(answer.ok()?).await
}
