//! What the store does: the scripts of pools, as far as they matter here.

use super::steps::{Rules, is_waiting};
use super::world::{Call, Caller, LEASES, Lease, Process, Serves, State, WORKERS, Worker, World};

impl World {
    /// Nothing was ever known of a worker of that id.
    pub(super) fn is_fresh(&self, w: usize) -> bool {
        let is_told = |processes: &[Option<Process>; WORKERS]| processes[w].is_some();
        self.store.workers[w].is_none()
            && !is_told(&self.runner.processes)
            && !self.calls.iter().any(|call| is_told(&call.processes))
    }

    fn instruct(&mut self, w: usize, state: State) {
        let token = self.next_token();
        if let Some(worker) = &mut self.store.workers[w] {
            (worker.state, worker.token, worker.instructed) = (state, token, true);
        }
    }

    /// Hands ready workers to those in line (`serve`, `grant`).
    pub(super) fn serve(&mut self) {
        while let Some(k) = (0..LEASES).find(|k| is_waiting(self, *k)) {
            let is_ready = |worker: &Option<Worker>| worker.is_some_and(|worker| worker.state == State::Ready);
            let Some(w) = self.store.workers.iter().position(is_ready) else { return };
            self.instruct(w, State::Busy);
            let worker = self.store.workers[w].as_mut();
            let token = worker.map_or(0, |worker| {
                worker.lease = Some(k);
                worker.token
            });
            self.store.leases[k] = Some(Lease::Offered { worker: w, token, taken: false });
        }
    }

    /// The token, where the caller has the lease by now.
    pub(super) fn confirm(&mut self, k: usize) -> Option<u8> {
        match self.store.leases[k] {
            Some(Lease::Offered { worker, token, taken: true } | Lease::Held { worker, token }) => {
                self.store.leases[k] = Some(Lease::Held { worker, token });
                Some(token)
            }
            _ => None,
        }
    }

    /// The lease is over, by whatever: its worker is reset (`end_lease`, `free`).
    pub(super) fn end(&mut self, k: usize, rules: Rules) {
        let Some(Lease::Offered { worker, .. } | Lease::Held { worker, .. }) = self.store.leases[k].take() else {
            return;
        };
        let Some(of) = self.store.workers[worker].as_mut().filter(|of| of.lease == Some(k)) else { return };
        of.lease = None;
        if rules.reset {
            self.instruct(worker, State::Resetting);
        } else {
            (of.state, of.instructed) = (State::Ready, false);
        }
        self.serve();
    }

    /// The session loses its worker; one that nobody was told of waits on (`take_away`).
    fn take_away(&mut self, w: usize) {
        let Some(k) = self.store.workers[w].as_mut().and_then(|worker| worker.lease.take()) else { return };
        self.store.leases[k] = match self.store.leases[k] {
            Some(Lease::Offered { .. }) => Some(Lease::Waiting),
            _ => None,
        };
    }

    pub(super) fn lose(&mut self, w: usize) {
        if self.store.workers[w].is_some_and(|worker| worker.state != State::Terminated) {
            self.take_away(w);
            if let Some(worker) = &mut self.store.workers[w] {
                (worker.state, worker.instructed) = (State::Terminated, false);
            }
        }
    }

    fn dismiss(&mut self, w: usize) {
        self.take_away(w);
        self.instruct(w, State::Terminating);
    }

    pub(super) fn overdue(&mut self, w: usize) {
        match self.store.workers[w].map(|worker| worker.state) {
            Some(State::Terminating) => self.lose(w),
            Some(_) => self.dismiss(w),
            None => {}
        }
        self.serve();
    }

    /// `runner/sync.lua`
    pub(super) fn sync(&mut self, call: &Call, rules: Rules) {
        let is_old = (call.boot, call.number) < self.store.heard;
        if rules.sequence && is_old && (rules.boots || call.boot == self.store.heard.0) {
            return;
        }
        self.store.heard = (call.boot, call.number);
        for (w, told) in call.processes.iter().enumerate() {
            match (self.store.workers[w], told) {
                (None, Some(process)) => self.take_in(w, *process),
                (Some(worker), Some(process)) if worker.state != State::Terminated => {
                    self.follow(w, worker, *process, rules);
                }
                (Some(Worker { state: State::Initializing, .. }), None) => {}
                (Some(worker), None) if worker.state != State::Terminated => {
                    let serves = self.runner.processes[w].map(|process| process.serves);
                    self.broken.lost_a_serving_one |= worker.lease.is_some_and(|k| serves == Some(Serves::Lease(k)));
                    self.lose(w);
                }
                _ => {}
            }
        }
        self.serve();
    }

    /// A worker that lives and that nobody knows: the store has lost it.
    fn take_in(&mut self, w: usize, process: Process) {
        let ready = Worker { state: State::Ready, token: 0, instructed: false, lease: None };
        match process {
            Process { serves: Serves::Nobody, ended: None | Some((_, true)) } => {
                let token = process.ended.map_or(0, |(token, _)| token);
                self.store.workers[w] = Some(Worker { token, ..ready });
            }
            Process { serves: Serves::Lease(k), ended: Some((token, _)) } if self.is_to_be_had(k) => {
                self.store.workers[w] = Some(ready);
                self.adopt(w, k, token);
            }
            _ => {}
        }
    }

    /// Whether nobody else has that lease.
    fn is_to_be_had(&self, k: usize) -> bool {
        matches!(self.store.leases[k], None | Some(Lease::Waiting))
    }

    /// The session of a report goes on under the same lease.
    fn adopt(&mut self, w: usize, k: usize, token: u8) {
        self.store.workers[w] = Some(Worker { state: State::Busy, token, instructed: false, lease: Some(k) });
        self.store.leases[k] = Some(Lease::Held { worker: w, token });
        self.seen.adopted |= self.callers[k] == Caller::Holds(token);
    }

    fn follow(&mut self, w: usize, worker: Worker, process: Process, rules: Rules) {
        let is_ahead = rules.catch_up && process.ended.is_some_and(|(token, _)| token > worker.token);
        let named = process.ended.filter(|(token, _)| *token == worker.token || !rules.number_check);
        match (worker.state, process.serves, named) {
            (_, Serves::Gone, _) => self.lose(w),
            (State::Initializing, Serves::Nobody, _) => {
                self.store.workers[w] = Some(Worker { state: State::Ready, ..worker });
            }
            // It was told more than the store knows of.
            (State::Busy, ..) if is_ahead => self.dismiss(w),
            (State::Ready, Serves::Lease(k), _) if is_ahead => match process.ended.filter(|_| self.is_to_be_had(k)) {
                Some((token, _)) => self.adopt(w, k, token),
                None => self.dismiss(w),
            },
            (State::Busy | State::Resetting, _, Some((_, false))) if worker.instructed => self.dismiss(w),
            (State::Busy, _, Some((_, true))) if worker.instructed => {
                self.store.workers[w] = Some(Worker { instructed: false, ..worker });
                if let Some(Lease::Offered { taken, .. }) = worker.lease.and_then(|k| self.store.leases[k].as_mut()) {
                    *taken = true;
                }
            }
            (State::Resetting, _, Some((_, true))) => {
                self.store.workers[w] = Some(Worker { state: State::Ready, instructed: false, ..worker });
            }
            _ => {}
        }
    }
}
