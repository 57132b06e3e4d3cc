//! What there is: the store's workers and leases, those who ask, and a runner with its processes and its calls.

/// Everything, at one moment. One pool of one worker at a time is enough: workers share nothing but the line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) store: Store,
    pub(super) callers: [Caller; LEASES],
    pub(super) runner: Runner,
    /// Calls of the runner that have not arrived. The last one is waited for if it is the newest.
    pub(super) calls: Vec<Call>,
    pub(super) faults_left: u8,
    /// The last token: they look like times, and so go on growing whatever the store forgets.
    pub(super) last_token: u8,
    pub(super) broken: Broken,
    pub(super) seen: Seen,
}

pub(super) const LEASES: usize = 3;
pub(super) const WORKERS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    /// Another one where it came back empty.
    pub(super) life: u8,
    pub(super) workers: [Option<Worker>; WORKERS],
    pub(super) leases: [Option<Lease>; LEASES],
    /// The boot and number of the runner's last call that counted.
    pub(super) heard: (u8, u8),
}

/// `gr:{shard}:worker:…`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) state: State,
    pub(super) token: u8,
    /// Whether its last instruction has not ended.
    pub(super) instructed: bool,
    pub(super) lease: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Initializing,
    Ready,
    Busy,
    Resetting,
    Terminating,
    Terminated,
}

/// `gr:{shard}:lease:…`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lease {
    Waiting,
    Offered { worker: usize, token: u8, taken: bool },
    Held { worker: usize, token: u8 },
}

/// Who asks for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    ToCome,
    Asking,
    Holds(u8),
    Done,
    /// It crashed: nothing is heard of it any more.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Runner {
    pub(super) boot: u8,
    pub(super) number: u8,
    /// The store of its last answer.
    pub(super) store: Option<u8>,
    pub(super) processes: [Option<Process>; WORKERS],
    /// What the last answer says.
    pub(super) wishes: [Option<Wish>; WORKERS],
    /// What the last call told that was answered.
    pub(super) told: Option<[Option<Process>; WORKERS]>,
}

/// A worker's process, as it is and as it is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) serves: Serves,
    /// The instruction that ended last, and whether it was done.
    pub(super) ended: Option<(u8, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Serves {
    /// Nobody, and it has nothing of anybody.
    Nobody,
    Lease(usize),
    /// It has something left of a session, and serves nobody.
    Unclean,
    Gone,
}

/// What is to become of a worker; all others are to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wish {
    Run,
    Assign(u8, usize),
    Keep,
    Reset(u8),
}

/// A call of the runner, on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) boot: u8,
    pub(super) number: u8,
    pub(super) processes: [Option<Process>; WORKERS],
}

/// What must never be. Apart from the state, so that a property can name each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    pub(super) took_another: bool,
    pub(super) lost_a_serving_one: bool,
}

/// What came to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) lapsed_while_held: bool,
    pub(super) adopted: bool,
}

impl World {
    /// So many ask, and so much may go wrong.
    pub(super) fn new(leases: usize, faults: u8) -> Self {
        let come = |k| if k < leases { Caller::ToCome } else { Caller::Done };
        Self {
            store: Store { life: 0, workers: [None; WORKERS], leases: [None; LEASES], heard: (0, 0) },
            callers: std::array::from_fn(come),
            runner: Runner {
                boot: 1,
                number: 0,
                store: None,
                processes: [None; WORKERS],
                wishes: [None; WORKERS],
                told: None,
            },
            calls: Vec::new(),
            faults_left: faults,
            last_token: 0,
            broken: Broken::default(),
            seen: Seen::default(),
        }
    }

    pub(super) fn next_token(&mut self) -> u8 {
        self.last_token += 1;
        self.last_token
    }

    /// Whether the runner waits for its newest call.
    pub(super) fn is_waited_for(&self) -> bool {
        self.calls.last().is_some_and(|call| (call.boot, call.number) == (self.runner.boot, self.runner.number))
    }

    /// Nobody waits or holds, and every worker is ready or gone.
    pub(super) fn is_settled(&self) -> bool {
        let at_rest = |worker: &Worker| matches!(worker.state, State::Ready | State::Terminated);
        self.store.leases.iter().all(Option::is_none)
            && self.store.workers.iter().flatten().all(at_rest)
            && !self.callers.contains(&Caller::Asking)
    }

    /// States that differ in nothing that matters are one: tokens and numbers of calls are only compared.
    pub(super) fn normalise(&mut self) {
        rank(|visit| self.each_token(visit));
        rank(|visit| self.each_number(visit));
    }

    fn each_token(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        visit(&mut self.last_token);
        for worker in self.store.workers.iter_mut().flatten() {
            visit(&mut worker.token);
        }
        for lease in self.store.leases.iter_mut().flatten() {
            match lease {
                Lease::Offered { token, .. } | Lease::Held { token, .. } => visit(token),
                Lease::Waiting => {}
            }
        }
        for caller in &mut self.callers {
            if let Caller::Holds(token) = caller {
                visit(token);
            }
        }
        for wish in self.runner.wishes.iter_mut().flatten() {
            if let Wish::Assign(token, _) | Wish::Reset(token) = wish {
                visit(token);
            }
        }
        let told = self.runner.told.iter_mut().flatten();
        let on_their_way = self.calls.iter_mut().flat_map(|call| &mut call.processes);
        for process in self.runner.processes.iter_mut().chain(told).chain(on_their_way).flatten() {
            if let Some((token, _)) = &mut process.ended {
                visit(token);
            }
        }
    }

    fn each_number(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        visit(&mut self.runner.number);
        visit(&mut self.store.heard.1);
        self.calls.iter_mut().for_each(|call| visit(&mut call.number));
    }
}

/// Puts the rank of each in its place; nothing stays nothing.
fn rank(mut each: impl FnMut(&mut dyn FnMut(&mut u8))) {
    let mut seen = [false; 256];
    each(&mut |it| seen[usize::from(*it)] = true);
    seen[0] = false;
    let mut rank = 0;
    let ranks = seen.map(|seen| {
        rank += u8::from(seen);
        rank
    });
    each(&mut |it| *it = ranks[usize::from(*it)]);
}
