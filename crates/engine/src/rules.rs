//! The firewall's rules are looked after: what something else removes comes back.

use std::sync::Arc;
use std::time::Duration;

use api::StringMap;
use network::RulesState;
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use crate::events::Kind;
use crate::shared::Shared;

/// How often the kernel is asked whether anybody changed rules. Without a change that is one short message.
const PAUSE: Duration = Duration::from_secs(2);

/// Looks at the rules now and then, repairs them, and tells so by an event. Ends with the engine.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let Some(shared) = shared.upgrade() else { return };
            let verified = spawn_blocking({
                let networks = Arc::clone(&shared.networks);
                move || networks.verify_rules()
            });
            match verified.await.expect("verifying rules does not panic") {
                Ok(RulesState::Intact) => failing = false,
                Ok(RulesState::Restored) => {
                    failing = false;
                    restored(&shared);
                }
                // Once for each time of trouble: this comes again every two seconds.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "cannot put the firewall's rules back");
                }
                Err(_) => {}
            }
        }
    });
}

fn restored(shared: &Shared) {
    let table = shared.config.network.table.clone();
    tracing::warn!(table, "something else removed firewall rules; they are back");
    let attributes = StringMap::from([("name".to_owned(), table.clone())]);
    shared.events.publish(Kind::Daemon, "rules-restored", &table, attributes);
}
