//! What Redis answers about pools, command by command, held against what it answered and was told before (also what
//! nobody heard), and against what is in Redis after it.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Tally;
use super::resp::{Redis, words_of};
use crate::support::pool_state::{DUMP, Hash, State, number, text};

/// What a script may refuse with; any other error is a defect.
const REFUSALS: [&str; 7] =
    ["NOT_FOUND", "ENDING", "TOO_MANY", "NOT_OWNER", "STALE_TERM", "STALE_REPORT", "INCOMPLETE"];

/// All leases and workers, as the answers have them.
#[derive(Default)]
pub(super) struct Leases {
    /// What is in Redis since the last command.
    pub(super) state: State,
    dump: String,
    workers: BTreeMap<String, Worker>,
    granted: BTreeMap<String, Lease>,
    /// The highest term that was begun.
    term: u64,
    /// Whether Redis's clock went back: who was to be served by then may be so again.
    pub(super) clock_went_back: bool,
    pub(super) tally: Tally,
}

#[derive(Default)]
struct Worker {
    /// The highest token that was told.
    token: u64,
    /// The lease of each of its grants, by token.
    grants: BTreeMap<u64, String>,
    /// Which of them its runner said that it took.
    taken: BTreeSet<u64>,
    /// The resets that it was told, and the last one that its runner said was proved.
    resets: BTreeSet<u64>,
    proved: u64,
    /// The lease that was last seen as held.
    holder: String,
}

/// A lease that was seen as held.
struct Lease {
    worker: String,
    token: u64,
    until_ms: u64,
    is_over: bool,
}

/// A command that was carried out.
struct Said<'a> {
    script: &'a str,
    args: Vec<&'a str>,
    /// None where it was refused.
    answer: Option<Vec<String>>,
    now_ms: u64,
}

impl Said<'_> {
    fn word(&self, at: usize) -> &str {
        self.answer.as_ref().and_then(|answer| answer.get(at)).map(String::as_str).unwrap_or_default()
    }

    fn number(&self, at: usize) -> u64 {
        self.word(at).parse().unwrap_or_default()
    }

    fn arg(&self, at: usize) -> &str {
        self.args.get(at).copied().unwrap_or_default()
    }

    /// The fields that follow in the answer.
    fn fields(&self, from: usize) -> Hash {
        let words = self.answer.as_deref().and_then(|words| words.get(from..)).unwrap_or_default();
        words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

type Judged = Result<(), String>;

fn must(holds: bool, what: &str) -> Judged {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Leases {
    /// Takes in what a script of that name was told to do and answered.
    pub(super) fn hear(
        &mut self,
        redis: &mut Redis,
        script: &str,
        words: &[Vec<u8>],
        answer: &[u8],
        now_ms: u64,
    ) -> Judged {
        let of_pools = ["pool/", "lease/", "worker/", "runner/", "reap/lease", "reap/pool", "leader/begin"];
        if !of_pools.iter().any(|kind| script.starts_with(kind)) {
            return Ok(());
        }
        let text: Vec<&str> = words.iter().map(|word| std::str::from_utf8(word).unwrap_or_default()).collect();
        let keys: usize = text[2].parse().expect("a number of keys");
        let (key, args) = (text[3].to_owned(), text[3 + keys..].to_vec());
        let said = Said { script, args, answer: words_of(answer), now_ms };
        let error = String::from_utf8_lossy(answer);
        let is_known = said.answer.is_some() || REFUSALS.iter().any(|code| error[1..].starts_with(code));
        let judged = must(is_known, error.trim_end()).and_then(|()| self.judge(&said)).and_then(|()| {
            self.is_refused_well(&said)?;
            let dump = redis.strings(&["EVAL", DUMP, "0"]).concat();
            if dump == self.dump {
                return Ok(());
            }
            let before = std::mem::replace(&mut self.state, State::of(&dump, now_ms));
            self.dump = dump;
            self.compare(&before, &said)
        });
        judged.map_err(|breach| format!("{key}: {breach}: {script} {:?} → {:?} at {now_ms}", said.args, said.answer))
    }

    fn judge(&mut self, said: &Said<'_>) -> Judged {
        match said.script {
            "pool/acquire" | "lease/confirm" => self.asked(said),
            "lease/renew" => self.renewed(said),
            "lease/release" => self.released(said),
            "runner/sync" | "runner/wait" => self.synced(said),
            "leader/begin" => {
                self.term = self.term.max(said.arg(0).parse().unwrap_or_default());
                Ok(())
            }
            "reap/lease" | "reap/pool" => {
                let is_stale = said.arg(1).parse::<u64>().unwrap_or_default() < self.term;
                must(is_stale == said.answer.is_none(), "an older leader is heard, or the leader is not")?;
                if said.script == "reap/lease" {
                    self.tally.lapses += said.number(0);
                    self.tally.lost += said.number(1);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Redis, before and after the command.
    fn compare(&self, before: &State, said: &Said<'_>) -> Judged {
        let may_end = |id: &str, lease: &Hash, worker: &Hash| match said.script {
            "lease/release" => id == said.arg(1),
            "runner/sync" => text(worker, "runner") == said.arg(2),
            "reap/lease" | "reap/pool" => before.is_over(lease, worker, said.now_ms),
            _ => false,
        };
        let after = &self.state;
        let served = if self.clock_went_back { Ok(()) } else { after.check_service() };
        let all = after.check().and(served).and(after.check_order(before)).and(after.check_kept(before, may_end));
        all.map_err(|error| error.to_string())
    }

    /// Who holds a lease is not refused.
    fn is_refused_well(&self, said: &Said<'_>) -> Judged {
        let refused = said.answer.is_none() && matches!(said.script, "lease/renew" | "lease/release");
        let lease = self.state.leases.get(said.arg(1)).filter(|lease| refused && text(lease, "token") == said.arg(2));
        let is_held = lease.is_some_and(|lease| number(lease, "until_at") > Some(said.now_ms));
        must(!is_held, "its holder is refused")
    }

    /// The lease is given the worker, under that token.
    fn grant(&mut self, worker: &str, token: u64, lease: &str) -> Judged {
        let known = self.workers.entry(worker.to_owned()).or_default();
        if let Some(first) = known.grants.get(&token) {
            return must(first == lease, "one token for two leases");
        }
        must(token >= known.token, "a token below one that was told before")?;
        if let Some((last, _)) = known.grants.last_key_value() {
            must(token > *last, "its token is not above those before")?;
            must(known.proved > *last, "it was given to the next before it was proved clean")?;
        }
        known.token = token;
        known.grants.insert(token, lease.to_owned());
        Ok(())
    }

    fn asked(&mut self, said: &Said<'_>) -> Judged {
        let fields = said.fields(2);
        let (id, worker) = (text(&fields, "id"), text(&fields, "worker"));
        let (verdict, token) = (said.word(0), number(&fields, "token").unwrap_or_default());
        if matches!(verdict, "waiting" | "offered") {
            must(!self.granted.contains_key(id), "what was held waits again")?;
        }
        match verdict {
            "waiting" => must(number(&fields, "deadline") > Some(said.now_ms), "it waits beyond its deadline"),
            "offered" => {
                self.grant(worker, token, id)?;
                self.is_free_for(worker, id, said.now_ms)
            }
            "held" => {
                self.grant(worker, token, id)?;
                self.is_free_for(worker, id, said.now_ms)?;
                let until_ms = number(&fields, "until_at").unwrap_or_default();
                must(until_ms > said.now_ms, "it is held, and over")?;
                let known = self.workers.entry(worker.to_owned()).or_default();
                must(known.taken.contains(&token), "it is held, and its worker did not take it")?;
                id.clone_into(&mut known.holder);
                let worker = worker.to_owned();
                let lease = Lease { worker, token, until_ms, is_over: false };
                if let Some(was) = self.granted.insert(id.to_owned(), lease) {
                    return must(!was.is_over && was.token == token, "it was over, and is held again");
                }
                self.tally.leases += 1;
                Ok(())
            }
            _ => {
                if let Some(lease) = self.granted.get_mut(said.arg(2)) {
                    lease.is_over = true;
                }
                Ok(())
            }
        }
    }

    /// Nobody else has it, as far as was told.
    fn is_free_for(&self, worker: &str, id: &str, now_ms: u64) -> Judged {
        let holder = self.workers.get(worker).map(|known| known.holder.as_str()).filter(|holder| *holder != id);
        let live = holder.and_then(|holder| self.granted.get(holder));
        let is_live = live.is_some_and(|lease| lease.worker == worker && !lease.is_over && now_ms < lease.until_ms);
        must(!is_live, "two live leases of one worker")
    }

    fn renewed(&mut self, said: &Said<'_>) -> Judged {
        let lease = self.granted.get_mut(said.arg(1));
        // Its time may be over: that is for the leader to say.
        let is_own = |lease: &&mut Lease| !lease.is_over && lease.token.to_string() == said.arg(2);
        let is_held = lease.as_ref().is_some_and(is_own);
        if said.answer.is_none() {
            return Ok(());
        }
        must(is_held, "who does not hold it renews it")?;
        if let Some(lease) = lease {
            lease.until_ms = said.number(1);
        }
        Ok(())
    }

    fn released(&mut self, said: &Said<'_>) -> Judged {
        let Some(lease) = self.granted.get_mut(said.arg(1)) else { return Ok(()) };
        if said.answer.is_some() {
            let is_own = lease.token.to_string() == said.arg(2);
            must(said.number(0) == 0 || is_own, "who does not hold it gives it back")?;
            lease.is_over = true;
        }
        Ok(())
    }

    /// What a runner tells, and what it is told.
    fn synced(&mut self, said: &Said<'_>) -> Judged {
        let Some(answer) = &said.answer else { return Ok(()) };
        let told = said.args.iter().find(|arg| arg.starts_with('[')).unwrap_or(&"[]");
        let reports: Vec<serde_json::Value> = serde_json::from_str(told).map_err(|error| error.to_string())?;
        for report in reports.iter().filter(|report| report["done"] == true) {
            let (Some(id), Some(done)) = (report["id"].as_str(), report["instruction"].as_u64()) else { continue };
            let known = self.workers.entry(id.to_owned()).or_default();
            if known.grants.contains_key(&done) {
                known.taken.insert(done);
            }
            if known.resets.contains(&done) && done > known.proved {
                known.proved = done;
                self.tally.resets += 1;
            }
        }
        let first = answer.iter().position(|word| word.starts_with("wrk_")).unwrap_or(answer.len());
        for told in answer[first..].chunks_exact(7) {
            let (id, action, token, lease) = (&told[0], &told[1], told[2].parse().unwrap_or_default(), &told[4]);
            if token == 0 {
                // One that is not known, or another's.
                continue;
            }
            let known = self.workers.entry(id.clone()).or_default();
            must(token >= known.token, "the token of a worker went back")?;
            match action.as_str() {
                "assign" => self.grant(id, token, lease)?,
                "reset" | "restart" => {
                    known.token = token;
                    known.resets.insert(token);
                }
                _ => known.token = token,
            }
        }
        Ok(())
    }

    /// All sessions are over: whether every worker that lives is spare, and there are so many.
    pub(super) fn are_settled(&self, workers: usize) -> bool {
        let are_spare = self.state.lives().all(|(_, worker)| crate::support::pool_state::is_spare(worker));
        self.state.leases.is_empty() && are_spare && self.state.lives().count() == workers
    }
}
