//! The rules in a container's namespace that lead to its name server.
//!
//! The server does not listen on port 53: a name server in the container could not listen on all addresses then. What goes
//! to its address and port has the port changed on the way, and what comes from it has it changed back. Packet by packet,
//! without connection tracking, which would cost every packet of the container.

use std::net::IpAddr;

use dns::SERVER;

use super::table::{Chain, Hook, HookKind, HookPoint, Side, Statement, Table, Verdict, single};
use crate::port::Protocol;

const TABLE: &str = "corten-names";
/// Where resolvers look for it.
const PORT: u16 = 53;
/// Before rules that a user of the container may have made.
const PRIORITY: i32 = -300;

/// The table that leads to a server on these ports, for packets and for connections.
pub(super) fn table(packets: u16, connections: u16) -> Table {
    let elsewhere = Statement::OutputInterface { name: "lo".to_owned(), equal: false };
    let mut rules = vec![vec![elsewhere, Statement::Verdict(Verdict::Accept)]];
    for (protocol, own) in [(Protocol::Udp, packets), (Protocol::Tcp, connections)] {
        rules.push(rule(protocol, Side::Destination, PORT, own));
        rules.push(rule(protocol, Side::Source, own, PORT));
    }
    let hook = Hook { kind: HookKind::Filter, point: HookPoint::Output, priority: PRIORITY };
    let chain = Chain { name: "output".to_owned(), hook: Some(hook), rules };
    Table { name: TABLE.to_owned(), sets: Vec::new(), chains: vec![chain] }
}

fn rule(protocol: Protocol, side: Side, from: u16, to: u16) -> Vec<Statement> {
    let server = single(IpAddr::V4(SERVER));
    let address = match side {
        Side::Source => Statement::Source(server),
        Side::Destination => Statement::Destination(server),
    };
    vec![
        address,
        Statement::Port { protocol, side, port: from },
        Statement::SetPort { protocol, side, port: to },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_lead_to_the_server_and_back() {
        assert_eq!(
            table(1000, 2000).to_string(),
            "table inet corten-names {\n\
             \tchain output {\n\
             \t\ttype filter hook output priority -300; policy accept;\n\
             \t\toifname != \"lo\" accept\n\
             \t\tip daddr 127.0.0.11/32 udp dport 53 udp dport set 1000\n\
             \t\tip saddr 127.0.0.11/32 udp sport 1000 udp sport set 53\n\
             \t\tip daddr 127.0.0.11/32 tcp dport 53 tcp dport set 2000\n\
             \t\tip saddr 127.0.0.11/32 tcp sport 2000 tcp sport set 53\n\
             \t}\n\n}\n"
        );
    }
}
