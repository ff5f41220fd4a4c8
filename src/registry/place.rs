//! Where a registry is, from the name that images have it by.

use std::net::IpAddr;

use url::{Host, Url};

/// Docker Hub by its name in images, and the host that serves it.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// With TLS.
    Https,
    /// Without.
    Http,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// A registry as images name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Host and port as they stand in the image's name, such as `docker.io` or `registry.example.com:5000`.
    pub(super) name: String,
    /// Host and port that are spoken to.
    pub(super) address: String,
}

impl Place {
    pub(super) fn new(name: &str) -> Self {
        let address = if name == DOCKER_HUB.0 { DOCKER_HUB.1 } else { name };
        Self { name: name.to_owned(), address: address.to_owned() }
    }

    /// Returns the host without the port and an IPv6 address's brackets.
    pub(super) fn host(&self) -> &str {
        let host = match self.address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') && !port.is_empty() => host,
            _ => &self.address,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Tells whether the name itself says that it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Returns the names that its directory of certificates may have, in the order they are looked for.
    pub(super) fn directories(&self) -> Vec<&str> {
        let mut names = vec![self.address.as_str(), self.name.as_str()];
        names.dedup();
        names
    }

    /// Returns the URL of a path; `None` where the name gives none.
    pub(super) fn url(&self, scheme: Scheme, path: &str) -> Option<Url> {
        Url::parse(&format!("{}://{}{path}", scheme.as_str(), self.address)).ok()
    }
}

/// Tells whether a host, by its name alone, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_loopback(),
            None => address.is_loopback(),
        },
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// Tells whether a URL's host, by its name alone, is this machine or only reachable on its own link.
pub(super) fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => {
            address.is_link_local() || address.is_unspecified() || address.is_loopback()
        }
        Some(Host::Ipv6(address)) => {
            address.is_unspecified() || address.is_unicast_link_local() || is_loopback(&address.to_string())
        }
        Some(Host::Domain(name)) => is_loopback(name),
        None => true,
    }
}

/// Returns a URL's host and port as they are spoken of, without anything else of it.
pub(super) fn authority(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "a URL without a host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses_hosts_and_urls() {
        for (name, host, loopback, url) in [
            ("docker.io", "registry-1.docker.io", false, "https://registry-1.docker.io/v2/"),
            ("registry.example.com", "registry.example.com", false, "https://registry.example.com/v2/"),
            (
                "registry.example.com:5000",
                "registry.example.com",
                false,
                "https://registry.example.com:5000/v2/",
            ),
            ("127.0.0.1:5501", "127.0.0.1", true, "https://127.0.0.1:5501/v2/"),
            ("127.8.9.1", "127.8.9.1", true, "https://127.8.9.1/v2/"),
            ("128.0.0.1", "128.0.0.1", false, "https://128.0.0.1/v2/"),
            ("[::1]:5000", "::1", true, "https://[::1]:5000/v2/"),
            ("[fe80::1]", "fe80::1", false, "https://[fe80::1]/v2/"),
            ("localhost:5000", "localhost", true, "https://localhost:5000/v2/"),
            ("localhost.example.com", "localhost.example.com", false, "https://localhost.example.com/v2/"),
        ] {
            let place = Place::new(name);
            let made = place.url(Scheme::Https, "/v2/").map(String::from);
            assert_eq!(
                (place.host(), place.is_loopback(), made.as_deref()),
                (host, loopback, Some(url)),
                "{name}"
            );
        }
    }

    #[test]
    fn docker_hubs_certificates_may_stand_under_both_its_names() {
        assert_eq!(Place::new("docker.io").directories(), ["registry-1.docker.io", "docker.io"]);
        assert_eq!(Place::new("a.example:5000").directories(), ["a.example:5000"]);
    }

    #[test]
    fn near_hosts_are_known_by_their_address() {
        for (url, near) in [
            ("http://127.0.0.1:9100/", true),
            ("http://0.0.0.0/", true),
            ("http://169.254.169.254/latest", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://2130706433/", true),
            ("http://localhost/", true),
            ("https://auth.example.com/", false),
            ("https://10.0.0.1/", false),
        ] {
            assert_eq!(is_near(&Url::parse(url).unwrap()), near, "{url}");
        }
    }
}
