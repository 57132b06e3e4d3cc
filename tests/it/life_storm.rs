//! A retry storm: LiveKit is away for a while under load. What it sees meanwhile and afterwards is its usual load and
//! a fifth more at most, and it serves again as soon as it is back.
//!
//! `make soak` has it away for 30 s.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::standin::{Call, Fault, Method, WorkerBehaviour};
use crate::support::replica::{AGENT, House, Plan};
use crate::support::{eventually, size_of_test};

/// New rooms a second.
const RATE: u32 = 15;

/// What the callers were told: when they asked, and whether they got an agent.
type Told = Arc<Mutex<Vec<(Instant, bool)>>>;

/// What LiveKit sees in a stretch of time.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Tries to make a room, for each that is tried. Who could not be served while it was away is owed one try after it.
    tries_for_each: f64,
    calls_per_second: f64,
}

impl Load {
    fn between(calls: &[Call], from: Instant, to: Instant) -> Self {
        let then: Vec<&Call> = calls.iter().filter(|call| (from..to).contains(&call.at)).collect();
        let tries = then.iter().filter(|call| call.method == Method::CreateRoom).map(|call| &call.room);
        let rooms: HashSet<&String> = tries.clone().collect();
        #[expect(clippy::cast_precision_loss, reason = "these are small")]
        let of = |n: usize| n as f64;
        let tries_for_each = of(tries.count()) / of(rooms.len().max(1));
        Self { tries_for_each, calls_per_second: of(then.len()) / (to - from).as_secs_f64() }
    }
}

/// Somebody asks for the agent of a new room, `RATE` times a second, whatever comes of it.
async fn ask_on(house: Arc<House>, told: Told, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    for n in 0.. {
        if stop.is_cancelled() {
            return;
        }
        ticks.tick().await;
        let (caller, told) = (house.caller.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            let at = Instant::now();
            let is_served = caller.ask(&format!("room-{n}")).await.status < 300;
            told.lock().expect("told").push((at, is_served));
        });
    }
}

/// How long after `back` it takes until of those who ask in half a second 95 of 100 are served.
fn until_served_again(told: &Told, back: Instant) -> Option<Duration> {
    let told = told.lock().expect("told");
    (0..40).map(|n| back + n * Duration::from_millis(250)).find_map(|from| {
        let to = from + Duration::from_millis(500);
        let of_then: Vec<_> = told.iter().filter(|(at, _)| (from..to).contains(at)).collect();
        let served = of_then.iter().filter(|(_, is_served)| *is_served).count();
        (of_then.len() >= 4 && served * 100 >= of_then.len() * 95).then(|| from - back)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_sees_a_fifth_more_than_its_load_at_most() {
    let away = Duration::from_secs(size_of_test("GREENROOM_TEST_OUTAGE_SECONDS", 10).try_into().expect("a time"));
    let plan = Plan::default().replicas(1).set("GREENROOM_SERVER_RATE_LIMIT_PER_SECOND", "0");
    // Rooms whose agents would have to be looked after are another load than that of retries.
    let plan = plan.set("GREENROOM_DISPATCH_CHECK_INTERVAL_MS", "1400").set("AGENT_TTL_SECONDS", "600");
    let house = Arc::new(plan.start().await);
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let (told, stop) = (Told::default(), CancellationToken::new());
    let load = tokio::spawn(ask_on(Arc::clone(&house), Arc::clone(&told), stop.clone()));
    eventually("callers are served", async || {
        (told.lock().expect("told").iter().filter(|(_, is_served)| *is_served).count() >= 10).then_some(())
    })
    .await;

    let begin = Instant::now();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let gone = Instant::now();
    for method in Method::ALL {
        house.standin.faults().set(method, Fault::status(503));
    }
    tokio::time::sleep(away).await;
    house.standin.faults().clear_all();
    let back = Instant::now();
    let recovery = eventually("it serves again", async || until_served_again(&told, back)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.cancel();
    load.await.expect("no panic");

    let calls = house.standin.calls();
    let [usual, meanwhile, after] =
        [(begin, gone), (gone, back), (back, Instant::now())].map(|(from, to)| Load::between(&calls, from, to));
    eprintln!(
        "away for {away:?}: tries for each room {:.2} before, {:.2} meanwhile, {:.2} after; calls a second {:.0}, {:.0}, \
         {:.0}; 95 % are served {recovery:?} after it is back",
        usual.tries_for_each,
        meanwhile.tries_for_each,
        after.tries_for_each,
        usual.calls_per_second,
        meanwhile.calls_per_second,
        after.calls_per_second
    );
    let was_noticed = told.lock().expect("told").iter().any(|(_, is_served)| !is_served);
    assert!(was_noticed, "nobody noticed that it was away: the test proves nothing");
    // What is not even a tenth of a try is the edge between two stretches.
    for (stretch, most) in [(meanwhile, 1.2), (after, 1.2)] {
        assert!(
            stretch.tries_for_each <= most * usual.tries_for_each.max(1.0) + 0.05,
            "{stretch:?}, usually {usual:?}"
        );
    }
}
