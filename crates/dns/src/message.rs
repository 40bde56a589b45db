//! Queries as they come over the wire (RFC 1035, section 4.1; RFC 6891).

/// Bytes of a message's header.
pub(crate) const HEADER: usize = 12;
/// The longest name, its lengths of labels included.
const MAX_NAME: usize = 255;
const MAX_LABEL: u8 = 63;

pub(crate) const CLASS_INTERNET: u16 = 1;
const CLASS_ANY: u16 = 255;
const KIND_OPT: u16 = 41;

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// All is well.
    NoError = 0,
    /// The query cannot be read.
    FormatError = 1,
    /// Nobody could answer.
    ServerFailure = 2,
    /// The name does not exist.
    NameError = 3,
    /// This kind of query is not served.
    NotImplemented = 4,
    /// The server does not want to.
    Refused = 5,
}

/// The types of records that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipv4,
    Ipv6,
    Pointer,
    All,
    Other,
}

impl Kind {
    fn of(number: u16) -> Self {
        match number {
            1 => Self::Ipv4,
            12 => Self::Pointer,
            28 => Self::Ipv6,
            255 => Self::All,
            _ => Self::Other,
        }
    }
}

/// A query with one question.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    packet: &'a [u8],
    question_end: usize,
    /// The name in small letters without the dot at its end; `None` where it cannot be written as text.
    pub(crate) name: Option<String>,
    pub(crate) kind: Kind,
    /// Whether the question is about the Internet, as nearly all are.
    pub(crate) internet: bool,
    /// The size of packets that the client takes, where it says so.
    pub(crate) udp_size: Option<u16>,
}

/// What a packet is.
#[derive(Clone, Debug)]
pub(crate) enum Incoming<'a> {
    Query(Query<'a>),
    /// A query that is answered with an error.
    Faulty(ResponseCode),
    /// Nothing to answer.
    Noise,
}

/// Reads a packet. The work is bounded by the longest name, whatever the packet's length.
pub(crate) fn read(packet: &[u8]) -> Incoming<'_> {
    const IS_RESPONSE: u8 = 0x80;
    const OPERATION: u8 = 0x78;
    if packet.len() < HEADER || packet[2] & IS_RESPONSE != 0 {
        return Incoming::Noise;
    }
    if packet[2] & OPERATION != 0 {
        return Incoming::Faulty(ResponseCode::NotImplemented);
    }
    let [questions, answers, authorities, additional] = [4, 6, 8, 10].map(|at| number(packet, at));
    if questions != Some(1) || answers > Some(1) || authorities > Some(1) || additional > Some(2) {
        return Incoming::Faulty(ResponseCode::FormatError);
    }
    let Some((name, name_end)) = read_name(packet) else {
        return Incoming::Faulty(ResponseCode::FormatError);
    };
    let (Some(kind), Some(class)) = (number(packet, name_end), number(packet, name_end + 2)) else {
        return Incoming::Faulty(ResponseCode::FormatError);
    };
    let question_end = name_end + 4;
    let plain = answers == Some(0) && authorities == Some(0);
    Incoming::Query(Query {
        packet,
        question_end,
        name,
        kind: Kind::of(kind),
        internet: matches!(class, CLASS_INTERNET | CLASS_ANY),
        udp_size: if plain { udp_size(packet, question_end, additional.unwrap_or(0)) } else { None },
    })
}

impl Query<'_> {
    pub(crate) fn header(&self) -> &[u8] {
        &self.packet[..HEADER]
    }

    /// The question as it was asked.
    pub(crate) fn question(&self) -> &[u8] {
        &self.packet[HEADER..self.question_end]
    }
}

pub(crate) fn number(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

/// Where the question of a message ends, behind its name, type and class.
pub(crate) fn question_end(packet: &[u8]) -> Option<usize> {
    let (_, name_end) = read_name(packet)?;
    packet.get(..name_end + 4).map(<[u8]>::len)
}

/// The first name of a message, and where it ends. There is nothing before it that a pointer could lead to.
fn read_name(packet: &[u8]) -> Option<(Option<String>, usize)> {
    let mut text = Some(String::new());
    let mut at = HEADER;
    loop {
        let length = *packet.get(at)?;
        at += 1;
        if length == 0 {
            return Some((text, at));
        }
        if length > MAX_LABEL || at + usize::from(length) - HEADER >= MAX_NAME {
            return None;
        }
        let label = packet.get(at..at + usize::from(length))?;
        text = text.filter(|_| label.iter().all(is_plain)).map(|text| append(text, label));
        at += usize::from(length);
    }
}

/// Whether a byte means itself in the text of a name.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_graphic() && *byte != b'.'
}

fn append(mut text: String, label: &[u8]) -> String {
    if !text.is_empty() {
        text.push('.');
    }
    text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    text
}

/// The size in the EDNS record among the `count` records from `at` on.
fn udp_size(packet: &[u8], mut at: usize, count: u16) -> Option<u16> {
    for _ in 0..count {
        while let 1..=MAX_LABEL = *packet.get(at)? {
            at += 1 + usize::from(packet[at]);
        }
        // Zero, or the first byte of a pointer.
        at += if packet[at] == 0 { 1 } else { 2 };
        if number(packet, at)? == KIND_OPT {
            return number(packet, at + 2);
        }
        at += 10 + usize::from(number(packet, at + 8)?);
    }
    None
}

/// A name as it is written into a message; `None` where that is impossible.
pub(crate) fn write_name(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    for label in text.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=MAX_LABEL).contains(length))?;
        bytes.push(length);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    (bytes.len() <= MAX_NAME).then_some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A query as a resolver writes it.
    pub(crate) fn query(name: &str, kind: u16, udp_size: Option<u16>) -> Vec<u8> {
        let additional = u8::from(udp_size.is_some());
        let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional];
        packet.extend(if name.is_empty() { vec![0] } else { write_name(name).unwrap() });
        packet.extend(kind.to_be_bytes());
        packet.extend(CLASS_INTERNET.to_be_bytes());
        if let Some(size) = udp_size {
            packet.extend([0, 0, 41]);
            packet.extend(size.to_be_bytes());
            packet.extend([0; 6]);
        }
        packet
    }

    fn understood(packet: &[u8]) -> Query<'_> {
        match read(packet) {
            Incoming::Query(query) => query,
            other => panic!("{other:?}"),
        }
    }

    fn fault(packet: &[u8]) -> ResponseCode {
        match read(packet) {
            Incoming::Faulty(code) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn query_is_read_with_its_name_in_small_letters() {
        let packet = query("Web.Lab", 28, Some(1232));
        let query = understood(&packet);
        assert_eq!(query.name.as_deref(), Some("web.lab"));
        assert_eq!((query.kind, query.internet, query.udp_size), (Kind::Ipv6, true, Some(1232)));
        assert_eq!(query.question(), &packet[12..packet.len() - 11]);
        let packet = super::tests::query("", 255, None);
        assert_eq!(understood(&packet).name.as_deref(), Some(""));
        assert_eq!(understood(&packet).udp_size, None);
    }

    #[test]
    fn name_that_is_no_text_is_kept_out_of_tables() {
        let mut packet = query("a-b", 1, None);
        packet[14] = b'.';
        assert_eq!(understood(&packet).name, None);
        packet[14] = 0xff;
        assert_eq!(understood(&packet).name, None);
    }

    #[test]
    fn what_is_no_query_is_refused_or_ignored() {
        let good = query("web", 1, None);
        assert!(matches!(read(&good[..11]), Incoming::Noise));
        let changed = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            packet
        };
        assert!(matches!(read(&changed(2, 0x81)), Incoming::Noise));
        assert_eq!(fault(&changed(2, 0x28)), ResponseCode::NotImplemented);
        assert_eq!(fault(&changed(5, 2)), ResponseCode::FormatError);
        assert_eq!(fault(&changed(11, 3)), ResponseCode::FormatError);
        assert_eq!(fault(&changed(12, 0xc0)), ResponseCode::FormatError);
        assert_eq!(fault(&good[..good.len() - 1]), ResponseCode::FormatError);
    }

    #[test]
    fn name_of_255_bytes_is_the_longest() {
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "y".repeat(61));
        assert!(understood(&query(&longest, 1, None)).name.is_some());
        assert_eq!(write_name(&format!("{longest}z")), None);
        let mut packet = query(&longest, 1, None);
        packet.splice(12..12, [1, b'a']);
        assert_eq!(fault(&packet), ResponseCode::FormatError);
    }

    proptest! {
        #[test]
        fn read_any_bytes_never_panics(packet: Vec<u8>) {
            let _ = read(&packet);
            let _ = question_end(&packet);
        }

        #[test]
        fn read_any_bytes_after_a_header_never_panics(tail: Vec<u8>, additional in 0u8..4) {
            let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional];
            packet.extend(tail);
            if let Incoming::Query(query) = read(&packet) {
                prop_assert!(query.question().len() >= 5);
            }
        }
    }
}
