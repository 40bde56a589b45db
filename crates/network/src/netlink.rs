//! A blocking rtnetlink socket.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Larger than any message of a dump (the kernel fills at most 32 KiB at a time).
const RECEIVE_BUFFER: usize = 64 * 1024;

/// A socket that speaks rtnetlink in the network namespace in which it was opened, whichever thread uses it.
#[derive(Debug)]
pub(crate) struct RouteSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// A request with its flags beyond `NLM_F_REQUEST`.
pub(crate) type Request = (RouteNetlinkMessage, u16);

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Errors need not carry the request back.
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::new() })
    }

    /// Sends a request and waits for its acknowledgement.
    pub(crate) fn execute(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.execute_all(vec![(message, flags)])
    }

    /// Sends requests in one packet; the kernel works through them in order. The first refusal is the result, and later
    /// requests have been tried all the same.
    pub(crate) fn execute_all(&mut self, requests: Vec<Request>) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let count = requests.len() as u32;
        let mut packet = Vec::new();
        for (message, flags) in requests {
            self.append(&mut packet, message, flags | NLM_F_ACK);
        }
        self.send(&packet)?;
        let mut result = Ok(());
        let mut answered = 0;
        while answered < count {
            for message in self.receive()? {
                if message.header.sequence_number.wrapping_sub(first) >= count {
                    continue;
                }
                if let NetlinkPayload::Error(error) = message.payload {
                    answered += 1;
                    if error.code.is_some() && result.is_ok() {
                        result = Err(error.to_io());
                    }
                }
            }
        }
        result
    }

    /// Asks for one object.
    pub(crate) fn query(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.transmit(message, 0)?;
        loop {
            for message in self.receive()? {
                match message.payload {
                    _ if message.header.sequence_number != self.sequence => {}
                    NetlinkPayload::InnerMessage(answer) => return Ok(answer),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// Asks for all objects of a kind.
    pub(crate) fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.transmit(message, NLM_F_DUMP)?;
        let mut objects = Vec::new();
        loop {
            for message in self.receive()? {
                match message.payload {
                    _ if message.header.sequence_number != self.sequence => {}
                    NetlinkPayload::InnerMessage(object) => objects.push(object),
                    NetlinkPayload::Done(_) => return Ok(objects),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    fn transmit(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut packet = Vec::new();
        self.append(&mut packet, message, flags);
        self.send(&packet)
    }

    fn append(&mut self, packet: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = packet.len();
        packet.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut packet[start..]);
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(packet, 0)?;
        if sent == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The messages of one packet.
    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
        self.buffer.clear();
        self.buffer.reserve(RECEIVE_BUFFER);
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut messages = Vec::new();
        let mut rest = self.buffer.as_slice();
        while rest.len() >= 16 {
            let message = NetlinkMessage::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let length = (message.header.length as usize).next_multiple_of(4).max(16);
            rest = rest.get(length..).unwrap_or_default();
            messages.push(message);
        }
        Ok(messages)
    }
}
