//! What stages are held by: a job log whose lines have times, and a run stage with its pipe and its signals.

use std::cell::RefCell;
use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth::engine::fake::{Fake, Place, Run};
use hearth::job::Step;
use hearth::joblog::JobLog;
use hearth::outcome::{Failure, Fault};
use hearth::stage::exec::Stop;
use hearth::stage::output::JobOutput;
use hearth::stage::run;
use tokio::time::{Instant, sleep};

use crate::world::World;

/// What was written at once, and when.
type Written = (Instant, Vec<u8>);

/// A job log, with the time of each write.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<Written>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().push((Instant::now(), bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Makes a log for a stage.
    pub(crate) fn job_log(&self) -> JobLog {
        JobLog::new(Box::new(self.clone()))
    }

    /// Returns all that was written.
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<u8>>();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns how many lines have a text in them.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.text().lines().filter(|line| line.contains(part)).count()
    }

    /// Returns when lines were written that have a text in them.
    pub(crate) fn times(&self, part: &str) -> Vec<Instant> {
        let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(part);
        self.0.borrow().iter().filter(|(_, bytes)| has(bytes)).map(|(at, _)| *at).collect()
    }
}

/// What the runner does with the job log of a stage.
#[derive(Clone, Copy)]
enum Reader {
    Reads,
    Waits,
    HangsUp,
}

/// A run stage.
pub(crate) struct Stage<'a> {
    world: &'a World,
    name: String,
    script: Vec<u8>,
    stop_after: Option<Duration>,
    reader: Reader,
}

/// How a run stage ended.
pub(crate) struct Ran {
    pub(crate) result: Result<(), Failure>,
    /// What it wrote into the job log.
    pub(crate) output: String,
    /// How long it took. The writing of its last output is in it, which is real time: half a second for one that was
    /// stopped, anything for one that ended by itself.
    pub(crate) took: Duration,
    /// How long it was until it last asked something of the engine.
    pub(crate) worked: Duration,
}

impl Ran {
    /// Asserts that it went well.
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.result, Ok(()), "{}", self.output);
        self
    }

    /// Asserts that it failed, and whose fault that was.
    pub(crate) fn failed(&self, fault: Fault) -> &Failure {
        let failure = self.result.as_ref().expect_err(&self.output);
        assert_eq!(failure.fault, fault, "{failure}");
        failure
    }
}

impl<'a> Stage<'a> {
    pub(crate) fn of(world: &'a World, name: &str) -> Self {
        let script = b"true\n".to_vec();
        Self { world, name: name.to_owned(), script, stop_after: None, reader: Reader::Reads }
    }

    /// Gives it another script.
    pub(crate) fn script(mut self, script: impl Into<Vec<u8>>) -> Self {
        self.script = script.into();
        self
    }

    /// Sends TERM after a while.
    pub(crate) fn stop_after(mut self, time: Duration) -> Self {
        self.stop_after = Some(time);
        self
    }

    /// Reads its job log only when it has ended.
    pub(crate) fn unread(mut self) -> Self {
        self.reader = Reader::Waits;
        self
    }

    /// Closes its job log at once.
    pub(crate) fn hung_up(mut self) -> Self {
        self.reader = Reader::HangsUp;
        self
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Ran {
        let Self { world, name, script, stop_after, reader: how } = self;
        let path = world.directory().join(format!("script-{name}"));
        std::fs::write(&path, script).unwrap();
        let begun = world.begun();
        let (reader, writer) = std::io::pipe().unwrap();
        let out = JobOutput::new(File::from(OwnedFd::from(writer)));
        let reading = match how {
            Reader::Reads => Ok(std::thread::spawn(move || read(reader))),
            Reader::Waits => Err(Some(reader)),
            Reader::HangsUp => {
                drop(reader);
                Err(None)
            }
        };
        let (wish, mut stop) = Stop::new();
        let begin = Instant::now();
        let stopper = async {
            if let Some(time) = stop_after {
                sleep(time).await;
                wish.send(true).unwrap();
            }
            std::future::pending::<()>().await;
        };
        let (step, courier) = (Step::of(&name), world.courier());
        let result = tokio::select! {
            biased;
            result = Box::pin(run::run(&begun, &world.fake, &path, &step, out, &mut stop, &courier)) => result,
            () = stopper => unreachable!(),
        };
        let took = begin.elapsed();
        let last = world.fake.calls().last().map_or(begin, |made| made.at);
        let worked = last.saturating_duration_since(begin);
        let output = match reading {
            Ok(reading) => reading.join().unwrap(),
            Err(reader) => reader.map(read).unwrap_or_default(),
        };
        Ran { result, output, took, worked }
    }
}

fn read(mut reader: PipeReader) -> String {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Container, user and script of a stage.
type Note = (String, String, Vec<u8>);

/// What ran where.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Note>>>);

impl Seen {
    /// Writes down the stages of an engine from now on.
    pub(crate) fn on(fake: &Fake) -> Self {
        let seen = Self::default();
        let notes = seen.clone();
        fake.program(move |run: &Run<'_>| {
            if run.place == Place::Stage {
                let note = (run.container.to_owned(), run.user.to_owned(), run.stdin.to_vec());
                notes.0.lock().unwrap().push(note);
            }
            None
        });
        seen
    }

    /// Returns the containers that stages ran in.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(container, ..)| container.clone()).collect()
    }

    /// Returns whom stages ran as.
    pub(crate) fn users(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, user, _)| user.clone()).collect()
    }

    /// Returns the scripts that stages read.
    pub(crate) fn scripts(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().iter().map(|(.., script)| script.clone()).collect()
    }
}
