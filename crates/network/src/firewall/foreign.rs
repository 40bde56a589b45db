//! Rules of other programs that would drop what ours accept.
//!
//! A packet is forwarded only if every table on its way lets it pass. Other container engines and host firewalls set the
//! policy of iptables' chain FORWARD to DROP; then nothing reaches our containers, nor on most machines one of them another
//! of the same bridge. Where that is so, two rules per bridge at the top of that chain say that our own table decides
//! about it. They carry a comment by which they are found and removed again.
//!
//! This reaches iptables in its nftables form, as all present distributions have it. The rules of `iptables-legacy` are not
//! visible here.

use crate::firewall::message::{
    ACKNOWLEDGE, CREATE, DUMP, REQUEST, attribute, batch_frame, find, find_number, find_text, message,
    nested, text,
};

const GET_CHAIN: u16 = 10 << 8 | 4;
const NEW_RULE: u16 = 10 << 8 | 6;
const GET_RULE: u16 = 10 << 8 | 7;
const DELETE_RULE: u16 = 10 << 8 | 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const TABLE: &str = "filter";
const CHAIN: &str = "FORWARD";

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_POLICY: u16 = 5;
const POLICY_DROP: u32 = 0;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
/// The kind of a comment in a rule's user data.
const COMMENT: u8 = 0;

/// The families in which iptables has such a chain.
pub(crate) const FAMILIES: [u8; 2] = [2, 10];

/// Which end of its way a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    In,
    Out,
}

/// The request for all chains of a family.
pub(crate) fn chains_request(family: u8, sequence: u32) -> Vec<u8> {
    message(GET_CHAIN, REQUEST | DUMP, sequence, family, &[])
}

/// Whether one of these chains is FORWARD with the policy DROP.
pub(crate) fn drops(chains: &[Vec<u8>]) -> bool {
    chains.iter().any(|body| {
        find_text(body, CHAIN_TABLE) == Some(TABLE)
            && find_text(body, CHAIN_NAME) == Some(CHAIN)
            && find_number(body, CHAIN_POLICY) == Some(POLICY_DROP)
    })
}

/// Whether FORWARD is among these chains.
pub(crate) fn exists(chains: &[Vec<u8>]) -> bool {
    chains
        .iter()
        .any(|body| find_text(body, CHAIN_TABLE) == Some(TABLE) && find_text(body, CHAIN_NAME) == Some(CHAIN))
}

/// The request for all rules of FORWARD.
pub(crate) fn rules_request(family: u8, sequence: u32) -> Vec<u8> {
    let body = [text(RULE_TABLE, TABLE), text(RULE_CHAIN, CHAIN)].concat();
    message(GET_RULE, REQUEST | DUMP, sequence, family, &body)
}

/// The batch that makes our rules be those of `bridges`, and how many messages it has; `None` where they are already.
/// `owner` is the name of our own table.
pub(crate) fn batch(
    owner: &str,
    family: u8,
    present: &[Vec<u8>],
    bridges: &[String],
    sequence: u32,
) -> Option<(Vec<u8>, u32)> {
    let wanted: Vec<(String, &str, Side)> = bridges
        .iter()
        .flat_map(|bridge| {
            [Side::In, Side::Out].map(|side| (comment(owner, bridge, side), bridge.as_str(), side))
        })
        .collect();
    let ours: Vec<(&str, &[u8])> = present.iter().filter_map(|body| mark(body, owner)).collect();
    let mut changes = Vec::new();
    for (comment, handle) in &ours {
        if !wanted.iter().any(|(wanted, ..)| wanted == comment) {
            changes.push((DELETE_RULE, REQUEST, removal(handle)));
        }
    }
    for (comment, bridge, side) in &wanted {
        if !ours.iter().any(|(present, _)| present == comment) {
            changes.push((NEW_RULE, REQUEST | CREATE, acceptance(comment, bridge, *side)));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let count = changes.len() as u32;
    let mut packet = batch_frame(BATCH_BEGIN, sequence);
    for (number, (kind, flags, body)) in (1..).zip(changes) {
        let flags = if number == count { flags | ACKNOWLEDGE } else { flags };
        packet.extend(message(kind, flags, sequence.wrapping_add(number), family, &body));
    }
    packet.extend(batch_frame(BATCH_END, sequence.wrapping_add(count + 1)));
    Some((packet, count + 2))
}

fn comment(owner: &str, bridge: &str, side: Side) -> String {
    let side = match side {
        Side::In => "from",
        Side::Out => "to",
    };
    format!("table {owner} decides: {side} {bridge}")
}

/// The comment and handle of a rule of ours.
fn mark<'a>(body: &'a [u8], owner: &str) -> Option<(&'a str, &'a [u8])> {
    let [COMMENT, _, comment @ ..] = find(body, RULE_USERDATA)? else { return None };
    let comment = std::str::from_utf8(comment.strip_suffix(&[0]).unwrap_or(comment)).ok()?;
    let ours = comment.strip_prefix("table ")?.strip_prefix(owner)?.starts_with(" decides: ");
    Some((comment, find(body, RULE_HANDLE)?)).filter(|_| ours)
}

fn removal(handle: &[u8]) -> Vec<u8> {
    [text(RULE_TABLE, TABLE), text(RULE_CHAIN, CHAIN), attribute(RULE_HANDLE, handle)].concat()
}

/// A rule in the very form iptables writes it, so that iptables still reads its own table.
fn acceptance(comment: &str, bridge: &str, side: Side) -> Vec<u8> {
    const META_IIFNAME: u32 = 6;
    const META_OIFNAME: u32 = 7;
    const REGISTER: u32 = 1;
    const ACCEPT: u32 = 1;
    let key = match side {
        Side::In => META_IIFNAME,
        Side::Out => META_OIFNAME,
    };
    let number = |kind, value: u32| attribute(kind, &value.to_be_bytes());
    let name = nested(3, &[text(1, bridge)]);
    let verdict = nested(2, &[nested(2, &[number(1, ACCEPT)])]);
    let expressions = [
        expression("meta", &[number(2, key), number(1, REGISTER)]),
        expression("cmp", &[number(1, REGISTER), number(2, 0), name]),
        expression("counter", &[attribute(1, &[0; 8]), attribute(2, &[0; 8])]),
        expression("immediate", &[number(1, 0), verdict]),
    ];
    let length = comment.len() as u8 + 1;
    let userdata = [&[COMMENT, length], comment.as_bytes(), &[0]].concat();
    [
        text(RULE_TABLE, TABLE),
        text(RULE_CHAIN, CHAIN),
        nested(RULE_EXPRESSIONS, &expressions),
        attribute(RULE_USERDATA, &userdata),
    ]
    .concat()
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, data)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(comment: &str, handle: u64) -> Vec<u8> {
        let userdata = [&[COMMENT, comment.len() as u8 + 1], comment.as_bytes(), &[0]].concat();
        [attribute(RULE_HANDLE, &handle.to_be_bytes()), attribute(RULE_USERDATA, &userdata)].concat()
    }

    #[test]
    fn batch_with_rules_in_place_is_none() {
        let bridges = ["corten0".to_owned()];
        let present = [Side::In, Side::Out].map(|side| rule(&comment("corten", "corten0", side), 7));
        assert!(batch("corten", 2, &present, &bridges, 1).is_none());
        assert!(batch("corten", 2, &[], &[], 1).is_none());
    }

    #[test]
    fn batch_leaves_rules_of_others_alone() {
        let present = [rule("table corten-second decides: to corten1", 1), rule("something else", 2)];
        assert!(batch("corten", 2, &present, &[], 1).is_none());
        let (_, messages) = batch("corten-second", 2, &present, &[], 1).expect("one rule to remove");
        assert_eq!(messages, 3);
    }
}
