//! `network plan`: what publishing ports would do to the firewall.

use api::network::{PlanRequest, PlanResponse};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options, Strings};
use crate::opts::publish_ports;

/// Shows what publishing ports would change, without changing it.
pub(super) struct Plan;

#[derive(Default)]
pub(super) struct PlanFlags {
    publish: Strings,
    rules: bool,
}

impl Options for PlanFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('p', "publish", "A port that a new container would publish, as in \"run\"", |o| {
            &mut o.publish
        }),
        Flag::new("rules", "Show all rules, before and after", |o| &mut o.rules),
    ];
}

impl Leaf for Plan {
    type Options = PlanFlags;
    const NAME: &'static str = "plan";
    const ABOUT: &'static str = "Show what publishing ports would do to the firewall";
    const USAGE: &'static str = "[OPTIONS] [NETWORK]";
    const ARITY: Arity = Arity::AtMost(1);

    fn run(app: &App, flags: PlanFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let (_, port_bindings) = publish_ports(&flags.publish.0).map_err(Failure::message)?;
        let network = arguments.first().map_or("bridge", String::as_str);
        let plan = app.block_on(app.client()?.plan_network(network, &PlanRequest { port_bindings }))?;
        show(&plan, flags.rules).iter().try_for_each(|line| app.line(line))?;
        Ok(())
    }
}

fn show(plan: &PlanResponse, rules: bool) -> Vec<String> {
    let mut lines = vec![format!(
        "A new container would have the address {}; the rules are in the table inet {}.",
        plan.address, plan.table
    )];
    let mut section = |title: &str, list: &[String]| {
        if !list.is_empty() {
            lines.push(String::new());
            lines.push(title.to_owned());
            lines.extend(list.iter().map(|line| format!("    {line}")));
        }
    };
    section("To the firewall this would be added, and taken away at the container's end:", &plan.changes);
    section("This the container's supervisor would pass on, past the firewall:", &plan.relayed);
    if plan.changes.is_empty() && plan.relayed.is_empty() {
        section("Nothing would change:", &["no port is published".to_owned()]);
    }
    if rules {
        let text = |text: &str| text.lines().map(|line| line.replace('\t', "    ")).collect::<Vec<_>>();
        section("All rules before:", &text(&plan.before));
        section("All rules after:", &text(&plan.after));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> PlanResponse {
        PlanResponse {
            table: "corten".into(),
            address: "172.17.0.2".into(),
            changes: vec!["add element inet corten ports-any4 { tcp . 80 : 172.17.0.2 . 80 }".into()],
            relayed: vec!["[::]:80/tcp -> 172.17.0.2:80".into()],
            before: "table inet corten {\n}\n".into(),
            after: "table inet corten {\n\tmap m {\n}\n".into(),
        }
    }

    #[test]
    fn plan_shows_changes_and_on_request_all_rules() {
        let short = show(&plan(), false).join("\n");
        assert!(short.contains("    add element inet corten ports-any4 { tcp . 80"), "{short}");
        assert!(short.contains("    [::]:80/tcp -> 172.17.0.2:80") && !short.contains("before"), "{short}");
        let long = show(&plan(), true).join("\n");
        assert!(
            long.contains("before:\n    table inet corten {") && long.contains("        map m {"),
            "{long}"
        );
    }

    #[test]
    fn plan_without_ports_says_so() {
        let nothing = PlanResponse { changes: Vec::new(), relayed: Vec::new(), ..plan() };
        assert!(show(&nothing, false).join("\n").contains("no port is published"));
    }
}
