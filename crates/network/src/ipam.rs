//! Addresses: which of a subnet are taken, and which subnets a new network may have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::cidr::{Cidr, from_number, number};
use crate::config::AddressPool;
use crate::record::IpamConfig;

/// The addresses of one subnet.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    subnet: Cidr,
    /// First and last address that may be chosen freely.
    first: u128,
    last: u128,
    used: BTreeSet<u128>,
    /// Every address of the range below this one is taken.
    lowest: u128,
}

/// Why a certain address cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It belongs to somebody.
    InUse,
    /// It is not in the subnet.
    OutOfRange,
}

impl Pool {
    /// A pool with nothing taken but the gateway, auxiliary addresses, and those that name the network itself.
    pub(crate) fn new(config: &IpamConfig) -> Self {
        let range = config.ip_range.unwrap_or(config.subnet).network();
        let first = number(range.address());
        let mut pool = Self {
            subnet: config.subnet,
            first,
            last: number(range.last()),
            used: BTreeSet::new(),
            lowest: first,
        };
        pool.used.extend(network_addresses(&config.subnet).map(number));
        pool.used
            .extend(config.gateway.iter().chain(config.auxiliary_addresses.values()).copied().map(number));
        pool
    }

    /// Takes the lowest free address.
    pub(crate) fn allocate(&mut self) -> Option<IpAddr> {
        let mut candidate = self.lowest;
        if candidate > self.last {
            return None;
        }
        for &taken in self.used.range(candidate..=self.last) {
            if taken != candidate {
                break;
            }
            candidate = candidate.checked_add(1)?;
        }
        self.lowest = candidate;
        if candidate > self.last {
            return None;
        }
        self.used.insert(candidate);
        Some(from_number(self.subnet.address(), candidate))
    }

    /// Takes a certain address of the subnet, also one outside the range that is chosen from.
    pub(crate) fn claim(&mut self, address: IpAddr) -> Result<(), Refusal> {
        if !self.subnet.contains(address) {
            return Err(Refusal::OutOfRange);
        }
        if self.used.insert(number(address)) { Ok(()) } else { Err(Refusal::InUse) }
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: IpAddr) {
        let number = number(address);
        if self.subnet.contains(address) && self.used.remove(&number) && number >= self.first {
            self.lowest = self.lowest.min(number);
        }
    }

    /// The subnet.
    pub(crate) fn subnet(&self) -> Cidr {
        self.subnet
    }
}

/// The addresses that no host may have: the network's own and, for IPv4, the broadcast address. Subnets of one or two
/// addresses have none of them (RFC 3021).
fn network_addresses(subnet: &Cidr) -> impl Iterator<Item = IpAddr> {
    let four = subnet.address().is_ipv4();
    let width = if four { 32 } else { 128 };
    let has = subnet.prefix() < width - 1;
    let network = has.then(|| subnet.network().address());
    let broadcast = (has && four).then(|| subnet.last());
    network.into_iter().chain(broadcast)
}

/// Docker's pools for networks that name no subnet, as `(base, prefix length of a subnet)`, and one more for those who have
/// more than 31 networks.
const DEFAULT_POOLS: [(&str, u8); 8] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
    ("10.128.0.0/9", 20),
];

/// The pools used where the configuration names none.
pub(crate) fn default_pools() -> Vec<AddressPool> {
    DEFAULT_POOLS
        .iter()
        .map(|&(base, size)| AddressPool { base: base.parse().expect("the table holds valid CIDR"), size })
        .collect()
}

/// The first subnet of the pools that shares no address with any of `taken`.
pub(crate) fn choose_subnet(pools: &[AddressPool], taken: &[Cidr]) -> Option<Cidr> {
    pools.iter().find_map(|pool| choose_from(pool, taken))
}

fn choose_from(pool: &AddressPool, taken: &[Cidr]) -> Option<Cidr> {
    let base = pool.base.network();
    let (first, last) = (number(base.address()), number(base.last()));
    let mut obstacles: Vec<(u128, u128)> = taken
        .iter()
        .filter(|other| other.overlaps(&base))
        .map(|other| (number(other.network().address()), number(other.last())))
        .collect();
    obstacles.sort_unstable();
    let step = number(Cidr::new(base.address(), pool.size)?.network().last()) - first + 1;
    let mut start = first;
    for (from, to) in obstacles {
        if from > start + (step - 1) {
            break;
        }
        if to >= start {
            start += (to - start + 1).div_ceil(step) * step;
        }
        if start > last {
            return None;
        }
    }
    Cidr::new(from_number(base.address(), start), pool.size)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a valid CIDR address")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("a valid address")
    }

    fn config(subnet: &str) -> IpamConfig {
        let subnet = cidr(subnet);
        let gateway = from_number(subnet.address(), number(subnet.network().address()) + 1);
        IpamConfig { subnet, ip_range: None, gateway: Some(gateway), auxiliary_addresses: BTreeMap::new() }
    }

    #[test]
    fn allocate_fresh_pool_starts_after_the_gateway() {
        let mut pool = Pool::new(&config("172.17.0.0/16"));
        assert_eq!(pool.allocate(), Some(address("172.17.0.2")));
        assert_eq!(pool.allocate(), Some(address("172.17.0.3")));
        pool.release(address("172.17.0.2"));
        assert_eq!(pool.allocate(), Some(address("172.17.0.2")));
        assert_eq!(pool.allocate(), Some(address("172.17.0.4")));
    }

    #[test]
    fn allocate_full_pool_is_none_until_release() {
        let mut pool = Pool::new(&config("10.0.0.0/29"));
        let all: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(address));
        pool.release(address("10.0.0.5"));
        assert_eq!(pool.allocate(), Some(address("10.0.0.5")));
        assert_eq!(pool.allocate(), None);
    }

    #[test]
    fn allocate_with_range_stays_inside_it() {
        let mut settings = config("10.0.0.0/16");
        settings.ip_range = Some(cidr("10.0.5.0/30"));
        settings.auxiliary_addresses.insert("printer".to_owned(), address("10.0.5.1"));
        let mut pool = Pool::new(&settings);
        let all: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(all, ["10.0.5.0", "10.0.5.2", "10.0.5.3"].map(address));
        assert_eq!(pool.claim(address("10.0.9.9")), Ok(()));
    }

    #[test]
    fn allocate_range_at_the_end_of_the_address_space_ends() {
        let mut pool = Pool::new(&config("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"));
        let all: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn claim_gateway_broadcast_or_foreign_address_is_refused() {
        let mut pool = Pool::new(&config("10.0.0.0/24"));
        for taken in ["10.0.0.0", "10.0.0.1", "10.0.0.255"] {
            assert_eq!(pool.claim(address(taken)), Err(Refusal::InUse), "{taken}");
        }
        assert_eq!(pool.claim(address("10.0.1.2")), Err(Refusal::OutOfRange));
        assert_eq!(pool.claim(address("10.0.0.7")), Ok(()));
        assert_eq!(pool.claim(address("10.0.0.7")), Err(Refusal::InUse));
    }

    #[test]
    fn choose_subnet_default_pools_gives_the_next_free_one() {
        let pools = default_pools();
        assert_eq!(choose_subnet(&pools, &[]), Some(cidr("172.17.0.0/16")));
        assert_eq!(choose_subnet(&pools, &[cidr("172.16.0.0/14")]), Some(cidr("172.20.0.0/16")));
        let all: Vec<Cidr> = (17..32).map(|n| cidr(&format!("172.{n}.0.0/16"))).collect();
        assert_eq!(choose_subnet(&pools, &all), Some(cidr("192.168.0.0/20")));
    }

    #[test]
    fn choose_subnet_default_pools_outlast_31_networks() {
        let pools = default_pools();
        let mut taken = Vec::new();
        while taken.len() < 200 {
            taken.push(choose_subnet(&pools, &taken).expect("a free subnet"));
        }
    }

    #[test]
    fn choose_subnet_exhausted_pool_is_none() {
        let pools = [AddressPool { base: cidr("10.0.0.0/24"), size: 26 }];
        let mut taken = vec![cidr("10.0.0.64/27")];
        while let Some(subnet) = choose_subnet(&pools, &taken) {
            taken.push(subnet);
        }
        assert_eq!(taken[1..], ["10.0.0.0/26", "10.0.0.128/26", "10.0.0.192/26"].map(cidr));
    }

    proptest! {
        #[test]
        fn allocate_never_gives_an_address_twice(steps in prop::collection::vec((0u8..3, 0u32..64), 1..200)) {
            let mut pool = Pool::new(&config("10.0.0.0/26"));
            let mut mine = BTreeSet::new();
            for (action, host) in steps {
                let wanted = IpAddr::from((0x0a00_0000 + host).to_be_bytes());
                match action {
                    0 => {
                        let lowest = (2..63).map(|n| IpAddr::from([10, 0, 0, n])).find(|free| !mine.contains(free));
                        let given = pool.allocate();
                        prop_assert_eq!(given, lowest);
                        mine.extend(given);
                    }
                    1 => prop_assert_eq!(
                        pool.claim(wanted).is_ok(),
                        ![0, 1, 63].contains(&host) && mine.insert(wanted)
                    ),
                    _ => if mine.remove(&wanted) { pool.release(wanted) },
                }
            }
        }

        #[test]
        fn choose_subnet_never_overlaps(taken in prop::collection::vec((any::<u32>(), 0u8..=32), 0..40)) {
            let taken: Vec<Cidr> = taken
                .into_iter()
                // Half of them where they are in the way.
                .map(|(bits, prefix)| if bits & 1 == 0 { (0xac10_0000 | bits >> 12, prefix.max(12)) } else { (bits, prefix) })
                .filter_map(|(bits, prefix)| Cidr::new(IpAddr::from(bits.to_be_bytes()), prefix))
                .collect();
            if let Some(chosen) = choose_subnet(&default_pools(), &taken) {
                prop_assert!(taken.iter().all(|other| !other.overlaps(&chosen)));
            }
        }
    }
}
