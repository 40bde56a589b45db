//! The system call interfaces of a machine: names, numbers and how a filter tells them apart.

use std::sync::OnceLock;

use oci::runtime::Arch;
use syscalls::{aarch64, arm, x86, x86_64};

use super::SeccompError;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86, which also runs i386 and x32 programs.
    X86_64,
    /// 64-bit ARM, which also runs 32-bit ARM programs.
    Aarch64,
}

impl Machine {
    /// The one this program was built for.
    ///
    /// # Errors
    /// It has no table of system calls here.
    pub fn native() -> Result<Self, SeccompError> {
        if cfg!(target_arch = "x86_64") {
            Ok(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Ok(Self::Aarch64)
        } else {
            Err(SeccompError::Unsupported("this machine's architecture"))
        }
    }

    /// As profiles name it in `arches`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Its own interface.
    pub fn abi(self) -> Abi {
        match self {
            Self::X86_64 => Abi::X86_64,
            Self::Aarch64 => Abi::Aarch64,
        }
    }

    /// Its own interface and those of `listed` that its kernel can have.
    pub(super) fn abis<'a>(self, listed: impl IntoIterator<Item = &'a Arch>) -> Vec<Abi> {
        let mut abis = vec![self.abi()];
        for abi in listed.into_iter().filter_map(Abi::from_spec) {
            if abi.machine() == self && !abis.contains(&abi) {
                abis.push(abi);
            }
        }
        abis
    }
}

/// A system call interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 32-bit pointers on 64-bit x86: numbered apart by [`X32_BIT`].
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// Set in every number of the x32 interface, which otherwise looks like the 64-bit one.
pub const X32_BIT: u32 = 0x4000_0000;

/// Where x32 has a number of its own, because structures or pointers in its arguments are laid out differently.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// What x32 does not have at all.
const X32_ABSENT: [&str; 12] = [
    "_sysctl",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "nfsservctl",
    "query_module",
    "set_thread_area",
    "uprobe",
    "uselib",
    "vserver",
];

/// 32-bit ARM's private calls, which no table of the kernel's lists, and a second name.
const ARM_FURTHER: [(&str, u32); 6] = [
    ("sync_file_range2", 341),
    ("breakpoint", 0xf_0001),
    ("cacheflush", 0xf_0002),
    ("usr26", 0xf_0003),
    ("usr32", 0xf_0004),
    ("set_tls", 0xf_0005),
];

/// Names, and what stands for each.
type Calls = [(&'static str, u32)];

/// What i386 programs may also reach through `socketcall` and `ipc`, whose first argument says which is meant.
const MULTIPLEXED: [(&str, &Calls); 2] = [
    (
        "socketcall",
        &[
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("accept", 5),
            ("getsockname", 6),
            ("getpeername", 7),
            ("socketpair", 8),
            ("send", 9),
            ("recv", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 18),
            ("recvmmsg", 19),
            ("sendmmsg", 20),
        ],
    ),
    (
        "ipc",
        &[
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ],
    ),
];

/// Names and numbers, sorted by name.
type Table = Vec<(&'static str, u32)>;

impl Abi {
    pub(super) fn from_spec(arch: &Arch) -> Option<Self> {
        match arch {
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchX32 => Some(Self::X32),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            Arch::ScmpArchArm => Some(Self::Arm),
            _ => None,
        }
    }

    fn machine(self) -> Machine {
        match self {
            Self::X86_64 | Self::X86 | Self::X32 => Machine::X86_64,
            Self::Aarch64 | Self::Arm => Machine::Aarch64,
        }
    }

    /// The kernel's `AUDIT_ARCH_*`, the `arch` of `struct seccomp_data`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether only the low halves of arguments count.
    pub(super) fn is_32_bit(self) -> bool {
        matches!(self, Self::X86 | Self::X32 | Self::Arm)
    }

    /// Whether a higher number is a younger system call: 32-bit ARM's private ones and those of x32 alone stand apart.
    pub(super) fn tells_age(self, number: u32) -> bool {
        match self {
            Self::X32 => number < X32_BIT | 512,
            Self::Arm => number < 0xf_0000,
            Self::X86_64 | Self::X86 | Self::Aarch64 => true,
        }
    }

    /// The number of a system call, or `None` where this interface does not have it.
    pub fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        let at = table.binary_search_by_key(&name, |(known, _)| known).ok()?;
        Some(table[at].1)
    }

    /// The multiplexer that leads to the system call too: its number, and its first argument.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, u32)> {
        if self != Self::X86 {
            return None;
        }
        MULTIPLEXED.iter().find_map(|(multiplexer, calls)| {
            let (_, call) = calls.iter().find(|(known, _)| *known == name)?;
            Some((self.number(multiplexer)?, *call))
        })
    }

    /// All names and numbers.
    pub fn table(self) -> &'static [(&'static str, u32)] {
        static X86_64: OnceLock<Table> = OnceLock::new();
        static X86: OnceLock<Table> = OnceLock::new();
        static X32: OnceLock<Table> = OnceLock::new();
        static AARCH64: OnceLock<Table> = OnceLock::new();
        static ARM: OnceLock<Table> = OnceLock::new();
        match self {
            Self::X86_64 => X86_64.get_or_init(x86_64_table),
            Self::X86 => X86.get_or_init(|| {
                let last = x86::Sysno::last().id().cast_unsigned();
                sorted((0..=last).filter_map(|id| Some((x86::Sysno::new(id as usize)?.name(), id))))
            }),
            Self::X32 => X32.get_or_init(x32_table),
            Self::Aarch64 => AARCH64.get_or_init(|| {
                let last = aarch64::Sysno::last().id().cast_unsigned();
                sorted((0..=last).filter_map(|id| Some((aarch64::Sysno::new(id as usize)?.name(), id))))
            }),
            Self::Arm => ARM.get_or_init(|| {
                let last = arm::Sysno::last().id().cast_unsigned();
                let listed = (0..=last).filter_map(|id| Some((arm::Sysno::new(id as usize)?.name(), id)));
                sorted(listed.chain(ARM_FURTHER))
            }),
        }
    }
}

fn x86_64_table() -> Table {
    let last = x86_64::Sysno::last().id().cast_unsigned();
    sorted((0..=last).filter_map(|id| Some((x86_64::Sysno::new(id as usize)?.name(), id))))
}

fn x32_table() -> Table {
    let shared = Abi::X86_64
        .table()
        .iter()
        .filter(|(name, _)| !X32_OWN.contains(name) && !X32_ABSENT.contains(name))
        .map(|(name, number)| (*name, number | X32_BIT));
    sorted(shared.chain(X32_OWN.into_iter().zip(512 | X32_BIT..)))
}

fn sorted(entries: impl Iterator<Item = (&'static str, u32)>) -> Table {
    // A name that is a word of Rust's comes with a prefix.
    let plain = |(name, number): (&'static str, u32)| (name.strip_prefix("r#").unwrap_or(name), number);
    let mut table: Table = entries.map(plain).collect();
    table.sort_unstable();
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_each_interface() {
        for (abi, name, number) in [
            (Abi::X86_64, "read", Some(0)),
            (Abi::X86_64, "clone3", Some(435)),
            (Abi::X86_64, "file_setattr", Some(469)),
            (Abi::X86_64, "socketcall", None),
            (Abi::X86, "read", Some(3)),
            (Abi::X86, "socketcall", Some(102)),
            (Abi::X86, "socket", Some(359)),
            (Abi::X86, "break", Some(17)),
            (Abi::X32, "read", Some(X32_BIT)),
            (Abi::X32, "ioctl", Some(X32_BIT | 514)),
            (Abi::X32, "pwritev2", Some(X32_BIT | 547)),
            (Abi::X32, "uselib", None),
            (Abi::Aarch64, "read", Some(63)),
            (Abi::Aarch64, "fork", None),
            (Abi::Arm, "set_tls", Some(0xf_0005)),
            (Abi::Arm, "read", Some(3)),
        ] {
            assert_eq!(abi.number(name), number, "{name} on {abi:?}");
        }
    }

    #[test]
    fn multiplexed_calls_are_known_on_i386_only() {
        assert_eq!(Abi::X86.multiplexed("accept4"), Some((102, 18)));
        assert_eq!(Abi::X86.multiplexed("shmctl"), Some((117, 24)));
        assert_eq!(Abi::X86.multiplexed("read"), None);
        assert_eq!(Abi::X86_64.multiplexed("accept4"), None);
    }

    #[test]
    fn abis_are_the_machines_own_whatever_is_listed() {
        let listed = [Arch::ScmpArchX86, Arch::ScmpArchArm, Arch::ScmpArchMips, Arch::ScmpArchX86];
        assert_eq!(Machine::X86_64.abis(&listed), [Abi::X86_64, Abi::X86]);
        assert_eq!(Machine::Aarch64.abis(&listed), [Abi::Aarch64, Abi::Arm]);
        assert_eq!(Machine::X86_64.abis(&[]), [Abi::X86_64]);
    }
}
