//! Why nothing was learned, in words for people: what happened, with which host, and what to do where that is clear.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::connect::NoConnection;

/// A question that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Words for people.
    pub(super) words: String,
    /// Whether the other scheme may be tried: nobody has answered in this one.
    pub(super) unanswered: bool,
}

impl Trouble {
    /// An answer that cannot be made sense of.
    pub(super) fn nonsense(words: impl Into<String>) -> Self {
        Self { words: words.into(), unanswered: false }
    }

    /// Reads why a request to `host` failed. `certs` is the directory where the host's certificates would be.
    pub(super) fn of(error: &(dyn StdError + 'static), host: &str, certs: &str) -> Self {
        let mut last = error.to_string();
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(no) = error.downcast_ref::<NoConnection>() {
                return Self { words: of_connection(no, host, certs), unanswered: true };
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>()
                && (error.is_parse() || error.is_parse_too_large())
            {
                return Self { words: format!("{host} does not answer in HTTP: {error}"), unanswered: true };
            }
            if let Some(words) = of_tls_in(error, host, certs) {
                return Self { words, unanswered: true };
            }
            last = error.to_string();
            cause = error.source();
        }
        Self { words: format!("the connection to {host} broke: {last}"), unanswered: true }
    }
}

fn of_connection(no: &NoConnection, host: &str, certs: &str) -> String {
    match no {
        NoConnection::Way(error) => {
            let words = innermost(error.as_ref());
            format!("{host} is not reached: {words}")
        }
        NoConnection::Time(_) => format!("{host} is not reached: {no}"),
        NoConnection::Tls(error) => of_tls_in(error, host, certs).unwrap_or_else(|| {
            format!("{host} broke off while TLS was set up ({error}): does it speak TLS? {INSECURE}")
        }),
        NoConnection::Files(words) => format!("{host} is not asked: {words}"),
        NoConnection::Proxy(_) => format!("{host} is not reached: {no}"),
    }
}

const INSECURE: &str = "A registry without TLS has to be among the engine's insecure-registries";

/// Reads an error of TLS that an error is or holds.
fn of_tls_in(error: &(dyn StdError + 'static), host: &str, certs: &str) -> Option<String> {
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return Some(of_tls(error, host, certs));
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    of_tls_in(inner, host, certs)
}

fn of_tls(error: &TlsError, host: &str, certs: &str) -> String {
    use CertificateError as Bad;
    match error {
        TlsError::InvalidCertificate(Bad::UnknownIssuer) => format!(
            "{host} has a certificate signed by an unknown authority: put the authority's certificate into {certs}/ca.crt"
        ),
        TlsError::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            format!("the certificate of {host} has expired, or this host's clock is wrong")
        }
        TlsError::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            format!("the certificate of {host} is not valid yet, or this host's clock is wrong")
        }
        TlsError::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!("the certificate of {host} is not for this name")
        }
        TlsError::InvalidCertificate(_) if format!("{error:?}").contains("CaUsedAsEndEntity") => format!(
            "{host} shows an authority's certificate as its own: if it is to be trusted, put it into {certs}/ca.crt"
        ),
        TlsError::InvalidCertificate(_) => format!("the certificate of {host} cannot be trusted: {error}"),
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateUnknown,
        ) => client_certificate(host, certs),
        TlsError::InvalidMessage(_) => format!("{host} does not speak TLS. {INSECURE}"),
        _ => format!("no TLS with {host}: {error}"),
    }
}

/// What to do where a registry wants to see a certificate of this host.
pub(super) fn client_certificate(host: &str, certs: &str) -> String {
    format!(
        "{host} wants to see a certificate of this host, and takes no other: put one into {certs}/client.cert with its client.key"
    )
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    let mut words = error.to_string();
    while let Some(cause) = error.source() {
        error = cause;
        words = format!("{words}: {cause}");
    }
    words
}
