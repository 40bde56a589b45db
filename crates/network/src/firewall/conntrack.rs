//! Forgetting connections, as messages of the kernel's connection tracking.
//!
//! UDP has no end of a connection. Where a client goes on sending from the same port, the kernel goes on treating its
//! packets as it did with the first: past a port that was published since, or to a container that is gone.

use std::net::IpAddr;

use crate::firewall::message::{ACKNOWLEDGE, REQUEST, attribute, message as frame, nested};

const SUBSYSTEM_AND_DELETE: u16 = 1 << 8 | 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Bits that say which parts of a tuple count.
const FLAG_SOURCE: u32 = 1 << 0;
const FLAG_PROTOCOL: u32 = 1 << 3;
const FLAG_DESTINATION_PORT: u32 = 1 << 5;

/// Which UDP connections are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forget {
    /// Those that were opened to this port, of any address.
    ToPort { ipv6: bool, port: u16 },
    /// Those that this container answers.
    AnsweredBy(IpAddr),
}

/// The message that forgets them; filters of this kind exist since Linux 5.8.
pub(crate) fn message(forget: Forget, sequence: u32) -> Vec<u8> {
    let protocol = attribute(CTA_PROTO_NUM, &[UDP]);
    let (family, tuple, kind, flags_kind, flags) = match forget {
        Forget::ToPort { ipv6, port } => {
            let port = attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes());
            let tuple = nested(CTA_TUPLE_PROTO, &[protocol, port]);
            let family = if ipv6 { AF_INET6 } else { AF_INET };
            (family, tuple, CTA_TUPLE_ORIG, CTA_FILTER_ORIG_FLAGS, FLAG_PROTOCOL | FLAG_DESTINATION_PORT)
        }
        Forget::AnsweredBy(address) => {
            let (family, source) = match address {
                IpAddr::V4(address) => (AF_INET, attribute(CTA_IP_V4_SRC, &address.octets())),
                IpAddr::V6(address) => (AF_INET6, attribute(CTA_IP_V6_SRC, &address.octets())),
            };
            let tuple = [nested(CTA_TUPLE_IP, &[source]), nested(CTA_TUPLE_PROTO, &[protocol])].concat();
            (family, tuple, CTA_TUPLE_REPLY, CTA_FILTER_REPLY_FLAGS, FLAG_SOURCE | FLAG_PROTOCOL)
        }
    };
    let filter = nested(CTA_FILTER, &[attribute(flags_kind, &flags.to_ne_bytes())]);
    let body = [nested(kind, &[tuple]), filter].concat();
    frame(SUBSYSTEM_AND_DELETE, REQUEST | ACKNOWLEDGE, sequence, family, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_its_length_and_whole_words() {
        for forget in [
            Forget::ToPort { ipv6: false, port: 53 },
            Forget::AnsweredBy("172.17.0.2".parse().unwrap()),
            Forget::AnsweredBy("fd00::2".parse().unwrap()),
        ] {
            let message = message(forget, 7);
            assert_eq!(message.len() % 4, 0);
            assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()) as usize, message.len());
        }
    }
}
