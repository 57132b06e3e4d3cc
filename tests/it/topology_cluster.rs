//! A Cluster that changes while it is used: masters that are lost or hang, slots that move.

use std::time::{Duration, Instant};

use ::redis::{FromRedisValue, Value};
use greenroom::dispatch::Place;
use greenroom::name::Name;
use greenroom::store::keys::{PlaceKeys, SCHEMA, Shard};
use tokio_util::sync::CancellationToken;

use crate::standin::{Kind, WorkerBehaviour};
use crate::support::redis::{TestRedis, command};
use crate::support::replica::{AGENT, Caller, House, Plan, ROOM};
use crate::support::server::Server;

const SHARDS: u16 = 4;

/// The key of a room's dispatch.
fn key(room: &str) -> String {
    let place = Place {
        tenant: Name::default_tenant(),
        room: Name::room(room).expect("a name"),
        agent: Name::strict(AGENT).expect("a name"),
    };
    PlaceKeys::new(&place, SHARDS).dispatch()
}

/// Replicas on three masters with a replica each, and a room that is served.
async fn house() -> House {
    let redis = TestRedis::cluster(3, 1).await;
    // A master that is lost then takes its own rooms along and no others.
    redis.run::<()>(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    let house = Plan::default().on(redis).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    for server in house.redis.servers() {
        let _ = server.query(&command(&["WAIT", "1", "5000"])).await;
    }
    house
}

/// A room of another master.
async fn room_elsewhere(house: &House, master: usize) -> String {
    for n in 0.. {
        let room = format!("elsewhere-{n}");
        if house.redis.owner_of(&key(&room)).await != master {
            return room;
        }
    }
    unreachable!()
}

async fn check_after(house: &House, began: Instant) {
    house.until_all_serve(ROOM).await;
    eprintln!("all replicas serve again after {:?}", began.elapsed());
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1, "the agent was made twice");
    house.agrees(ROOM).await;
    house.until_led().await;
}

/// Asks again and again until it is over; how often, and what went wrong.
fn load(caller: &Caller, rooms: Vec<String>, over: &CancellationToken) -> tokio::task::JoinHandle<(u32, Vec<String>)> {
    let (caller, over) = (caller.clone(), over.clone());
    tokio::spawn(async move {
        let (mut asked, mut wrong) = (0, Vec::new());
        while !over.is_cancelled() {
            for room in &rooms {
                let answer = caller.ask(room).await;
                asked += 1;
                if answer.status >= 300 {
                    wrong.push(format!("{room}: {answer:?}"));
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (asked, wrong)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_is_killed_is_followed_to_its_replica() {
    let mut house = house().await;
    let master = house.redis.owner_of(&key(ROOM)).await;
    let began = Instant::now();
    house.redis.servers_mut()[master].kill();
    check_after(&house, began).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_hangs_holds_up_no_room_of_another() {
    let house = house().await;
    let master = house.redis.owner_of(&key(ROOM)).await;
    let elsewhere = room_elsewhere(&house, master).await;
    house.acquire(&elsewhere).await;
    let over = CancellationToken::new();
    let asking = load(&house.caller, vec![elsewhere.clone()], &over);
    let began = Instant::now();
    house.redis.servers()[master].signal("STOP");
    check_after(&house, began).await;
    house.redis.servers()[master].signal("CONT");
    house.acquire(ROOM).await;
    over.cancel();
    let (asked, wrong) = asking.await.expect("no panic");
    assert!(wrong.is_empty() && asked > 10, "{asked} asked; {wrong:#?}");
    house.agrees(&elsewhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_under_load_fail_no_call() {
    let house = Plan::default().on(TestRedis::cluster(3, 0).await).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let rooms: Vec<String> = (0..12).map(|n| format!("room-{n}")).collect();
    let over = CancellationToken::new();
    let asking: Vec<_> = rooms.iter().map(|room| load(&house.caller, vec![room.clone()], &over)).collect();
    for shard in 0..SHARDS {
        let key = Shard(shard).shard();
        let from = house.redis.owner_of(&key).await;
        let slot = Move::begin(&house.redis, &key, from, (from + 1) % 3).await;
        slot.carry(Duration::from_millis(30)).await;
        slot.end(&house.redis).await;
        assert_eq!(house.redis.owner_of(&key).await, (from + 1) % 3);
    }
    over.cancel();
    let mut total = 0;
    for asking in asking {
        let (asked, wrong) = asking.await.expect("no panic");
        assert!(wrong.is_empty(), "{} of {asked}: {:#?}", wrong.len(), wrong.first());
        total += asked;
    }
    assert!(total > 100, "{total} calls are no load");
    for room in rooms {
        assert_eq!(house.standin.created(&room, AGENT), 1);
        house.agrees(&room).await;
    }
}

#[tokio::test]
async fn a_key_that_has_moved_is_asked_for_where_its_slot_goes() {
    let redis = TestRedis::cluster(3, 0).await;
    let store = redis.store().await;
    let made = store.read_schema().await.expect("an answer").expect("a schema");
    let from = redis.owner_of(SCHEMA).await;
    let slot = Move::begin(&redis, SCHEMA, from, (from + 1) % 3).await;
    slot.carry(Duration::ZERO).await;
    // The map still names the old node, and so it is until the end.
    assert_eq!(store.read_schema().await.expect("an answer"), Some(made.clone()));
    assert_eq!(store.create_schema().await.expect("an answer"), made);
    slot.end(&redis).await;
    assert_eq!(store.read_schema().await.expect("an answer"), Some(made));
}

/// A slot on its way from one master to another, as `redis-cli --cluster reshard` moves it.
struct Move<'a> {
    slot: String,
    from: &'a Server,
    to: &'a Server,
    target: String,
}

impl<'a> Move<'a> {
    /// Of the key's slot.
    async fn begin(redis: &'a TestRedis, key: &str, from: usize, to: usize) -> Self {
        let (from, to) = (&redis.servers()[from], &redis.servers()[to]);
        let slot: u64 = redis.run(&["CLUSTER", "KEYSLOT", key]).await;
        let slot = slot.to_string();
        let (source, target) = (id(from).await, id(to).await);
        to.query(&command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source])).await.expect("OK");
        from.query(&command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target])).await.expect("OK");
        Self { slot, from, to, target }
    }

    /// All its keys, a few at a time with a pause between, in which calls meet a slot that is half here and half
    /// there.
    async fn carry(&self, pause: Duration) {
        loop {
            let keys = self.from.query(&command(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "5"])).await.expect("keys");
            let keys = Vec::<String>::from_redis_value(keys).expect("keys");
            if keys.is_empty() {
                return;
            }
            let port = self.to.port.to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            let moved = self.from.query(&command(&words)).await.expect("an answer");
            assert!(matches!(moved, Value::Okay | Value::SimpleString(_)), "{moved:?}");
            tokio::time::sleep(pause).await;
        }
    }

    async fn end(self, redis: &TestRedis) {
        for server in [self.to, self.from].into_iter().chain(redis.servers()) {
            server.query(&command(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &self.target])).await.expect("OK");
        }
    }
}

/// A node's own name.
async fn id(server: &Server) -> String {
    String::from_redis_value(server.query(&command(&["CLUSTER", "MYID"])).await.expect("an id")).expect("text")
}
