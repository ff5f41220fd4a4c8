//! The types of keys that are numbers, sizes, lists or optional, and what is allowed in each.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::cache::{Amount, Rule, Scope};
use super::model::PullPolicy;
use super::prefetch::{ListedImage, ScanMode};
use super::wire::{Place, Wire, Word, quote, text_or_number};
use crate::image::{BadPattern, ImageRef, Mirrors, Patterns, Platform, ProjectPatterns};
use crate::policy::hours::BadHours;
use crate::policy::{DueTime, Window};
use crate::units::ByteSize;

/// A text that may be empty, which means that the key is not set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Wire> Wire for Maybe<T> {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        if matches!(value, DeValue::String(text) if text.is_empty()) {
            return Some(Self(None));
        }
        T::read(value, at).map(|value| Self(Some(value)))
    }
}

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Wire> Wire for OneOrMany<T> {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let list = match value {
            DeValue::Array(_) => Vec::read(value, at)?,
            _ => vec![T::read(value, at)?],
        };
        if list.is_empty() {
            at.complain("the list is empty: name at least one");
            return None;
        }
        Some(Self(list))
    }
}

/// A number of seconds, 0 included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Seconds(pub(super) Duration);

impl Wire for Seconds {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        seconds(value, MAX_SECONDS, at).map(Self)
    }
}

/// A number of seconds that may be months.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Span(pub(super) Duration);

impl Wire for Span {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        seconds(value, MAX_SPAN, at).map(Self)
    }
}

fn seconds(value: &DeValue<'_>, most: u64, at: &mut Place<'_>) -> Option<Duration> {
    let seconds = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    let seconds = seconds.and_then(|number| u64::try_from(number).ok()).filter(|number| *number <= most);
    if seconds.is_none() {
        let shown = super::wire::render(value);
        at.complain(format!(
            "{shown} is not a time: write a whole number of seconds from 0 to {most}, without a unit"
        ));
    }
    seconds.map(Duration::from_secs)
}

/// A week: more is a mistake of units.
const MAX_SECONDS: u64 = 7 * 24 * 3600;
/// Ten years.
const MAX_SPAN: u64 = 10 * 365 * 24 * 3600;

/// How often something is asked, in seconds; `"off"`: never.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Poll(pub(super) Option<Duration>);

impl Wire for Poll {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        if matches!(value, DeValue::String(text) if text == "off") {
            return Some(Self(None));
        }
        let seconds = match value {
            DeValue::Integer(_) => seconds(value, MAX_SECONDS, at)?,
            _ => {
                let shown = super::wire::render(value);
                at.complain(format!("{shown} is not a time: write a whole number of seconds, or \"off\""));
                return None;
            }
        };
        if seconds < LEAST_POLL {
            at.complain(format!(
                "{} is too often for registries: write at least {} seconds, or \"off\"",
                seconds.as_secs(),
                LEAST_POLL.as_secs()
            ));
            return None;
        }
        Some(Self(Some(seconds)))
    }
}

/// Asking more often is a mistake of units.
const LEAST_POLL: Duration = Duration::from_secs(60);

/// Space on a disk: a size, or a part of the disk such as `10%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Space(pub(super) Amount);

impl Wire for Space {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let text = text_or_number(value, at)?;
        let amount =
            percent(&text).or_else(|| text.parse().ok().map(|size: ByteSize| Amount::Number(size.0)));
        if amount.is_none() {
            let shown = quote(&text);
            at.complain(format!(
                "{shown} is no space on a disk: write a size such as 4g, or a part of the disk such as 10%"
            ));
        }
        amount.map(Self)
    }
}

/// A number of inodes: as such, or a part of the disk's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Inodes(pub(super) Amount);

impl Wire for Inodes {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let text = text_or_number(value, at)?;
        let amount = percent(&text).or_else(|| text.parse().ok().map(Amount::Number));
        if amount.is_none() {
            let shown = quote(&text);
            at.complain(format!(
                "{shown} is no number of inodes: write a whole number, or a part of the disk's such as 5%"
            ));
        }
        amount.map(Self)
    }
}

fn percent(text: &str) -> Option<Amount> {
    let number = text.strip_suffix('%')?.trim_end().parse().ok()?;
    (number <= 90).then_some(Amount::Percent(number))
}

impl Word for Scope {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "used" => Ok(Self::Used),
            "all" => Ok(Self::All),
            _ => Err(format!("{} is not a choice of images: allowed are used and all", quote(text))),
        }
    }
}

impl Word for ScanMode {
    fn from_text(text: &str) -> Result<Self, String> {
        [Self::Off, Self::Idle, Self::Beside]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| format!("{} is no such time: allowed are off, idle and beside", quote(text)))
    }
}

impl Word for Window {
    fn from_text(text: &str) -> Result<Self, String> {
        let advice = "write such as 22:00-06:00, mon-fri 01:00-05:30 or sat,sun";
        text.parse().map_err(|_: BadHours| format!("{} is not hours of the week: {advice}", quote(text)))
    }
}

impl Word for DueTime {
    fn from_text(text: &str) -> Result<Self, String> {
        let advice = "write such as 06:00 or mon-fri 06:00";
        text.parse().map_err(|_: BadHours| format!("{} is not a time of day: {advice}", quote(text)))
    }
}

impl Word for ListedImage {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with('!') {
            return Err(format!("{} excludes, and the list is of what to bring", quote(text)));
        }
        if text.contains(['*', '?', '[', '{']) {
            let compiled = Patterns::compile(&[text]);
            return compiled
                .map(Self::Pattern)
                .map_err(|bad| bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
        let image: ImageRef = text.parse().map_err(|bad: crate::image::BadReference| {
            format!("{} is not an image name: {}", quote(text), bad.reason())
        })?;
        match image.id() {
            Some(_) => Err(format!("{} is an image ID, which no registry knows: write a name", quote(text))),
            None => Ok(Self::One(image)),
        }
    }
}

/// The name of a rule that ranks images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RuleName(pub(super) Rule);

impl Default for RuleName {
    fn default() -> Self {
        Self(Rule::Auto)
    }
}

impl Word for RuleName {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// A number of CPUs, in billionths of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cpus(pub(super) i64);

impl Wire for Cpus {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let text = text_or_number(value, at)?;
        let nano =
            text.parse::<f64>().ok().map(|number| number * 1e9).filter(|nano| *nano >= 1e6 && *nano <= 1e15);
        if nano.is_none() {
            at.complain(format!(
                "{} is not a number of CPUs: write a number above 0 such as 1.5",
                quote(&text)
            ));
        }
        nano.map(|nano| Self(nano.round() as i64))
    }
}

impl Wire for ByteSize {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let text = text_or_number(value, at)?;
        text.parse().map_err(|bad: crate::units::BadByteSize| at.complain(bad.to_string())).ok()
    }
}

impl Word for PullPolicy {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|bad: super::model::BadPullPolicy| bad.to_string())
    }
}

impl Word for Platform {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|bad: crate::image::BadPlatform| bad.to_string())
    }
}

fn compile<T>(
    value: &DeValue<'_>,
    at: &mut Place<'_>,
    compile: impl FnOnce(&[String]) -> Result<T, Vec<BadPattern>>,
) -> Option<T> {
    let list: Vec<String> = Vec::read(value, at)?;
    compile(&list).map_err(|bad| bad.iter().for_each(|bad| at.complain(bad.to_string()))).ok()
}

impl Wire for Patterns {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        compile(value, at, Self::compile)
    }
}

impl Wire for ProjectPatterns {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        compile(value, at, Self::compile)
    }
}

impl Wire for Mirrors {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let table: BTreeMap<String, OneOrMany<String>> = BTreeMap::read(value, at)?;
        let table = table.iter().map(|(of, mirrors)| (of.as_str(), mirrors.0.as_slice()));
        Self::read(table).map_err(|wrong| wrong.into_iter().for_each(|wrong| at.complain(wrong))).ok()
    }
}

/// A service's environment, as `KEY=VALUE`. Values may be secret, so that no complaint repeats them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Environment(pub(super) Vec<String>);

impl Wire for Environment {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let entry =
            |text: &str| text.split_once('=').is_some_and(|(key, _)| !key.is_empty() && !key.contains(' '));
        let list: Option<Vec<String>> = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|item| item.get_ref().as_str().filter(|text| entry(text)).map(str::to_owned))
                .collect()
        });
        if list.is_none() {
            at.complain("write a list of texts such as [\"KEY=value\"]");
        }
        list.map(Self)
    }
}
