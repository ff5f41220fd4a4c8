//! From files to checked settings: embedded defaults, then the file's tables, then the `[runner."NAME"]` named by argv.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::de::DeTable;

use super::advice::{nearest, unknown_table};
use super::check::{Checker, HostTables, check};
use super::complaint::{Complaint, Complaints};
use super::model::Settings;
use super::raw::{
    Layer, RawAccess, RawCache, RawDaemon, RawDriver, RawEngine, RawJob, RawPrefetch, RawPull, RawRegistry,
    RawStore, RawTable, Reader,
};
use super::wire::{Lines, quote};

/// The defaults, which are also the file that explains all keys.
pub(super) const EXAMPLE: &str = include_str!("../../config.example.toml");

const TABLES: [&str; 11] = [
    "driver", "engine", "registry", "access", "pull", "store", "cache", "daemon", "prefetch", "job", "runner",
];

/// Where a settings file may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The file named by `--config`, which has to exist; `None`: the first of `usual` that exists.
    pub explicit: Option<PathBuf>,
    /// Where the file is looked for otherwise; if none exists, the defaults are all there is.
    pub usual: Vec<PathBuf>,
}

impl Sources {
    /// Tells the usual places: `/etc/hearth/config.toml`, then the user's configuration directory, which
    /// `XDG_CONFIG_HOME` or else `HOME` says (both given as values; the first only counts if it is absolute).
    pub fn new(explicit: Option<PathBuf>, xdg_config_home: Option<&OsStr>, home: Option<&OsStr>) -> Self {
        let xdg = xdg_config_home.map(PathBuf::from).filter(|path| path.is_absolute());
        let home = home.filter(|home| !home.is_empty()).map(|home| Path::new(home).join(".config"));
        let mut usual = vec![PathBuf::from("/etc/hearth/config.toml")];
        usual.extend(xdg.or(home).map(|directory| directory.join("hearth/config.toml")));
        Self { explicit, usual }
    }

    /// Finds and reads the file; `None` where there is none.
    fn read(&self) -> Result<Option<(PathBuf, String)>, Complaints> {
        let complain = |file: &Path, error: &io::Error| {
            let problem = match error.kind() {
                io::ErrorKind::NotFound => "the file does not exist".to_owned(),
                io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
                _ => format!("the file cannot be read: {error}"),
            };
            Complaints::new(
                Some(file.to_owned()),
                vec![Complaint { path: String::new(), line: None, problem }],
            )
        };
        if let Some(file) = &self.explicit {
            let text = std::fs::read_to_string(file).map_err(|error| complain(file, &error))?;
            return Ok(Some((file.clone(), text)));
        }
        for file in &self.usual {
            match std::fs::read_to_string(file) {
                Ok(text) => return Ok(Some((file.clone(), text))),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                // Jobs must not run on the defaults because somebody forgot a permission.
                Err(error) => return Err(complain(file, &error)),
            }
        }
        Ok(None)
    }
}

/// The settings, and where each came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// The file that was read; `None`: only the defaults are in force.
    pub file: Option<PathBuf>,
    /// Every key with its value, in the order of the example file.
    pub effective: Vec<Effective>,
}

/// One key in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key with its table, such as `job.memory`.
    pub key: String,
    /// Its value as TOML on one line, without secrets; `None`: the key is not set, and has no default.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded defaults.
    Default,
    /// A table of the file.
    File {
        /// The line in the file.
        line: usize,
    },
    /// The file's table for one runner.
    Runner {
        /// The runner's name.
        name: String,
        /// The line in the file.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "line {line}"),
            Self::Runner { name, line } => write!(f, "runner {}, line {line}", quote(name)),
        }
    }
}

/// Loads the settings for the runner that argv names; all that is wrong with the file is told at once, also in the tables
/// of other runners.
pub fn load(sources: &Sources, runner: Option<&str>) -> Result<Loaded, Complaints> {
    let (file, text) = sources.read()?.map_or((None, String::new()), |(file, text)| (Some(file), text));
    assemble(&text, runner, &|file| std::fs::read_to_string(file))
        .map(|(settings, effective)| Loaded { settings, file: file.clone(), effective })
        .map_err(|list| Complaints::new(file, list))
}

/// Returns the settings of a host without a settings file.
pub fn defaults() -> Result<Settings, Complaints> {
    load(&Sources { explicit: None, usual: Vec::new() }, None).map(|loaded| loaded.settings)
}

/// The tables of one file.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) driver: RawDriver,
    pub(super) engine: RawEngine,
    pub(super) registry: RawRegistry,
    pub(super) access: RawAccess,
    pub(super) pull: RawPull,
    pub(super) store: RawStore,
    pub(super) cache: RawCache,
    pub(super) daemon: RawDaemon,
    pub(super) prefetch: RawPrefetch,
    pub(super) job: RawJob,
    pub(super) runners: BTreeMap<String, RawJob>,
}

type ReadFile<'r> = &'r dyn Fn(&Path) -> io::Result<String>;

/// Lays a file's text over the defaults and checks the result for every runner.
pub(super) fn assemble(
    text: &str,
    runner: Option<&str>,
    read_file: ReadFile<'_>,
) -> Result<(Settings, Vec<Effective>), Vec<Complaint>> {
    let mut complaints = Vec::new();
    let defaults = parse(EXAMPLE, Layer::Default, &mut complaints);
    let written = parse(text, Layer::File, &mut complaints);
    if let Some(runner) = runner.filter(|runner| !written.runners.contains_key(*runner)) {
        complaints.push(unknown_runner(runner, &written.runners));
    }
    let host = HostTables {
        driver: written.driver.over(&defaults.driver),
        engine: written.engine.over(&defaults.engine),
        registry: written.registry.over(&defaults.registry),
        access: written.access.over(&defaults.access),
        pull: written.pull.over(&defaults.pull),
        store: written.store.over(&defaults.store),
        cache: written.cache.over(&defaults.cache),
        daemon: written.daemon.over(&defaults.daemon),
        prefetch: written.prefetch.over(&defaults.prefetch),
    };
    let plain = written.job.over(&defaults.job);
    let mut in_force = None;
    let overlays = written.runners.iter().map(|(name, overlay)| (Some(name.as_str()), overlay.over(&plain)));
    for (name, job) in std::iter::once((None, plain.clone())).chain(overlays) {
        let mut checker = Checker { complaints: &mut complaints, read_file };
        let settings = check(&host, &job, name, &mut checker);
        if name == runner {
            in_force = Some((settings, job));
        }
    }
    match in_force {
        Some((settings, job)) if complaints.is_empty() => {
            let mut effective = Vec::new();
            host.driver.list("driver", &mut effective);
            host.engine.list("engine", &mut effective);
            host.registry.list("registry", &mut effective);
            host.access.list("access", &mut effective);
            host.pull.list("pull", &mut effective);
            host.store.list("store", &mut effective);
            host.cache.list("cache", &mut effective);
            host.daemon.list("daemon", &mut effective);
            host.prefetch.list("prefetch", &mut effective);
            job.list("job", &mut effective);
            Ok((settings, effective))
        }
        _ => Err(complaints),
    }
}

fn unknown_runner(runner: &str, known: &BTreeMap<String, RawJob>) -> Complaint {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    let advice = match nearest(runner, &names) {
        _ if names.is_empty() => "there is no table [runner.\"NAME\"]".to_owned(),
        Some(near) => format!("did you mean {}? Known are {}", quote(near), quoted.join(", ")),
        None => format!("known are {}", quoted.join(", ")),
    };
    let problem = format!("unknown runner {}: {advice}", quote(runner));
    Complaint { path: "--runner".to_owned(), line: None, problem }
}

/// Reads a text's tables; where the text is no TOML, all of its errors are complained about and nothing else.
pub(super) fn parse(text: &str, layer: Layer, complaints: &mut Vec<Complaint>) -> Tables {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        complaints.extend(errors.iter().map(|error| Complaint {
            path: String::new(),
            line: error.span().map(|span| lines.number(span.start)),
            problem: format!("this is not TOML: {}", error.message().trim().replace('\n', ", ")),
        }));
        return Tables::default();
    }
    let mut tables = Tables::default();
    let mut reader = Reader { lines: &lines, layer, complaints };
    for (key, value) in document.get_ref() {
        let name = key.get_ref().as_ref();
        if !TABLES.contains(&name) {
            reader.unknown("", key, unknown_table(name, &TABLES));
            continue;
        }
        let Some(table) = reader.table(name, value) else { continue };
        match name {
            "driver" => tables.driver = RawDriver::read(table, name, &mut reader),
            "engine" => tables.engine = RawEngine::read(table, name, &mut reader),
            "registry" => tables.registry = RawRegistry::read(table, name, &mut reader),
            "access" => tables.access = RawAccess::read(table, name, &mut reader),
            "pull" => tables.pull = RawPull::read(table, name, &mut reader),
            "store" => tables.store = RawStore::read(table, name, &mut reader),
            "cache" => tables.cache = RawCache::read(table, name, &mut reader),
            "daemon" => tables.daemon = RawDaemon::read(table, name, &mut reader),
            "prefetch" => tables.prefetch = RawPrefetch::read(table, name, &mut reader),
            "job" => tables.job = RawJob::read(table, name, &mut reader),
            _ => tables.runners = read_runners(table, &mut reader),
        }
    }
    tables
}

fn read_runners(table: &DeTable<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, RawJob> {
    let mut runners = BTreeMap::new();
    for (name, value) in table {
        let path = format!("runner.{}", quote(name.get_ref()));
        if !value.get_ref().is_table() {
            let problem = "this is no table: write keys under [runner.\"NAME\"]".to_owned();
            reader.unknown("runner", name, problem);
            continue;
        }
        let Some(table) = reader.table(&path, value) else { continue };
        let layer = Layer::Runner(Rc::from(name.get_ref().as_ref()));
        let mut reader = Reader { lines: reader.lines, layer, complaints: reader.complaints };
        runners.insert(name.get_ref().to_string(), RawJob::read(table, &path, &mut reader));
    }
    runners
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "complaint_tests.rs"]
mod complaint_tests;

#[cfg(test)]
#[path = "prefetch_tests.rs"]
mod prefetch_tests;
