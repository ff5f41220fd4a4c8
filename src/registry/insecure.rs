//! Which registries may go without TLS: what the engine calls insecure, and this machine itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use super::place::Place;

/// The registries that may go without TLS. Those of this machine (127.0.0.0/8, ::1, localhost) always may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Insecure {
    hosts: BTreeSet<String>,
    networks: Vec<Network>,
}

/// A text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network: write ADDRESS/BITS, such as 10.0.0.0/8")]
pub struct BadNetwork(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Insecure {
    /// Adds a registry by its name in images, `HOST` or `HOST:PORT`; another port of the same host is another registry.
    pub fn add_host(&mut self, name: &str) {
        self.hosts.insert(name.trim().to_ascii_lowercase());
    }

    /// Adds all registries whose address is in a network.
    pub fn add_network(&mut self, network: &str) -> Result<(), BadNetwork> {
        self.networks.push(network.parse()?);
        Ok(())
    }

    /// Adds what the engine lists: `ADDRESS/BITS` are networks, everything else hosts.
    pub fn add(&mut self, entry: &str) {
        if self.add_network(entry).is_err() {
            self.add_host(entry);
        }
    }

    /// Tells whether a registry's name alone makes it insecure.
    pub(super) fn has(&self, place: &Place) -> bool {
        place.is_loopback()
            || self.hosts.contains(&place.name)
            || place.host().parse().is_ok_and(|address| self.has_address(address))
    }

    /// Tells whether a registry at this address is insecure.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// Tells whether names have to be resolved to know: whether there is a network that is not this machine's own.
    pub(super) fn needs_addresses(&self) -> bool {
        self.networks.iter().any(|network| !network.address.is_loopback())
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.chars().take(80).collect());
        let (address, bits) = text.trim().split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits > most { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    fn has(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let same = |one: u128, other: u128, most: u8| {
            let foreign = u32::from(most - self.bits);
            one.checked_shr(foreign).unwrap_or(0) == other.checked_shr(foreign).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_list_and_this_machine_may_go_without_tls() {
        let mut insecure = Insecure::default();
        for entry in ["Plain.example:5000", "10.1.0.0/16", "fd00::/8", "192.168.7.7/32"] {
            insecure.add(entry);
        }
        for (name, may) in [
            ("plain.example:5000", true),
            ("plain.example", false),
            ("plain.example:5001", false),
            ("10.1.2.3:80", true),
            ("10.2.2.3:80", false),
            ("[fd12::1]:5000", true),
            ("[fe12::1]:5000", false),
            ("192.168.7.7", true),
            ("192.168.7.8", false),
            ("127.0.0.1:5501", true),
            ("127.200.1.1", true),
            ("[::1]:1", true),
            ("localhost", true),
            ("docker.io", false),
        ] {
            assert_eq!(insecure.has(&Place::new(name)), may, "{name}");
        }
        assert!(insecure.needs_addresses());
    }

    #[test]
    fn the_whole_world_can_be_insecure_and_bad_networks_are_refused() {
        let mut insecure = Insecure::default();
        insecure.add_network("127.0.0.0/8").unwrap();
        insecure.add_network("::1/128").unwrap();
        assert!(!insecure.needs_addresses());
        insecure.add_network("0.0.0.0/0").unwrap();
        assert!(insecure.has(&Place::new("8.8.8.8")) && !insecure.has(&Place::new("[2001:db8::1]")));
        for bad in ["10.0.0.0/33", "10.0.0.0", "::/129", "a/8", "10.0.0.0/-1"] {
            assert!(insecure.add_network(bad).is_err(), "{bad}");
        }
    }
}
