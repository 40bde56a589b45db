//! Changes of a table as one atomic nfnetlink batch.

use std::net::IpAddr;

use netlink_bindings::nftables::{
    Chained, CmpOps, CtKeys, FibFlags, MetaKeys, Nfgenmsg, PayloadBase, PushDataAttrs, PushExprListAttrs,
    PushRuleAttrs, PushSetelemListElemAttrs, SetFlags,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::push_header;

use crate::cidr::{Cidr, from_number, number};
use crate::firewall::rules::Part;
use crate::firewall::table::{
    Chain, Datum, Element, ElementValue, Field, HookKind, KeySource, Set, Side, Statement, Table, Value,
    Verdict,
};
use crate::port::Protocol;

const FAMILY_INET: u8 = 1;
const FAMILY_IPV4: u32 = 2;
const FAMILY_IPV6: u32 = 10;
/// The subsystem's number in the frame of a batch.
const SUBSYSTEM: u16 = 10;
/// Elements in one message; an attribute holds at most 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 500;

/// Registers of four bytes. Register 0 of the kernel's list of four-byte registers has number 8; the verdict has 0.
const REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

/// A note for `nft`, which shows the names of interfaces backwards without it: attribute 0 (byte order of keys), 4 bytes, 1.
const KEYS_IN_HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

const SET_ELEMENT_INTERVAL_END: u32 = 1;
const NFT_NAT_DNAT: u32 = 1;
const NFT_PAYLOAD_CSUM_INET: u32 = 1;
/// The bindings count this enumeration from 0, the kernel from 1.
const FIB_RESULT_ADDRTYPE: u32 = 3;
const RTN_LOCAL: u32 = 2;
const CT_ESTABLISHED_OR_RELATED: u32 = 1 << 1 | 1 << 2;
const IPS_DST_NAT: u32 = 1 << 5;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;

/// Messages that the kernel carries out all together or not at all.
#[derive(Debug)]
pub(crate) struct Batch {
    inner: Chained<'static>,
    table: String,
    messages: usize,
    next_set: u32,
}

/// Which way an element goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

impl Batch {
    /// An empty batch whose first message has this sequence number.
    pub(crate) fn new(table: &str, sequence: u32) -> Self {
        let mut inner = Chained::new(sequence);
        inner.request().op_batch_begin_do(&frame());
        Self { inner, table: table.to_owned(), messages: 1, next_set: 0 }
    }

    /// The bytes to send, and how many messages they hold.
    pub(crate) fn finish(mut self) -> (Vec<u8>, usize) {
        self.inner.request().op_batch_end_do(&frame());
        (self.inner.finalize().into_chained().into_buf(), self.messages + 1)
    }

    /// Makes the table be this and nothing else.
    pub(crate) fn replace(&mut self, table: &Table) {
        self.remove_table();
        self.add_table();
        self.fill(table);
    }

    /// Makes the table, which must not be there.
    pub(crate) fn create(&mut self, table: &Table) {
        self.messages += 1;
        let request = self.inner.request().set_create().set_excl();
        request.op_newtable_do(&header()).encode().push_name_bytes(self.table.as_bytes());
        self.fill(table);
    }

    fn fill(&mut self, table: &Table) {
        for set in &table.sets {
            self.add_set(set);
        }
        for chain in &table.chains {
            self.add_chain(chain);
        }
        for chain in &table.chains {
            for rule in &chain.rules {
                self.add_rule(&chain.name, rule);
            }
        }
        // Last, since an element may name a chain.
        for set in &table.sets {
            self.elements(Change::Add, set.name, set.interval, &set.elements);
        }
    }

    /// Adds what a further network needs.
    pub(crate) fn add_part(&mut self, part: &Part) {
        for chain in &part.chains {
            self.add_chain(chain);
            for rule in &chain.rules {
                self.add_rule(&chain.name, rule);
            }
        }
        for (set, interval, elements) in &part.elements {
            self.elements(Change::Add, set, *interval, elements);
        }
    }

    /// Removes what a network needed.
    pub(crate) fn remove_part(&mut self, part: &Part) {
        for (set, interval, elements) in &part.elements {
            self.elements(Change::Remove, set, *interval, elements);
        }
        for chain in &part.chains {
            self.messages += 1;
            let mut operation = self.inner.request().op_delchain_do(&header());
            let table = operation.encode().push_table_bytes(self.table.as_bytes());
            drop(table.push_name_bytes(chain.name.as_bytes()));
        }
    }

    /// Removes the table, whether it is there or not.
    pub(crate) fn remove_table(&mut self) {
        // Adding a table that exists changes nothing, so that the removal cannot fail.
        self.add_table();
        self.messages += 1;
        let request = self.inner.request();
        request.op_deltable_do(&header()).encode().push_name_bytes(self.table.as_bytes());
    }

    fn add_table(&mut self) {
        self.messages += 1;
        let request = self.inner.request().set_create();
        request.op_newtable_do(&header()).encode().push_name_bytes(self.table.as_bytes());
    }

    fn add_set(&mut self, set: &Set) {
        self.messages += 1;
        self.next_set += 1;
        // NFT_SET_MAP, and NFT_SET_INTERVAL for networks.
        let mut flags = SetFlags::Map as u32;
        if set.interval {
            flags |= SetFlags::Interval as u32;
        }
        let (value_type, value_length) = match set.value {
            Value::Verdict => (0xffff_ff00, 0),
            Value::Fields(fields) => (type_number(fields), length(fields)),
        };
        let request = self.inner.request().set_create();
        let mut operation = request.op_newset_do(&header());
        let attributes = operation
            .encode()
            .push_table_bytes(self.table.as_bytes())
            .push_name_bytes(set.name.as_bytes())
            .push_id(self.next_set)
            .push_flags(flags)
            .push_key_type(type_number(set.key))
            .push_key_len(length(set.key))
            .push_data_type(value_type);
        let attributes = match set.value {
            Value::Verdict => attributes,
            Value::Fields(_) => attributes.push_data_len(value_length),
        };
        if set.key == [Field::Interface] {
            drop(attributes.push_userdata(&KEYS_IN_HOST_ORDER));
        }
    }

    fn add_chain(&mut self, chain: &Chain) {
        self.messages += 1;
        let request = self.inner.request().set_create();
        let mut operation = request.op_newchain_do(&header());
        let attributes =
            operation.encode().push_table_bytes(self.table.as_bytes()).push_name_bytes(chain.name.as_bytes());
        let Some(hook) = chain.hook else { return };
        let kind: &[u8] = match hook.kind {
            HookKind::Filter => b"filter",
            HookKind::Nat => b"nat",
        };
        attributes
            .push_type_bytes(kind)
            .nested_hook()
            .push_num(hook.point as u32)
            .push_priority(hook.priority)
            .end_nested();
    }

    fn add_rule(&mut self, chain: &str, rule: &[Statement]) {
        self.messages += 1;
        let request = self.inner.request().set_create().set_append();
        let mut operation = request.op_newrule_do(&header());
        let mut expressions = operation
            .encode()
            .push_table_bytes(self.table.as_bytes())
            .push_chain_bytes(chain.as_bytes())
            .nested_expressions();
        for statement in rule {
            expressions = push_statement(expressions, statement);
        }
        drop(expressions);
    }

    /// Adds elements to a map, or removes them.
    pub(crate) fn elements(&mut self, change: Change, set: &str, interval: bool, elements: &[Element]) {
        for elements in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.messages += 1;
            let table = self.table.as_bytes();
            match change {
                Change::Add => {
                    let request = self.inner.request().set_create();
                    let mut operation = request.op_newsetelem_do(&header());
                    let list = operation.encode().push_table_bytes(table).push_set_bytes(set.as_bytes());
                    push_elements(list.nested_elements(), elements, interval);
                }
                Change::Remove => {
                    let request = self.inner.request();
                    let mut operation = request.op_delsetelem_do(&header());
                    let list = operation.encode().push_table_bytes(table).push_set_bytes(set.as_bytes());
                    push_elements(list.nested_elements(), elements, interval);
                }
            }
        }
    }
}

fn header() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = FAMILY_INET;
    header
}

fn frame() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    header
}

/// The type by which `nft` shows keys and values: six bits for each field.
fn type_number(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |number, field| {
        let code = match field {
            Field::Ipv4 => 7,
            Field::Ipv6 => 8,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Interface => 41,
        };
        number << 6 | code
    })
}

/// A single field has its own length; side by side each takes whole registers.
fn length(fields: &[Field]) -> u32 {
    match fields {
        [Field::Protocol] => 1,
        [Field::Port] => 2,
        fields => fields.iter().map(|field| field.padded_length() as u32).sum(),
    }
}

fn push_elements<Prev: Pusher>(
    mut list: PushSetelemListElemAttrs<Prev>,
    elements: &[Element],
    interval: bool,
) {
    for element in elements {
        let value =
            list.nested_elem().nested_key().push_value(&bytes(&element.key)).end_nested().nested_data();
        list = match &element.value {
            ElementValue::Verdict(verdict) => push_verdict(value, verdict),
            ElementValue::Fields(data) => value.push_value(&bytes(data)),
        }
        .end_nested()
        .end_nested();
        if let (true, [Datum::Network(network)]) = (interval, element.key.as_slice()) {
            list = push_interval_end(list, network);
        }
    }
}

/// An interval is a start and, after it, the first address that is no more in it.
fn push_interval_end<Prev: Pusher>(
    list: PushSetelemListElemAttrs<Prev>,
    network: &Cidr,
) -> PushSetelemListElemAttrs<Prev> {
    let last = network.last();
    let beyond = number(last).wrapping_add(1);
    let end = from_number(last, beyond);
    // A network at the end of the address space has nothing behind it.
    if number(end) != beyond || beyond == 0 {
        return list;
    }
    list.nested_elem()
        .nested_key()
        .push_value(&bytes(&[Datum::Address(end)]))
        .end_nested()
        .push_flags(&SET_ELEMENT_INTERVAL_END.to_be_bytes())
        .end_nested()
}

/// Fields side by side, each padded with zeros to whole registers.
fn bytes(data: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for datum in data {
        match datum {
            Datum::Address(IpAddr::V4(address)) => bytes.extend(address.octets()),
            Datum::Address(IpAddr::V6(address)) => bytes.extend(address.octets()),
            Datum::Network(network) => bytes.extend(address_bytes(network.network().address())),
            Datum::Protocol(protocol) => bytes.push(protocol_number(*protocol)),
            Datum::Port(port) => bytes.extend(port.to_be_bytes()),
            Datum::Interface(name) => bytes.extend(interface_bytes(name)),
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn interface_bytes(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bytes
}

fn push_verdict<Prev: Pusher>(data: PushDataAttrs<Prev>, verdict: &Verdict) -> PushDataAttrs<Prev> {
    let (code, chain): (i32, Option<&str>) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Return => (-5, None),
    };
    let verdict = data.nested_verdict().push_code(code as u32);
    match chain {
        Some(chain) => verdict.push_chain_bytes(chain.as_bytes()).end_nested(),
        None => verdict.end_nested(),
    }
}

type Expressions<'a> = PushExprListAttrs<PushRuleAttrs<&'a mut Vec<u8>>>;

/// A statement as the kernel's expressions.
fn push_statement<'a>(list: Expressions<'a>, statement: &Statement) -> Expressions<'a> {
    match statement {
        Statement::Version(4) => compare(meta(list, MetaKeys::Nfproto), true, &[FAMILY_IPV4 as u8]),
        Statement::Version(_) => compare(meta(list, MetaKeys::Nfproto), true, &[FAMILY_IPV6 as u8]),
        Statement::InputInterface { name, equal } => {
            compare(meta(list, MetaKeys::Iifname), *equal, &interface_bytes(name))
        }
        Statement::OutputInterface { name, equal } => {
            compare(meta(list, MetaKeys::Oifname), *equal, &interface_bytes(name))
        }
        Statement::Source(network) => compare_network(list, network, Direction::Source),
        Statement::Destination(network) => compare_network(list, network, Direction::Destination),
        Statement::DestinationIsLocal => compare(fib_type(list), true, &RTN_LOCAL.to_ne_bytes()),
        Statement::Established => {
            let masked = mask(connection(list, CtKeys::State), &CT_ESTABLISHED_OR_RELATED.to_ne_bytes());
            compare(masked, false, &[0; 4])
        }
        Statement::Redirected => {
            let masked = mask(connection(list, CtKeys::Status), &IPS_DST_NAT.to_ne_bytes());
            compare(masked, false, &[0; 4])
        }
        Statement::Icmp { ipv6 } => {
            let protocol = if *ipv6 { IPPROTO_ICMPV6 } else { IPPROTO_ICMP };
            compare(meta(list, MetaKeys::L4Proto), true, &[protocol])
        }
        Statement::VerdictMap { key, map } => verdict_map(list, *key, map),
        Statement::Redirect { with_address, ipv6, map } => redirect(list, *with_address, *ipv6, map),
        Statement::Port { protocol, side, port } => {
            let list = compare(meta(list, MetaKeys::L4Proto), true, &[protocol_number(*protocol)]);
            let list = payload(list, PayloadBase::TransportHeader, port_offset(*side), 2, REGISTER);
            compare(list, true, &port.to_be_bytes())
        }
        Statement::SetPort { protocol, side, port } => set_port(list, *protocol, *side, *port),
        Statement::Masquerade => list.nested_elem().push_name(c"masq").end_nested(),
        Statement::Verdict(verdict) => {
            let data = list.nested_elem().nested_data_immediate().push_dreg(VERDICT_REGISTER).nested_data();
            push_verdict(data, verdict).end_nested().end_nested().end_nested()
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Source,
    Destination,
}

impl Direction {
    /// Where the address is in the packet's IP header.
    fn offset(self, ipv6: bool) -> u32 {
        match (self, ipv6) {
            (Self::Source, false) => 12,
            (Self::Destination, false) => 16,
            (Self::Source, true) => 8,
            (Self::Destination, true) => 24,
        }
    }
}

/// Checks the packet's version first: the offsets mean something else in the other one.
fn address(list: Expressions<'_>, direction: Direction, ipv6: bool) -> Expressions<'_> {
    let (version, length) = if ipv6 { (FAMILY_IPV6, 16) } else { (FAMILY_IPV4, 4) };
    let list = compare(meta(list, MetaKeys::Nfproto), true, &[version as u8]);
    payload(list, PayloadBase::NetworkHeader, direction.offset(ipv6), length, REGISTER)
}

fn compare_network<'a>(list: Expressions<'a>, network: &Cidr, direction: Direction) -> Expressions<'a> {
    let ipv6 = network.address().is_ipv6();
    let list = address(list, direction, ipv6);
    let all = if ipv6 { IpAddr::from([0xff; 16]) } else { IpAddr::from([0xff; 4]) };
    let netmask = Cidr::new(all, network.prefix()).map(|cidr| cidr.network().address()).unwrap_or(all);
    let list = mask(list, &address_bytes(netmask));
    compare(list, true, &address_bytes(network.network().address()))
}

fn verdict_map<'a>(list: Expressions<'a>, key: KeySource, map: &str) -> Expressions<'a> {
    let list = match key {
        KeySource::Source4 => address(list, Direction::Source, false),
        KeySource::Destination4 => address(list, Direction::Destination, false),
        KeySource::Source6 => address(list, Direction::Source, true),
        KeySource::Destination6 => address(list, Direction::Destination, true),
        KeySource::InputInterface => meta(list, MetaKeys::Iifname),
        KeySource::OutputInterface => meta(list, MetaKeys::Oifname),
        KeySource::Pair4 => pair(list, false),
        KeySource::Pair6 => pair(list, true),
        KeySource::Service4 => service(address(list, Direction::Destination, false), REGISTER + 1),
        KeySource::Service6 => service(address(list, Direction::Destination, true), REGISTER + 4),
        KeySource::Link4 => service(pair(list, false), REGISTER + 2),
        KeySource::Link6 => service(pair(list, true), REGISTER + 8),
    };
    lookup(list, map, VERDICT_REGISTER)
}

/// Loads source and destination side by side.
fn pair(list: Expressions<'_>, ipv6: bool) -> Expressions<'_> {
    let registers = if ipv6 { 4 } else { 1 };
    let list = address(list, Direction::Source, ipv6);
    let offset = Direction::Destination.offset(ipv6);
    payload(list, PayloadBase::NetworkHeader, offset, 4 * registers, REGISTER + registers)
}

/// Loads protocol and port from this register on.
fn service(list: Expressions<'_>, register: u32) -> Expressions<'_> {
    let list = meta_into(list, MetaKeys::L4Proto, register);
    payload(list, PayloadBase::TransportHeader, 2, 2, register + 1)
}

/// Loads `[address,] protocol, port` side by side, finds them in the map, and redirects to what it gives.
fn redirect<'a>(list: Expressions<'a>, with_address: bool, ipv6: bool, map: &str) -> Expressions<'a> {
    let (family, registers) = if ipv6 { (FAMILY_IPV6, 4) } else { (FAMILY_IPV4, 1) };
    let mut register = REGISTER;
    let mut list = list;
    if with_address {
        let offset = Direction::Destination.offset(ipv6);
        list = payload(list, PayloadBase::NetworkHeader, offset, 4 * registers, register);
        register += registers;
    }
    list = lookup(service(list, register), map, REGISTER);
    list.nested_elem()
        .nested_data_nat()
        .push_type(NFT_NAT_DNAT)
        .push_family(family)
        .push_reg_addr_min(REGISTER)
        .push_reg_proto_min(REGISTER + registers)
        .end_nested()
        .end_nested()
}

/// Where a port is in the header of a transport protocol.
fn port_offset(side: Side) -> u32 {
    match side {
        Side::Source => 0,
        Side::Destination => 2,
    }
}

fn set_port(list: Expressions<'_>, protocol: Protocol, side: Side, port: u16) -> Expressions<'_> {
    let checksum = match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp => 6,
        Protocol::Sctp => unreachable!("its checksum covers the whole packet"),
    };
    list.nested_elem()
        .nested_data_immediate()
        .push_dreg(REGISTER)
        .nested_data()
        .push_value(&port.to_be_bytes())
        .end_nested()
        .end_nested()
        .end_nested()
        .nested_elem()
        .nested_data_payload()
        .push_base(PayloadBase::TransportHeader as u32)
        .push_offset(port_offset(side))
        .push_len(2)
        .push_sreg(REGISTER)
        .push_csum_type(NFT_PAYLOAD_CSUM_INET)
        .push_csum_offset(checksum)
        .end_nested()
        .end_nested()
}

fn meta(list: Expressions<'_>, key: MetaKeys) -> Expressions<'_> {
    meta_into(list, key, REGISTER)
}

fn meta_into(list: Expressions<'_>, key: MetaKeys, register: u32) -> Expressions<'_> {
    list.nested_elem().nested_data_meta().push_key(key as u32).push_dreg(register).end_nested().end_nested()
}

fn connection(list: Expressions<'_>, key: CtKeys) -> Expressions<'_> {
    list.nested_elem().nested_data_ct().push_key(key as u32).push_dreg(REGISTER).end_nested().end_nested()
}

fn fib_type(list: Expressions<'_>) -> Expressions<'_> {
    list.nested_elem()
        .nested_data_fib()
        .push_dreg(REGISTER)
        .push_result(FIB_RESULT_ADDRTYPE)
        .push_flags(FibFlags::Daddr as u32)
        .end_nested()
        .end_nested()
}

fn payload(
    list: Expressions<'_>,
    base: PayloadBase,
    offset: u32,
    length: u32,
    register: u32,
) -> Expressions<'_> {
    list.nested_elem()
        .nested_data_payload()
        .push_dreg(register)
        .push_base(base as u32)
        .push_offset(offset)
        .push_len(length)
        .end_nested()
        .end_nested()
}

fn mask<'a>(list: Expressions<'a>, mask: &[u8]) -> Expressions<'a> {
    list.nested_elem()
        .nested_data_bitwise()
        .push_sreg(REGISTER)
        .push_dreg(REGISTER)
        .push_len(mask.len() as u32)
        .nested_mask()
        .push_value(mask)
        .end_nested()
        .nested_xor()
        .push_value(&vec![0; mask.len()])
        .end_nested()
        .end_nested()
        .end_nested()
}

fn compare<'a>(list: Expressions<'a>, equal: bool, value: &[u8]) -> Expressions<'a> {
    let operation = if equal { CmpOps::Eq } else { CmpOps::Neq };
    list.nested_elem()
        .nested_data_cmp()
        .push_sreg(REGISTER)
        .push_op(operation as u32)
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

/// The bindings number the attributes of this expression in another order than the kernel, so they are written here.
fn lookup<'a>(list: Expressions<'a>, map: &str, register: u32) -> Expressions<'a> {
    const SOURCE_REGISTER: u16 = 2;
    const DESTINATION_REGISTER: u16 = 3;
    let mut attributes = list.nested_elem().nested_data_lookup().push_set_bytes(map.as_bytes());
    for (kind, value) in [(SOURCE_REGISTER, REGISTER), (DESTINATION_REGISTER, register)] {
        push_header(attributes.as_vec_mut(), kind, 4);
        attributes.as_vec_mut().extend(value.to_be_bytes());
    }
    attributes.end_nested().end_nested()
}
