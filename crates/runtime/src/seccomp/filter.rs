//! A filter before it is compiled: what both profile formats and the built-in profile come down to.

use super::SeccompError;
use super::arch::Abi;

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The thread ends.
    KillThread,
    /// The process ends.
    KillProcess,
    /// `SIGSYS`.
    Trap,
    /// It is not made; the caller sees this error.
    Errno(u16),
    /// A tracer is told, with this number; without one, `ENOSYS`.
    Trace(u16),
    /// It is made and logged.
    Log,
    /// It is made.
    Allow,
}

pub(super) const EPERM: u16 = 1;
pub(super) const ENOSYS: u16 = 38;
/// The kernel cuts larger ones.
const MAX_ERRNO: u16 = 4095;

impl Action {
    /// The filter's return value, seccomp(2).
    pub(super) fn code(self) -> u32 {
        match self {
            Self::KillThread => 0,
            Self::KillProcess => 0x8000_0000,
            Self::Trap => 0x0003_0000,
            Self::Errno(number) => 0x0005_0000 | u32::from(number),
            Self::Trace(number) => 0x7ff0_0000 | u32::from(number),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// Whether a system call that the profile does not mention is made all the same.
    fn is_permissive(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace(_))
    }

    /// Reads an action and its number, which is `EPERM` where it has none.
    pub(super) fn from_spec(
        action: oci::runtime::LinuxSeccompAction,
        number: Option<u32>,
    ) -> Result<Self, SeccompError> {
        use oci::runtime::LinuxSeccompAction as Spec;
        let number = match number {
            None => EPERM,
            Some(number) => u16::try_from(number)
                .ok()
                .filter(|number| *number <= MAX_ERRNO)
                .ok_or(SeccompError::Errno(number))?,
        };
        Ok(match action {
            Spec::ScmpActKill | Spec::ScmpActKillThread => Self::KillThread,
            Spec::ScmpActKillProcess => Self::KillProcess,
            Spec::ScmpActTrap => Self::Trap,
            Spec::ScmpActErrno => Self::Errno(number),
            Spec::ScmpActTrace => Self::Trace(number),
            Spec::ScmpActLog => Self::Log,
            Spec::ScmpActAllow => Self::Allow,
            Spec::ScmpActNotify => return Err(SeccompError::Unsupported("action SCMP_ACT_NOTIFY")),
        })
    }
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Different.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Equal.
    Equal,
    /// Greater or equal.
    GreaterOrEqual,
    /// Greater.
    Greater,
    /// Equal in the bits of this mask.
    MaskedEqual(u64),
}

/// How much of an argument's register counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The low half: for arguments that the kernel takes as `int`, whatever the upper half holds.
    Low32,
    /// All of it; on a 32-bit ABI that is the low half too.
    Full64,
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which, from 0 to 5.
    pub index: u8,
    /// How much of it.
    pub width: Width,
    /// How it is compared (unsigned).
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

/// What happens to system calls of these names if all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Names; those that an ABI does not have are skipped for it.
    pub names: Vec<String>,
    /// What happens.
    pub action: Action,
    /// When; always, if there are none.
    pub conditions: Vec<Condition>,
}

/// A whole filter.
///
/// For one system call the first rule without conditions decides, wherever it stands. Where there is none, the first rule
/// whose conditions hold does; else [`Filter::default_action`].
///
/// Numbers that no rule names and that are above the highest that one does (system calls younger than the profile) fail with
/// `ENOSYS` instead of a default action that refuses, as with runc: a C library then falls back to what it did before they
/// existed. On an interface of which the rules name nothing, nothing is younger than they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// For system calls of no rule.
    pub default_action: Action,
    /// The machine's own ABI first.
    pub abis: Vec<Abi>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

impl Filter {
    /// What a system call gets that is younger than the profile.
    pub(super) fn unknown_action(&self) -> Action {
        if self.default_action.is_permissive() { self.default_action } else { Action::Errno(ENOSYS) }
    }
}

/// The rules for a profile's entry. Conditions are all required, but where two are about the same argument each becomes a
/// rule of its own: so have runc and its profiles been since before libseccomp could require both.
pub(super) fn rules_for(names: &[String], action: Action, conditions: Vec<Condition>) -> Vec<Rule> {
    let rule = |names: Vec<String>, conditions| Rule { names, action, conditions };
    let repeats = |at: usize| conditions[..at].iter().any(|earlier| earlier.index == conditions[at].index);
    if (0..conditions.len()).any(repeats) {
        return conditions.iter().map(|condition| rule(names.to_vec(), vec![*condition])).collect();
    }
    vec![rule(names.to_vec(), conditions)]
}

/// How much of an argument the kernel looks at. Only those are listed where a profile compares and the difference matters:
/// a family of 0x1_0000_0026 is above every limit and yet opens a socket of family 0x26.
pub(super) fn width_of(names: &[String], index: u8) -> Width {
    let takes_int = |name: &String| matches!(name.as_str(), "socket" | "socketpair") && index < 3;
    if !names.is_empty() && names.iter().all(takes_int) { Width::Low32 } else { Width::Full64 }
}
