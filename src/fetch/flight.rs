//! One pull of an image at a time on this host, whatever the number of jobs that want it.
//!
//! Processes meet in a directory per image (repository, digest and platform). Who holds the lock of its file `lead`
//! pulls; the others wait and look whether it is done. Locks are `flock`s, which the kernel frees however a process
//! ends. In `lead` stands how far the leader is: the waiters' job logs show it, and a leader without a sign of life is not
//! waited for.
//!
//! Docker's classic store drops all layers of a pull when its last client leaves. A leader that has to go (its job was
//! cancelled) therefore says so, and stays for a moment until a waiter has attached a pull of its own: the engine joins
//! the two, and nothing is lost.

use std::cell::Cell;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How often a waiter looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long a leader that has to go waits for an heir, which first has to get the manifest over the same weak link.
const HANDOVER: Duration = Duration::from_secs(10);
/// The longest state that is read.
const MAX_STATE: u64 = 400;

/// The wish that this process leaves what it shares with others.
#[derive(Clone)]
pub struct Departure {
    wished: watch::Receiver<bool>,
    pulls: Rc<Cell<u32>>,
}

/// Expresses the wish, and sees when nothing is shared any more.
pub struct Leave {
    wish: watch::Sender<bool>,
    pulls: Rc<Cell<u32>>,
}

/// That something is under way which others may wait for.
pub struct Held(Rc<Cell<u32>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Departure {
    /// Makes the wish, and the way to express it.
    pub fn new() -> (Leave, Self) {
        let (wish, wished) = watch::channel(false);
        let pulls = Rc::new(Cell::new(0));
        (Leave { wish, pulls: Rc::clone(&pulls) }, Self { wished, pulls })
    }

    /// Waits until it is wished for; for ever where nobody can wish any more.
    pub async fn wished(&mut self) {
        if self.wished.wait_for(|wished| *wished).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether it is wished for.
    pub fn is_wished(&self) -> bool {
        *self.wished.borrow()
    }

    /// Holds the departure up while a pull is handed over, or a removal ends.
    pub fn hold(&self) -> Held {
        self.pulls.set(self.pulls.get() + 1);
        Held(Rc::clone(&self.pulls))
    }
}

impl Leave {
    /// Wishes it, and goes on with `work` for as long as it has pulls to hand over, bounded.
    pub async fn wish(&self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = self.wish_patiently(work) => {}
            () = sleep(HANDOVER + LOOK) => {}
        }
    }

    /// As [`Self::wish`], for however long it takes: a removal that has begun is ended too.
    pub async fn wish_patiently(&self, work: impl Future<Output = ()>) {
        let _ = self.wish.send(true);
        let nothing_held = async {
            while self.pulls.get() > 0 {
                sleep(LOOK / 4).await;
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = nothing_held => {}
        }
    }
}

/// Who comes to a meeting place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traveller {
    /// A job that needs the image now.
    Job,
    /// This host itself, ahead of the jobs that will need it.
    Ahead,
}

/// What a leader says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It pulls, and is so far.
    Pulls(String),
    /// It has to go and looks for an heir.
    Leaves,
    /// An heir has attached its own pull.
    Inherited,
}

impl State {
    fn to_text(&self, by: Traveller) -> String {
        match (self, by) {
            (Self::Pulls(progress), Traveller::Job) => format!("pulls {}\n", progress.replace('\n', " ")),
            (Self::Pulls(progress), Traveller::Ahead) => {
                format!("prefetches {}\n", progress.replace('\n', " "))
            }
            (Self::Leaves, Traveller::Job) => "leaves\n".to_owned(),
            (Self::Leaves, Traveller::Ahead) => "gives way\n".to_owned(),
            (Self::Inherited, _) => "inherited\n".to_owned(),
        }
    }

    fn of_text(text: &str) -> (Self, Traveller) {
        let progress = |after: &str| Self::Pulls(after.to_owned());
        match text.trim_end() {
            "leaves" => (Self::Leaves, Traveller::Job),
            "gives way" => (Self::Leaves, Traveller::Ahead),
            "inherited" => (Self::Inherited, Traveller::Job),
            other => match other.strip_prefix("prefetches") {
                Some(after) => (progress(after.trim_start()), Traveller::Ahead),
                None => (progress(other.strip_prefix("pulls ").unwrap_or_default()), Traveller::Job),
            },
        }
    }
}

/// Where the processes of this host meet.
#[derive(Debug, Clone)]
pub struct Airport {
    directory: Option<PathBuf>,
    mode: u32,
}

impl Airport {
    /// Makes one in a directory; `None`: nothing is shared with others. `mode` is what its files get.
    pub fn new(directory: Option<PathBuf>, mode: u32) -> Self {
        Self { directory, mode }
    }

    /// Comes to the meeting place of an image. `None`: there is none here.
    pub fn meet(&self, what: &str, by: Traveller) -> Option<Meeting> {
        let hash: String =
            Sha256::digest(what.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let directory = self.directory.as_ref()?.join(hash);
        let meeting = Meeting { directory, mode: self.mode, by, lead: None, wait: None, inherits: false };
        meeting.make_directory().ok()?;
        Some(meeting)
    }

    /// Takes one of `count` places for pulls, waiting for it as long as it takes. `None`: there are no places here.
    ///
    /// Who holds one and gives no sign of life for `patience` takes no part in the count: its process may be frozen.
    pub async fn place(
        &self,
        count: u32,
        patience: Duration,
        mut waits: impl FnMut(Duration),
    ) -> Option<Place> {
        let directory = self.directory.as_ref()?;
        let began = Instant::now();
        loop {
            let mut usable = false;
            let (mut index, mut count) = (0, count.max(1));
            while index < count {
                let path = directory.join(format!("place-{index}"));
                index += 1;
                let Ok(file) = open(&path, self.mode) else { continue };
                usable = true;
                if file.try_lock().is_ok() {
                    let place = Place { lock: file };
                    place.sign();
                    return Some(place);
                }
                if age(&file).is_ok_and(|age| age > patience) {
                    count = count.saturating_add(1);
                }
            }
            if !usable {
                return None;
            }
            waits(began.elapsed());
            sleep(LOOK).await;
        }
    }
}

/// A place among the pulls that run at the same time; free again when it is dropped.
pub struct Place {
    lock: File,
}

impl Place {
    /// Gives a sign of life.
    pub fn sign(&self) {
        // Where the disk is full, more pulls may run than the settings say.
        let _ = self.lock.write_at(b"\n", 0);
    }
}

/// The meeting place of one image, and what this process is there.
pub struct Meeting {
    directory: PathBuf,
    mode: u32,
    by: Traveller,
    lead: Option<File>,
    wait: Option<File>,
    inherits: bool,
}

/// What there is to do for who looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// This process leads now: it looks whether the image is here, and pulls it if not.
    Lead,
    /// Another one leads and has to go: this one attaches its own pull, then says so.
    Inherit(Traveller),
    /// Another one leads and is so far.
    Wait(Traveller, String),
    /// The leader shows no sign of life: everyone for himself.
    Alone,
}

impl Meeting {
    fn make_directory(&self) -> io::Result<()> {
        match std::fs::create_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            // Who may read a file may search its directory; the group stays what it is.
            Ok(()) => {
                let mode = 0o2000 | self.mode | ((self.mode & 0o444) >> 2);
                std::fs::set_permissions(&self.directory, Permissions::from_mode(mode))
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Looks once. `patience` is how long a leader may give no sign of life.
    pub fn turn(&mut self, patience: Duration) -> io::Result<Turn> {
        // Between a leader and its heir the place is not free.
        if !self.has_heir() && self.try_lead()? {
            return Ok(Turn::Lead);
        }
        if self.wait.is_none() {
            self.wait =
                open(&self.path("wait"), self.mode).ok().filter(|wait| wait.try_lock_shared().is_ok());
        }
        let ((state, by), age) = match read_state(&self.path("lead")) {
            Ok(found) => found,
            // It ended between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Turn::Wait(Traveller::Job, String::new()));
            }
            Err(error) => return Err(error),
        };
        Ok(match state {
            _ if age > patience => Turn::Alone,
            State::Leaves => Turn::Inherit(by),
            State::Pulls(progress) => Turn::Wait(by, progress),
            State::Inherited => Turn::Wait(by, String::new()),
        })
    }

    /// Tries to become the leader.
    fn try_lead(&mut self) -> io::Result<bool> {
        if self.lead.is_some() {
            return Ok(true);
        }
        for _ in 0..10 {
            self.make_directory()?;
            let path = self.path("lead");
            let file = match open(&path, self.mode) {
                Ok(file) => file,
                // The leader before has just removed the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // A leader that is through removes the file: a lock on a file that no name leads to is nobody's.
            if std::fs::metadata(&path).is_ok_and(|at| same(&file, &at)) {
                self.lead = Some(file);
                self.wait = None;
                self.say(&State::Pulls(String::new()));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As [`Meeting::say`], for who inherited: it becomes the leader as soon as the one before is gone.
    pub fn lead_and_say(&mut self, state: &State) {
        if matches!(self.try_lead(), Ok(true)) {
            self.say(state);
        }
    }

    /// Writes down what the leader is doing: a sign of life.
    pub fn say(&mut self, state: &State) {
        if let Some(file) = &mut self.lead {
            // A state that cannot be written is one that nobody reads.
            let _ = write_state(file, state, self.by);
        }
    }

    /// Becomes the heir of a leader that has to go; `false`: another waiter is.
    pub fn try_inherit(&mut self) -> Option<Heir> {
        let lock = open(&self.path("heir"), self.mode).ok()?;
        lock.try_lock().ok()?;
        self.inherits = true;
        Some(Heir { lead: self.path("lead"), by: self.by, _lock: lock })
    }

    /// Tells whether another process is the heir.
    fn has_heir(&self) -> bool {
        !self.inherits
            && File::open(self.path("heir"))
                .is_ok_and(|heir| matches!(heir.try_lock(), Err(TryLockError::WouldBlock)))
    }

    fn is_waited_for(&self) -> bool {
        open(&self.path("wait"), self.mode)
            .is_ok_and(|wait| matches!(wait.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Offers the pull to a waiter, if there is one, and waits until it was taken, bounded.
    pub async fn hand_over(&mut self) {
        if self.lead.is_none() || !self.is_waited_for() {
            return;
        }
        self.say(&State::Leaves);
        let began = Instant::now();
        while began.elapsed() < HANDOVER {
            if matches!(read_state(&self.path("lead")), Ok(((State::Inherited, _), _)) | Err(_)) {
                return;
            }
            sleep(LOOK / 4).await;
        }
    }

    /// Waits a little before the next look.
    pub async fn pause(&self) {
        sleep(LOOK).await;
    }
}

impl Drop for Meeting {
    /// The last one clears the place. Who comes just then makes a new one.
    fn drop(&mut self) {
        if self.lead.is_some() && !self.is_waited_for() {
            for name in ["heir", "wait", "lead"] {
                let _ = std::fs::remove_file(self.path(name));
            }
            let _ = std::fs::remove_dir(&self.directory);
        }
    }
}

/// A waiter that has been given a pull.
pub struct Heir {
    lead: PathBuf,
    by: Traveller,
    _lock: File,
}

impl Heir {
    /// Tells the leader that it may go: the engine has joined this process's own pull to the layers under way.
    pub fn attached(&self) {
        if let Ok(mut file) = OpenOptions::new().write(true).open(&self.lead) {
            let _ = write_state(&mut file, &State::Inherited, self.by);
        }
    }
}

fn open(path: &Path, mode: u32) -> io::Result<File> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // The umask of who comes first is not everybody's.
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

fn same(file: &File, at: &std::fs::Metadata) -> bool {
    file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (at.dev(), at.ino()))
}

fn write_state(file: &mut File, state: &State, by: Traveller) -> io::Result<()> {
    let text = state.to_text(by);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// How long ago a file was written to.
fn age(file: &File) -> io::Result<Duration> {
    Ok(file.metadata()?.modified()?.elapsed().unwrap_or_default())
}

fn read_state(path: &Path) -> io::Result<((State, Traveller), Duration)> {
    let mut file = File::open(path)?;
    let age = age(&file)?;
    let mut text = String::new();
    let read = (&mut file).take(MAX_STATE).read_to_string(&mut text);
    Ok((State::of_text(if read.is_ok() { &text } else { "" }), age))
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
