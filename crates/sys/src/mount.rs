//! Mounts by file descriptor (`fsopen`, `open_tree`, `mount_setattr`, `move_mount`): no path is resolved twice.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::process::last_error;
use crate::{Errno, Result};

bitflags::bitflags! {
    /// What a mount forbids or leaves out, with the values of `MOUNT_ATTR_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attributes: u64 {
        /// No writing.
        const READ_ONLY = 0x1;
        /// Set-user-ID bits and file capabilities have no effect.
        const NO_SUID = 0x2;
        /// Device nodes have no effect.
        const NO_DEVICES = 0x4;
        /// No program can be executed.
        const NO_EXEC = 0x8;
        /// Access times are never updated.
        const NO_ATIME = 0x10;
        /// Access times are always updated.
        const STRICT_ATIME = 0x20;
        /// Both bits of the choice of access times; cleared whenever one of them is set or relatime asked.
        const ATIME_MASK = 0x70;
        /// Access times of directories are never updated.
        const NO_DIRECTORY_ATIME = 0x80;
        /// Symbolic links are not followed.
        const NO_SYMLINK_FOLLOW = 0x0020_0000;
    }
}

/// How mounts and unmounts spread between copies of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the original to the copy.
    Slave,
    /// In both directions.
    Shared,
    /// Not at all, and the mount cannot be copied.
    Unbindable,
}

/// Whether a change is for one mount or also for all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The mount alone.
    Single,
    /// The mount and all below.
    Recursive,
}

/// A change of attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Attributes to set.
    pub set: Attributes,
    /// Attributes to clear.
    pub clear: Attributes,
    /// The new propagation, where it is to change.
    pub propagation: Option<Propagation>,
}

impl Change {
    /// A change of propagation alone.
    pub fn propagation(propagation: Propagation) -> Self {
        Self { propagation: Some(propagation), ..Self::default() }
    }

    /// A change that sets attributes alone.
    pub fn set(attributes: Attributes) -> Self {
        Self { set: attributes, ..Self::default() }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty() && self.propagation.is_none()
    }
}

/// A file system that is being set up.
#[derive(Debug)]
pub struct Context {
    fd: OwnedFd,
}

impl Context {
    /// Starts on a file system of a type, e.g. `tmpfs`.
    ///
    /// # Errors
    /// `ENODEV` for a type that the kernel does not know.
    pub fn open(file_system: &str) -> Result<Self> {
        Ok(Self { fd: fsopen(file_system, FsOpenFlags::FSOPEN_CLOEXEC)? })
    }

    /// Sets an option that has a value.
    ///
    /// # Errors
    /// `EINVAL` for an option or value that the file system does not take; [`Context::message`] says more.
    pub fn set(&self, key: &str, value: impl rustix::path::Arg) -> Result<()> {
        fsconfig_set_string(&self.fd, key, value)
    }

    /// Sets an option that has none.
    ///
    /// # Errors
    /// As [`Context::set`].
    pub fn set_flag(&self, key: &str) -> Result<()> {
        fsconfig_set_flag(&self.fd, key)
    }

    /// Makes the file system and a mount of it that is attached nowhere.
    ///
    /// # Errors
    /// What the file system reports; [`Context::message`] may say more.
    pub fn mount(&self, attributes: Attributes) -> Result<DetachedMount> {
        fsconfig_create(&self.fd)?;
        let attributes = MountAttrFlags::from_bits_retain(attributes.bits() as u32);
        Ok(DetachedMount { fd: fsmount(&self.fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)? })
    }

    /// What the kernel said about the last failure, where it said anything.
    pub fn message(&self) -> Option<String> {
        let mut buffer = [0_u8; 512];
        let length = rustix::io::read(&self.fd, &mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        // "e " marks an error, "w " a warning, "i " information.
        let text = text.get(2..).unwrap_or_default().trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// A mount that is attached nowhere yet; it goes away with its last descriptor unless it is attached.
#[derive(Debug)]
pub struct DetachedMount {
    fd: OwnedFd,
}

impl DetachedMount {
    /// A copy of the mount at a path, seen from `directory`.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn copy_at(directory: BorrowedFd<'_>, path: impl rustix::path::Arg, depth: Depth) -> Result<Self> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if depth == Depth::Recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        Ok(Self { fd: open_tree(directory, path, flags | OpenTreeFlags::AT_EMPTY_PATH)? })
    }

    /// A copy of the mount at a host path; symbolic links are followed.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn copy(path: &Path, depth: Depth) -> Result<Self> {
        Self::copy_at(CWD, path, depth)
    }

    /// A copy of the mount of an open file or directory.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn copy_of(file: impl AsFd, depth: Depth) -> Result<Self> {
        Self::copy_at(file.as_fd(), c"", depth)
    }

    /// Changes its attributes.
    ///
    /// # Errors
    /// As `mount_setattr(2)`.
    pub fn change(&self, change: Change, depth: Depth) -> Result<()> {
        change_attributes(self.fd.as_fd(), c"", change, depth)
    }

    /// Attaches it on an open file or directory.
    ///
    /// # Errors
    /// As `move_mount(2)`.
    pub fn attach(&self, target: impl AsFd) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.fd, c"", target, c"", flags)
    }
}

impl From<OwnedFd> for DetachedMount {
    /// Takes a descriptor that another process has made of a mount of its own.
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<DetachedMount> for OwnedFd {
    fn from(mount: DetachedMount) -> Self {
        mount.fd
    }
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Changes the attributes of the mount that an open file or directory is the root of.
///
/// # Errors
/// As `mount_setattr(2)`; `EINVAL` where it is not the root of a mount.
pub fn change(target: impl AsFd, change: Change, depth: Depth) -> Result<()> {
    change_attributes(target.as_fd(), c"", change, depth)
}

/// Changes the attributes of the mount at `/`.
///
/// # Errors
/// As `mount_setattr(2)`.
pub fn change_root(change: Change, depth: Depth) -> Result<()> {
    change_attributes(CWD, c"/", change, depth)
}

fn change_attributes(directory: BorrowedFd<'_>, path: &CStr, change: Change, depth: Depth) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: change.set.bits(),
        attr_clr: change.clear.bits(),
        propagation: change.propagation.map_or(0, |propagation| match propagation {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
            Propagation::Unbindable => libc::MS_UNBINDABLE,
        }),
        userns_fd: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if depth == Depth::Recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path and the structure are valid for the duration of the call, which writes to neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            std::mem::size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Makes `root` the root of this mount namespace and detaches the former one. The working directory becomes the new root.
///
/// # Errors
/// As `pivot_root(2)`: `EINVAL` where `root` is not the root of a mount, or the current root is the initial ramfs.
pub fn pivot_root(root: impl AsFd) -> Result<()> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let former = rustix::fs::open("/", directory, Mode::empty())?;
    rustix::process::fchdir(root)?;
    // With both arguments the same the former root ends up stacked on the new one, see pivot_root(2), NOTES.
    rustix::process::pivot_root(".", ".")?;
    rustix::process::fchdir(&former)?;
    // Nothing of what is unmounted here may be unmounted in the namespace it was copied from.
    change(&former, Change::propagation(Propagation::Slave), Depth::Recursive)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// Detaches whatever is mounted on an absolute path; what is in use there stays usable until it is closed.
///
/// # Errors
/// `EINVAL` where it is no mount point.
pub fn detach(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

/// Whether an error says that the running kernel does not have a call or an option.
pub fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP)
}
