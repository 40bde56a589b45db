//! The built-in filter in the kernel: every system call is tried, by both of the machine's entries, against Docker's list.

#![cfg(target_arch = "x86_64")]

use std::collections::BTreeMap;
use std::fmt::Write;

use oci::capability;
use oci::runtime::Capability;
use runtime::seccomp::{Abi, KernelVersion, Machine, Target, X32_BIT, compile_default};
use sys::probe::{Answer, Call, Entry, probe};

/// What the default refuses on x86-64 to a container with Docker's fourteen capabilities: all other numbers up to 466 that
/// are system calls are allowed, and younger ones do not exist. Independent of the tables the filter is made from.
const REFUSED: &str = "\
    _sysctl acct add_key afs_syscall bpf clock_settime create_module delete_module fanotify_init finit_module fsconfig fsmount \
    fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module io_uring_enter io_uring_register io_uring_setup ioperm \
    iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind \
    migrate_pages mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open \
    pidfd_getfd pivot_root process_madvise putpmsg query_module quotactl quotactl_fd reboot request_key \
    security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog \
    tuxcall umount2 unshare uprobe uselib userfaultfd ustat vhangup vserver";

/// The same on i386.
const REFUSED_I386: &str = "\
    acct add_key afs_syscall bdflush bpf break clock_settime clock_settime64 create_module delete_module fanotify_init \
    finit_module fsconfig fsmount fsopen fspick ftime get_kernel_syms get_mempolicy getpmsg gtty idle init_module io_uring_enter \
    io_uring_register io_uring_setup ioperm iopl kcmp kexec_load keyctl lock lookup_dcookie lsm_get_self_attr \
    lsm_list_modules lsm_set_self_attr mbind migrate_pages mount mount_setattr move_mount move_pages mpx nfsservctl nice \
    oldfstat oldlstat oldolduname oldstat olduname open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root prof \
    process_madvise profil putpmsg query_module quotactl quotactl_fd readdir reboot request_key set_mempolicy \
    set_mempolicy_home_node setdomainname sethostname setns settimeofday sgetmask sigaction signal sigpending sigsuspend \
    ssetmask stime stty swapoff swapon sysfs _sysctl syslog ulimit umount umount2 unshare uselib userfaultfd ustat vhangup \
    vm86 vm86old vserver";

const EPERM: Answer = Answer::Refused(1);
const ENOSYS: Answer = Answer::Refused(38);
/// `removexattrat`, the youngest that the profile mentions.
const YOUNGEST: u32 = 466;

/// What the kernel says to each call under the default filter with further capabilities.
fn ask(more: &[Capability], calls: &[Call]) -> Vec<Answer> {
    let capabilities: Vec<_> = capability::DEFAULT.iter().chain(more).copied().collect();
    let target = Target::new(&capabilities, Machine::X86_64, KernelVersion::running().unwrap());
    let program = compile_default(&target).unwrap();
    probe(program.instructions(), program.flags(), calls).unwrap()
}

fn call(entry: Entry, number: u32, first: u64) -> Call {
    Call { entry, number, arguments: [first, 0, 0, 0, 0] }
}

fn by_name(entry: Entry, name: &str, first: u64) -> Call {
    let abi = if entry == Entry::Native { Abi::X86_64 } else { Abi::X86 };
    call(entry, abi.number(name).unwrap_or_else(|| panic!("{name} is not on {abi:?}")), first)
}

/// `uretprobe` and `uprobe`, which the kernel lets past every filter and which kill whoever calls them by hand.
const UNFILTERED: [u32; 2] = [335, 336];

/// All numbers that can be tried, up to the given one.
fn calls_to(last: u32, entry: Entry) -> Vec<Call> {
    let tried = |number: &u32| entry == Entry::I386 || !UNFILTERED.contains(number);
    (0..=last).filter(tried).map(|number| call(entry, number, 0)).collect()
}

/// The answers for the numbers 0 to 500, as a table of what is not as expected.
fn differences(entry: Entry, abi: Abi, refused: &str) -> String {
    let names: BTreeMap<u32, &str> = abi.table().iter().map(|(name, number)| (*number, *name)).collect();
    let refused: Vec<&str> = refused.split_whitespace().collect();
    let calls = calls_to(500, entry);
    let mut table = String::new();
    for (call, answer) in calls.iter().zip(ask(&[], &calls)) {
        let name = names.get(&call.number).copied().unwrap_or("-");
        let expected = match name {
            "clone3" => ENOSYS,
            _ if call.number > YOUNGEST => ENOSYS,
            "-" => EPERM,
            _ if refused.contains(&name) => EPERM,
            _ => Answer::Allowed,
        };
        if answer != expected {
            writeln!(table, "{:3} {name:28} expected {expected:?}, found {answer:?}", call.number).unwrap();
        }
    }
    table
}

#[test]
fn every_native_call_is_answered_as_listed() {
    let table = differences(Entry::Native, Abi::X86_64, REFUSED);
    assert!(table.is_empty(), "\n{table}");
}

#[test]
fn every_i386_call_is_answered_as_listed() {
    let table = differences(Entry::I386, Abi::X86, REFUSED_I386);
    assert!(table.is_empty(), "\n{table}");
}

#[test]
fn x32_calls_are_filtered_like_native_ones() {
    let calls = ["read", "mount", "clone3", "keyctl"].map(|name| {
        let number = Abi::X86_64.number(name).unwrap() | X32_BIT;
        call(Entry::Native, number, 0)
    });
    assert_eq!(ask(&[], &calls), [Answer::Allowed, EPERM, ENOSYS, EPERM]);
}

#[test]
fn arguments_decide() {
    let cases = [
        (by_name(Entry::Native, "clone", 0x11), Answer::Allowed),
        (by_name(Entry::Native, "clone", 0x1000_0000), EPERM),
        (by_name(Entry::I386, "clone", 0x0002_0000), EPERM),
        (by_name(Entry::I386, "clone", 0x11), Answer::Allowed),
        (by_name(Entry::Native, "personality", 8), Answer::Allowed),
        (by_name(Entry::Native, "personality", 0xffff_ffff), Answer::Allowed),
        (by_name(Entry::I386, "personality", 0xffff_ffff), Answer::Allowed),
        (by_name(Entry::Native, "personality", 0x4_0000), EPERM),
        (by_name(Entry::Native, "socket", 1), Answer::Allowed),
        (by_name(Entry::Native, "socket", 38), EPERM),
        (by_name(Entry::Native, "socket", 40), EPERM),
        (by_name(Entry::Native, "socket", 0x7_0000_0000 | 40), EPERM),
        (by_name(Entry::Native, "socket", 44), Answer::Allowed),
        (by_name(Entry::I386, "socket", 38), EPERM),
        (by_name(Entry::I386, "socket", 39), Answer::Allowed),
    ];
    let found = ask(&[], &cases.map(|(call, _)| call));
    for ((call, expected), found) in cases.into_iter().zip(found) {
        assert_eq!(found, expected, "{call:?}");
    }
}

/// What each capability adds, and nothing else.
#[test]
fn capabilities_add_their_calls_only() {
    let cases: [(&[Capability], &str); 15] = [
        (&[Capability::DacReadSearch], "open_by_handle_at"),
        (
            &[Capability::SysAdmin],
            "bpf clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
             lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
             sethostname setns syslog umount2 unshare",
        ),
        (&[Capability::SysBoot], "reboot"),
        (&[Capability::SysModule], "delete_module finit_module init_module"),
        (&[Capability::SysPacct], "acct"),
        (&[Capability::SysPtrace], "kcmp pidfd_getfd process_madvise"),
        (&[Capability::SysRawio], "ioperm iopl"),
        (&[Capability::SysTime], "clock_settime settimeofday"),
        (&[Capability::SysTtyConfig], "vhangup"),
        (&[Capability::SysNice], "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
        (&[Capability::Syslog], "syslog"),
        (&[Capability::Bpf], "bpf"),
        (&[Capability::Perfmon], "perf_event_open"),
        (&[Capability::NetAdmin], ""),
        (&[Capability::Bpf, Capability::Perfmon], "bpf perf_event_open"),
    ];
    let calls = calls_to(YOUNGEST, Entry::Native);
    let plain = ask(&[], &calls);
    for (more, names) in cases {
        let mut expected: Vec<u32> =
            names.split_whitespace().map(|name| Abi::X86_64.number(name).unwrap()).collect();
        expected.sort_unstable();
        let answers = ask(more, &calls);
        let changed = calls.iter().zip(answers).zip(&plain).filter(|((_, now), before)| now != *before);
        let added: Vec<(u32, Answer)> = changed.map(|((call, now), _)| (call.number, now)).collect();
        let expected: Vec<_> = expected.into_iter().map(|number| (number, Answer::Allowed)).collect();
        assert_eq!(added, expected, "{more:?}");
    }
    let namespaces = by_name(Entry::Native, "clone", 0x1000_0000);
    assert_eq!(ask(&[Capability::SysAdmin], &[namespaces]), [Answer::Allowed]);
}

#[test]
fn killing_action_ends_the_process() {
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#;
    let target = Target::new(&capability::DEFAULT, Machine::X86_64, KernelVersion::running().unwrap());
    let program = runtime::seccomp::compile_docker_json(profile, &target).unwrap().unwrap();
    let calls = ["getpid", "mount", "getpid"].map(|name| by_name(Entry::Native, name, 0));
    let found = probe(program.instructions(), program.flags(), &calls).unwrap();
    assert_eq!(found, [Answer::Allowed, Answer::Ended, Answer::Ended]);
}
