//! The built-in profile: the same system calls as Docker's, as of its version 29.
//!
//! What is not listed fails with `EPERM`. Missing on purpose are above all those that reach kernel code without a history of
//! being exposed (`io_uring_*`, `userfaultfd`), keyrings, which are not namespaced, and `kexec_*`.

use oci::runtime::Capability;

use super::arch::{Abi, Machine};
use super::filter::{Action, Comparison, Condition, ENOSYS, EPERM, Filter, Rule, Width};
use super::{KernelVersion, Target, spec};

/// Allowed to every container on every machine.
const ALWAYS: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown \
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 \
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
    eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate \
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr \
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate \
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list \
    get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 \
    getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid \
    getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday \
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch \
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get \
    ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 \
    lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat \
    lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat \
    mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd \
    msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause \
    pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl \
    pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read \
    readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages \
    removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction \
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity \
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget \
    semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list \
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups \
    setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 \
    setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt \
    shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat \
    stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill \
    time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times \
    tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat \
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed with one capability.
const BY_CAPABILITY: [(Capability, &str); 14] = [
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// Allowed where the machine has them.
const BY_MACHINE: [(Machine, &str); 2] = [
    (Machine::X86_64, "arch_prctl modify_ldt"),
    (Machine::Aarch64, "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"),
];

/// Since then a filter is applied after a tracer had its turn, so that tracing is no way around it.
const SAFE_TRACING: KernelVersion = KernelVersion { major: 4, minor: 8 };

/// `clone` flags that make namespaces, except for `CLONE_NEWTIME`, which is none of the old system call's.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Linux, Linux on 32 bits, both with `UNAME26`, and the question for the current one.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// The profile for a container.
pub(super) fn filter(target: &Target) -> Filter {
    let mut rules = vec![allow(ALWAYS)];
    rules.extend(personality());
    rules.extend(socket());
    if target.kernel >= SAFE_TRACING {
        rules.push(allow("process_vm_readv process_vm_writev ptrace"));
    }
    let here = BY_MACHINE.iter().filter(|(machine, _)| *machine == target.machine);
    rules.extend(here.map(|(_, names)| allow(names)));
    let had = BY_CAPABILITY.iter().filter(|(capability, _)| target.has(*capability));
    rules.extend(had.map(|(_, names)| allow(names)));
    if !target.has(Capability::SysAdmin) {
        rules.extend(clone());
    }
    Filter {
        default_action: Action::Errno(EPERM),
        abis: match target.machine {
            Machine::X86_64 => vec![Abi::X86_64, Abi::X86, Abi::X32],
            Machine::Aarch64 => vec![Abi::Aarch64, Abi::Arm],
        },
        rules,
        flags: spec::FLAG_SPEC_ALLOW,
    }
}

fn personality() -> impl Iterator<Item = Rule> {
    PERSONALITIES.into_iter().map(|value| {
        allow_if(
            "personality",
            Condition { index: 0, width: Width::Full64, comparison: Comparison::Equal, value },
        )
    })
}

/// All families but `AF_ALG` and `AF_VSOCK`: the first is kernel code with a record, the second reaches the hypervisor past
/// every network namespace. The kernel takes the family as an `int`, so the upper half of the register must not count.
fn socket() -> impl Iterator<Item = Rule> {
    [(Comparison::Less, AF_ALG), (Comparison::Equal, AF_ALG + 1), (Comparison::Greater, AF_VSOCK)]
        .into_iter()
        .map(|(comparison, value)| {
            allow_if("socket", Condition { index: 0, width: Width::Low32, comparison, value })
        })
}

/// No namespaces by `clone`; and as the arguments of `clone3` are in memory, where no filter sees them, it is as if the
/// kernel were too old for it: C libraries then use `clone`.
fn clone() -> [Rule; 2] {
    let no_namespaces = Condition {
        index: 0,
        width: Width::Full64,
        comparison: Comparison::MaskedEqual(NAMESPACE_FLAGS),
        value: 0,
    };
    let missing = Rule { action: Action::Errno(ENOSYS), ..allow("clone3") };
    [allow_if("clone", no_namespaces), missing]
}

fn allow(names: &str) -> Rule {
    Rule {
        names: names.split_whitespace().map(str::to_owned).collect(),
        action: Action::Allow,
        conditions: Vec::new(),
    }
}

fn allow_if(name: &str, condition: Condition) -> Rule {
    Rule { conditions: vec![condition], ..allow(name) }
}
