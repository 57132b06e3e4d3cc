//! Carrying out a schedule: each trouble is made, stays for its time, and is mended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::history::{History, Recovery, Window};
use super::pool;
use super::proxy::Way;
use super::rig::Rig;
use super::schedule::{Loss, Schedule, Step, Trouble};
use crate::standin::{Fault, Method, Mischief};
use crate::support::client::Client;
use crate::support::stage::KEY;

/// Carries it out; returns when everything is mended.
pub(crate) async fn carry_out(rig: &Arc<Rig>, history: &Arc<History>, schedule: &Schedule) {
    join_all(schedule.lanes.iter().map(|steps| carry_out_lane(rig, history, steps))).await;
}

async fn carry_out_lane(rig: &Arc<Rig>, history: &Arc<History>, steps: &[Step]) {
    for &step in steps {
        tokio::time::sleep(step.at.saturating_sub(history.now())).await;
        let from = history.now();
        let since = make(rig, history, step).await.unwrap_or(from);
        history.windows.add(Window { trouble: step.trouble, from, since, to: history.now() });
    }
}

/// Makes the trouble and mends it; tells from when on it was there, where that takes a while.
async fn make(rig: &Arc<Rig>, history: &Arc<History>, step: Step) -> Option<Duration> {
    let wait = move || tokio::time::sleep(step.lasts);
    match step.trouble {
        Trouble::ReplicaKilled(n) => {
            rig.replicas[n].keeper.kill();
            wait().await;
            rig.replicas[n].keeper.let_start();
            rig.is_ready(n, Duration::from_secs(10)).await;
        }
        Trouble::LeaderKilledAtWork => {
            let leader = rig.leader().await.unwrap_or_default();
            rig.livekit.faults().set(Method::ListRooms, Fault::slow(Duration::from_millis(400)));
            tokio::time::sleep(Duration::from_millis(600)).await;
            rig.replicas[leader].keeper.kill();
            rig.livekit.faults().clear(Method::ListRooms);
            wait().await;
            rig.replicas[leader].keeper.let_start();
            rig.is_ready(leader, Duration::from_secs(10)).await;
        }
        Trouble::AllKilledAtWork => {
            rig.livekit.faults().set(Method::CreateDispatch, Fault::slow(Duration::from_millis(400)));
            tokio::time::sleep(Duration::from_millis(600)).await;
            rig.replicas.iter().for_each(|replica| replica.keeper.kill());
            rig.livekit.faults().clear(Method::CreateDispatch);
            wait().await;
            for (n, replica) in rig.replicas.iter().enumerate() {
                replica.keeper.let_start();
                rig.is_ready(n, Duration::from_secs(10)).await;
            }
        }
        Trouble::ReplicaStopped(n) => stop(rig, n, step.lasts).await,
        Trouble::LeaderStopped => {
            let leader = rig.leader().await.unwrap_or_default();
            stop(rig, leader, step.lasts).await;
        }
        Trouble::ReplicaCutOff(n) => on_way(rig, &[n], Way::Cut, step.lasts).await,
        Trouble::ReplicaHanging(n) => on_way(rig, &[n], Way::Hanging, step.lasts).await,
        Trouble::RedisSlow(ms) => on_way(rig, &[0, 1, 2], Way::Slow(Duration::from_millis(ms)), step.lasts).await,
        Trouble::RedisKilled(loss) => {
            let since = kill_redis(rig, history, loss, step.lasts).await;
            time_recovery(rig, history);
            return Some(since);
        }
        Trouble::RedisStopped => {
            let redis = rig.redis.lock().await;
            redis.servers().iter().for_each(|server| server.signal("STOP"));
            let since = history.now();
            wait().await;
            redis.servers().iter().for_each(|server| server.signal("CONT"));
            time_recovery(rig, history);
            return Some(since);
        }
        Trouble::RedisFull => {
            rig.redis.lock().await.run::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
            wait().await;
            rig.redis.lock().await.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
        }
        Trouble::DiskFull => {
            let redis = rig.redis.lock().await;
            // With `always`, Redis ends when it cannot write: that is the trouble of a Redis that was killed.
            redis.run::<()>(&["CONFIG", "SET", "appendfsync", "everysec"]).await;
            redis.servers()[0].fill_disk(true);
            wait().await;
            redis.servers()[0].fill_disk(false);
            time_recovery(rig, history);
        }
        Trouble::ScriptsForgotten => {
            let over = tokio::time::Instant::now() + step.lasts;
            while tokio::time::Instant::now() < over {
                rig.redis.lock().await.run::<()>(&["SCRIPT", "FLUSH"]).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Trouble::Fsync(mode) => rig.redis.lock().await.run(&["CONFIG", "SET", "appendfsync", mode]).await,
        Trouble::Provider(method, failing) => {
            rig.livekit.faults().set(method, failing.fault());
            wait().await;
            rig.livekit.faults().clear(method);
        }
        Trouble::WorkerKilled => {
            rig.kill_worker();
            wait().await;
            rig.start_worker();
        }
        Trouble::AgentKilled => kill_an_agent(rig),
        Trouble::Webhooks(mischief) => {
            rig.livekit.set_mischief(mischief);
            wait().await;
            rig.livekit.set_mischief(Mischief::None);
        }
        Trouble::DoorClosed => {
            rig.door.set(Way::Cut);
            wait().await;
            rig.door.set(Way::Open);
        }
        _ => disturb_pool(rig, history, step).await,
    }
    None
}

async fn disturb_pool(rig: &Rig, history: &History, step: Step) {
    let wait = || tokio::time::sleep(step.lasts);
    match step.trouble {
        Trouble::RunnerKilled(n) => {
            let runner = &rig.runners.keepers[n];
            history.harmed.add((history.now(), runner.name().to_owned()));
            runner.kill();
            wait().await;
            runner.let_start();
        }
        Trouble::RunnerStopped(n) => {
            rig.runners.keepers[n].signal("STOP");
            wait().await;
            rig.runners.keepers[n].signal("CONT");
        }
        Trouble::RunnersDoor(way) => {
            rig.runners.door.set(way);
            wait().await;
            rig.runners.door.set(Way::Open);
        }
        Trouble::PoolWorkerKilled(n) => pool::signal_worker(history, n, "KILL"),
        Trouble::PoolWorkerHangs(n) => pool::signal_worker(history, n, "STOP"),
        _ => {}
    }
}

async fn stop(rig: &Rig, replica: usize, lasts: Duration) {
    rig.replicas[replica].keeper.signal("STOP");
    tokio::time::sleep(lasts).await;
    rig.replicas[replica].keeper.signal("CONT");
}

async fn on_way(rig: &Rig, replicas: &[usize], way: Way, lasts: Duration) {
    set_way(rig, replicas, way);
    tokio::time::sleep(lasts).await;
    set_way(rig, replicas, Way::Open);
}

fn set_way(rig: &Rig, replicas: &[usize], way: Way) {
    for &replica in replicas {
        rig.replicas[replica].way.set(way);
    }
}

/// Returns when it was gone.
async fn kill_redis(rig: &Arc<Rig>, history: &History, loss: Loss, down: Duration) -> Duration {
    let mut redis = rig.redis.lock().await;
    let dir = redis.servers()[0].dir().join("appendonlydir");
    let kept = sizes(&dir);
    if loss == Loss::Nothing {
        // Whatever the policy: while a sync is under way, Redis holds back what it would write.
        redis.run::<()>(&["CONFIG", "SET", "appendfsync", "always"]).await;
    }
    if loss == Loss::LastMoment {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    redis.kill();
    let since = history.now();
    match loss {
        Loss::Nothing => {}
        Loss::LastMoment => {
            for (path, length) in kept {
                let file = std::fs::File::options().write(true).open(path).expect("a file of Redis");
                file.set_len(length).expect("it can be cut");
            }
        }
        Loss::Everything => std::fs::remove_dir_all(&dir).expect("a directory of Redis"),
    }
    tokio::time::sleep(down).await;
    redis.servers_mut()[0].start_again().await;
    if loss == Loss::Everything {
        // What an operator does: a pool that its runners' calls have made has the shipped settings.
        let rig = Arc::clone(rig);
        tokio::spawn(async move { pool::define(&rig).await });
    }
    since
}

/// How long the files are to which Redis appends.
fn sizes(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let appended = files.filter(|file| file.path().extension().is_some_and(|end| end == "aof"));
    appended.filter_map(|file| Some((file.path(), file.metadata().ok()?.len()))).collect()
}

fn kill_an_agent(rig: &Rig) {
    rig.livekit.view(|view| view.rooms()).into_iter().find_map(|room| {
        let agent = rig.livekit.agents_in(&room).into_iter().find(crate::standin::Agent::is_working)?;
        rig.livekit.kill_agent(&room, &agent.sid);
        Some(())
    });
}

/// Redis answers again: notes how long it takes until each replica that runs serves.
fn time_recovery(rig: &Arc<Rig>, history: &Arc<History>) {
    let at = history.now();
    for replica in 0..rig.replicas.len() {
        let (rig, history) = (Arc::clone(rig), Arc::clone(history));
        tokio::spawn(async move {
            let client = Client::new(Duration::from_millis(500));
            let url = format!("http://{}/v1/dispatches?limit=1", rig.replicas[replica].address);
            loop {
                let answer = client.get(&url).bearer_auth(KEY).send().await;
                if answer.is_ok_and(|answer| answer.status() == 200) {
                    history.recoveries.add(Recovery { replica, at, took: history.now().saturating_sub(at) });
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
}
