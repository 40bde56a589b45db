//! Layers on their way, so that pulls at the same time bring each of them once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use oci::Digest;

/// The turn of whoever brings a layer: who has it locked does. Others wait for it, and then look again.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// The turns of all layers that somebody brings, by their diffIDs.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>>);

impl InFlight {
    /// The turn for a layer. It is forgotten when nobody has it any more.
    pub(crate) fn turn(&self, diff_id: &Digest) -> Turn {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(diff_id).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Turn::default();
        turns.insert(diff_id.clone(), Arc::downgrade(&turn));
        turn
    }
}
