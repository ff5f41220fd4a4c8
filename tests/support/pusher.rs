//! Makes images out of tar archives and files and pushes them to a registry, over plain HTTP on loopback.
//!
//! Everything that shapes an image is a value here, so a test says what its image is like in a few lines and
//! needs no engine to build it: foreign platforms, indexes with gaps, layers of a chosen size. The same input
//! always gives the same digests, and blobs that the registry has are not sent again.
#![allow(dead_code, unreachable_pub, reason = "a module of several targets, none of which uses all of it")]

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The time of every file and image made here (2024-01-01 00:00 UTC): digests must not depend on the day.
const EPOCH_SECONDS: u64 = 1_704_067_200;
const EPOCH_RFC3339: &str = "2024-01-01T00:00:00Z";

/// What went wrong, with what, in words for the person who runs the tests.
#[derive(Debug)]
pub struct Error(String);

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(what: impl Into<String>) -> Self {
        Error(what.into())
    }

    fn of(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Error(format!("{what}: {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// An operating system and a processor, in the registry's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    /// Only some processors have one (`v7` of `arm`).
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `linux/arm64` or `linux/arm/v7`.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(Error::new(format!("{text:?} is not OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT"))),
        }
    }

    /// The platform this program was built for.
    pub fn native() -> Self {
        match std::env::consts::ARCH {
            "x86_64" => Self::new("linux", "amd64", None),
            "aarch64" => Self::new("linux", "arm64", None),
            "arm" => Self::new("linux", "arm", Some("v7")),
            other => Self::new("linux", other, None),
        }
    }

    fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    fn json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("os".into(), json!(self.os));
        map.insert("architecture".into(), json!(self.architecture));
        if let Some(variant) = &self.variant {
            map.insert("variant".into(), json!(variant));
        }
        map
    }
}

/// One file, directory or link of a layer. Owned by root unless [`Entry::owned_by`] says otherwise.
#[derive(Clone, Debug)]
pub struct Entry {
    path: String,
    kind: Kind,
    mode: u32,
    owner: (u64, u64),
}

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
}

impl Entry {
    pub fn directory(path: &str, mode: u32) -> Self {
        Self::new(path, Kind::Directory, mode)
    }

    pub fn file(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self::new(path, Kind::File(content.into()), mode)
    }

    pub fn symlink(path: &str, target: &str) -> Self {
        Self::new(path, Kind::Symlink(target.to_owned()), 0o777)
    }

    /// A second name for the file `target` of the same layer (a path from the root, without the first slash).
    pub fn hardlink(path: &str, target: &str) -> Self {
        Self::new(path, Kind::Hardlink(target.to_owned()), 0o755)
    }

    /// Takes away what a lower layer has at `path`.
    pub fn whiteout(path: &str) -> Self {
        let hidden = match path.rsplit_once('/') {
            Some((parent, name)) => format!("{parent}/.wh.{name}"),
            None => format!(".wh.{path}"),
        };
        Self::new(&hidden, Kind::File(Vec::new()), 0o644)
    }

    pub fn owned_by(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    fn new(path: &str, kind: Kind, mode: u32) -> Self {
        Entry { path: path.trim_start_matches('/').to_owned(), kind, mode, owner: (0, 0) }
    }

    fn append_to(&self, archive: &mut tar::Builder<Vec<u8>>) -> std::io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(EPOCH_SECONDS);
        header.set_size(0);
        match &self.kind {
            Kind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                archive.append_data(&mut header, format!("{}/", self.path), std::io::empty())
            }
            Kind::File(content) => {
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, &self.path, content.as_slice())
            }
            Kind::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, &self.path, target)
            }
            Kind::Hardlink(target) => {
                header.set_entry_type(tar::EntryType::Link);
                archive.append_link(&mut header, &self.path, target)
            }
        }
    }
}

/// A gzipped layer, ready to be pushed. Cheap to clone, and shared between the images that have it.
#[derive(Clone)]
pub struct Layer {
    blob: Blob,
    /// Digest of the archive before compression.
    diff_id: String,
}

impl Layer {
    pub fn from_entries(entries: &[Entry]) -> Result<Self> {
        let mut archive = tar::Builder::new(Vec::new());
        for entry in entries {
            entry.append_to(&mut archive).map_err(|e| Error::of(format!("tar of {}", entry.path), e))?;
        }
        let tar = archive.into_inner().map_err(|e| Error::of("tar", e))?;
        Self::compress(&tar, Compression::default())
    }

    /// Takes a `.tar` or `.tar.gz`; its first bytes tell which.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::of(path.display(), e))?;
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Self::compress(&bytes, Compression::fast());
        }
        let mut hasher = Sha256::new();
        let mut tar = GzDecoder::new(bytes.as_slice());
        let mut buffer = vec![0; 1 << 16];
        loop {
            match tar.read(&mut buffer).map_err(|e| Error::of(path.display(), e))? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        let diff_id = format_digest(&hasher.finalize());
        Ok(Layer { blob: Blob::new(bytes), diff_id })
    }

    /// A layer of about `bytes` bytes that do not compress, in one file below `/filler`. Each seed gives other
    /// bytes, and the same seed the same ones.
    pub fn random(bytes: usize, seed: u64) -> Result<Self> {
        let mut content = Vec::with_capacity(bytes + 8);
        let mut state = seed;
        while content.len() < bytes {
            content.extend_from_slice(&next_random(&mut state).to_le_bytes());
        }
        content.truncate(bytes);
        let mut archive = tar::Builder::new(Vec::new());
        let entry = Entry::file(&format!("filler/{seed}"), 0o644, content);
        entry.append_to(&mut archive).map_err(|e| Error::of("tar", e))?;
        let tar = archive.into_inner().map_err(|e| Error::of("tar", e))?;
        Self::compress(&tar, Compression::none())
    }

    /// Digest of the blob, as the manifest names it.
    pub fn digest(&self) -> &str {
        &self.blob.digest
    }

    /// Digest of the uncompressed archive, as the image's configuration names it.
    pub fn diff_id(&self) -> &str {
        &self.diff_id
    }

    /// Bytes a pull moves.
    pub fn compressed_bytes(&self) -> usize {
        self.blob.bytes.len()
    }

    fn compress(tar: &[u8], level: Compression) -> Result<Self> {
        let diff_id = digest(tar);
        let mut gzip = GzEncoder::new(Vec::new(), level);
        gzip.write_all(tar).map_err(|e| Error::of("gzip", e))?;
        let bytes = gzip.finish().map_err(|e| Error::of("gzip", e))?;
        Ok(Layer { blob: Blob::new(bytes), diff_id })
    }
}

/// SplitMix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An image's HEALTHCHECK, run by a shell.
#[derive(Clone, Debug)]
pub struct Healthcheck {
    pub command: String,
    pub interval_ms: u64,
    pub retries: u64,
}

/// What the image says about its containers; everything left out is left to the engine.
#[derive(Clone, Debug, Default)]
pub struct ImageConfig {
    /// `None`: the image has no ENTRYPOINT.
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    /// `K=V` each. PATH is set if this does not.
    pub env: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    /// `80/tcp` each.
    pub exposed_ports: Vec<String>,
    pub volumes: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub healthcheck: Option<Healthcheck>,
}

impl ImageConfig {
    fn json(&self) -> Value {
        let mut env = self.env.clone();
        if !env.iter().any(|variable| variable.starts_with("PATH=")) {
            env.insert(0, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        }
        let mut map = Map::new();
        map.insert("Env".into(), json!(env));
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.into(), value);
            }
        };
        put("Entrypoint", self.entrypoint.as_ref().map(|e| json!(e)));
        put("Cmd", self.cmd.as_ref().map(|c| json!(c)));
        put("User", self.user.as_ref().map(|u| json!(u)));
        put("WorkingDir", self.working_dir.as_ref().map(|d| json!(d)));
        put("ExposedPorts", set(&self.exposed_ports));
        put("Volumes", set(&self.volumes));
        put("Labels", (!self.labels.is_empty()).then(|| json!(self.labels)));
        put(
            "Healthcheck",
            self.healthcheck.as_ref().map(|h| {
                json!({
                    "Test": ["CMD-SHELL", h.command],
                    "Interval": h.interval_ms * 1_000_000,
                    "Timeout": 5_000_000_000_u64,
                    "Retries": h.retries,
                })
            }),
        );
        Value::Object(map)
    }
}

/// The configuration's way to write a set: keys with empty objects. `None` if there are none.
fn set(keys: &[String]) -> Option<Value> {
    let map: Map<String, Value> = keys.iter().map(|key| (key.clone(), json!({}))).collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

/// Which of the two families of media types an image uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Docker's schema 2 and manifest lists.
    #[default]
    Docker,
    /// OCI manifests and indexes.
    Oci,
}

impl Format {
    fn manifest(self) -> &'static str {
        match self {
            Format::Docker => "application/vnd.docker.distribution.manifest.v2+json",
            Format::Oci => "application/vnd.oci.image.manifest.v1+json",
        }
    }

    fn index(self) -> &'static str {
        match self {
            Format::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
            Format::Oci => "application/vnd.oci.image.index.v1+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Format::Docker => "application/vnd.docker.container.image.v1+json",
            Format::Oci => "application/vnd.oci.image.config.v1+json",
        }
    }

    fn layer(self) -> &'static str {
        match self {
            Format::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Format::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// An image for one platform.
#[derive(Clone)]
pub struct ImageSpec {
    /// Lowest first.
    pub layers: Vec<Layer>,
    pub config: ImageConfig,
    pub platform: Platform,
    pub format: Format,
}

impl ImageSpec {
    /// An image for this machine's platform that says nothing about its containers.
    pub fn new(layers: Vec<Layer>) -> Self {
        ImageSpec {
            layers,
            config: ImageConfig::default(),
            platform: Platform::native(),
            format: Format::default(),
        }
    }

    /// The image's configuration: what its ID is the digest of.
    fn config_blob(&self) -> Blob {
        let diff_ids: Vec<&str> = self.layers.iter().map(Layer::diff_id).collect();
        let history: Vec<Value> = self
            .layers
            .iter()
            .map(|_| json!({ "created": EPOCH_RFC3339, "created_by": "hearth's tests" }))
            .collect();
        let mut map = self.platform.json();
        map.insert("created".into(), json!(EPOCH_RFC3339));
        map.insert("config".into(), self.config.json());
        map.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diff_ids }));
        map.insert("history".into(), json!(history));
        Blob::new(Value::Object(map).to_string().into_bytes())
    }

    fn manifest(&self, config: &Blob) -> Blob {
        let layers: Vec<Value> =
            self.layers.iter().map(|layer| layer.blob.descriptor(self.format.layer())).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.format.manifest(),
            "config": config.descriptor(self.format.config()),
            "layers": layers,
        });
        Blob::new(manifest.to_string().into_bytes())
    }
}

/// Bytes and their digest.
#[derive(Clone)]
struct Blob {
    digest: String,
    bytes: Arc<[u8]>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Blob { digest: digest(&bytes), bytes: bytes.into() }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "size": self.bytes.len(), "digest": self.digest })
    }
}

/// `sha256:` and the hexadecimal digest of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    format_digest(&Sha256::digest(bytes))
}

fn format_digest(hash: &[u8]) -> String {
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a tag stands for after a push.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Digest of what the tag names: the manifest, or the index over them.
    pub digest: String,
    /// Digests of the images' manifests, in the order of the images.
    pub manifests: Vec<String>,
    /// Digests of the images' configurations (their IDs on an engine with the classic store), in that order.
    pub image_ids: Vec<String>,
}

/// A registry on this machine.
#[derive(Clone)]
pub struct Registry {
    address: String,
    authorization: Option<String>,
    agent: ureq::Agent,
}

impl Registry {
    /// A registry at `HOST:PORT` that asks for no password.
    pub fn new(address: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        Registry { address: address.to_owned(), authorization: None, agent }
    }

    /// The same, with a user and a password.
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pushes images and names them `repository:tag`: one image as a plain manifest, several as an index.
    pub fn push(&self, repository: &str, tag: &str, images: &[ImageSpec]) -> Result<Pushed> {
        match images {
            [image] => {
                let (manifest, config) = self.push_image(repository, image)?;
                self.put_manifest(repository, tag, image.format.manifest(), &manifest)?;
                Ok(Pushed {
                    digest: manifest.digest.clone(),
                    manifests: vec![manifest.digest],
                    image_ids: vec![config.digest],
                })
            }
            _ => self.push_index(repository, tag, images),
        }
    }

    /// Pushes images as an index, even if there is only one.
    pub fn push_index(&self, repository: &str, tag: &str, images: &[ImageSpec]) -> Result<Pushed> {
        let format = images.first().map(|image| image.format).unwrap_or_default();
        let mut entries = Vec::new();
        let (mut manifests, mut image_ids) = (Vec::new(), Vec::new());
        for image in images {
            let (manifest, config) = self.push_image(repository, image)?;
            self.put_manifest(repository, &manifest.digest, image.format.manifest(), &manifest)?;
            let mut entry = manifest.descriptor(image.format.manifest());
            entry["platform"] = Value::Object(image.platform.json());
            entries.push(entry);
            manifests.push(manifest.digest);
            image_ids.push(config.digest);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": format.index(), "manifests": entries });
        let index = Blob::new(index.to_string().into_bytes());
        self.put_manifest(repository, tag, format.index(), &index)?;
        Ok(Pushed { digest: index.digest, manifests, image_ids })
    }

    /// Returns the text of a plain manifest.
    pub fn manifest(&self, repository: &str, digest: &str) -> Result<Vec<u8>> {
        let url = self.url(repository, "manifests", digest);
        let formats = [Format::Docker, Format::Oci];
        let accept = formats.map(|format| format!("{}, {}", format.manifest(), format.index())).join(", ");
        let mut response = self
            .authorized(self.agent.get(&url))
            .header("accept", accept)
            .call()
            .map_err(|e| Error::of(format!("GET {url}"), e))?;
        expect(response.status().as_u16(), &[200], "GET", &url)?;
        response.body_mut().read_to_vec().map_err(|e| Error::of(format!("GET {url}"), e))
    }

    /// Takes a manifest out of the registry, and with it every tag that names it.
    pub fn delete(&self, repository: &str, digest: &str) -> Result<()> {
        let url = self.url(repository, "manifests", digest);
        let response = self
            .authorized(self.agent.delete(&url))
            .call()
            .map_err(|e| Error::of(format!("DELETE {url}"), e))?;
        expect(response.status().as_u16(), &[202, 404], "DELETE", &url)
    }

    /// Pushes layers and configuration, and says what the manifest is; whoever asks names it.
    fn push_image(&self, repository: &str, image: &ImageSpec) -> Result<(Blob, Blob)> {
        for layer in &image.layers {
            self.put_blob(repository, &layer.blob)?;
        }
        let config = image.config_blob();
        self.put_blob(repository, &config)?;
        let manifest = image.manifest(&config);
        Ok((manifest, config))
    }

    fn put_blob(&self, repository: &str, blob: &Blob) -> Result<()> {
        let url = self.url(repository, "blobs", &blob.digest);
        let there =
            self.authorized(self.agent.head(&url)).call().map_err(|e| Error::of(format!("HEAD {url}"), e))?;
        if there.status().as_u16() == 200 {
            return Ok(());
        }
        let url = self.url(repository, "blobs", "uploads/");
        let upload = self
            .authorized(self.agent.post(&url))
            .send_empty()
            .map_err(|e| Error::of(format!("POST {url}"), e))?;
        expect(upload.status().as_u16(), &[202], "POST", &url)?;
        let location = upload
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| Error::new(format!("POST {url}: no Location in the answer")))?;
        let location = if location.starts_with('/') {
            format!("http://{}{location}", self.address)
        } else {
            location.to_owned()
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={}", blob.digest);
        let put = self
            .authorized(self.agent.put(&url))
            .header("content-type", "application/octet-stream")
            .send(&blob.bytes[..])
            .map_err(|e| Error::of(format!("PUT {url}"), e))?;
        expect(put.status().as_u16(), &[201], "PUT", &url)
    }

    fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: &Blob,
    ) -> Result<()> {
        let url = self.url(repository, "manifests", reference);
        let put = self
            .authorized(self.agent.put(&url))
            .header("content-type", media_type)
            .send(&manifest.bytes[..])
            .map_err(|e| Error::of(format!("PUT {url}"), e))?;
        expect(put.status().as_u16(), &[201], "PUT", &url)
    }

    fn url(&self, repository: &str, kind: &str, what: &str) -> String {
        format!("http://{}/v2/{repository}/{kind}/{what}", self.address)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }
}

fn expect(status: u16, wanted: &[u16], method: &str, url: &str) -> Result<()> {
    if wanted.contains(&status) {
        Ok(())
    } else {
        Err(Error::new(format!("{method} {url}: the registry answered {status}, not {wanted:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_digests() {
        let layer = || Layer::from_entries(&[Entry::file("/etc/motd", 0o644, "hello\n")]).unwrap();
        let (one, two) = (ImageSpec::new(vec![layer()]), ImageSpec::new(vec![layer()]));
        assert_eq!(one.config_blob().digest, two.config_blob().digest);
        assert_eq!(one.manifest(&one.config_blob()).digest, two.manifest(&two.config_blob()).digest);
    }

    #[test]
    fn a_layer_read_from_a_file_is_the_one_that_was_written() {
        let layer = Layer::from_entries(&[Entry::directory("tmp", 0o1777)]).unwrap();
        let path = std::env::temp_dir().join(format!("hearth-layer-{}", std::process::id()));
        std::fs::write(&path, &layer.blob.bytes).unwrap();
        let read = Layer::from_file(&path);
        std::fs::remove_file(&path).unwrap();
        let read = read.unwrap();
        assert_eq!((read.digest(), read.diff_id()), (layer.digest(), layer.diff_id()));
    }

    #[test]
    fn random_layers_keep_their_size_when_compressed_and_differ_by_seed() {
        let (one, two) = (Layer::random(1 << 20, 1).unwrap(), Layer::random(1 << 20, 2).unwrap());
        assert!((1 << 20..(1 << 20) + 8192).contains(&one.compressed_bytes()), "{}", one.compressed_bytes());
        assert_ne!(one.digest(), two.digest());
        assert_eq!(one.digest(), Layer::random(1 << 20, 1).unwrap().digest());
    }

    #[test]
    fn a_whiteout_stands_beside_what_it_hides() {
        assert_eq!(Entry::whiteout("usr/bin/git").path, "usr/bin/.wh.git");
        assert_eq!(Entry::whiteout("/git").path, ".wh.git");
    }

    #[test]
    fn platforms_are_read_with_and_without_a_variant() {
        let arm = Platform::parse("linux/arm/v7").unwrap();
        assert_eq!((arm.architecture.as_str(), arm.variant.as_deref()), ("arm", Some("v7")));
        assert_eq!(Platform::parse("linux/arm64").unwrap().variant, None);
        assert!(Platform::parse("arm64").is_err());
    }

    #[test]
    fn a_configuration_says_only_what_was_asked_for() {
        let config = ImageConfig { user: Some("dev".into()), ..ImageConfig::default() }.json();
        let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["Env", "User"]);
    }
}
