//! A worker's processes and files, as the machine shows them: what a worker says of itself is not asked here.
//!
//! To a worker belongs every process that descends from it, is in its group, or carries its label in the environment
//! that it was started with. So one that made itself independent is found as well, unless it also threw its
//! environment away. A process that has ended and was not collected yet does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};

use crate::runner::frames::Environment;

/// So many files of a worker are looked at; more are not known, and what is not known is not clean.
const FILES_MAX: usize = 10_000;
/// An environment is read up to here.
const ENVIRON_BYTES_MAX: usize = 1 << 20;
/// Shorter values of a session's variables are in many an environment anyhow.
const VALUE_BYTES_MIN: usize = 4;
/// How long those that were killed may take to go.
const KILL_MAX: Duration = Duration::from_secs(5);
const KILL_PAUSE: Duration = Duration::from_millis(10);

/// A process, told from a later one of the same number by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    pid: u32,
    began: u64,
    parent: u32,
    group: u32,
}

/// Variables that a process is known by, as they stand in its environment: all of them are there.
#[derive(Debug)]
pub(super) struct Label(Vec<String>);

impl Label {
    /// Of names and values.
    pub(super) fn new(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    fn is_on(&self, environ: &[u8]) -> bool {
        self.0.iter().all(|wanted| environ.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
    }
}

/// A worker's first process, which has its number to itself only until it was collected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leader {
    pub(super) pid: u32,
    began: u64,
}

impl Leader {
    /// The process of this number, which is there or not collected yet.
    pub(super) fn of(pid: u32) -> Self {
        Self { pid, began: process(pid).map_or(0, |process| process.began) }
    }
}

/// What a file was when it was looked at; a change of its contents changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    mode: u32,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a worker had at a moment: processes with their environments, and files.
#[derive(Default)]
pub(in crate::runner) struct Belongings {
    processes: BTreeMap<Process, Vec<u8>>,
    files: BTreeMap<PathBuf, Stamp>,
}

/// Environments are nobody's business.
impl std::fmt::Debug for Belongings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Belongings({} processes, {} files)", self.processes.len(), self.files.len())
    }
}

/// What is looked for of a session.
pub(in crate::runner) struct Session<'a> {
    pub(in crate::runner) canary: &'a SecretString,
    pub(in crate::runner) environment: &'a Environment,
}

impl Belongings {
    /// What the worker has now. Fails where it cannot be known.
    pub(super) fn of(leader: Leader, label: &Label, dir: &Path) -> io::Result<Self> {
        let members = members(Some(leader), label)?;
        let processes = members.into_iter().map(|process| (process, environ(process.pid))).collect();
        let mut files = BTreeMap::new();
        add_files(dir, &mut files)?;
        Ok(Self { processes, files })
    }

    /// What of it a session has left that began when the worker had `before`, in words without its data. A file that
    /// is as it was then cannot hold anything of the session.
    pub(in crate::runner) fn left_since(&self, before: &Self, session: &Session<'_>) -> Vec<&'static str> {
        let mut left = BTreeSet::new();
        if self.files.iter().any(|(path, stamp)| before.files.get(path) != Some(stamp)) {
            left.insert("files in its directory");
        }
        for (process, environ) in &self.processes {
            match before.processes.get(process) {
                None => drop(left.insert("a process")),
                Some(earlier) if holds(environ, earlier, session) => drop(left.insert("a variable of a process")),
                Some(_) => {}
            }
        }
        left.into_iter().collect()
    }
}

/// Whether a variable that was not there before tells of the session.
fn holds(environ: &[u8], earlier: &[u8], session: &Session<'_>) -> bool {
    let earlier: BTreeSet<&[u8]> = earlier.split(|byte| *byte == 0).collect();
    let values = session.environment.values().filter(|value| value.expose_secret().len() >= VALUE_BYTES_MIN);
    let needles: Vec<&[u8]> = values.chain([session.canary]).map(|secret| secret.expose_secret().as_bytes()).collect();
    let new = environ.split(|byte| *byte == 0).filter(|entry| !earlier.contains(entry));
    new.into_iter().any(|entry| needles.iter().any(|needle| contains(entry, needle)))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && text.windows(needle.len()).any(|window| window == needle)
}

fn add_files(dir: &Path, files: &mut BTreeMap<PathBuf, Stamp>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        let is_dir = meta.is_dir();
        // A directory changes as files in it come and go: they are looked at themselves.
        let times = if is_dir {
            ((0, 0), (0, 0))
        } else {
            ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()))
        };
        let bytes = if is_dir { 0 } else { meta.len() };
        let stamp = Stamp { inode: meta.ino(), mode: meta.mode(), bytes, modified: times.0, changed: times.1 };
        if files.len() == FILES_MAX {
            return Err(io::Error::other("too many files to look at"));
        }
        files.insert(path.clone(), stamp);
        if is_dir {
            add_files(&path, files)?;
        }
    }
    Ok(())
}

/// The memory of the worker's processes. What they share is counted once where the system says so.
pub(super) fn memory_bytes(leader: Leader, label: &Label) -> io::Result<u64> {
    Ok(members(Some(leader), label)?.into_iter().map(|process| memory_of(process.pid)).sum())
}

fn memory_of(pid: u32) -> u64 {
    let kilobytes = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let found = kilobytes("smaps_rollup", "Pss:").or_else(|| kilobytes("status", "VmRSS:"));
    found.unwrap_or_default().saturating_mul(1024)
}

/// Kills all that belongs to the worker, or without a leader all that has the label, until nothing of it is there;
/// how many that were. Fails where some do not go.
pub(super) fn kill_all(leader: Option<Leader>, label: &Label) -> io::Result<usize> {
    let began = Instant::now();
    let mut killed = BTreeSet::new();
    loop {
        // Anew each time: they may start others while they are being killed.
        let members = members(leader, label)?;
        if members.is_empty() {
            return Ok(killed.len());
        }
        if began.elapsed() > KILL_MAX {
            return Err(io::Error::other("some processes could not be killed"));
        }
        for process in members {
            send(process.pid, Signal::KILL);
            killed.insert((process.pid, process.began));
        }
        std::thread::sleep(KILL_PAUSE);
    }
}

/// Asks all that belongs to the worker to end.
pub(super) fn ask_to_end(leader: Leader, label: &Label) -> io::Result<()> {
    members(Some(leader), label)?.into_iter().for_each(|process| send(process.pid, Signal::TERM));
    Ok(())
}

fn send(pid: u32, signal: Signal) {
    // One that has gone meanwhile is what was wanted.
    let _ = i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, signal));
}

/// What belongs to the worker, or without a leader everything with the label. Never this process or one of those that
/// it descends from, whatever they carry.
fn members(leader: Option<Leader>, label: &Label) -> io::Result<Vec<Process>> {
    let all = processes()?;
    let mut ours = BTreeSet::from([std::process::id()]);
    while let Some(parent) = all.iter().find(|process| ours.contains(&process.pid) && !ours.contains(&process.parent)) {
        ours.insert(parent.parent);
    }
    let is_labelled = |process: &Process| label.is_on(&environ(process.pid));
    // Another process has its number by now: then nothing is in its group, either.
    let taken = |leader: &Leader| all.iter().any(|process| process.pid == leader.pid && process.began != leader.began);
    let leader = leader.filter(|leader| !taken(leader)).map(|leader| leader.pid);
    let mut known: BTreeSet<u32> = BTreeSet::new();
    for process in all.iter().filter(|process| !ours.contains(&process.pid)) {
        if leader.is_some_and(|leader| process.pid == leader || process.group == leader) || is_labelled(process) {
            known.insert(process.pid);
        }
    }
    // Descendants of descendants, until there are no more.
    while let Some(child) =
        all.iter().find(|process| known.contains(&process.parent) && !known.contains(&process.pid)).map(|p| p.pid)
    {
        known.insert(child);
    }
    Ok(all.into_iter().filter(|process| known.contains(&process.pid) && !ours.contains(&process.pid)).collect())
}

/// All processes that run.
fn processes() -> io::Result<Vec<Process>> {
    let pids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(process).collect())
}

/// `None` where it has ended.
fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything; what follows its last parenthesis is numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // The 22nd field of all, of which three were read and two stand before the parenthesis.
    let began = fields.nth(16)?.parse().ok()?;
    Some(Process { pid, began, parent, group })
}

/// The variables that a process was started with; none where it may not be asked.
fn environ(pid: u32) -> Vec<u8> {
    let mut bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes.truncate(ENVIRON_BYTES_MAX);
    bytes
}
