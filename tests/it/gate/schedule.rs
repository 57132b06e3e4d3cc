//! One schedule: what its seed makes of the replicas, step by step, until nothing is left to do.

mod endings;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use greenroom::provider::simulated::gate::Fate;
use greenroom::provider::simulated::{Simulated, SimulatedOptions};
use greenroom::provider::{Provider, RoomTimeouts};
use greenroom::store::keys::Shard;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use super::cast::{self, Book, ROOM, Replica};
use super::copy::Copy;
use super::desk::{Desk, Held, Reply, Scripts, Waits, load_scripts};
use super::ids::Ids;
use super::leases::Leases;
use super::ledger::{Ledger, Tally};
use super::resp::Redis;
use super::verdict::Watch;
use super::{pools, users};
use crate::support::server::Server;

/// When every schedule begins, in milliseconds since 1970.
pub(super) const BEGIN_MS: u64 = 1_750_000_000_000;
const REPLICAS: usize = 3;
const FAULTS_MAX: u32 = 3;
/// So many steps have faults and any order; after them all comes to rest.
const WILD_STEPS: u64 = 90;
/// The runners alone take many.
const WILD_STEPS_OF_POOLS: u64 = 220;
const CALM_STEPS: u64 = 1500;
/// So often in a row everybody has had a turn and nothing came of it: all wait.
const SILENT_TURNS: u32 = 10;

/// What is played, by the seed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// An agent for a room.
    Room,
    /// The same, where the provider fails for stretches, and its breakers open.
    RoomInTrouble,
    /// Locks and breakers alone; Redis may fail over.
    LocksAndBreakers,
    /// A pool with its sessions and runners; Redis's clock may go back.
    Pool,
}

const PIECES: [Piece; 4] = [Piece::Room, Piece::RoomInTrouble, Piece::LocksAndBreakers, Piece::Pool];

/// A Redis for one schedule after the other.
pub(super) struct Stage {
    _redis: Server,
    line: Redis,
    socket: PathBuf,
    _dir: tempfile::TempDir,
    scripts: Scripts,
}

/// What became of a schedule.
pub(super) struct Played {
    pub(super) steps: u64,
    pub(super) faults: u64,
    pub(super) tally: Tally,
    pub(super) trace: Vec<String>,
    pub(super) outcome: Result<(), String>,
}

impl Stage {
    pub(super) fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let redis = runtime.block_on(Server::start(&[]));
        let dir = tempfile::tempdir().expect("a directory");
        let (mut line, socket) = (Redis::connect(redis.port), dir.path().join("redis"));
        let scripts = load_scripts(&mut line);
        Self { line, socket, scripts, _redis: redis, _dir: dir }
    }

    pub(super) fn play(&mut self, seed: u64) -> Played {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(self.perform(seed))
    }

    async fn perform(&mut self, seed: u64) -> Played {
        self.line.call(&["FLUSHALL"]);
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).expect("a socket");
        let desk = Desk::new(self.scripts.clone());
        tokio::spawn(desk.clone().listen(listener));
        let began_at = UNIX_EPOCH + Duration::from_millis(BEGIN_MS);
        let world = Simulated::new(&SimulatedOptions { began_at, ..SimulatedOptions::default() });
        // A room that outlives the schedule.
        let timeouts = RoomTimeouts { empty_timeout_seconds: 3600, departure_timeout_seconds: 3600 };
        Provider::Simulated(world.clone()).ensure_room(ROOM, timeouts).await.expect("a room");
        let mut rng = StdRng::seed_from_u64(seed);
        let piece = PIECES[usize::try_from(seed % 4).expect("a place")];
        let mut play = Play {
            piece,
            redis: &mut self.line,
            desk,
            world,
            socket: self.socket.clone(),
            book: Book::default(),
            watch: Watch::default(),
            ledger: Ledger::default(),
            leases: Leases::default(),
            ids: Ids::default(),
            heard: Ok(()),
            copy: None,
            behind: Duration::ZERO,
            began: Instant::now(),
            faults_left: rng.random_range(0..=FAULTS_MAX),
            rng,
            faults: 0,
            late: Vec::new(),
            dead: Vec::new(),
            stalled: None,
            trace: Vec::new(),
        };
        let outcome = play.run().await.map_err(|breach| format!("seed {seed}: {breach}"));
        let steps = play.book.step.load(Ordering::SeqCst);
        let (faults, mut tally, trace) = (play.faults, play.ledger.tally, play.trace);
        tally.add(play.leases.tally);
        Played { steps, faults, tally, trace, outcome }
    }
}

/// What the schedule makes of something that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Answered,
    CrashBefore,
    CrashAfter,
    ReplyLost,
    /// Of calls of the provider only: an error now, done later.
    Late,
    /// The same, never done.
    Failed,
}

struct Play<'a> {
    piece: Piece,
    redis: &'a mut Redis,
    desk: Desk,
    world: Simulated,
    socket: PathBuf,
    book: Book,
    watch: Watch,
    ledger: Ledger,
    leases: Leases,
    ids: Ids,
    /// What the ledgers say of what was carried out.
    heard: Result<(), String>,
    /// What Redis falls back to.
    copy: Option<Copy>,
    /// How far Redis's clock is behind since then.
    behind: Duration,
    began: Instant,
    rng: StdRng,
    faults_left: u32,
    faults: u64,
    late: Vec<oneshot::Sender<()>>,
    dead: Vec<usize>,
    /// Gets no turn for a while, as if its machine stood still.
    stalled: Option<usize>,
    trace: Vec<String>,
}

impl Play<'_> {
    async fn run(&mut self) -> Result<(), String> {
        let replicas: Vec<_> = (0..REPLICAS).map(|actor| self.replica(actor)).collect();
        let set_out = match self.piece {
            Piece::Room | Piece::RoomInTrouble => cast::set_out,
            Piece::LocksAndBreakers => users::set_out,
            Piece::Pool => pools::set_out,
        };
        if self.piece == Piece::Pool {
            pools::open(&replicas, &mut self.rng);
            self.wait_for_workers(pools::SPARE).await?;
        }
        let tasks = set_out(&replicas, &mut self.rng);
        for _ in 0..if self.piece == Piece::Pool { WILD_STEPS_OF_POOLS } else { WILD_STEPS } {
            self.settle().await;
            if self.are_done(&tasks) {
                break;
            }
            self.step(&replicas).await?;
        }
        self.book.failing.store(false, Ordering::SeqCst);
        self.book.over.store(true, Ordering::SeqCst);
        for late in self.late.drain(..) {
            let _ = late.send(());
        }
        self.calm(|play| play.are_done(&tasks)).await?;
        (0..REPLICAS).for_each(|actor| self.desk.kill(actor));
        self.watch.judge(&self.book.told.lock().expect("no panic"))?;
        match self.piece {
            Piece::Room | Piece::RoomInTrouble => self.clear_up().await,
            Piece::LocksAndBreakers => self.find_all_well().await,
            Piece::Pool => self.empty_the_pool().await,
        }
    }

    fn replica(&self, actor: usize) -> Replica {
        let opens = self.piece != Piece::Room;
        Replica::new(actor, &self.socket, &self.desk, &self.world, &self.book, opens)
    }

    /// Whether all that can have finished.
    fn are_done(&self, tasks: &[(usize, JoinHandle<()>)]) -> bool {
        tasks.iter().all(|(actor, task)| self.dead.contains(actor) || task.is_finished())
    }

    /// One thing happens: time passes, or something that waits gets its turn.
    async fn step(&mut self, replicas: &[Replica]) -> Result<(), String> {
        self.have_trouble(replicas);
        // Where more is on its way, less time passes meanwhile: else most of it is given up.
        let (stalls, passes) = if self.piece == Piece::Pool { (0.3, 0.03) } else { (0.6, 0.1) };
        if self.rng.random_bool(0.1) {
            self.stalled = self.rng.random_bool(stalls).then(|| self.rng.random_range(0..REPLICAS));
        }
        let (mut held, waiting): (Vec<_>, Vec<_>) =
            self.desk.take_held().into_iter().partition(|held| Some(held.actor) != self.stalled);
        let one = (!held.is_empty() && !self.rng.random_bool(passes))
            .then(|| held.swap_remove(self.rng.random_range(0..held.len())));
        held.extend(waiting);
        self.desk.put_back(held);
        if let Some(one) = one {
            let turn = self.turn(&one);
            self.release(one, turn);
        } else {
            let passing = [100, 300, 1000, 2500, if self.piece == Piece::Pool { 300 } else { 6000 }];
            let passing = passing[self.rng.random_range(0..5)];
            self.pass(Duration::from_millis(passing)).await;
        }
        if !self.late.is_empty() && self.rng.random_bool(0.1) {
            let _ = self.late.swap_remove(0).send(());
            self.note("what came late is done");
        }
        self.check().await
    }

    /// The provider fails for a while; Redis fails over, once.
    fn have_trouble(&mut self, replicas: &[Replica]) {
        if matches!(self.piece, Piece::RoomInTrouble | Piece::LocksAndBreakers) && self.rng.random_bool(0.06) {
            let was_failing = self.book.failing.fetch_xor(true, Ordering::SeqCst);
            self.note(if was_failing { "the provider is well" } else { "the provider fails" });
        }
        if self.piece == Piece::Pool && self.behind.is_zero() && self.rng.random_bool(0.004) {
            self.behind = Duration::from_millis(self.rng.random_range(1..6000));
            self.leases.clock_went_back = true;
            self.note(&format!("Redis's clock goes back by {} ms", self.behind.as_millis()));
        }
        if self.piece != Piece::LocksAndBreakers || !self.behind.is_zero() {
            return;
        }
        if self.rng.random_bool(0.06) {
            self.copy = Some(Copy::of(self.redis));
        }
        if self.copy.is_some() && self.rng.random_bool(0.03) {
            self.fail_over(replicas);
        }
    }

    /// Who is left has noticed before anything else is carried out: each has raised the floor of the tokens.
    fn fail_over(&mut self, replicas: &[Replica]) {
        let Some(copy) = self.copy.take() else { return };
        copy.put_back(self.redis);
        self.behind = Duration::from_millis(self.rng.random_range(1..6000));
        let alive = replicas.iter().enumerate().filter(|(actor, _)| !self.dead.contains(actor));
        let floor = alive.map(|(_, replica)| replica.store.token_seen()).max().unwrap_or_default();
        self.redis.call(&["HSET", &Shard(0).shard(), "token_floor", &floor.to_string()]);
        self.ledger.begin_anew(self.redis, floor);
        self.faults += 1;
        self.note(&format!("Redis fails over, {} ms behind", self.behind.as_millis()));
    }

    fn turn(&mut self, held: &Held) -> Turn {
        let is_call = matches!(held.waits, Waits::Call(_));
        if is_call && self.book.failing.load(Ordering::SeqCst) {
            return Turn::Failed;
        }
        // What a creation leaves behind is what most of the protocol is about.
        let risk = match (held.name.as_str(), self.piece) {
            ("create", _) => 0.4,
            (_, Piece::Pool) => 0.04,
            _ => 0.1,
        };
        if self.faults_left == 0 || !self.rng.random_bool(risk) {
            return Turn::Answered;
        }
        self.faults_left -= 1;
        self.faults += 1;
        let turns = [Turn::CrashBefore, Turn::CrashAfter, Turn::ReplyLost, Turn::Late];
        turns[self.rng.random_range(0..if is_call { 4 } else { 3 })]
    }

    fn release(&mut self, held: Held, turn: Turn) {
        let Held { actor, name, waits } = held;
        self.note(&format!("{actor} {name}: {turn:?}"));
        let crashes = matches!(turn, Turn::CrashBefore | Turn::CrashAfter);
        match (waits, turn) {
            (_, Turn::CrashBefore) => {}
            (Waits::Command { mut words, slot, connection }, _) => {
                let now_ms = self.now_ms();
                self.ids.number_all(&mut words);
                let answer = Desk::carry_out(self.redis, &words, now_ms);
                let heard = self.ledger.hear(&name, &words, &answer, now_ms);
                let heard = match self.piece {
                    Piece::Pool => self.leases.hear(self.redis, &name, &words, &answer, now_ms),
                    _ => heard,
                };
                self.heard = std::mem::replace(&mut self.heard, Ok(())).and(heard);
                if turn != Turn::CrashAfter {
                    let lost = turn == Turn::ReplyLost;
                    let _ = connection.send(if lost { Reply::Close } else { Reply::Answer(slot, answer) });
                }
            }
            (Waits::Call(sender), Turn::Late) => {
                let (late, signal) = oneshot::channel();
                self.late.push(late);
                let _ = sender.send(Fate::Late(signal));
            }
            // Nobody gives the signal.
            (Waits::Call(sender), Turn::Failed) => drop(sender.send(Fate::Late(oneshot::channel().1))),
            (Waits::Call(sender), Turn::Answered) => drop(sender.send(Fate::Answered)),
            (Waits::Call(sender), _) => drop(sender.send(Fate::Unheard)),
        }
        self.desk.note();
        if crashes {
            self.dead.push(actor);
            self.desk.kill(actor);
        }
    }

    async fn pass(&mut self, time: Duration) {
        self.note(&format!("{} ms pass", time.as_millis()));
        tokio::time::advance(time).await;
        self.desk.note();
    }

    fn note(&mut self, line: &str) {
        let step = self.book.step.fetch_add(1, Ordering::SeqCst);
        self.trace.push(format!("{step:4} {:7} ms  {line}", self.began.elapsed().as_millis()));
    }

    /// When everybody waits again: what must hold after every step.
    async fn check(&mut self) -> Result<(), String> {
        self.settle().await;
        let step = self.book.step.load(Ordering::SeqCst);
        let look = cast::look(&self.world).await;
        std::mem::replace(&mut self.heard, Ok(()))?;
        self.book.accusation.lock().expect("no panic").take().map_or(Ok(()), Err)?;
        self.watch.look(step, self.redis, &look)
    }

    fn now_ms(&self) -> u64 {
        BEGIN_MS + u64::try_from(self.began.elapsed().as_millis()).expect("a time")
            - u64::try_from(self.behind.as_millis()).expect("a time")
    }

    /// Waits until everybody waits for the desk, or for time.
    async fn settle(&self) {
        let (mut silent, mut events) = (0, self.desk.events());
        while silent < SILENT_TURNS {
            yield_now().await;
            let now = self.desk.events();
            silent = if now == events { silent + 1 } else { 0 };
            events = now;
        }
    }
}
