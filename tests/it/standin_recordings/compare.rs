//! What of two answers, or two lists of webhooks, has to be the same.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::mask::Ids;
use super::receiver::Receiver;

/// How long webhooks may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which webhooks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Webhooks {
    /// All of each room that a webhook was recorded of.
    All,
    /// The same, where things happened at the same time.
    AnyOrder,
    /// Those that were recorded, which are not all.
    Recorded,
}

/// What the recorder's receiver answered, per room and in order.
pub(super) fn answers(steps: &[Value]) -> HashMap<String, Vec<u16>> {
    let mut answers: HashMap<String, Vec<u16>> = HashMap::new();
    for step in steps.iter().filter(|step| step["kind"] == "webhook") {
        let room = step["body"]["room"]["name"].as_str().unwrap_or_default();
        let status = step["answered"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
        answers.entry(room.to_owned()).or_default().push(status);
    }
    answers
}

/// `JOINED` lasts for milliseconds, so that it is chance whether it is seen; then `version` rises.
pub(super) fn forget_joining(answer: &mut Value) {
    for participant in answer.get_mut("participants").and_then(Value::as_array_mut).into_iter().flatten() {
        if participant["state"] == "JOINED" || participant["state"] == "ACTIVE" {
            participant["state"] = Value::from("<there>");
            participant["version"] = Value::Null;
            if let Some(attributes) = participant["attributes"].as_object_mut() {
                attributes.remove("lk.agent.state");
            }
        }
    }
}

/// Waits until as many webhooks came as were recorded, and compares each room's in order.
pub(super) async fn compare_webhooks(steps: &[Value], receiver: &Receiver, which: Webhooks) -> Result<()> {
    let mut recorded: HashMap<&str, Vec<Value>> = HashMap::new();
    for body in steps.iter().filter(|step| step["kind"] == "webhook").map(|step| &step["body"]) {
        recorded.entry(body["room"]["name"].as_str().unwrap_or_default()).or_default().push(comparable(body));
    }
    for (room, mut wanted) in recorded {
        let wait = async {
            while receiver.bodies(room).len() < wanted.len() {
                receiver.changed().await;
            }
        };
        // Whatever is missing after that shows below.
        let _ = tokio::time::timeout(PATIENCE, wait).await;
        let mut found: Vec<Value> = receiver.bodies(room).iter().map(comparable).collect();
        if which == Webhooks::Recorded {
            found.truncate(wanted.len());
        }
        if which == Webhooks::AnyOrder {
            found.sort_by_key(Value::to_string);
            wanted.sort_by_key(Value::to_string);
        }
        if found != wanted {
            let none = Value::Null;
            let index = found.iter().zip(&wanted).take_while(|(found, wanted)| found == wanted).count();
            let (found, wanted) = (found.get(index).unwrap_or(&none), wanted.get(index).unwrap_or(&none));
            bail!("the webhook {index} of room {room:?} is\n{found}\ninstead of\n{wanted}");
        }
    }
    Ok(())
}

/// A webhook without what is different each time. How many participants it counts is not to be trusted,
/// and a participant's version may be ahead of what happened.
fn comparable(body: &Value) -> Value {
    let mut masked = Ids::default().mask(body);
    if let Some(room) = masked["room"].as_object_mut() {
        room.remove("numParticipants");
    }
    if let Some(participant) = masked["participant"].as_object_mut() {
        participant.remove("version");
    }
    masked
}
