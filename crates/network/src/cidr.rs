//! An address with the length of its network prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address and its prefix length, written `172.17.0.1/16`. The host bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Text that is no address with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidCidr(pub String);

impl Cidr {
    /// An address and a prefix length; `None` where the length is more than the address has bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// The address, host bits included.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The address where it is an IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// The same network with all host bits zero.
    pub fn network(&self) -> Self {
        Self { address: from_number(self.address, self.number() & self.mask()), prefix: self.prefix }
    }

    /// The last address of the network; for IPv4, its broadcast address.
    pub fn last(&self) -> IpAddr {
        from_number(self.address, self.number() | self.host_mask())
    }

    /// Whether `address` is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && number(address) & self.mask() == self.number() & self.mask()
    }

    /// Whether the two networks share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network().address) || other.contains(self.network().address)
    }

    fn number(&self) -> u128 {
        number(self.address)
    }

    fn host_mask(&self) -> u128 {
        let host_bits = bits(self.address) - self.prefix;
        if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 }
    }

    fn mask(&self) -> u128 {
        !self.host_mask()
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number, so that one arithmetic serves both families.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of the family of `like` with this number; bits beyond the family's width are dropped.
pub(crate) fn from_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits((number & u128::from(u32::MAX)) as u32)),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| digits).ok_or_else(invalid)?;
        let address = address.parse().map_err(|_| invalid())?;
        Self::new(address, prefix).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a valid CIDR address")
    }

    #[test]
    fn parse_malformed_text_is_refused() {
        for text in
            ["", "1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3/8", "::/129", "1.2.3.4/+8", "a/8", "1.2.3.4/8/8"]
        {
            assert!(text.parse::<Cidr>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn network_and_last_are_the_ends_of_the_range() {
        assert_eq!(cidr("172.17.0.1/16").network(), cidr("172.17.0.0/16"));
        assert_eq!(cidr("172.17.0.1/16").last(), "172.17.255.255".parse::<IpAddr>().unwrap());
        assert_eq!(cidr("1.2.3.4/0").last(), "255.255.255.255".parse::<IpAddr>().unwrap());
        assert_eq!(cidr("::1/0").network(), cidr("::/0"));
    }

    #[test]
    fn overlaps_other_family_is_false() {
        assert!(!cidr("0.0.0.0/0").overlaps(&cidr("::/0")));
        assert!(cidr("10.0.0.0/8").overlaps(&cidr("10.1.2.3/32")));
        assert!(cidr("10.1.2.3/32").overlaps(&cidr("10.0.0.0/8")));
        assert!(!cidr("10.0.0.0/9").overlaps(&cidr("10.128.0.0/9")));
    }

    proptest! {
        #[test]
        fn parse_any_text_never_panics(text in ".*") {
            let _ = text.parse::<Cidr>();
        }

        #[test]
        fn text_of_any_cidr_parses_to_itself(address: u128, prefix in 0u8..=128, four: bool) {
            let address = if four { IpAddr::V4((address as u32).into()) } else { IpAddr::V6(address.into()) };
            let Some(value) = Cidr::new(address, prefix) else { return Ok(()) };
            prop_assert_eq!(cidr(&value.to_string()), value);
            prop_assert!(value.contains(value.last()));
            prop_assert!(value.contains(value.network().address()));
        }
    }
}
