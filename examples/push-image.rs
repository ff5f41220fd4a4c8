//! Pushes the tests' images to a registry on this machine; `tests/parts/images.sh` runs it.
//!
//! `image` makes one image out of layer archives; `catalogue` pushes the busybox images of
//! `tests/support/images.rs`, and those for other platforms if it is given a busybox for them.
#![expect(clippy::print_stdout, reason = "a program that tells a person what it did")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[path = "../tests/support/images.rs"]
mod images;
#[path = "../tests/support/pusher.rs"]
mod pusher;

use images::Catalogue;
use pusher::{Error, Format, ImageConfig, ImageSpec, Layer, Platform, Registry, Result};

#[derive(Parser)]
#[command(about = "Pushes the tests' images to a registry on this machine")]
struct Cli {
    /// The registry, HOST:PORT
    #[arg(long)]
    registry: String,
    /// USER:PASSWORD, if the registry asks for them
    #[arg(long)]
    login: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One image out of layer archives
    Image(Box<ImageArgs>),
    /// All busybox images
    Catalogue(CatalogueArgs),
}

#[derive(Args)]
struct ImageArgs {
    /// REPOSITORY:TAG
    name: String,
    /// A layer: a .tar or .tar.gz; lowest first
    #[arg(long = "layer")]
    layers: Vec<PathBuf>,
    /// One more layer of this many bytes that do not compress
    #[arg(long)]
    random_bytes: Option<usize>,
    /// Which random bytes
    #[arg(long, default_value_t = 1)]
    random_seed: u64,
    /// OS/ARCHITECTURE[/VARIANT]; this machine's if not given
    #[arg(long)]
    platform: Option<String>,
    /// A word of the ENTRYPOINT
    #[arg(long, allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// A word of the CMD
    #[arg(long, allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// K=V
    #[arg(long)]
    env: Vec<String>,
    #[arg(long)]
    user: Option<String>,
    #[arg(long)]
    workdir: Option<String>,
    /// PORT/tcp
    #[arg(long)]
    expose: Vec<String>,
    #[arg(long)]
    volume: Vec<String>,
    /// OCI media types instead of Docker's
    #[arg(long)]
    oci: bool,
}

#[derive(Args)]
struct CatalogueArgs {
    /// This machine's static busybox
    #[arg(long)]
    busybox: PathBuf,
    /// A static busybox for another platform, PLATFORM=PATH
    #[arg(long)]
    foreign: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("push-image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let mut registry = Registry::new(&cli.registry);
    if let Some(login) = &cli.login {
        let (user, password) =
            login.split_once(':').ok_or_else(|| Error::new("--login wants USER:PASSWORD"))?;
        registry = registry.with_login(user, password);
    }
    match cli.what {
        What::Image(args) => push_image(&registry, *args),
        What::Catalogue(args) => push_catalogue(&registry, &args),
    }
}

fn push_image(registry: &Registry, args: ImageArgs) -> Result<()> {
    let (repository, tag) =
        args.name.split_once(':').ok_or_else(|| Error::new(format!("{:?} has no tag", args.name)))?;
    let mut layers = args.layers.iter().map(|path| Layer::from_file(path)).collect::<Result<Vec<_>>>()?;
    if let Some(bytes) = args.random_bytes {
        layers.push(Layer::random(bytes, args.random_seed)?);
    }
    let platform = match &args.platform {
        Some(text) => Platform::parse(text)?,
        None => Platform::native(),
    };
    let config = ImageConfig {
        entrypoint: (!args.entrypoint.is_empty()).then_some(args.entrypoint),
        cmd: (!args.cmd.is_empty()).then_some(args.cmd),
        env: args.env,
        user: args.user,
        working_dir: args.workdir,
        exposed_ports: args.expose,
        volumes: args.volume,
        ..ImageConfig::default()
    };
    let format = if args.oci { Format::Oci } else { Format::Docker };
    report(registry, repository, tag, &[ImageSpec { layers, config, platform, format }], Shape::Plain)
}

fn push_catalogue(registry: &Registry, args: &CatalogueArgs) -> Result<()> {
    let native = Catalogue::native(&args.busybox)?;
    for (repository, image) in native.all()? {
        report(registry, repository, "1", &[image], Shape::Plain)?;
    }
    let mut all = vec![native.busybox()];
    for foreign in &args.foreign {
        let (platform, path) =
            foreign.split_once('=').ok_or_else(|| Error::new("--foreign wants PLATFORM=PATH"))?;
        let platform = Platform::parse(platform)?;
        all.push(Catalogue::foreign(path.as_ref(), platform, &args.busybox)?.busybox());
    }
    report(registry, "job/multi", "1", &all, Shape::Index)?;
    if let [_, foreign, ..] = all.as_slice() {
        report(registry, "job/foreign-only", "1", std::slice::from_ref(foreign), Shape::Index)?;
        report(registry, "job/foreign-plain", "1", std::slice::from_ref(foreign), Shape::Plain)?;
    }
    Ok(())
}

enum Shape {
    Plain,
    Index,
}

fn report(
    registry: &Registry,
    repository: &str,
    tag: &str,
    images: &[ImageSpec],
    shape: Shape,
) -> Result<()> {
    let pushed = match shape {
        Shape::Plain => registry.push(repository, tag, images)?,
        Shape::Index => registry.push_index(repository, tag, images)?,
    };
    println!("{}/{repository}:{tag} {}", registry.address(), pushed.digest);
    Ok(())
}
