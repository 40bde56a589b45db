//! Messages of nfnetlink, read and written byte by byte where the bindings do not reach.

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub(crate) const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;

const HEADER: usize = 16;
const NFGENMSG: usize = 4;

/// A message: header, address family, attributes.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, family: u8, body: &[u8]) -> Vec<u8> {
    framed(kind, flags, sequence, [family, 0, 0, 0], body)
}

/// The first or last message of a batch of nftables.
pub(crate) fn batch_frame(kind: u16, sequence: u32) -> Vec<u8> {
    const NFTABLES: u16 = 10;
    let [high, low] = NFTABLES.to_be_bytes();
    framed(kind, REQUEST, sequence, [0, 0, high, low], &[])
}

fn framed(kind: u16, flags: u16, sequence: u32, general: [u8; NFGENMSG], body: &[u8]) -> Vec<u8> {
    let length = (HEADER + NFGENMSG + body.len()) as u32;
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(general);
    message.extend(body);
    message
}

/// An attribute with attributes inside.
pub(crate) fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    const NESTED: u16 = 1 << 15;
    attribute(kind | NESTED, &parts.concat())
}

/// An attribute, padded to whole words.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + value.len());
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute with a text that ends in a NUL.
pub(crate) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

/// The value of an attribute in the body of a message of the kernel's.
pub(crate) fn find(mut body: &[u8], kind: u16) -> Option<&[u8]> {
    const KIND: u16 = 0x3fff;
    while let [a, b, c, d, ..] = *body {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = body.get(4..length)?;
        if u16::from_ne_bytes([c, d]) & KIND == kind {
            return Some(value);
        }
        body = body.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// How many attributes there are.
pub(crate) fn count(mut body: &[u8]) -> usize {
    let mut count = 0;
    while let [a, b, _, _, ..] = *body {
        count += 1;
        let length = usize::from(u16::from_ne_bytes([a, b])).max(4);
        body = body.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    count
}

/// As [`find`], a text without the NUL at its end.
pub(crate) fn find_text(body: &[u8], kind: u16) -> Option<&str> {
    let value = find(body, kind)?;
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

/// As [`find`], a number in network byte order.
pub(crate) fn find_number(body: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(find(body, kind)?.try_into().ok()?))
}

/// One message of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

impl<'a> Received<'a> {
    /// The attributes, after the address family.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.payload.get(NFGENMSG..).unwrap_or_default()
    }

    /// The error code of an answer; 0 is success.
    pub(crate) fn code(&self) -> Option<i32> {
        Some(i32::from_ne_bytes(self.payload.get(..4)?.try_into().ok()?))
    }
}

/// The messages of a packet.
pub(crate) fn split(mut packet: &[u8]) -> Vec<Received<'_>> {
    let mut messages = Vec::new();
    while packet.len() >= HEADER {
        let number =
            |at: usize| u32::from_ne_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let length = (number(0) as usize).clamp(HEADER, packet.len());
        messages.push(Received {
            kind: u16::from_ne_bytes([packet[4], packet[5]]),
            sequence: number(8),
            payload: &packet[HEADER..length],
        });
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_message_is_read_back() {
        let body =
            [text(1, "filter"), attribute(2, &7u32.to_be_bytes()), nested(3, &[text(1, "x")])].concat();
        let packet = [message(9, REQUEST, 5, 2, &body), message(10, 0, 6, 2, &[])].concat();
        let messages = split(&packet);
        assert_eq!(
            messages.iter().map(|message| (message.kind, message.sequence)).collect::<Vec<_>>(),
            [(9, 5), (10, 6)]
        );
        let body = messages[0].body();
        assert_eq!((find_text(body, 1), find_number(body, 2)), (Some("filter"), Some(7)));
        assert_eq!(find_text(find(body, 3).unwrap(), 1), Some("x"));
        assert_eq!(find(body, 4), None);
    }

    proptest! {
        #[test]
        fn split_and_find_any_bytes_never_panic(packet: Vec<u8>) {
            for message in split(&packet) {
                let _ = (message.code(), count(message.body()), find(message.body(), 1), find_text(message.body(), 2), find_number(message.body(), 3));
            }
        }
    }
}
