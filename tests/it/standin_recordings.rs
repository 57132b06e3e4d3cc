//! The stand-in against what was recorded at a real server, call by call and webhook by webhook,
//! with all durations shrunk alike. With `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`
//! set, the steps that need neither people nor workers run against that server too.

mod compare;
mod mask;
mod receiver;
mod replay;
mod tokens;

use std::time::Duration;

use anyhow::Result;
use compare::Webhooks;
use replay::{Target, replay, replay_at_real_server, replay_joining_for};

#[tokio::test]
async fn create_dispatch_twice() -> Result<()> {
    replay("create_dispatch_twice", Webhooks::All).await
}

#[tokio::test]
async fn missing_room() -> Result<()> {
    replay("missing_room", Webhooks::All).await
}

#[tokio::test]
async fn no_worker() -> Result<()> {
    replay("no_worker", Webhooks::All).await
}

#[tokio::test]
async fn errors() -> Result<()> {
    replay("errors", Webhooks::Recorded).await
}

#[tokio::test]
async fn happy_path() -> Result<()> {
    replay("happy_path", Webhooks::All).await
}

#[tokio::test]
async fn agent_leaves() -> Result<()> {
    // One agent is removed while it joins.
    replay_joining_for("agent_leaves", Webhooks::All, Duration::from_millis(1_900)).await
}

#[tokio::test]
async fn worker_killed() -> Result<()> {
    replay("worker_killed", Webhooks::All).await
}

#[tokio::test]
async fn room_departure() -> Result<()> {
    // One room's metadata is changed while its agent joins.
    replay_joining_for("room_departure", Webhooks::All, Duration::from_secs(1)).await
}

#[tokio::test]
async fn room_departure_people() -> Result<()> {
    replay("room_departure_people", Webhooks::AnyOrder).await
}

#[tokio::test]
async fn job_visibility() -> Result<()> {
    replay("job_visibility", Webhooks::All).await
}

#[tokio::test]
async fn agents_in_room_create() -> Result<()> {
    replay("agents_in_room_create", Webhooks::AnyOrder).await
}

#[tokio::test]
async fn webhook_retry() -> Result<()> {
    replay("webhook_retry", Webhooks::All).await
}

#[tokio::test]
async fn webhook_status() -> Result<()> {
    replay("webhook_status", Webhooks::Recorded).await
}

#[tokio::test]
async fn a_real_server_answers_as_recorded() -> Result<()> {
    let Some(target) = Target::real_server() else {
        return Ok(()); // Nothing to compare with.
    };
    for recording in ["create_dispatch_twice", "missing_room", "errors", "no_worker"] {
        replay_at_real_server(&target, recording).await?;
    }
    Ok(())
}
