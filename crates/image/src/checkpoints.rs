//! What is known of the digests of layers that were made last, for those that are like them. It is not kept over a restart.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use oci::Digest;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Stat};

use crate::tree::Checkpoint;

/// Layers of which it is kept: of one of a GB it takes some 400 KB of memory.
const LAYERS: usize = 16;

/// Checkpoints of layers, those that were used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    layer: Digest,
    /// The folder that they were made of. As long as it is open no other one has its inode.
    tree: OwnedFd,
    list: Arc<[Checkpoint]>,
}

impl Checkpoints {
    /// Those of a layer; none unless its tree is at this path.
    pub(crate) fn of(&self, layer: &Digest, path: &Path) -> Arc<[Checkpoint]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().position(|known| known.layer == *layer && is_at(&known.tree, path));
        let Some(used) = found.and_then(|at| known.remove(at)) else { return [].into() };
        let list = Arc::clone(&used.list);
        known.push_back(used);
        list
    }

    /// Keeps those of a layer that has this tree.
    pub(crate) fn keep(&self, layer: Digest, tree: OwnedFd, list: Vec<Checkpoint>) {
        if list.is_empty() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.layer != layer);
        if known.len() == LAYERS {
            known.pop_front();
        }
        known.push_back(Known { layer, tree, list: list.into() });
    }
}

/// Whether a path leads to an open folder.
fn is_at(folder: impl AsFd, path: &Path) -> bool {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let there = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(identity);
    there.is_ok() && there == rustix::fs::fstat(folder).map(identity)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::tree::measure_like;

    fn made(path: &Path) -> (OwnedFd, Vec<Checkpoint>) {
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), vec![1; 2 << 20]).unwrap();
        let tree = OwnedFd::from(File::open(path).unwrap());
        let (_, checkpoints) = measure_like(tree.as_fd(), &[]).unwrap();
        assert_eq!(checkpoints.len(), 1);
        (tree, checkpoints)
    }

    #[test]
    fn checkpoints_are_of_the_tree_that_they_were_made_of() {
        let place = tempfile::tempdir().unwrap();
        let (path, moved) = (place.path().join("tree"), place.path().join("moved"));
        let (known, layer) = (Checkpoints::default(), Digest::of(b"layer"));
        let (tree, checkpoints) = made(&path);
        known.keep(layer.clone(), tree, checkpoints);
        assert_eq!(known.of(&layer, &path).len(), 1);
        assert!(known.of(&Digest::of(b"other"), &path).is_empty());
        fs::rename(&path, &moved).unwrap();
        assert!(known.of(&layer, &path).is_empty());
        assert_eq!(known.of(&layer, &moved).len(), 1);
        let (tree, checkpoints) = made(&path);
        assert!(known.of(&layer, &path).is_empty(), "another tree is there");
        known.keep(layer.clone(), tree, checkpoints);
        assert_eq!(known.of(&layer, &path).len(), 1);
    }

    #[test]
    fn those_of_the_last_layers_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("tree");
        let (tree, checkpoints) = made(&path);
        let known = Checkpoints::default();
        let layer = |number: usize| Digest::of(&number.to_le_bytes());
        for number in 0..LAYERS + 2 {
            known.keep(layer(number), tree.try_clone().unwrap(), checkpoints.clone());
            assert_eq!(known.of(&layer(0), &path).len(), 1, "it is used each time");
        }
        let kept = (0..LAYERS + 2).filter(|number| !known.of(&layer(*number), &path).is_empty());
        let expected = [0].into_iter().chain(3..LAYERS + 2);
        assert_eq!(kept.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}
