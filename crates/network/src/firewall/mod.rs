//! The firewall: one nftables table of an engine's own, changed in atomic batches.
//!
//! [`rules`] decides what the table holds, as plain data; [`batch`] puts it in the kernel's words; [`Firewall`] sends it.
//! [`foreign`] sees to the rules of others.
//! [`conntrack`] makes the kernel forget what it remembers of connections from before a change.

mod batch;
mod conntrack;
mod foreign;
mod message;
mod names;
mod rules;
mod table;

use std::io;
use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::net::sockopt;

use crate::error::Error;
use crate::port::Protocol;
use batch::{Batch, Change};
use conntrack::Forget;
pub(crate) use rules::{Bridge, Redirection, Subnet};

const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const GET_GENERATION: u16 = 10 << 8 | 16;
const GET_RULE: u16 = 10 << 8 | 7;
const GET_ELEMENTS: u16 = 10 << 8 | 13;
const FAMILY_INET: u8 = 1;
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Enough for the rules of thousands of networks.
const SEND_BUFFER: usize = 64 * 1024 * 1024;

/// A table as it is meant to be, in the language of `nft`.
pub(crate) fn text(table: &str, bridges: &[Bridge], redirections: &[Redirection]) -> String {
    rules::table(table, bridges, redirections).to_string()
}

/// What publishing ports adds to a table, as commands of `nft`.
pub(crate) fn commands(table: &str, redirections: &[Redirection]) -> Vec<String> {
    let maps = rules::port_elements(redirections).into_iter();
    let command = |map: &str, element| format!("add element inet {table} {map} {{ {element} }}");
    maps.flat_map(|(map, elements)| elements.into_iter().map(move |element| command(map, element))).collect()
}

/// An engine's table.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: String,
    socket: Socket,
    sequence: u32,
    /// The kernel's count of changes of any table when ours was last found to be right.
    generation: Option<u32>,
    expected: Counts,
}

/// How much there is in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    rules: usize,
    ports: usize,
}

/// What a look at the table finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Intact,
    Damaged,
}

impl Firewall {
    /// Connects to the kernel's firewall in the calling thread's network namespace.
    pub(crate) fn open(table: &str) -> Result<Self, Error> {
        let socket = Socket::new(NETLINK_NETFILTER).and_then(|socket| {
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            // The kernel takes no batch that is larger; it uses what a batch has, not more.
            sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER)?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| explain(table, error))?;
        let (generation, expected) = (None, Counts::default());
        Ok(Self { table: table.to_owned(), socket, sequence: 1, generation, expected })
    }

    /// Makes the table what these networks and ports need, in one step, whatever it was.
    pub(crate) fn replace(&mut self, bridges: &[Bridge], redirections: &[Redirection]) -> Result<(), Error> {
        let table = rules::table(&self.table, bridges, redirections);
        self.commit(|batch| batch.replace(&table))?;
        self.expected = Counts {
            rules: table.chains.iter().map(|chain| chain.rules.len()).sum(),
            ports: redirections.len(),
        };
        self.generation = None;
        self.settle_foreign(bridges);
        Ok(())
    }

    /// Adds the rules of a further network.
    pub(crate) fn add_bridge(&mut self, bridge: &Bridge, all: &[Bridge]) -> Result<(), Error> {
        let part = rules::part(bridge);
        self.commit(|batch| batch.add_part(&part))?;
        self.expected.rules += part.rule_count();
        self.generation = None;
        self.settle_foreign(all);
        Ok(())
    }

    /// Removes the rules of a network.
    pub(crate) fn remove_bridge(&mut self, bridge: &Bridge, left: &[Bridge]) -> Result<(), Error> {
        let part = rules::part(bridge);
        self.commit(|batch| batch.remove_part(&part))?;
        self.expected.rules = self.expected.rules.saturating_sub(part.rule_count());
        self.generation = None;
        self.settle_foreign(left);
        Ok(())
    }

    /// Looks whether something else changed the rules. Where nothing was changed at all, this is one question.
    pub(crate) fn verify(&mut self, bridges: &[Bridge]) -> Result<Finding, Error> {
        let generation = self.current_generation().map_err(|error| explain(&self.table, error))?;
        if self.generation == Some(generation) {
            return Ok(Finding::Intact);
        }
        // Without a table the kernel refuses to list its rules.
        if self.count().ok() != Some(self.expected) {
            return Ok(Finding::Damaged);
        }
        self.settle_foreign(bridges);
        self.generation = Some(generation);
        Ok(Finding::Intact)
    }

    /// Publishes ports.
    pub(crate) fn publish(&mut self, redirections: &[Redirection]) -> Result<(), Error> {
        self.change(Change::Add, redirections)?;
        self.expected.ports += redirections.len();
        for (address, port) in udp(redirections).filter_map(|redirection| redirection.host) {
            self.forget(Forget::ToPort { ipv6: address.is_ipv6(), port });
        }
        Ok(())
    }

    /// Takes published ports back.
    pub(crate) fn unpublish(&mut self, redirections: &[Redirection]) -> Result<(), Error> {
        let changed = self.change(Change::Remove, redirections);
        if changed.is_ok() {
            self.expected.ports = self.expected.ports.saturating_sub(redirections.len());
        }
        let mut containers: Vec<IpAddr> =
            udp(redirections).map(|redirection| redirection.container.0).collect();
        containers.dedup();
        containers.into_iter().for_each(|container| self.forget(Forget::AnsweredBy(container)));
        changed
    }

    /// Removes the table.
    pub(crate) fn remove(&mut self) -> Result<(), Error> {
        self.commit(Batch::remove_table)?;
        self.expected = Counts::default();
        self.settle_foreign(&[]);
        Ok(())
    }

    /// Sees to the rules of others; where that fails, our own are in place all the same.
    fn settle_foreign(&mut self, bridges: &[Bridge]) {
        let names: Vec<String> = bridges.iter().map(|bridge| bridge.name.clone()).collect();
        for family in foreign::FAMILIES {
            if let Err(error) = self.settle_family(family, &names) {
                tracing::warn!(family, %error, "rules of other programs may drop what containers send");
            }
        }
    }

    fn settle_family(&mut self, family: u8, bridges: &[String]) -> io::Result<()> {
        let sequence = self.next_sequence(1);
        let chains = self.dump(&foreign::chains_request(family, sequence), sequence)?;
        if !foreign::exists(&chains) {
            return Ok(());
        }
        let sequence = self.next_sequence(1);
        let rules = self.dump(&foreign::rules_request(family, sequence), sequence)?;
        let wanted = if foreign::drops(&chains) { bridges } else { &[] };
        let sequence = self.sequence;
        let Some((packet, messages)) = foreign::batch(&self.table, family, &rules, wanted, sequence) else {
            return Ok(());
        };
        self.next_sequence(messages);
        self.send(&packet, sequence, sequence.wrapping_add(messages - 2))
    }

    fn count(&mut self) -> io::Result<Counts> {
        let sequence = self.next_sequence(1);
        let table = message::text(1, &self.table);
        let flags = message::REQUEST | message::DUMP;
        let request = message::message(GET_RULE, flags, sequence, FAMILY_INET, &table);
        let rules = self.dump(&request, sequence)?.len();
        let mut ports = 0;
        for map in rules::PORT_MAPS {
            let sequence = self.next_sequence(1);
            let body = [message::text(1, &self.table), message::text(2, map)].concat();
            let request = message::message(GET_ELEMENTS, flags, sequence, FAMILY_INET, &body);
            let lists = self.dump(&request, sequence)?;
            ports +=
                lists.iter().filter_map(|list| message::find(list, 3)).map(message::count).sum::<usize>();
        }
        Ok(Counts { rules, ports })
    }

    fn current_generation(&mut self) -> io::Result<u32> {
        let sequence = self.next_sequence(1);
        self.socket.send(&message::message(GET_GENERATION, message::REQUEST, sequence, 0, &[]), 0)?;
        loop {
            let packet = self.receive()?;
            let Some(answer) = message::split(&packet).into_iter().find(|answer| answer.sequence == sequence)
            else {
                continue;
            };
            if answer.kind == MESSAGE_ERROR {
                return Err(io::Error::from_raw_os_error(-answer.code().unwrap_or_default()));
            }
            return message::find_number(answer.body(), 1).ok_or(io::ErrorKind::InvalidData.into());
        }
    }

    /// The bodies of the objects that a request lists.
    fn dump(&self, request: &[u8], sequence: u32) -> io::Result<Vec<Vec<u8>>> {
        self.socket.send(request, 0)?;
        let mut objects = Vec::new();
        loop {
            let packet = self.receive()?;
            for received in
                message::split(&packet).into_iter().filter(|received| received.sequence == sequence)
            {
                match (received.kind, received.code()) {
                    (MESSAGE_DONE, _) | (MESSAGE_ERROR, Some(0)) => return Ok(objects),
                    (MESSAGE_ERROR, code) => {
                        return Err(io::Error::from_raw_os_error(-code.unwrap_or_default()));
                    }
                    _ => objects.push(received.body().to_vec()),
                }
            }
        }
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(RECEIVE_BUFFER);
        loop {
            match self.socket.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => {
                    received?;
                    return Ok(buffer);
                }
            }
        }
    }

    /// Takes this many sequence numbers and returns the first.
    fn next_sequence(&mut self, count: u32) -> u32 {
        let first = self.sequence;
        self.sequence = first.wrapping_add(count);
        first
    }

    fn change(&mut self, change: Change, redirections: &[Redirection]) -> Result<(), Error> {
        self.commit(|batch| {
            for (map, elements) in rules::port_elements(redirections) {
                batch.elements(change, map, false, &elements);
            }
        })
    }

    /// Forgets UDP connections. Where the kernel cannot, they end by themselves after two minutes of silence.
    fn forget(&mut self, forget: Forget) {
        const ENOENT: i32 = 2;
        let sequence = self.next_sequence(1);
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
        let first = self.next_sequence(messages as u32);
        // One answer is enough: that of the last message before the frame's end.
        let last = first.wrapping_add(messages as u32 - 2);
        acknowledge_only(&mut packet, last);
        self.send(&packet, first, last).map_err(|error| explain(&self.table, error))
    }

    fn send(&self, packet: &[u8], first: u32, last: u32) -> io::Result<()> {
        self.socket.send(packet, 0)?;
        let mut result = Ok(());
        loop {
            let packet = self.receive()?;
            for answer in message::split(&packet).into_iter().filter(|answer| answer.kind == MESSAGE_ERROR) {
                if answer.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                let code = answer.code().unwrap_or_default();
                if code != 0 && result.is_ok() {
                    result = Err(io::Error::from_raw_os_error(-code));
                }
                // What is refused as a whole is answered in the name of the first message.
                if answer.sequence == last || answer.sequence == first {
                    return result;
                }
            }
        }
    }
}

/// Redirects the name server's port to these, in the calling thread's network namespace.
pub(crate) fn redirect_names(packets: u16, connections: u16) -> Result<(), Error> {
    const EEXIST: i32 = 17;
    let table = names::table(packets, connections);
    let mut firewall = Firewall::open(&table.name)?;
    // Whoever removes anything waits for all processors when the socket is closed: 10 ms and more.
    match firewall.commit(|batch| batch.create(&table)) {
        Err(Error::Firewall { source, .. }) if source.raw_os_error() == Some(EEXIST) => {
            firewall.commit(|batch| batch.replace(&table))
        }
        created => created,
    }
}

fn udp(redirections: &[Redirection]) -> impl Iterator<Item = &Redirection> {
    let is_published = |redirection: &&Redirection| redirection.client.is_none();
    redirections.iter().filter(is_published).filter(|redirection| redirection.protocol == Protocol::Udp)
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
            flags |= message::ACKNOWLEDGE;
        } else {
            flags &= !message::ACKNOWLEDGE;
        }
        rest[6..8].copy_from_slice(&flags.to_ne_bytes());
        let Some(next) = rest.get_mut(length.next_multiple_of(4).max(16)..) else { return };
        rest = next;
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
