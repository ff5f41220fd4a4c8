//! Platforms: which operating system and processor an image is made for, and whether it runs here.
//!
//! Names are normalized as containerd does it (`platforms.Normalize`), since registries and engines spell them differently.

use std::fmt;
use std::str::FromStr;

/// An operating system and a processor, in normalized spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The processor, such as `arm64`.
    pub architecture: String,
    /// The processor's variant, such as `v7`; `None` where the architecture has none that matters (arm64/v8 is arm64).
    pub variant: Option<String>,
}

/// How well an image made for one platform runs on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It runs as it is.
    Native,
    /// A 32-bit image on a 64-bit processor of the same family: it runs without emulation where processor and kernel still
    /// have the 32-bit mode.
    Compat32,
    /// It needs emulation, or cannot run at all.
    Foreign,
}

/// A text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a platform: write os/architecture or os/architecture/variant, such as linux/arm64 or linux/arm/v7"
)]
pub struct BadPlatform(pub String);

impl Platform {
    /// Makes a platform from the three texts of an image or an engine, in whatever spelling; empty texts are unknown.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "" => "linux".to_owned(),
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
            ("x86_64" | "x86-64", other) => ("amd64", other),
            ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", ""),
            ("aarch64" | "arm64" | "armv8l" | "armv8", "8" | "v8" | "") => ("arm64", ""),
            ("aarch64" | "arm64", other) => ("arm64", other),
            ("armhf" | "armv7l" | "armv7", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel" | "armv6l" | "armv6", _) | ("arm", "6") => ("arm", "v6"),
            ("armv5l" | "armv5tel" | "armv5", _) | ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            (other, variant) => (other, variant),
        };
        let variant = if variant.is_empty() { None } else { Some(variant.to_owned()) };
        Self { os, architecture: architecture.to_owned(), variant }
    }

    /// Tells how well an image made for this platform runs on a host of the platform `native`.
    pub fn runs_on(&self, native: &Self) -> Fit {
        if self.os != native.os {
            return Fit::Foreign;
        }
        match (self.architecture.as_str(), native.architecture.as_str()) {
            ("arm", "arm") if self.arm_version() > native.arm_version() => Fit::Foreign,
            (image, host) if image == host => Fit::Native,
            ("arm", "arm64") | ("386", "amd64") => Fit::Compat32,
            _ => Fit::Foreign,
        }
    }

    /// Tells whether an image made for this platform is what was asked for; where a variant is not known, it does not matter.
    pub fn meets(&self, asked: &Self) -> bool {
        let either_is_unknown = asked.variant.is_none() || self.variant.is_none();
        self.os == asked.os
            && self.architecture == asked.architecture
            && (either_is_unknown || self.variant == asked.variant)
    }

    /// Tells whether the entry is a real platform; indexes list attestations as `unknown/unknown`.
    pub fn is_known(&self) -> bool {
        self.os != "unknown" && self.architecture != "unknown" && !self.architecture.is_empty()
    }

    /// The number of the variant: 7 for `v7`; 0 for none.
    pub(super) fn variant_number(&self) -> u32 {
        let number = self.variant.as_deref().and_then(|variant| variant.strip_prefix('v'));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The number in `v7`; an unreadable variant counts as the most demanding one.
    fn arm_version(&self) -> u32 {
        let variant = self.variant.as_deref().unwrap_or("v7");
        variant.strip_prefix('v').and_then(|number| number.parse().ok()).unwrap_or(u32::MAX)
    }
}

impl FromStr for Platform {
    type Err = BadPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadPlatform(text.to_owned());
        let is_word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(is_word) {
            return Err(bad());
        }
        match parts[..] {
            [one] if is_os(one) => Err(bad()),
            [architecture] => Ok(Self::new("linux", architecture, "")),
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

/// Formats what an image has, as `linux/amd64, linux/arm64`: each platform once, attestations left out; `no platform`
/// where nothing is left.
pub fn list_platforms<'a>(platforms: impl IntoIterator<Item = &'a Platform>) -> String {
    let mut names: Vec<String> = Vec::new();
    for platform in platforms.into_iter().filter(|platform| platform.is_known()) {
        let name = platform.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "no platform".to_owned() } else { names.join(", ") }
}

/// An operating system alone does not say which processor.
fn is_os(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "linux" | "darwin" | "macos" | "windows" | "freebsd" | "wasi"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fit, Platform, list_platforms};

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn every_spelling_of_a_platform_is_shown_in_one_way() {
        for (typed, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("arm64", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("armv7l", "linux/arm/v7"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("armel", "linux/arm/v6"),
            ("linux/ARM/V7", "linux/arm/v7"),
            ("i686", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(typed).to_string(), shown, "{typed}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_way_to_write_it() {
        for typed in
            ["", "linux", "/", "linux/", "linux/arm/v7/x", "linux arm64", "linux/arm64\n", "lïnux/arm64"]
        {
            let error = typed.parse::<Platform>().unwrap_err().to_string();
            assert!(error.contains("linux/arm/v7"), "{error}");
        }
    }

    #[test]
    fn an_image_fits_its_own_platform_and_older_ones_of_the_family() {
        for (image, host, fit) in [
            ("arm64", "arm64", Fit::Native),
            ("linux/arm64/v8", "aarch64", Fit::Native),
            ("amd64", "amd64", Fit::Native),
            ("linux/arm/v6", "linux/arm/v7", Fit::Native),
            ("linux/arm/v5", "linux/arm/v6", Fit::Native),
            ("linux/arm/v7", "linux/arm/v6", Fit::Foreign),
            ("linux/arm/v7", "arm64", Fit::Compat32),
            ("linux/arm/v6", "arm64", Fit::Compat32),
            ("386", "amd64", Fit::Compat32),
            ("amd64", "arm64", Fit::Foreign),
            ("arm64", "linux/arm/v7", Fit::Foreign),
            ("arm64", "amd64", Fit::Foreign),
            ("windows/amd64", "amd64", Fit::Foreign),
            ("riscv64", "arm64", Fit::Foreign),
        ] {
            assert_eq!(platform(image).runs_on(&platform(host)), fit, "{image} on {host}");
        }
    }

    #[test]
    fn what_an_image_has_is_listed_once_and_without_attestations() {
        let unknown = Platform::new("unknown", "unknown", "");
        let listed =
            list_platforms(&[platform("amd64"), unknown.clone(), platform("arm64"), platform("amd64")]);
        assert_eq!(listed, "linux/amd64, linux/arm64");
        assert_eq!(list_platforms(&[unknown]), "no platform");
    }

    proptest! {
        #[test]
        fn platforms_survive_being_shown_and_read_again(text in "[a-z0-9]{1,8}(/[a-z0-9_]{1,8}){0,3}|.*") {
            if let Ok(parsed) = text.parse::<Platform>() {
                prop_assert_eq!(parsed.to_string().parse::<Platform>(), Ok(parsed.clone()));
                prop_assert_eq!(parsed.runs_on(&parsed), Fit::Native);
            }
        }
    }
}
