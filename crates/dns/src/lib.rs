//! What a container's name server knows and answers. Whoever serves it has the sockets and the clock; there are none here.
//!
//! # Who does what
//!
//! The engine writes one file for each user-defined network, with the names and addresses of the containers that are
//! connected to it ([`TableWriter`]). The supervisor of each of these containers serves `127.0.0.11:53` in its container's
//! network namespace: it follows the files of its container's networks ([`TableReader`]), and [`answer`] decides what
//! becomes of a packet. So names resolve while no engine runs, and a change is one line appended to one file.
//!
//! # What is answered
//!
//! A name that is known here is answered here, for every type of record: with its addresses, or with an empty answer where
//! it has none of that type, never with `NXDOMAIN`, which would deny the whole name. Everything else belongs to the name
//! servers outside, whose answers pass through as they are.
//!
//! # Why there is no library for messages
//!
//! A supervisor reads bytes of a container's choice, and a panic there would cost the container. Of a query only the header,
//! one question and the size of the EDNS record matter, and three types of records are written; a library would take
//! messages apart whole, with its allocations for each record, and bring Unicode's tables for international names along.

mod answer;
mod file;
mod forwarding;
mod message;
mod table;
mod zone;

pub use answer::{Answer, Transport, answer, failure};
pub use file::{TableReader, TableWriter, WriteError};
pub use forwarding::{belongs_to, is_final, with_id};
pub use message::ResponseCode;
pub use table::{Endpoint, Table};
pub use zone::{Alias, Host, Zone};

/// The address of a container's name server.
pub const SERVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);

/// The longest message: its length has to fit two bytes.
pub const MAX_MESSAGE: usize = 65_535;
