//! What the settings make of providers: who has the rooms, who serves their dispatches, and LiveKit's door for pages.

use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::domain_settings;
use crate::config::{Config, LiveKitCredentials, ProviderKind};
use crate::dispatch::{Dispatches, RoomNotice, room_timeouts};
use crate::http::{LiveKitDoor, WebhookRefusal};
use crate::pool::Pools;
use crate::provider::livekit::{LiveKit, WebhookError};
use crate::provider::simulated::{Simulated, SimulatedOptions};
use crate::provider::{PoolProvider, PoolProviderOptions, Provider};

/// How long a page's token lets it join.
const JOIN_TOKEN_LIFETIME: Duration = Duration::from_mins(10);
/// Notices of the simulation that may wait to be taken in.
const NOTICES_MAX: usize = 10_000;

/// Who has the rooms, and serves their dispatches unless pools do: as the settings ask for.
pub fn provider(config: &Config) -> anyhow::Result<Provider> {
    match config.dispatch.provider {
        ProviderKind::Simulated => Ok(Provider::Simulated(Simulated::new(&SimulatedOptions::default()))),
        ProviderKind::Pool if config.livekit.credentials().is_none() => Ok(Provider::Names),
        ProviderKind::LiveKit | ProviderKind::Pool => {
            let credentials = config.livekit.credentials().context(
                "LiveKit is not configured: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, \
                 or GREENROOM_DISPATCH_PROVIDER=simulated to try greenroom without it",
            )?;
            let (timeout, least) = (config.livekit.call_timeout(), config.livekit.call_timeout_min());
            let least = config.livekit.call_timeout_adapts.then_some(least);
            let LiveKitCredentials { url, api_key, api_secret } = credentials;
            Ok(Provider::LiveKit(LiveKit::adaptive(url, api_key, api_secret, timeout, least)?))
        }
    }
}

/// Pools as provider, for the rooms of that one. Their workers are told how to join a room of LiveKit.
pub(super) fn by_pool(config: &Config, pools: &Pools, rooms: &Provider) -> PoolProvider {
    let dispatch = domain_settings(config);
    let options = PoolProviderOptions {
        // Some looks may fail, or a leader be lost, before a session is.
        lease: (dispatch.cleanup_interval.max(dispatch.check_interval) * 5).max(Duration::from_mins(5)),
        // The rest of the budget is for the room before and for the worker's taking the session after.
        wait: dispatch.creation_budget / 2,
    };
    let by_pool = PoolProvider::new(pools.clone(), rooms.clone(), options);
    let Provider::LiveKit(livekit) = rooms else { return by_pool };
    let livekit = livekit.clone();
    by_pool.telling(move |room, dispatch| {
        let token = livekit.agent_token(room, &format!("agent-{dispatch}"), JOIN_TOKEN_LIFETIME);
        // One that cannot be made is of no use to tell; the worker says so.
        let token = token.map(|token| token.expose_secret().to_owned()).unwrap_or_default();
        vec![("LIVEKIT_URL", livekit.url().to_owned()), ("LIVEKIT_TOKEN", token)]
    })
}

pub(super) fn door(config: &Config, provider: &Provider) -> Option<LiveKitDoor> {
    let Provider::LiveKit(livekit) = provider else { return None };
    let (receiving, minting, reading) = (livekit.clone(), livekit.clone(), livekit.clone());
    let dispatch = &config.dispatch;
    let timeouts = room_timeouts(dispatch.ttl_bounds().map_or(dispatch.ttl_seconds, |(_, longest)| longest));
    let door = LiveKitDoor::new(
        livekit.url(),
        move |authorization, body| {
            receiving.receive(authorization, body).map_err(|error| match error {
                WebhookError::NotUnderstood { .. } => WebhookRefusal::Unusable(error.to_string()),
                WebhookError::NotGenuine { .. } => WebhookRefusal::BadSignature(error.to_string()),
            })
        },
        move |request| {
            minting
                .join_token(request.room, request.identity, request.name, None, timeouts, JOIN_TOKEN_LIFETIME)
                .map_err(|error| error.to_string())
        },
    );
    Some(door.with_pages(move |token| reading.room_of_page(token)))
}

/// The simulation's notices are what webhooks are otherwise.
pub(super) fn follow_simulation(simulated: &Simulated, dispatches: &Dispatches, stop: &CancellationToken) {
    let (sender, mut notices) = mpsc::channel::<RoomNotice>(NOTICES_MAX);
    simulated.subscribe(sender);
    let (running, dispatches) = (simulated.clone(), dispatches.clone());
    let follow = async move {
        while let Some(notice) = notices.recv().await {
            if let Err(error) = dispatches.notice(notice).await {
                tracing::warn!(%error, "a notice of the simulation was lost; a look will tell");
            }
        }
    };
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = running.run() => {}
            () = follow => {}
        }
    });
}
