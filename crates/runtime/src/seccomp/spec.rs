//! `linux.seccomp` of the OCI runtime specification.

use oci::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};

use super::SeccompError;
use super::arch::Machine;
use super::filter::{Action, Comparison, Condition, Filter, Rule, rules_for, width_of};

const FLAG_TSYNC: u32 = 1;
const FLAG_LOG: u32 = 2;
pub(super) const FLAG_SPEC_ALLOW: u32 = 4;

/// Reads the configuration. `None` where it allows everything.
pub(super) fn filter(seccomp: &LinuxSeccomp, machine: Machine) -> Result<Option<Filter>, SeccompError> {
    if seccomp.listener_path().is_some()
        || seccomp.listener_metadata().as_ref().is_some_and(|text| !text.is_empty())
    {
        return Err(SeccompError::Unsupported("listenerPath"));
    }
    let syscalls = seccomp.syscalls().as_deref().unwrap_or_default();
    if seccomp.default_action() == LinuxSeccompAction::ScmpActAllow && syscalls.is_empty() {
        return Ok(None);
    }
    let mut rules = Vec::new();
    for syscall in syscalls {
        rules.extend(read_rule(syscall)?);
    }
    Ok(Some(Filter {
        default_action: Action::from_spec(seccomp.default_action(), seccomp.default_errno_ret())?,
        abis: machine.abis(seccomp.architectures().iter().flatten()),
        rules,
        flags: flags(seccomp.flags().as_deref())?,
    }))
}

fn read_rule(syscall: &LinuxSyscall) -> Result<Vec<Rule>, SeccompError> {
    let action = Action::from_spec(syscall.action(), syscall.errno_ret())?;
    let args = syscall.args().as_deref().unwrap_or_default();
    let conditions: Result<Vec<Condition>, SeccompError> =
        args.iter().map(|arg| condition(syscall.names(), arg)).collect();
    Ok(rules_for(syscall.names(), action, conditions?))
}

/// Reads a condition. With `SCMP_CMP_MASKED_EQ` the first value is the mask.
pub(super) fn condition(names: &[String], arg: &LinuxSeccompArg) -> Result<Condition, SeccompError> {
    use LinuxSeccompOperator as Operator;
    let index = u8::try_from(arg.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or(SeccompError::Argument(arg.index()))?;
    let (comparison, value) = match arg.op() {
        Operator::ScmpCmpNe => (Comparison::NotEqual, arg.value()),
        Operator::ScmpCmpLt => (Comparison::Less, arg.value()),
        Operator::ScmpCmpLe => (Comparison::LessOrEqual, arg.value()),
        Operator::ScmpCmpEq => (Comparison::Equal, arg.value()),
        Operator::ScmpCmpGe => (Comparison::GreaterOrEqual, arg.value()),
        Operator::ScmpCmpGt => (Comparison::Greater, arg.value()),
        Operator::ScmpCmpMaskedEq => {
            (Comparison::MaskedEqual(arg.value()), arg.value_two().unwrap_or_default())
        }
    };
    Ok(Condition { index, width: width_of(names, index), comparison, value })
}

/// Without any list, not even an empty one, speculation is left to the program, as runc does.
pub(super) fn flags(listed: Option<&[LinuxSeccompFilterFlag]>) -> Result<u32, SeccompError> {
    use LinuxSeccompFilterFlag as Flag;
    let Some(listed) = listed else { return Ok(FLAG_SPEC_ALLOW) };
    listed.iter().try_fold(0, |flags, flag| match flag {
        Flag::SeccompFilterFlagLog => Ok(flags | FLAG_LOG),
        Flag::SeccompFilterFlagTsync => Ok(flags | FLAG_TSYNC),
        Flag::SeccompFilterFlagSpecAllow => Ok(flags | FLAG_SPEC_ALLOW),
        // It is about notifications, which are not supported.
        Flag::SeccompFilterFlagWaitKillableRecv => {
            Err(SeccompError::Unsupported("flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
        }
    })
}
