//! The cases: how the host is made to stand so, and the pipeline run on it.

use std::cell::Cell;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use hearth::daemon::report::Report;
use hearth::host;
use hearth::store::{Batch, Sharing, Store, StorePlace, Use};

use crate::Result;
use crate::args::{Args, Case};
use crate::keeper::Keeper;
use crate::shelf::{self, Item};
use crate::story;
use crate::watch::Watch;
use crate::world::World;

/// How long a daemon may take to begin.
const BEGINS: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);
/// What is compared more closely than the rest.
const PAIR: [Case; 2] = [Case::Floor, Case::Warm];
/// How many days of the past the history has.
const PAST_DAYS: u32 = 21;

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
    /// How long the daemon brought images before; `None` where it was not asked to.
    pub before: Option<Duration>,
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

/// Measures the cases that are asked for, and returns them in their order. The floor and the warm host come one after the
/// other, as often as asked: of these pairs, that with the middle ratio counts.
pub(crate) async fn cases(world: &World, args: &Args) -> Result<Vec<Told>> {
    shelf::clear()?;
    world.fetch_helper()?;
    let runs = Runs { world, args, rate: rate(args), number: Cell::new(0) };
    let mut told = Vec::new();
    for case in args.cases() {
        if !PAIR.contains(&case) {
            told.push(runs.case(case).await?);
        }
    }
    let mut pairs = Vec::new();
    for _ in 0..args.rounds {
        let mut pair = Vec::new();
        for case in PAIR.into_iter().filter(|case| args.cases().contains(case)) {
            pair.push(runs.case(case).await?);
        }
        pairs.push(pair);
    }
    let seconds = |told: Option<&Told>| told.map_or(1.0, |told| told.took.as_secs_f64());
    let ratio = |pair: &Vec<Told>| seconds(pair.get(1)) / seconds(pair.first());
    pairs.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    let middle = pairs.len() / 2;
    told.extend(pairs.swap_remove(middle));
    told.sort_by_key(|told| told.case);
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
    /// The last pipeline's.
    number: Cell<u64>,
}

impl Runs<'_> {
    async fn case(&self, case: Case) -> Result<Told> {
        println!("{} ({}) ...", case.title(), case.words());
        match case {
            Case::Floor => {
                self.all_are_here()?;
                // Once, so that these images may be used by these jobs; from then on no registry is asked.
                let proving = self.world.options("floor", "pull_policy = \"if-not-present\"\n")?;
                self.warm_up(&proving).await?;
                let never = "pull_policy = \"never\"\nhelper_pull_policy = \"never\"\n";
                let options = self.world.options("floor", never)?;
                self.pipeline(case, &options).await
            }
            Case::None => {
                shelf::clear()?;
                let options = self.world.options("none", "")?;
                self.pipeline(case, &options).await
            }
            Case::List => {
                shelf::clear()?;
                let list = |name| format!("[[prefetch.images]]\nimage = \"{name}\"\n");
                let list: String = self.world.shelf.references().map(list).collect();
                self.kept("list", &list, &Item::ALL, case).await
            }
            Case::History => {
                self.all_are_here()?;
                let options = self.world.options("history", "")?;
                let used: Vec<Item> = self.world.story.parts.iter().map(|part| part.item).collect();
                self.past("history", &used)?;
                self.warm_up(&options).await?;
                shelf::clear()?;
                self.kept("history", "", &used, case).await
            }
            Case::Scan => {
                shelf::clear()?;
                self.kept("scan", "", &[], case).await
            }
            Case::Warm => {
                self.all_are_here()?;
                self.kept("scan", "", &[], case).await
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

    /// Writes down that pipelines used these images in the last weeks, twice a day and at no hour in particular, as their
    /// jobs would have.
    fn past(&self, store: &str, used: &[Item]) -> Result<()> {
        let now = host::now();
        let (store, trouble) = Store::open(&self.place(store), now);
        if let Some(trouble) = trouble {
            return Err(trouble.to_string().into());
        }
        let uses = used.iter().map(|item| {
            Ok(Use {
                reference: self.world.shelf.reference(*item).parse()?,
                project: Some(format!("{} {}", self.world.server.url(), story::PROJECT)),
                source: Some("push".to_owned()),
                content: None,
                waited: Duration::ZERO,
            })
        });
        let batch = Batch { uses: uses.collect::<Result<_>>()?, ..Batch::default() };
        let pushes =
            (1..=PAST_DAYS).rev().flat_map(|day| [day * 24 - day * 5 % 11, day * 24 - 12 - day * 7 % 9]);
        let written = pushes.into_iter().all(|hours| store.commit(&batch, now.saturating_sub(HOUR * hours)));
        if written { Ok(()) } else { Err("the past could not be written down".into()) }
    }

    fn place(&self, store: &str) -> StorePlace {
        StorePlace::new(self.world.dir.join(store), Sharing::Group)
    }

    /// Starts a daemon, and waits until it looked at the host once.
    async fn keeper(&self, options: &[OsString], store: &str) -> Result<Keeper> {
        let place = self.place(store);
        let mut keeper = Keeper::start(self.world, options)?;
        let pid = keeper.pid();
        let looked =
            || Report::read(&place).is_some_and(|report| report.pid == pid && report.last_round.is_some());
        keeper.wait(self.world, BEGINS, "the daemon's first round", looked).await?;
        Ok(keeper)
    }

    /// Runs the pipeline beside a daemon, once that has brought what it shall bring before.
    async fn kept(&self, store: &str, more: &str, first: &[Item], case: Case) -> Result<Told> {
        let options = self.world.options(store, more)?;
        self.world.link.limit(Some(self.rate));
        let began = Instant::now();
        let mut keeper = self.keeper(&options, store).await?;
        let brought = || self.world.shelf.has(first);
        let waited = keeper.wait(self.world, self.patience(), "what the daemon shall bring", brought).await;
        if let Err(error) = waited {
            // What it would bring next, and what holds it up.
            let report = Report::read(&self.place(store)).map(|report| report.prefetch);
            return Err(format!("{error}\n{}", serde_json::to_string(&report)?).into());
        }
        let before = (!first.is_empty()).then(|| began.elapsed());
        let told = self.pipeline(case, &options).await;
        if self.args.logs || told.is_err() {
            println!("the daemon told:\n{}", keeper.journal());
        }
        Ok(Told { before, ..told? })
    }

    /// Returns how long the daemon may take to bring all images.
    fn patience(&self) -> Duration {
        let (all, _) = shelf::weight(self.args.scale);
        2 * Duration::from_secs(all / self.rate) + BEGINS
    }

    async fn pipeline(&self, case: Case, options: &[OsString]) -> Result<Told> {
        self.number.set(self.number.get() + 1);
        let (world, runner) = (self.world, self.world.runner(options));
        world.link.limit(Some(self.rate));
        let (before, began) = (world.link.carried(), Instant::now());
        let mut jobs = Vec::new();
        for part in &world.story.parts {
            let job = story::job(world, part, self.number.get());
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
        Ok(Told { case, jobs, took: began.elapsed(), bytes: world.link.carried() - before, before: None })
    }

    fn failed(&self, what: &str, watch: &Watch) -> Box<dyn std::error::Error> {
        format!("{what} did not succeed:\n{}", watch.text()).into()
    }
}
