//! `port`: the published ports of a container.

use super::ps::join_address;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::NoOptions;

/// Lists published ports.
pub(crate) struct Port;

impl Leaf for Port {
    type Options = NoOptions;
    const NAME: &'static str = "port";
    const ABOUT: &'static str = "List port mappings or a specific mapping for the container";
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";
    const ARITY: Arity = Arity::Between(1, 2);
    const PATHS: &'static [&'static str] = &["container port", "port"];

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let container = app.block_on(client.inspect_container(&arguments[0]))?;
        let ports = container.network_settings.ports.unwrap_or_default();
        let Some(wanted) = arguments.get(1) else {
            let mut lines: Vec<(u16, String)> = Vec::new();
            for (port, bindings) in &ports {
                let number = port.split('/').next().and_then(|port| port.parse().ok()).unwrap_or(0);
                for binding in bindings.iter().flatten() {
                    lines.push((
                        number,
                        format!("{port} -> {}\n", join_address(&binding.host_ip, &binding.host_port)),
                    ));
                }
            }
            lines.sort();
            return app.print(&lines.into_iter().map(|(_, line)| line).collect::<String>());
        };
        let key = if wanted.contains('/') { wanted.clone() } else { format!("{wanted}/tcp") };
        match ports.get(&key).and_then(Option::as_ref) {
            Some(bindings) => bindings
                .iter()
                .try_for_each(|binding| app.line(&join_address(&binding.host_ip, &binding.host_port))),
            None => Err(Failure::message(format!(
                "Error: No public port '{wanted}' published for {}",
                arguments[0]
            ))),
        }
    }
}
