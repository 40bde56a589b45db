//! What is in the making, so that those who want the same at the same time make it once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use oci::Digest;

/// The turn of whoever makes something: who has it locked does. Others wait for it, and then look again.
pub type Turn = tokio::sync::Mutex<()>;

/// The locks of all that somebody uses, by name.
#[derive(Debug)]
pub struct InFlight<L = Turn>(Arc<Mutex<HashMap<Digest, Weak<L>>>>);

impl<L: Default> InFlight<L> {
    /// The lock with this name. It is forgotten when nobody has it any more.
    pub fn lock(&self, name: &Digest) -> Arc<L> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::<L>::default();
        locks.insert(name.clone(), Arc::downgrade(&lock));
        lock
    }
}

impl<L> InFlight<L> {
    /// Whether somebody has the lock with this name, or waits for it. Nobody has to wait for whoever asks.
    pub fn is_used(&self, name: &Digest) -> bool {
        let locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.get(name).is_some_and(|lock| lock.strong_count() > 0)
    }
}

impl<L> Clone for InFlight<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L> Default for InFlight<L> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_the_same_for_as_long_as_somebody_has_it() {
        let locks = InFlight::<Turn>::default();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let first = locks.lock(&one);
        assert!(Arc::ptr_eq(&first, &locks.clone().lock(&one)));
        assert!(!Arc::ptr_eq(&first, &locks.lock(&other)));
        assert!(locks.is_used(&one) && !locks.is_used(&other));
        drop(first);
        assert!(!locks.is_used(&one));
        let _fresh = locks.lock(&one);
        assert_eq!(locks.0.lock().unwrap().len(), 1, "what nobody has is forgotten");
    }
}
