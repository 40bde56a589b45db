//! The firewall: one nftables table of an engine's own, changed in atomic batches.
//!
//! [`rules`] decides what the table holds, as plain data; [`batch`] puts it in the kernel's words; [`Firewall`] sends it.
//! [`conntrack`] makes the kernel forget what it remembers of connections from before a change.

mod batch;
mod conntrack;
mod rules;
mod table;

use std::io;
use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::error::Error;
use crate::port::Protocol;
use batch::{Batch, Change};
use conntrack::Forget;
pub(crate) use rules::{Bridge, Redirection};

const ACKNOWLEDGE: u16 = 4;
const MESSAGE_ERROR: u16 = 2;
const RECEIVE_BUFFER: usize = 64 * 1024;

/// An engine's table.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: String,
    socket: Socket,
    sequence: u32,
}

impl Firewall {
    /// Connects to the kernel's firewall in the calling thread's network namespace.
    pub(crate) fn open(table: &str) -> Result<Self, Error> {
        let socket = Socket::new(NETLINK_NETFILTER).and_then(|socket| {
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| explain(table, error))?;
        Ok(Self { table: table.to_owned(), socket, sequence: 1 })
    }

    /// Makes the table what these networks and ports need, in one step, whatever it was.
    pub(crate) fn replace(&mut self, bridges: &[Bridge], redirections: &[Redirection]) -> Result<(), Error> {
        let table = rules::table(&self.table, bridges, redirections);
        self.commit(|batch| batch.replace(&table))
    }

    /// Publishes ports.
    pub(crate) fn publish(&mut self, redirections: &[Redirection]) -> Result<(), Error> {
        self.change(Change::Add, redirections)?;
        for redirection in udp(redirections) {
            let (address, port) = redirection.host;
            self.forget(Forget::ToPort { ipv6: address.is_ipv6(), port });
        }
        Ok(())
    }

    /// Takes published ports back.
    pub(crate) fn unpublish(&mut self, redirections: &[Redirection]) -> Result<(), Error> {
        let changed = self.change(Change::Remove, redirections);
        let mut containers: Vec<IpAddr> =
            udp(redirections).map(|redirection| redirection.container.0).collect();
        containers.dedup();
        containers.into_iter().for_each(|container| self.forget(Forget::AnsweredBy(container)));
        changed
    }

    /// Removes the table.
    pub(crate) fn remove(&mut self) -> Result<(), Error> {
        self.commit(Batch::remove_table)
    }

    fn change(&mut self, change: Change, redirections: &[Redirection]) -> Result<(), Error> {
        self.commit(|batch| {
            for redirection in redirections {
                let (map, element) = rules::port_element(redirection);
                batch.elements(change, map, false, &[element]);
            }
        })
    }

    /// Forgets UDP connections. Where the kernel cannot, they end by themselves after two minutes of silence.
    fn forget(&mut self, forget: Forget) {
        const ENOENT: i32 = 2;
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        match self.send(&conntrack::message(forget, sequence), sequence, sequence) {
            Err(error) if error.raw_os_error() != Some(ENOENT) => {
                tracing::debug!(?forget, %error, "connections could not be forgotten");
            }
            _ => {}
        }
    }

    fn commit(&mut self, fill: impl FnOnce(&mut Batch)) -> Result<(), Error> {
        let mut batch = Batch::new(&self.table, self.sequence);
        fill(&mut batch);
        let (mut packet, messages) = batch.finish();
        let first = self.sequence;
        self.sequence = self.sequence.wrapping_add(messages as u32);
        // One answer is enough: that of the last message before the frame's end.
        let last = first.wrapping_add(messages as u32 - 2);
        acknowledge_only(&mut packet, last);
        self.send(&packet, first, last).map_err(|error| explain(&self.table, error))
    }

    fn send(&self, packet: &[u8], first: u32, last: u32) -> io::Result<()> {
        self.socket.send(packet, 0)?;
        let mut buffer = Vec::with_capacity(RECEIVE_BUFFER);
        let mut result = Ok(());
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received?,
            };
            for (sequence, code) in errors(&buffer) {
                if sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                if code != 0 && result.is_ok() {
                    result = Err(io::Error::from_raw_os_error(-code));
                }
                // What is refused as a whole is answered in the name of the first message.
                if sequence == last || sequence == first {
                    return result;
                }
            }
        }
    }
}

fn udp(redirections: &[Redirection]) -> impl Iterator<Item = &Redirection> {
    redirections.iter().filter(|redirection| redirection.protocol == Protocol::Udp)
}

/// A kernel without nftables answers in its own way; say what is meant.
fn explain(table: &str, source: io::Error) -> Error {
    const EPROTONOSUPPORT: i32 = 93;
    const EOPNOTSUPP: i32 = 95;
    const EAFNOSUPPORT: i32 = 97;
    match source.raw_os_error() {
        Some(EPROTONOSUPPORT | EOPNOTSUPP | EAFNOSUPPORT) => Error::KernelFeature {
            feature: "nftables (nf_tables, nft_nat, nft_masq, nft_fib_inet, nft_ct)",
            hint: "load these modules, or run the engine without a firewall (--iptables=false)",
        },
        _ => Error::Firewall { table: table.to_owned(), source },
    }
}

/// Clears the wish for an answer in every message but one.
fn acknowledge_only(packet: &mut [u8], sequence: u32) {
    let mut rest = packet;
    while rest.len() >= 16 {
        let length = read_u32(rest, 0) as usize;
        let mut flags = u16::from_ne_bytes([rest[6], rest[7]]);
        if read_u32(rest, 8) == sequence {
            flags |= ACKNOWLEDGE;
        } else {
            flags &= !ACKNOWLEDGE;
        }
        rest[6..8].copy_from_slice(&flags.to_ne_bytes());
        let Some(next) = rest.get_mut(length.next_multiple_of(4).max(16)..) else { return };
        rest = next;
    }
}

/// The sequence numbers and error codes of a packet's answers.
fn errors(packet: &[u8]) -> Vec<(u32, i32)> {
    let mut answers = Vec::new();
    let mut rest = packet;
    while rest.len() >= 20 {
        let length = read_u32(rest, 0) as usize;
        if u16::from_ne_bytes([rest[4], rest[5]]) == MESSAGE_ERROR {
            answers.push((read_u32(rest, 8), read_u32(rest, 16) as i32));
        }
        rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
    }
    answers
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
