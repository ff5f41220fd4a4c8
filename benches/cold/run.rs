//! The cases: how the host is made to stand so, and the pipeline run on it.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use hearth::daemon::report::Report;
use hearth::store::{Sharing, StorePlace};

use crate::Result;
use crate::args::{Args, Case};
use crate::keeper::Keeper;
use crate::shelf;
use crate::story;
use crate::watch::Watch;
use crate::world::World;

/// How long a daemon may take to begin.
const BEGINS: Duration = Duration::from_secs(30);

/// A job of the pipeline, as it went.
pub(crate) struct Went {
    /// Its name.
    pub name: &'static str,
    /// When it began, counted from the pipeline's begin.
    pub began: Duration,
    /// When its first script line came, counted from its begin.
    pub first_line: Duration,
    /// When its script ended, counted from its begin.
    pub script_ended: Duration,
    /// From when to when its script waited for images, counted from its begin.
    pub fetched: Vec<(Duration, Duration)>,
    /// How long it took, its cleanup too.
    pub took: Duration,
}

/// A case, as it went.
pub(crate) struct Told {
    /// Which one.
    pub case: Case,
    /// Its jobs.
    pub jobs: Vec<Went>,
    /// From the pipeline's begin to its end.
    pub took: Duration,
    /// What came over the link meanwhile.
    pub bytes: u64,
}

impl Told {
    /// Returns the seconds for which scripts waited for images: what a build's FROM fetches.
    pub(crate) fn waited_in_scripts(&self) -> f64 {
        let fetched = self.jobs.iter().flat_map(|job| &job.fetched);
        fetched.map(|(from, to)| to.saturating_sub(*from)).sum::<Duration>().as_secs_f64()
    }

    /// Returns the seconds to the first script lines of all jobs, together.
    pub(crate) fn first_lines(&self) -> f64 {
        self.jobs.iter().map(|job| job.first_line).sum::<Duration>().as_secs_f64()
    }

    /// Returns the seconds from the first job's first script line to the pipeline's end.
    pub(crate) fn after_first_line(&self) -> f64 {
        let first = self.jobs.first().map_or(Duration::ZERO, |job| job.first_line);
        self.took.saturating_sub(first).as_secs_f64()
    }
}

/// Measures the cases that are asked for.
pub(crate) async fn cases(world: &World, args: &Args) -> Result<Vec<Told>> {
    world.fetch_helper()?;
    let runs = Runs { world, args, rate: rate(args) };
    let mut told = Vec::new();
    for (number, case) in (1..).zip(args.cases()) {
        println!("{} ({}) ...", case.title(), case.words());
        told.push(runs.case(case, number).await?);
    }
    Ok(told)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of bytes")]
fn rate(args: &Args) -> u64 {
    (args.mbit * 1e6 / 8.0) as u64
}

struct Runs<'a> {
    world: &'a World,
    args: &'a Args,
    /// What the link carries, in bytes a second.
    rate: u64,
}

impl Runs<'_> {
    async fn case(&self, case: Case, pipeline: u64) -> Result<Told> {
        match case {
            Case::Floor => {
                shelf::clear()?;
                self.all_are_here()?;
                // Once, so that these images may be used by these jobs; from then on no registry is asked.
                let proving = self.world.options("floor", "pull_policy = \"if-not-present\"\n")?;
                self.warm_up(&proving).await?;
                let never = "pull_policy = \"never\"\nhelper_pull_policy = \"never\"\n";
                let options = self.world.options("floor", never)?;
                self.pipeline(case, &options, pipeline).await
            }
            Case::None => {
                shelf::clear()?;
                let options = self.world.options("none", "")?;
                self.pipeline(case, &options, pipeline).await
            }
            Case::Scan => {
                shelf::clear()?;
                self.kept("scan", case, pipeline).await
            }
            Case::Warm => {
                self.all_are_here()?;
                self.kept("scan", case, pipeline).await
            }
        }
    }

    /// Fetches what is not here, over a link that does not count.
    fn all_are_here(&self) -> Result<()> {
        self.world.link.limit(None);
        self.world.shelf.pull()
    }

    /// Runs jobs that are not counted: volumes are made, programs are read, access to images is proved.
    async fn warm_up(&self, options: &[OsString]) -> Result<()> {
        for part in &self.world.story.parts {
            let mut job = story::job(self.world, part, 0);
            job.script.truncate(1);
            let mut watch = Watch::new();
            if !self.world.runner(options).run(&job, &mut watch).await.succeeded() {
                return Err(self.failed("a job that warms up", &watch));
            }
            self.world.go_on()?;
        }
        Ok(())
    }

    /// Starts a daemon, and waits until it looked at the host once.
    async fn keeper(&self, options: &[OsString], store: &str) -> Result<Keeper> {
        let place = StorePlace::new(self.world.dir.join(store), Sharing::Group);
        let mut keeper = Keeper::start(self.world, options)?;
        let pid = keeper.pid();
        let looked =
            || Report::read(&place).is_some_and(|report| report.pid == pid && report.last_round.is_some());
        keeper.wait(self.world, BEGINS, "the daemon's first round", looked).await?;
        Ok(keeper)
    }

    /// Runs the pipeline beside a daemon.
    async fn kept(&self, store: &str, case: Case, number: u64) -> Result<Told> {
        let options = self.world.options(store, "")?;
        let keeper = self.keeper(&options, store).await?;
        let told = self.pipeline(case, &options, number).await;
        if self.args.logs || told.is_err() {
            println!("the daemon told:\n{}", keeper.journal());
        }
        told
    }

    async fn pipeline(&self, case: Case, options: &[OsString], number: u64) -> Result<Told> {
        let (world, runner) = (self.world, self.world.runner(options));
        world.link.limit(Some(self.rate));
        let (before, began) = (world.link.carried(), Instant::now());
        let mut jobs = Vec::new();
        for part in &world.story.parts {
            let job = story::job(world, part, number);
            let (mut watch, job_began) = (Watch::new(), began.elapsed());
            let report = runner.run(&job, &mut watch).await;
            world.go_on()?;
            if !report.succeeded() {
                return Err(self.failed(&format!("{} of {}", part.name, case.name()), &watch));
            }
            if self.args.logs {
                println!("{}", watch.text());
            }
            jobs.push(Went {
                name: part.name,
                began: job_began,
                first_line: watch.first_line().ok_or("a job's script was not heard to begin")?,
                script_ended: watch.script_ended().ok_or("a job's script was not heard to end")?,
                fetched: watch.fetched().to_vec(),
                took: report.took,
            });
        }
        Ok(Told { case, jobs, took: began.elapsed(), bytes: world.link.carried() - before })
    }

    fn failed(&self, what: &str, watch: &Watch) -> Box<dyn std::error::Error> {
        format!("{what} did not succeed:\n{}", watch.text()).into()
    }
}
