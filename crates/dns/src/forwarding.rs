//! Messages that pass through, as they are but for their numbers.

use crate::message::{HEADER, ResponseCode, number, question_end};

/// The message with another number; what is no message stays as it is.
pub fn with_id(mut message: Vec<u8>, id: u16) -> Vec<u8> {
    if let Some(bytes) = message.get_mut(..2) {
        bytes.copy_from_slice(&id.to_be_bytes());
    }
    message
}

/// Whether a message from a server answers this query: it has the number that was sent, and the same question. Servers that
/// could not read the query leave the question out.
pub fn belongs_to(reply: &[u8], query: &[u8], id: u16) -> bool {
    const IS_RESPONSE: u8 = 0x80;
    let Some(header) = reply.get(..HEADER) else { return false };
    if number(header, 0) != Some(id) || header[2] & IS_RESPONSE == 0 {
        return false;
    }
    match number(header, 4) {
        Some(0) => {
            [ResponseCode::FormatError as u8, ResponseCode::NotImplemented as u8].contains(&code(header))
        }
        Some(1) => question(reply).is_some_and(|asked| question(query).is_some_and(|own| same(asked, own))),
        _ => false,
    }
}

/// Whether a server's answer counts; after any other one the next server is asked.
pub fn is_final(reply: &[u8]) -> bool {
    let failed = [ResponseCode::ServerFailure as u8, ResponseCode::Refused as u8];
    reply.len() >= HEADER && !failed.contains(&code(reply))
}

fn code(message: &[u8]) -> u8 {
    message[3] & 0xf
}

fn question(message: &[u8]) -> Option<&[u8]> {
    message.get(HEADER..question_end(message)?)
}

/// Lengths of labels are below the letters, so that ignoring the case of letters changes none of them. Type and class, the
/// last four bytes, have to be the same.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one[..one.len() - 4].eq_ignore_ascii_case(&other[..other.len() - 4])
        && one[one.len() - 4..] == other[other.len() - 4..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::query;

    fn reply_to(query: &[u8]) -> Vec<u8> {
        let mut reply = query.to_vec();
        reply[2] |= 0x80;
        reply
    }

    #[test]
    fn reply_belongs_to_its_own_query_only() {
        let asked = query("example.com", 1, None);
        let reply = reply_to(&asked);
        assert!(belongs_to(&reply, &asked, 0xabcd));
        assert!(belongs_to(&reply_to(&query("EXAMPLE.com", 1, None)), &asked, 0xabcd));
        assert!(!belongs_to(&reply, &asked, 0xabce));
        assert!(!belongs_to(&asked, &asked, 0xabcd));
        assert!(!belongs_to(&reply_to(&query("example.org", 1, None)), &asked, 0xabcd));
        assert!(!belongs_to(&reply_to(&query("example.com", 28, None)), &asked, 0xabcd));
        assert!(!belongs_to(&reply[..20], &asked, 0xabcd));
    }

    #[test]
    fn reply_without_a_question_counts_as_a_refusal_only() {
        let asked = query("example.com", 1, None);
        let mut reply = reply_to(&asked)[..12].to_vec();
        reply[5] = 0;
        assert!(!belongs_to(&reply, &asked, 0xabcd));
        reply[3] = 1;
        assert!(belongs_to(&reply, &asked, 0xabcd));
    }

    #[test]
    fn failure_of_a_server_is_not_final() {
        let mut reply = reply_to(&query("example.com", 1, None));
        assert!(is_final(&reply));
        for (code, last) in [(2, false), (5, false), (3, true), (1, true)] {
            reply[3] = code;
            assert_eq!(is_final(&reply), last, "{code}");
        }
    }

    proptest! {
        #[test]
        fn any_reply_is_judged_without_panic(reply: Vec<u8>, asked: Vec<u8>, id: u16) {
            let _ = (belongs_to(&reply, &asked, id), is_final(&reply), with_id(reply, id));
        }
    }
}
