//! Who does what several want to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use oci::Digest;

type Turn = tokio::sync::Mutex<()>;

/// The turns of all that is done, by key: who has one locked does it. Others wait for it, and then look again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Digest, Weak<Turn>>>>);

impl Turns {
    /// The turn for a key. It is forgotten when nobody has it any more.
    pub(crate) fn turn(&self, key: &Digest) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::<Turn>::default();
        turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }
}
