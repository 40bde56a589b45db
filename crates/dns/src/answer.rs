//! What becomes of a packet, and the answers to queries.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::MAX_MESSAGE;
use crate::message::{self, CLASS_INTERNET, HEADER, Incoming, Kind, Query, ResponseCode};
use crate::zone::{Addresses, Zone, reversed};

/// How long a client may keep an answer, in seconds. It is Docker's; the resolvers of C libraries keep none.
const TIME_TO_LIVE: u32 = 600;
/// The size of packets that a client without EDNS takes.
const SMALLEST_LIMIT: usize = 512;
/// The size of packets that are sent at most, whatever a client takes.
const LARGEST_LIMIT: usize = 4096;
/// The size of packets that this server says it takes.
const OWN_UDP_SIZE: u16 = 1232;
/// The EDNS record of an answer: root name, type, size, no extended code, version 0, no data.
const EDNS: usize = 11;

/// What a message came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Packets, whose size clients limit.
    Udp,
    /// A stream.
    Tcp,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This is sent back.
    Reply(Vec<u8>),
    /// A server outside is asked.
    Forward,
    /// Nothing: it is no query.
    Ignore,
}

/// Decides about a packet. `turn` says which of several addresses comes first; it is to differ from query to query.
pub fn answer(packet: &[u8], transport: Transport, zone: &Zone<'_>, turn: u32) -> Answer {
    let query = match message::read(packet) {
        Incoming::Query(query) => query,
        Incoming::Faulty(code) => return Answer::Reply(bare(packet, code)),
        Incoming::Noise => return Answer::Ignore,
    };
    let Some(name) = query.name.as_deref().filter(|_| query.internet) else { return Answer::Forward };
    let limit = limit(&query, transport);
    if let Some(addresses) = zone.addresses(name) {
        return Answer::Reply(with_records(&query, records(addresses, query.kind, turn), limit));
    }
    if query.kind == Kind::Pointer
        && let Some(target) = reversed(name).and_then(|address| zone.name_of(address))
        && let Some(target) = message::write_name(&target)
    {
        return Answer::Reply(with_records(&query, vec![Record { kind: 12, data: target }], limit));
    }
    let asks_addresses = matches!(query.kind, Kind::Ipv4 | Kind::Ipv6);
    if asks_addresses && !zone.ask_single_names && !name.contains('.') {
        return Answer::Reply(with_records(&query, Vec::new(), limit));
    }
    Answer::Forward
}

/// The answer to a query that nobody could answer.
pub fn failure(packet: &[u8], code: ResponseCode) -> Vec<u8> {
    match message::read(packet) {
        Incoming::Query(query) => response(&query, code, &[], SMALLEST_LIMIT),
        _ => bare(packet, code),
    }
}

/// A record for the name of the question.
struct Record {
    kind: u16,
    data: Vec<u8>,
}

fn records(addresses: Addresses, kind: Kind, turn: u32) -> Vec<Record> {
    let Addresses { mut ipv4, mut ipv6 } = addresses;
    rotate(&mut ipv4, turn);
    rotate(&mut ipv6, turn);
    let four = |address: &Ipv4Addr| Record { kind: 1, data: address.octets().to_vec() };
    let six = |address: &Ipv6Addr| Record { kind: 28, data: address.octets().to_vec() };
    match kind {
        Kind::Ipv4 => ipv4.iter().map(four).collect(),
        Kind::Ipv6 => ipv6.iter().map(six).collect(),
        Kind::All => ipv4.iter().map(four).chain(ipv6.iter().map(six)).collect(),
        Kind::Pointer | Kind::Other => Vec::new(),
    }
}

fn rotate<T>(list: &mut [T], turn: u32) {
    if !list.is_empty() {
        list.rotate_left(turn as usize % list.len());
    }
}

fn limit(query: &Query<'_>, transport: Transport) -> usize {
    match transport {
        Transport::Tcp => MAX_MESSAGE,
        Transport::Udp => {
            usize::from(query.udp_size.unwrap_or_default()).clamp(SMALLEST_LIMIT, LARGEST_LIMIT)
        }
    }
}

fn with_records(query: &Query<'_>, records: Vec<Record>, limit: usize) -> Vec<u8> {
    response(query, ResponseCode::NoError, &records, limit)
}

/// A response with as many of the records as fit.
fn response(query: &Query<'_>, code: ResponseCode, records: &[Record], limit: usize) -> Vec<u8> {
    let edns = if query.udp_size.is_some() { EDNS } else { 0 };
    let mut bytes = query.header().to_vec();
    bytes.extend(query.question());
    let mut count: u16 = 0;
    for record in records {
        if bytes.len() + 12 + record.data.len() + edns > limit {
            break;
        }
        push(&mut bytes, record);
        count += 1;
    }
    let truncated = usize::from(count) < records.len();
    set_flags(&mut bytes, code, truncated);
    bytes[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(edns > 0)]);
    bytes[6..8].copy_from_slice(&count.to_be_bytes());
    if edns > 0 {
        bytes.extend([0, 0, 41]);
        bytes.extend(OWN_UDP_SIZE.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes
}

fn push(bytes: &mut Vec<u8>, record: &Record) {
    // The name is the question's, to which this points.
    const NAME: [u8; 2] = [0xc0, HEADER as u8];
    bytes.extend(NAME);
    bytes.extend(record.kind.to_be_bytes());
    bytes.extend(CLASS_INTERNET.to_be_bytes());
    bytes.extend(TIME_TO_LIVE.to_be_bytes());
    bytes.extend((record.data.len() as u16).to_be_bytes());
    bytes.extend(&record.data);
}

/// A response without the question, which could not be read.
fn bare(packet: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut bytes = packet.iter().copied().chain([0; HEADER]).take(HEADER).collect::<Vec<u8>>();
    set_flags(&mut bytes, code, false);
    bytes[4..].fill(0);
    bytes
}

/// Keeps what a response repeats of its query: the operation, and what the client wishes of recursion and checks.
fn set_flags(bytes: &mut [u8], code: ResponseCode, truncated: bool) {
    const RESPONSE: u8 = 0x80;
    const OPERATION_AND_RECURSION: u8 = 0x79;
    const RECURSION_AVAILABLE: u8 = 0x80;
    const CHECKING_DISABLED: u8 = 0x10;
    bytes[2] = RESPONSE | (bytes[2] & OPERATION_AND_RECURSION) | u8::from(truncated) << 1;
    bytes[3] = RECURSION_AVAILABLE | (bytes[3] & CHECKING_DISABLED) | code as u8;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::query;
    use crate::table::Table;
    use crate::table::tests::table;
    use crate::zone::Host;

    fn lab() -> Table {
        table(
            "lab",
            &[
                ("10.1.0.2", "fd00::2", &["web", "both"]),
                ("10.1.0.3", "", &["db", "both"]),
                ("", "fd00::4", &["six"]),
            ],
        )
    }

    fn ask(packet: &[u8], ask_single_names: bool) -> Answer {
        let lab = lab();
        answer(
            packet,
            Transport::Udp,
            &Zone { tables: vec![&lab], hosts: &[], aliases: &[], ask_single_names },
            0,
        )
    }

    fn reply(packet: &[u8]) -> Vec<u8> {
        match ask(packet, true) {
            Answer::Reply(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn code(reply: &[u8]) -> u8 {
        reply[3] & 0xf
    }

    fn count(reply: &[u8]) -> u16 {
        u16::from_be_bytes([reply[6], reply[7]])
    }

    #[test]
    fn known_name_is_answered_with_its_question_and_address() {
        let packet = query("WEB", 1, None);
        let mut expected = packet.clone();
        expected[2..4].copy_from_slice(&[0x81, 0x80]);
        expected[7] = 1;
        expected.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 10, 1, 0, 2]);
        assert_eq!(reply(&packet), expected);
    }

    #[test]
    fn family_that_is_missing_is_an_empty_answer() {
        for (name, kind) in [("db", 28), ("six", 1), ("web", 15), ("web", 65), ("web", 12)] {
            let reply = reply(&query(name, kind, None));
            assert_eq!((code(&reply), count(&reply)), (0, 0), "{name} {kind}");
        }
        assert_eq!(count(&reply(&query("web", 255, None))), 2);
    }

    #[test]
    fn unknown_name_is_asked_outside() {
        assert_eq!(ask(&query("nobody", 1, None), true), Answer::Forward);
        assert_eq!(ask(&query("example.com", 1, None), false), Answer::Forward);
        assert_eq!(ask(&query("1.0.1.10.in-addr.arpa", 12, None), true), Answer::Forward);
        let mut chaos = query("web", 1, None);
        let class = chaos.len() - 1;
        chaos[class] = 3;
        assert_eq!(ask(&chaos, true), Answer::Forward);
    }

    #[test]
    fn single_name_stays_inside_where_a_domain_is_tried_next() {
        let Answer::Reply(reply) = ask(&query("nobody", 28, None), false) else { panic!("asked outside") };
        assert_eq!((code(&reply), count(&reply)), (0, 0));
        assert_eq!(ask(&query("nobody", 16, None), false), Answer::Forward);
    }

    #[test]
    fn address_of_a_container_has_its_full_name() {
        let reply = reply(&query("3.0.1.10.in-addr.arpa", 12, None));
        assert_eq!(count(&reply), 1);
        assert!(reply.ends_with(b"\x00\x08\x02db\x03lab\x00"));
    }

    #[test]
    fn equal_names_take_turns() {
        let lab = lab();
        let zone = Zone { tables: vec![&lab], hosts: &[], aliases: &[], ask_single_names: true };
        let first = |turn: u32| match answer(&query("both", 1, None), Transport::Udp, &zone, turn) {
            Answer::Reply(reply) => {
                assert_eq!(count(&reply), 2);
                reply[reply.len() - 17]
            }
            other => panic!("{other:?}"),
        };
        assert_eq!([first(0), first(1), first(2)], [2, 3, 2]);
    }

    #[test]
    fn answer_too_long_for_a_packet_says_so_and_comes_whole_over_a_stream() {
        let names: &[&str] = &["many"];
        let addresses: Vec<String> = (0..100).map(|number| format!("10.1.1.{number}")).collect();
        let endpoints: Vec<_> = addresses.iter().map(|address| (address.as_str(), "", names)).collect();
        let table = table("lab", &endpoints);
        let zone = Zone { tables: vec![&table], hosts: &[], aliases: &[], ask_single_names: true };
        let reply = |packet: &[u8], transport| match answer(packet, transport, &zone, 7) {
            Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        };
        let short = reply(&query("many", 1, None), Transport::Udp);
        assert!(short.len() <= 512 && short[2] & 2 != 0);
        assert_eq!(count(&short), 30);
        let extended = reply(&query("many", 1, Some(1232)), Transport::Udp);
        assert!((1200..=1232).contains(&extended.len()) && extended[2] & 2 != 0);
        let whole = reply(&query("many", 1, None), Transport::Tcp);
        assert_eq!((count(&whole), whole[2] & 2), (100, 0));
    }

    #[test]
    fn edns_is_answered_with_edns() {
        let reply = reply(&query("web", 1, Some(4096)));
        assert!(reply.ends_with(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]));
        assert_eq!(reply[11], 1);
    }

    #[test]
    fn failure_repeats_the_question() {
        let packet = query("web", 1, Some(1232));
        let reply = failure(&packet, ResponseCode::ServerFailure);
        assert_eq!((code(&reply), count(&reply), reply[2], reply[11]), (2, 0, 0x81, 1));
        assert_eq!(reply[12..packet.len() - 11], packet[12..packet.len() - 11]);
    }

    #[test]
    fn query_that_cannot_be_read_is_refused_with_its_number() {
        let mut packet = query("web", 1, None);
        packet[5] = 2;
        assert_eq!(reply(&packet), [0xab, 0xcd, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_packet_is_answered_within_the_limit_or_dropped(
            mut packet in proptest::collection::vec(any::<u8>(), 0..600),
            known in any::<bool>(),
            turn: u32,
        ) {
            if known && packet.len() > 20 {
                packet[..17].copy_from_slice(&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, b'w', b'e', b'b', 0]);
            }
            let lab = lab();
            let hosts = [Host { name: "h".into(), ipv4: None, ipv6: None }];
            let zone = Zone { tables: vec![&lab], hosts: &hosts, aliases: &[], ask_single_names: true };
            match answer(&packet, Transport::Udp, &zone, turn) {
                Answer::Reply(reply) => {
                    prop_assert!(reply.len() <= LARGEST_LIMIT && reply.len() >= HEADER);
                    prop_assert_eq!(&reply[..2], &packet[..2]);
                    prop_assert!(reply[2] & 0x80 != 0);
                }
                Answer::Forward => prop_assert!(failure(&packet, ResponseCode::Refused).len() <= 512),
                Answer::Ignore => prop_assert!(packet.len() < HEADER || packet[2] & 0x80 != 0),
            }
        }
    }
}
