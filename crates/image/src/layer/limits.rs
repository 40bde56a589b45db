//! What a layer may take, so that a few bytes from a registry cannot fill the machine.

use rustix::fd::BorrowedFd;

use super::LayerError;

/// Bytes that stay free whatever a layer wants, so that the engine itself can go on.
const RESERVE: u64 = 32 << 20;
/// Bytes written between two looks at the free space.
const INTERVAL: u64 = 32 << 20;
/// Below this size no ratio is suspicious.
const RATIO_FROM: u64 = 4 << 30;

/// Limits of one layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries it may have.
    pub(crate) entries: u64,
    /// How many times its compressed size it may expand to, beyond [`RATIO_FROM`]. Honest layers of zeroes reach 1,030
    /// with gzip.
    pub(crate) ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 5_000_000, ratio: 2_000 }
    }
}

impl Limits {
    pub(crate) fn check_ratio(self, compressed: u64, expanded: u64) -> Result<(), LayerError> {
        if expanded > RATIO_FROM && expanded / compressed.max(1) > self.ratio {
            return Err(LayerError::Ratio { compressed, expanded });
        }
        Ok(())
    }
}

/// Watches the free space of a file system while it is written to.
#[derive(Debug, Default)]
pub struct SpaceGuard {
    unchecked: u64,
}

impl SpaceGuard {
    /// Before `size` further bytes are written to the file system of `folder`, or of an open file.
    ///
    /// # Errors
    /// [`LayerError::NoSpace`] when too little would stay free.
    pub fn reserve(&mut self, folder: BorrowedFd<'_>, size: u64) -> Result<(), LayerError> {
        self.unchecked += size;
        if self.unchecked < INTERVAL {
            return Ok(());
        }
        self.unchecked = 0;
        let space = rustix::fs::fstatvfs(folder)
            .map_err(|errno| LayerError::Store { action: "ask for free space", source: errno.into() })?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < size.saturating_add(RESERVE) { Err(LayerError::NoSpace(free)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_of_a_bomb_is_refused_and_of_zeroes_is_not() {
        let limits = Limits::default();
        assert!(limits.check_ratio(1 << 20, 1 << 30).is_ok());
        assert!(limits.check_ratio(10 << 20, 10_300 << 20).is_ok());
        assert!(matches!(limits.check_ratio(1 << 20, 5 << 30), Err(LayerError::Ratio { .. })));
    }
}
