//! The certificates that an operator gave for registries: Docker's directory per registry, and authorities for all.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::RegistrySettings;
use super::place::Place;

/// A file that is larger is not a certificate.
const MAX_FILE: u64 = 4 << 20;

/// What the operator gave for one registry.
#[derive(Default)]
pub(super) struct Given {
    /// Authorities, or the registry's own certificate signed by itself.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// What this host shows if it is asked.
    pub(super) client: Option<Client>,
}

/// A certificate of this host, with its chain and key.
pub(super) struct Client {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Reads all that was given for a registry. The error says which file is wrong, and what about it.
pub(super) fn read(settings: &RegistrySettings, place: &Place) -> Result<Given, String> {
    let mut given = Given::default();
    for file in &settings.ca_files {
        given.authorities.extend(certificates(file)?);
    }
    for name in place.directories() {
        // A name from an image cannot climb: it has neither a slash nor a lone dot in it.
        read_directory(&settings.certs_dir.join(name), &mut given)?;
    }
    Ok(given)
}

/// Reads a directory as Docker does: `.crt` are authorities, `.cert` this host's own, each with its `.key`.
fn read_directory(dir: &Path, given: &mut Given) -> Result<(), String> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => return Err(format!("{} cannot be read: {error}", dir.display())),
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let ends = |file: &Path, extension: &str| file.extension().is_some_and(|e| e == extension);
    for file in &files {
        if ends(file, "crt") {
            given.authorities.extend(certificates(file)?);
        } else if ends(file, "cert") {
            let key = file.with_extension("key");
            if !files.contains(&key) {
                return Err(format!(
                    "{} has no key beside it: {} is missing (the certificate of an authority ends in .crt)",
                    file.display(),
                    key.display()
                ));
            }
            let client = Client { chain: certificates(file)?, key: private_key(&key)? };
            given.client.get_or_insert(client);
        } else if ends(file, "key") && !files.contains(&file.with_extension("cert")) {
            return Err(format!(
                "{} has no certificate beside it: {} is missing",
                file.display(),
                file.with_extension("cert").display()
            ));
        }
    }
    Ok(())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = bytes(file)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        _ => Err(format!("{} has no certificate in PEM format", file.display())),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&bytes(file)?).map_err(|_| {
        format!("{} has no private key in PEM format (one with a passphrase cannot be used)", file.display())
    })
}

fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let failed = |reason: String| format!("{} cannot be read: {reason}", file.display());
    let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(failed("it is too large for a certificate".to_owned()));
    }
    fs::read(file).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
#[path = "certs_tests.rs"]
mod tests;
