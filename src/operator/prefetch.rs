//! `hearth prefetch IMAGE…`: brings images before any job asks, by the way that jobs' images come, and says what that takes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::desk::{Answer, Desk, finish};
use super::find::short;
use super::prefetch_screen::Screen;
use super::prefetch_view::{Fetching, Row};
use crate::engine::Engine;
use crate::evict::{Disks, Sight};
use crate::fetch::flight::Departure;
use crate::fetch::{
    self, Arrived, Cause, Client, Coming, Fetcher, Leases, Logins, Look, OnDecided, PullFault, Registries,
    RoomRule, Storage,
};
use crate::host::Who;
use crate::image::proof::Asker;
use crate::image::{ImageRef, Platform};
use crate::job::Owner;
use crate::outcome::Failure;
use crate::plan::ImageWish;
use crate::policy::wanted::{Candidate, Demand, Fit, Source, fits, rank};
use crate::policy::{Cost, Size};
use crate::prefetch::{self, Announcing, ended};
use crate::store::{Ahead, Batch};

/// The word that stands for this command among those who fetch ahead.
const SOURCE: &str = "command";
/// How long what came is kept as if it were about to be used.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How long this may take in all.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How often it is said how far a pull is.
const TICK: Duration = Duration::from_secs(1);

/// The arguments of `hearth prefetch`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PrefetchArgs {
    /// The images, as a job's `image:` would name them
    #[arg(required_unless_present = "plan", value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Shows what the daemon would bring next by itself, why, and what it waits for
    #[arg(long, conflicts_with_all = ["images", "platform", "dry_run"])]
    pub plan: bool,
    /// Fetches them for this platform, such as linux/arm64, instead of this host's own
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,
    /// Only say what would be fetched, from where, and what would go for it
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What fetching needs besides what every command is given.
pub struct Around<R> {
    /// The directory of the operator's `config.json`.
    pub operator_dir: Option<PathBuf>,
    /// The registries.
    pub registries: R,
    /// This process, which vouches for what it does itself.
    pub who: Who,
    /// How the disk of a directory is measured.
    pub disks: Disks,
    /// The wish that this process ends.
    pub departure: Departure,
    /// Whether `err` is a terminal, for bars; lines else.
    pub terminal: bool,
}

/// Runs the command and returns its exit code: 0, or 2 if an image did not come, with what is wrong in the answer.
pub async fn run<E: Engine, R: Registries>(
    args: &PrefetchArgs,
    desk: &Desk<'_, E>,
    around: Around<R>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let answer = {
        let screen = Screen::new(args.json, around.terminal, &mut *out, &mut *err);
        answer(args, desk, around, &screen).await
    };
    finish(answer, out, err)
}

async fn answer<E: Engine, R: Registries>(
    args: &PrefetchArgs,
    desk: &Desk<'_, E>,
    around: Around<R>,
    screen: &Screen<'_>,
) -> Result<Answer, Failure> {
    let wishes = wishes(args)?;
    let engine = desk.engine()?;
    let version = engine.version().await?;
    let store = desk.writable_store()?;
    let Around { operator_dir, registries, who, disks, departure, .. } = around;
    let log = screen.log();
    let logins = Logins::of_host(operator_dir.as_deref(), &log);
    let owner = Owner::new(who.this, who.moment(), Some(LONGEST));
    let job = format!("{} {}", prefetch::LEASES, who.this.pid);
    let leases = Leases::new(job.clone(), owner, who);
    let at = fetch::Desk::open(store, registries, departure, Asker::host(), engine, &version).await?;
    let native = Platform::new(&version.os, &version.arch, "");
    let (leases, logins) = (&leases, &logins);
    let command = Command { desk, engine, at: &at, native, leases, logins, disks, screen };
    let fetching = command.fetch(args, &wishes).await;
    at.store.drop_leases(&job);
    let fetching = fetching?;
    let failed = fetching.failed();
    // With a dry run the table is the answer; else it was shown before the first image came.
    let text = || if args.dry_run { fetching.table() + &fetching.lines() } else { fetching.lines() };
    Ok(Answer::new(args.json, &fetching, text)?.wrong(failed))
}

/// Reads the names; complains of all that are none, at once.
fn wishes(args: &PrefetchArgs) -> Result<Vec<ImageWish>, Failure> {
    let mut named: BTreeMap<String, ImageRef> = BTreeMap::new();
    let mut bad: Vec<String> = Vec::new();
    for text in &args.images {
        match text.parse::<ImageRef>() {
            Ok(image) => drop(named.insert(image.normalized(), image)),
            Err(problem) => bad.push(problem.to_string()),
        }
    }
    if let [first, more @ ..] = bad.as_slice() {
        let failure = more.iter().fold(Failure::system(first), |failure, bad| failure.hint(bad));
        return Err(failure.hint("write them as a job's `image:` would; nothing was fetched"));
    }
    let platform = || args.platform.clone();
    Ok(named.into_values().map(|image| prefetch::wish(image, platform())).collect())
}

/// What the command works with.
struct Command<'a, 's, E: Engine, R> {
    desk: &'a Desk<'a, E>,
    engine: &'a E,
    at: &'a fetch::Desk<R>,
    native: Platform,
    leases: &'a Leases,
    logins: &'a Logins,
    disks: Disks,
    screen: &'a Screen<'s>,
}

/// One image, and what its registry said.
struct Wanted<'w> {
    wish: &'w ImageWish,
    looked: Result<Look, PullFault>,
    cost: Cost,
}

impl Wanted<'_> {
    /// What is missing of it; `None`: it is here, or nobody knows.
    fn missing(&self) -> Option<Size> {
        self.looked.as_ref().ok().filter(|look| !look.here).and_then(|look| look.missing)
    }

    fn is_wanting(&self) -> bool {
        self.looked.as_ref().is_ok_and(|look| !look.here || look.retag)
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            name: self.wish.reference.normalized(),
            platform: self.platform(),
            source: Source::List,
            demand: Demand::Listed,
            cold: if self.is_wanting() { 1.0 } else { 0.0 },
            missing: self.missing(),
            cost: self.cost,
            pipeline: None,
        }
    }

    fn platform(&self) -> String {
        self.wish.platform.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl<E: Engine, R: Registries> Command<'_, '_, E, R> {
    async fn fetch(&self, args: &PrefetchArgs, wishes: &[ImageWish]) -> Result<Fetching, Failure> {
        let wanted = self.look_up(wishes).await;
        if !args.dry_run {
            // What is here does not go for another one of them. By digest: what a tag moved away from may.
            let here = wanted.iter().filter_map(|one| one.looked.as_ref().ok()).filter(|look| look.here);
            let digests = here.map(|look| look.digest.as_str());
            self.leases.on_digests(&self.at.store, digests, &self.screen.log()).await;
        }
        let candidates: Vec<Candidate> = wanted.iter().map(Wanted::candidate).collect();
        let ranked = rank(&candidates, self.desk.now().wall.as_secs_f64());
        let seen = self.desk.look(&self.at.store).await?;
        let mut rows: Vec<(&Wanted<'_>, Row)> = Vec::new();
        // The first one that comes takes the room that the next one finds.
        let mut together = Size::default();
        for ranked in &ranked {
            let wanted = &wanted[ranked.index];
            let mut row = self.row(wanted, ranked.seconds);
            if wanted.is_wanting() {
                together += wanted.missing().unwrap_or_default();
                row.room(room(&seen.sight, together), &seen.sight);
            }
            rows.push((wanted, row));
        }
        let mut fetching = Fetching::new(args.dry_run, rows.iter().map(|(_, row)| row.clone()).collect());
        if args.dry_run {
            return Ok(fetching);
        }
        self.screen.say(&fetching.table());
        let mut stopped = false;
        for (at, (wanted, row)) in rows.iter_mut().enumerate() {
            if stopped {
                row.not_begun();
            } else if wanted.is_wanting() {
                stopped = self.bring(wanted, row).await == Some(Cause::Stopped);
            } else if wanted.looked == Err(PullFault::Stopped) {
                stopped = true;
            }
            fetching.images[at] = row.clone();
        }
        Ok(fetching)
    }

    /// Asks the registries about all of them.
    async fn look_up<'w>(&self, wishes: &'w [ImageWish]) -> Vec<Wanted<'w>> {
        let mut found = Vec::new();
        for wish in wishes {
            let mut departure = self.at.departure.clone();
            let storage = Storage::new(self.disks.clone(), RoomRule::Ahead { may_go: Vec::new() });
            let look = self.as_fetcher(&storage, async |fetcher| fetcher.look_ahead(wish, true).await);
            let looked = tokio::select! {
                looked = look => looked,
                () = departure.wished() => Err(PullFault::Stopped),
            };
            let cost =
                self.at.store.cost(self.comes_from(wish, looked.as_ref().ok()).as_str(), Cost::default());
            found.push(Wanted { wish, looked, cost });
        }
        found
    }

    /// The registry or the mirror that is asked first.
    fn comes_from(&self, wish: &ImageWish, look: Option<&Look>) -> String {
        let image = &wish.reference;
        let mirrors = look.map(|look| self.desk.settings.pull.mirrors.of(image, &look.digest));
        let first = mirrors.and_then(|mirrors| mirrors.first()?.registry().map(str::to_owned));
        first.unwrap_or_else(|| image.registry().unwrap_or_default().to_owned())
    }

    fn row(&self, wanted: &Wanted<'_>, seconds: f64) -> Row {
        let from = self.comes_from(wanted.wish, wanted.looked.as_ref().ok());
        let mut row = Row::new(short(&wanted.wish.reference.normalized()), wanted.platform(), from);
        match &wanted.looked {
            Ok(look) => row.looked(look, wanted.missing(), wanted.is_wanting().then_some(seconds)),
            Err(fault) => row.failed(fault),
        }
        row
    }

    /// Does something as the one that fetches.
    async fn as_fetcher<T>(&self, storage: &Storage, act: impl AsyncFnOnce(&Fetcher<'_, E, R>) -> T) -> T {
        let Self { desk, at, native, leases, logins, .. } = self;
        let log = self.screen.log();
        act(&Fetcher {
            engine: self.engine,
            desk: at,
            client: &Client::host(),
            settings: desk.settings,
            native,
            logins,
            leases,
            storage,
            log: &log,
        })
        .await
    }

    /// Brings one image, and writes down how that went. Returns why it did not come.
    async fn bring(&self, wanted: &Wanted<'_>, row: &mut Row) -> Option<Cause> {
        let began = self.desk.now();
        let store = &self.at.store;
        let name = wanted.wish.reference.normalized();
        let looked = wanted.looked.as_ref().ok().map(|look| look.digest.clone());
        let announcing = Announcing::new(store, began.wall, GRACE, looked);
        let result = self.brought(wanted, row, &|coming: &Coming<'_>| announcing.decided(coming)).await;
        let digest = announcing.end(result.is_ok());
        let took = self.desk.now().since(&began).unwrap_or_default();
        let (outcome, bytes) = ended(&result, None, wanted.missing().map(|missing| missing.compressed));
        let words = match &result {
            Ok(_) | Err(PullFault::Stopped) => String::new(),
            Err(fault) => fault.words(),
        };
        let (platform, source) = (wanted.platform(), SOURCE.to_owned());
        let ahead = Ahead { at: began.wall, name, digest, platform, source, bytes, took, outcome, words };
        store.commit(&Batch { aheads: vec![ahead], ..Batch::default() }, self.desk.now().wall);
        match &result {
            Ok(arrived) => row.arrived(arrived),
            Err(fault) => row.failed(fault),
        }
        result.err().map(|fault| fault.cause())
    }

    async fn brought(
        &self,
        wanted: &Wanted<'_>,
        row: &Row,
        decided: OnDecided<'_>,
    ) -> Result<Arrived, PullFault> {
        let may_go = match wanted.missing() {
            Some(needs) => {
                let seen = self.desk.look(&self.at.store).await;
                let seen = seen.map_err(|failure| PullFault::Transient(failure.message))?;
                let room = room(&seen.sight, needs).room();
                room.map_err(|held| PullFault::NoSpace(held.to_string()))?
            }
            None => Vec::new(),
        };
        let storage = Storage::new(self.disks.clone(), RoomRule::Ahead { may_go });
        let bar = self.screen.bar(&row.image, wanted.missing().map(|size| size.compressed));
        let work = self.as_fetcher(&storage, async |fetcher| {
            fetcher.bring_ahead(wanted.wish, decided, &|progress| bar.set(progress)).await
        });
        let mut work = std::pin::pin!(work);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                _ = tick.tick() => bar.draw(),
            }
        };
        bar.end();
        result
    }
}

/// Says whether there is room. What the operator asks for is worth whatever may go.
fn room(sight: &Sight, needs: Size) -> Fit {
    fits(&sight.snapshot, &sight.rules, needs, f64::INFINITY, sight.at.wall.as_secs_f64())
}
