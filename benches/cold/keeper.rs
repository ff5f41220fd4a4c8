//! The daemon of a case: the driver's own, with the case's settings.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Result;
use crate::world::World;

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often anything is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// A running daemon. Dropping it ends it.
pub(crate) struct Keeper {
    child: Child,
    journal: PathBuf,
}

impl Keeper {
    /// Starts it with these options.
    pub(crate) fn start(world: &World, options: &[OsString]) -> Result<Self> {
        let journal = world.dir.join("daemon.log");
        let file = File::create(&journal)?;
        let child = Command::new(&world.driver)
            .arg("daemon")
            .args(options)
            .env_clear()
            .envs(world.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self { child, journal })
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has told.
    pub(crate) fn journal(&self) -> String {
        std::fs::read_to_string(&self.journal).unwrap_or_default()
    }

    /// Waits until something holds, at most so long; fails where it never does.
    pub(crate) async fn wait(
        &mut self,
        world: &World,
        most: Duration,
        what: &str,
        mut holds: impl FnMut() -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        while !holds() {
            world.go_on()?;
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the daemon ended ({status}):\n{}", self.journal()).into());
            }
            if began.elapsed() > most {
                return Err(
                    format!("{what}: not within {most:?}; the daemon told:\n{}", self.journal()).into()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        let asked = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
        let began = Instant::now();
        while asked && began.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        // It is this program's own child: nobody else ends it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
