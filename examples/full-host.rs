//! Drives a host with twice as many bytes of images as they may take, job after job on the real engine, and prints how
//! many bytes they take after each dozen of jobs. It fails if they ever take more than the high-water mark, or if a job
//! fails.
//!
//! What else is on the engine is counted, and stays: the mark lies above it. Where others bring more meanwhile, a job's end
//! is not judged by the mark; that is said, and only few may be.
#![expect(clippy::print_stdout, reason = "a program that tells a person what it did")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use hearth::engine::{Docker, Engine, Removal, endpoint};
use hearth::evict::{self, Evictor, Here};
use hearth::host;
use hearth::moment::Process;
use hearth::settings::CacheSettings;
use hearth::store::{Sharing, Store, StorePlace};
use hearth::units::ByteSize;

#[path = "../tests/support/images.rs"]
mod images;
#[path = "../tests/support/pusher.rs"]
mod pusher;

use images::Catalogue;
use pusher::{Layer, Registry};

/// The note of jobs that a new store does not know: what runs on the engine already is none of this host's.
const BARRIER: &str = "jobs before the store";
const MB: u64 = 1 << 20;
/// Jobs between two lines.
const DOZEN: usize = 12;
/// How wide the curve is.
const WIDTH: u64 = 50;

#[derive(Parser)]
#[command(about = "Fills a host with images twice over, and shows that it stays below its mark")]
struct Cli {
    /// The registry, HOST:PORT
    #[arg(long)]
    registry: String,
    /// A static busybox for this machine
    #[arg(long, default_value = "/bin/busybox")]
    busybox: PathBuf,
    /// The helper image
    #[arg(long)]
    helper: String,
    /// The program under test
    #[arg(long)]
    hearth: PathBuf,
    /// How many jobs
    #[arg(long, default_value_t = 240)]
    jobs: usize,
    /// How many images; on the average each has 10 MiB of its own
    #[arg(long, default_value_t = 24)]
    images: u64,
}

/// What went wrong, for people.
type Result<T> = std::result::Result<T, String>;

/// An image and its size.
struct Pushed {
    name: String,
    bytes: u64,
}

struct Driven {
    cli: Cli,
    engine: Docker,
    directory: PathBuf,
    config: PathBuf,
    images: Vec<Pushed>,
    /// What images may take.
    high: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(drive(cli)),
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("full-host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn drive(cli: Cli) -> Result<()> {
    let engine = engine()?;
    let directory = std::env::temp_dir().join(format!("hearth-full-host-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let config = directory.join("hearth.toml");
    let mut driven = Driven { cli, engine, directory, config, images: Vec::new(), high: 0 };
    let done = driven.run().await;
    driven.clean().await;
    done
}

#[expect(clippy::disallowed_methods, reason = "a program of its own: it finds the engine as hearth does")]
fn engine() -> Result<Docker> {
    let host = std::env::var("DOCKER_HOST").ok();
    let endpoint = endpoint(None, host.as_deref());
    Docker::new(&endpoint, Duration::from_secs(60), None).map_err(|error| error.to_string())
}

impl Driven {
    async fn run(&mut self) -> Result<()> {
        self.push()?;
        let store = self.store();
        if !store.set_note(BARRIER, "") {
            return Err("the store cannot be written".to_owned());
        }
        // The helper and the layer that all images share are here before it begins.
        self.settings("")?;
        self.job(0)?;
        // All that is not this run's own, and a little for what the file system rounds up.
        let before = self.used(&store).await?.saturating_sub(self.own().await?) + MB;
        let all: u64 = self.images.iter().map(|image| image.bytes).sum();
        self.high = before + all / 2;
        let low = before + all * 2 / 5;
        self.settings(&format!("images_high = \"{}\"\nimages_low = \"{low}\"\n", self.high))?;
        println!(
            "{} images of {}, on top of {} that are here; together they may take {}",
            self.images.len(),
            ByteSize(all),
            ByteSize(before),
            ByteSize(self.high)
        );
        self.jobs(&store, before).await
    }

    async fn jobs(&self, store: &Store, before: u64) -> Result<()> {
        let mut random = 1;
        let (mut most, mut highest, mut waited, mut unjudged) = (0, 0, 0, 0);
        for number in 1..=self.cli.jobs {
            let choice = self.choose(&mut random, number);
            let was_here = self.has(&self.images[choice].name).await?;
            self.job(choice)?;
            waited += usize::from(!was_here);
            let used = self.used(store).await?;
            most = most.max(used);
            highest = highest.max(used);
            let others = used.saturating_sub(self.own().await?);
            if used > self.high && others > before {
                unjudged += 1;
            } else if used > self.high {
                return Err(format!(
                    "after job {number} images take {}, more than {}",
                    ByteSize(used),
                    ByteSize(self.high)
                ));
            }
            if number % DOZEN == 0 || number == self.cli.jobs {
                println!("{}", self.line(number, most, before, waited));
                (most, waited) = (0, 0);
            }
        }
        if unjudged * 4 > self.cli.jobs {
            return Err(format!(
                "others brought images meanwhile: {unjudged} jobs' ends could not be judged"
            ));
        }
        if unjudged > 0 {
            println!("others brought images meanwhile: {unjudged} jobs' ends were not judged");
            return Ok(());
        }
        println!(
            "{} jobs, and images never took more than {} of {}",
            self.cli.jobs,
            ByteSize(highest),
            ByteSize(self.high)
        );
        Ok(())
    }

    /// One line of the curve: from what was here before to the high-water mark.
    fn line(&self, number: usize, most: u64, before: u64, waited: usize) -> String {
        let span = (self.high - before).max(1);
        let filled = most.saturating_sub(before).saturating_mul(WIDTH) / span;
        let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
        format!("{number:>4} jobs |{bar}| at most {}, {waited} pulls", ByteSize(most))
    }

    /// Which image a job asks for: some are wanted more often than others, and which ones changes as time goes by.
    fn choose(&self, random: &mut u64, number: usize) -> usize {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (*random >> 33) as f64 / f64::from(1_u32 << 31);
        let place = (part * part * self.images.len() as f64) as usize;
        (place + number / 60) % self.images.len()
    }

    fn push(&mut self) -> Result<()> {
        let registry = Registry::new(&self.cli.registry);
        let catalogue = Catalogue::native(&self.cli.busybox).map_err(|error| error.to_string())?;
        for at in 0..self.cli.images {
            let bytes = (4 + at * 7 % 13) * MB;
            let seed = u64::from(std::process::id()) << 16 | at;
            let layer = Layer::random(bytes as usize, seed).map_err(|error| error.to_string())?;
            let mut image = catalogue.busybox();
            image.layers.push(layer);
            let repository = format!("full-host/{}-{at}", std::process::id());
            registry.push(&repository, "1", &[image]).map_err(|error| error.to_string())?;
            self.images.push(Pushed { name: format!("{}/{repository}:1", self.cli.registry), bytes });
        }
        Ok(())
    }

    fn settings(&self, marks: &str) -> Result<()> {
        let text = format!(
            "[store]\ndir = \"{}\"\n[job]\nhelper_image = \"{}\"\npull_policy = [\"if-not-present\"]\n\
             helper_pull_policy = [\"if-not-present\"]\nnetwork_mode = \"none\"\n\
             [cache]\nminimum_age = 0\nfree_low = \"\"\nfree_high = \"\"\ninodes_low = \"\"\ninodes_high = \"\"\n{marks}",
            self.place().directory.display(),
            self.cli.helper
        );
        std::fs::write(&self.config, text).map_err(|error| error.to_string())
    }

    fn place(&self) -> StorePlace {
        StorePlace::new(self.directory.join("store"), Sharing::Group)
    }

    fn store(&self) -> Store {
        Store::open(&self.place(), host::now()).0
    }

    /// Runs one job through the driver, as GitLab Runner does.
    fn job(&self, image: usize) -> Result<()> {
        let name = &self.images[image].name;
        let output = Command::new(&self.cli.hearth)
            .args(["try", "--config"])
            .arg(&self.config)
            .args(["--image", name, "--", "true"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.cli.hearth.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(format!("a job on {name} failed ({}):\n{out}{err}", output.status))
    }

    /// What the images of this run take that are on the engine, without the layer that they share.
    async fn own(&self) -> Result<u64> {
        let mut own = 0;
        for image in &self.images {
            own += if self.has(&image.name).await? { image.bytes } else { 0 };
        }
        Ok(own)
    }

    async fn has(&self, name: &str) -> Result<bool> {
        Ok(self.engine.image(name).await.map_err(|error| error.to_string())?.is_some())
    }

    /// What all images on the engine take, each layer once.
    async fn used(&self, store: &Store) -> Result<u64> {
        let cache = CacheSettings { minimum_age: Duration::ZERO, ..defaults()? };
        let here = Here {
            process: Process::default(),
            moment: &host::moment,
            clock_is_set: Some(true),
            lives: &|_| false,
            disk: &|dir: &Path| evict::disk(dir),
        };
        let evictor = Evictor { engine: &self.engine, store, cache: &cache, here };
        Ok(evictor.look().await.map_err(|failure| failure.to_string())?.used())
    }

    /// Takes away what is left of it all.
    async fn clean(&self) {
        for image in &self.images {
            while let Ok(Some(facts)) = self.engine.image(&image.name).await {
                let names = facts.tags.iter().chain(&facts.repo_digests).chain([&facts.id]);
                let mut went = false;
                for name in names {
                    went |= matches!(self.engine.remove_image(name).await, Ok(Removal::Removed));
                }
                if !went {
                    break;
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn defaults() -> Result<CacheSettings> {
    hearth::settings::defaults()
        .map(|settings| settings.cache)
        .map_err(|complaints| format!("{complaints:?}"))
}
