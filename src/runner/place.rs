//! Where workers have their directories: one place a runner, which no second runner of the name shares.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Nobody else may look into it.
const MODE: u32 = 0o700;

/// A runner's own place. It is given back when the process ends, however that comes.
#[derive(Debug)]
pub(super) struct Place {
    workers: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes the place of a runner below `work_dir`.
    pub(super) fn take(work_dir: &Path, runner: &str) -> anyhow::Result<Self> {
        let own = work_dir.join(runner);
        made(work_dir).and_then(|()| made(&own)).with_context(|| format!("the directory {}", own.display()))?;
        let lock = File::create(own.join("lock")).context("the lock of the directory")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!("a runner named {runner} is at work in {}", own.display()),
            Err(fs::TryLockError::Error(error)) => return Err(error).context("the lock of the directory"),
        }
        let workers = std::path::absolute(own.join("workers"))?;
        Ok(Self { workers, _lock: lock })
    }

    /// Clears away what an earlier runner has left, whose processes are gone.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.workers) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("what an earlier runner left");
            }
            _ => {}
        }
        DirBuilder::new().mode(MODE).create(&self.workers).context("the directory of the workers")
    }

    /// A new, empty directory for the so-and-so-many-th life of a worker.
    pub(super) fn make(&self, worker: &str, life: u32) -> io::Result<PathBuf> {
        let dir = self.workers.join(format!("{worker}.{life}"));
        DirBuilder::new().mode(MODE).create(&dir)?;
        Ok(dir)
    }
}

/// Makes a directory, or takes the one that is there if it is ours: in a place like /tmp somebody else's may be.
fn made(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(false).mode(MODE).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let (meta, own) = (fs::symlink_metadata(dir)?, fs::metadata("/proc/self")?);
    if meta.is_dir() && meta.uid() == own.uid() { Ok(()) } else { Err(io::Error::other("it is somebody else's")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_runner_and_is_clean() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path(), "a").unwrap();
        place.clear().unwrap();
        let own = place.make("wrk_0_a", 1).unwrap();
        fs::write(own.join("left"), "x").unwrap();
        assert!(place.make("wrk_0_a", 1).is_err(), "a directory is nobody else's");
        let refused = Place::take(dir.path(), "a").unwrap_err().to_string();
        assert!(refused.contains("a runner named a"), "{refused}");
        assert!(Place::take(dir.path(), "b").is_ok(), "another name is another place");
        drop(place);
        let place = Place::take(dir.path(), "a").unwrap();
        place.clear().unwrap();
        assert!(!own.exists());
        let made = place.make("wrk_0_a", 1).unwrap();
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, MODE);
    }
}
