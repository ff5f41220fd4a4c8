//! What one process was given by its host: arguments, environment, standard streams. Everything else takes them as values.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the process's own state")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgrp, getppid};

use crate::job::ancestry::{self, Ancestor};
use crate::moment::{Liveness, Moment, Process};
use crate::outcome::Failure;
use crate::policy::LocalTime;

/// The state a process starts with.
#[derive(Clone)]
pub struct Host {
    /// Arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// The program's own file.
    pub exe: PathBuf,
    /// The working directory.
    pub cwd: PathBuf,
}

impl Host {
    /// Reads the state of this process.
    pub fn read() -> Self {
        Self {
            args: std::env::args_os().collect(),
            env: std::env::vars_os().collect(),
            exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("hearth")),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// Returns an environment variable; empty counts as unset.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_os_str()).filter(|v| !v.is_empty())
    }
}

/// Returns the host's own name; `localhost` where it has none.
pub fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Returns stdout as a file: unbuffered, so that bytes reach the job log as they come.
pub fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Returns the time since the epoch.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns whether this process runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Returns the time on all clocks. Systems without `/proc` have only the first.
pub fn moment() -> Moment {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let boot = read("/proc/uptime").split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    let boot = boot.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Without its clock, which boot it is says nothing.
    let boot_id = if boot.is_some() { read("/proc/sys/kernel/random/boot_id") } else { String::new() };
    Moment { wall: now(), boot: boot.unwrap_or_default(), boot_id: boot_id.trim().to_owned() }
}

/// Returns a time since the epoch as the clocks on this host's wall show it: TZ, else `/etc/localtime`; where neither says
/// anything, UTC.
pub fn local_time(at: Duration) -> LocalTime {
    let time = zoned(at);
    let weekday = time.weekday().to_monday_zero_offset();
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let part = |number: i8| u32::try_from(number).unwrap_or_default();
    LocalTime {
        weekday: u8::try_from(weekday).unwrap_or_default(),
        second_of_day: part(hour) * 3600 + part(minute) * 60 + part(second),
    }
}

/// Returns when the calendar month of a time began on this host's wall, since the epoch.
pub fn month_began(at: Duration) -> Duration {
    let time = zoned(at);
    let began = time.first_of_month().and_then(|day| day.start_of_day()).unwrap_or(time);
    Duration::try_from(began.timestamp().as_duration()).unwrap_or_default()
}

/// A time since the epoch in this host's zone; one beyond all calendars is the epoch.
fn zoned(at: Duration) -> Zoned {
    let since = SignedDuration::try_from(at).ok();
    let time = since.and_then(|since| Timestamp::from_duration(since).ok()).unwrap_or_default();
    time.to_zoned(TimeZone::system())
}

/// Returns whether a time server has set the clock since boot, as far as a look at files tells: systemd's own client leaves
/// one. `None`: nothing is known of it. Systems other than Linux keep the time in the machine.
pub fn clock_is_set() -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return Some(true);
    }
    Path::new("/run/systemd/timesync/synchronized").exists().then_some(true)
}

/// Returns whether stderr is the journal: `JOURNAL_STREAM` names what systemd connected.
pub fn stderr_is_journal(stream: Option<&OsStr>) -> bool {
    let named = stream.and_then(OsStr::to_str).and_then(|value| value.split_once(':'));
    let Some((device, inode)) = named else { return false };
    let own = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    own.is_ok_and(|own| own.dev().to_string() == device && own.ino().to_string() == inode)
}

/// Returns a running process with the time of its start, so that a later one with its number can be told apart; `None` if
/// there is none, or the system does not say.
pub fn process(pid: u32) -> Option<Process> {
    Some(Process { pid, started: Stat::read(pid)?.started, space: space() })
}

/// Returns the process of the runner that started this stage; see [`ancestry::runner`].
pub fn runner() -> Process {
    let number = |pid: Pid| u32::try_from(pid.as_raw()).unwrap_or_default();
    let space = space();
    let runner = ancestry::runner(number(getpgrp()), number(getppid()), |pid| {
        let stat = Stat::read(pid)?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let word = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let names = vec![stat.name, String::from_utf8_lossy(word).into_owned()];
        let process = Process { pid, started: stat.started, space };
        Some(Ancestor { process, parent: stat.parent, group: stat.group, names })
    });
    Process { space, ..runner }
}

/// Returns whether a process of this boot still runs. One whose start is not known may have been a wrapper that ends
/// before its job: that it is gone says nothing.
pub fn liveness(process: Process) -> Liveness {
    let Process { pid, started, space: of } = process;
    let here = space();
    let number = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    let Some(number) = number.filter(|_| of == 0 || here == 0 || of == here) else {
        return Liveness::Unknown;
    };
    if started == 0 {
        return match kill(Pid::from_raw(number), None) {
            Err(Errno::ESRCH) => Liveness::Unknown,
            _ => Liveness::Runs,
        };
    }
    match Stat::read(pid) {
        Some(stat) if stat.started == started && !stat.ended => Liveness::Runs,
        Some(_) => Liveness::Gone,
        // It may be hidden from this user.
        None => match kill(Pid::from_raw(number), None) {
            Err(Errno::ESRCH) => Liveness::Gone,
            _ => Liveness::Unknown,
        },
    }
}

/// This process, its runner, and how it sees the time and other processes.
#[derive(Clone)]
pub struct Who {
    /// This process.
    pub this: Process,
    /// The runner that started it.
    pub runner: Process,
    moment: Rc<dyn Fn() -> Moment>,
    liveness: Rc<dyn Fn(Process) -> Liveness>,
}

impl Who {
    /// Reads who this process is.
    pub fn read() -> Self {
        Self::new(process(std::process::id()).unwrap_or_default(), runner(), moment, liveness)
    }

    /// Says who this process is, and what it sees.
    pub fn new(
        this: Process,
        runner: Process,
        moment: impl Fn() -> Moment + 'static,
        liveness: impl Fn(Process) -> Liveness + 'static,
    ) -> Self {
        Self { this, runner, moment: Rc::new(moment), liveness: Rc::new(liveness) }
    }

    /// Returns the time on all clocks.
    pub fn moment(&self) -> Moment {
        (self.moment)()
    }

    /// Returns whether a process runs.
    pub fn liveness(&self, process: Process) -> Liveness {
        (self.liveness)(process)
    }
}

/// Returns the PID namespace of this process; 0 where there is none, or the system does not say.
fn space() -> u64 {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let number = link.to_str().and_then(|text| text.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok());
    number.unwrap_or_default()
}

/// What the system says of a process.
struct Stat {
    name: String,
    /// Whether it only waits for its parent to hear of its end.
    ended: bool,
    parent: u32,
    group: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The program's name comes before, in parentheses; it may hold spaces and parentheses.
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        Some(Self {
            name: before.split_once('(')?.1.to_owned(),
            ended: matches!(fields.first(), Some(&("Z" | "X" | "x"))),
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().unwrap_or_default(),
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Reads a file of at most `limit` bytes. The message names the file by `what` and its path.
pub fn read_bounded(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let failed =
        |reason: String| Failure::system(format!("{what} {} cannot be read: {reason}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{liveness, local_time, moment, month_began, process, read_bounded, runner};
    use crate::moment::{Liveness, Process};

    #[test]
    fn a_process_is_known_by_its_start() {
        if !std::path::Path::new("/proc/uptime").exists() {
            return eprintln!("SKIPPED: there is no /proc here");
        }
        let this = process(std::process::id()).unwrap();
        assert_eq!(process(this.pid), Some(this));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = process(child.id()).unwrap().started;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(started >= this.started);
        assert_eq!(process(u32::MAX), None);
    }

    #[test]
    fn a_process_is_gone_when_it_has_ended_or_another_one_has_its_number() {
        if !std::path::Path::new("/proc/uptime").exists() {
            return eprintln!("SKIPPED: there is no /proc here");
        }
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let running = process(child.id()).unwrap();
        let unseen = Process { started: 0, ..running };
        assert_eq!((liveness(running), liveness(unseen)), (Liveness::Runs, Liveness::Runs));
        assert_eq!(liveness(Process { started: running.started + 1, ..running }), Liveness::Gone);
        // Another container's numbers say nothing here.
        assert_eq!(liveness(Process { space: running.space + 1, ..running }), Liveness::Unknown);
        child.kill().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while liveness(running) != Liveness::Gone {
            assert!(std::time::Instant::now() < end, "a process that waits for its parent counts as running");
        }
        child.wait().unwrap();
        assert_eq!((liveness(running), liveness(unseen)), (Liveness::Gone, Liveness::Unknown));
        for pid in [0, u32::MAX] {
            assert_eq!(liveness(Process { pid, started: 1, space: 0 }), Liveness::Unknown);
        }
    }

    #[test]
    fn a_runner_is_found_above_the_tests() {
        if !std::path::Path::new("/proc/uptime").exists() {
            return eprintln!("SKIPPED: there is no /proc here");
        }
        let runner = runner();
        assert_ne!(runner.pid, std::process::id());
        assert_ne!(liveness(runner), Liveness::Gone);
    }

    #[test]
    fn the_clock_of_the_boot_runs_and_its_name_stays() {
        let (one, other) = (moment(), moment());
        assert!(other.since(&one).is_some() && one.boot <= other.boot);
        assert_eq!(one.boot_id, other.boot_id);
    }

    #[test]
    fn the_wall_shows_a_time_of_the_week_and_the_month_it_is_in() {
        // Whatever the zone of this host is, it is a whole number of quarters of an hour away from UTC.
        let tuesday = Duration::from_secs(1_795_478_400 + 7);
        let shown = local_time(tuesday);
        assert_eq!(shown.second_of_day % 900, 7);
        let utc =
            Duration::from_secs(86_400 + u64::from(shown.weekday) * 86_400 + u64::from(shown.second_of_day));
        let of_utc = Duration::from_secs(2 * 86_400 + 7);
        assert!(utc.abs_diff(of_utc) <= Duration::from_secs(14 * 3600), "{shown:?}");
        let later = local_time(tuesday + Duration::from_secs(30));
        assert_eq!((later.weekday, later.second_of_day), (shown.weekday, shown.second_of_day + 30));
        let began = month_began(tuesday);
        assert!(began <= tuesday && tuesday - began < Duration::from_secs(31 * 86_400));
        assert_eq!((month_began(began), local_time(began).second_of_day), (began, 0));
        assert!(month_began(began - Duration::from_secs(1)) < began);
        assert_eq!(month_began(Duration::MAX), month_began(Duration::ZERO));
    }

    #[test]
    fn the_wall_shows_what_the_systems_own_clock_shows() {
        // Around New Year, a leap day and the days on which clocks are put forward or back.
        for seconds in [0, 951_825_600, 1_767_225_599, 1_774_749_600, 1_792_900_800, 1_795_478_400_u64] {
            let shown = std::process::Command::new("date")
                .args(["-d", &format!("@{seconds}"), "+%u %H %M %S %d"])
                .output()
                .ok()
                .filter(|output| output.status.success());
            let Some(shown) = shown else {
                return eprintln!("SKIPPED: `date` does not tell the time of a number here");
            };
            let shown = String::from_utf8(shown.stdout).unwrap();
            let numbers: Vec<u32> = shown.split_whitespace().map(|number| number.parse().unwrap()).collect();
            let [weekday, hour, minute, second, day] = numbers[..] else { panic!("{shown}") };
            let at = Duration::from_secs(seconds);
            let time = local_time(at);
            let of_day = hour * 3600 + minute * 60 + second;
            assert_eq!(
                (u32::from(time.weekday) + 1, time.second_of_day),
                (weekday, of_day),
                "{seconds}: {shown}"
            );
            // An hour more or less where clocks were put forward or back in that month.
            let since = (day - 1) * 86_400 + of_day;
            let found = (at - month_began(at)).as_secs() as u32;
            assert!(seconds == 0 || found.abs_diff(since) <= 3600, "{seconds}: {found} {since}");
        }
    }

    #[test]
    fn a_missing_and_a_huge_file_are_told_apart() {
        let missing =
            read_bounded("/nonexistent/response.json".as_ref(), 10, "JOB_RESPONSE_FILE").unwrap_err();
        assert!(missing.message.contains("/nonexistent/response.json"), "{missing}");
        let huge = read_bounded("/dev/zero".as_ref(), 3 << 20, "JOB_RESPONSE_FILE").unwrap_err();
        assert!(huge.message.contains("larger than 3 MiB"), "{huge}");
    }
}
