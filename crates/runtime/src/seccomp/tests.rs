//! Compiled programs, run by a small interpreter, against the rules they were made from.

use std::collections::HashSet;

use proptest::prelude::*;
use sys::seccomp::Instruction;

use super::arch::{Abi, Machine, X32_BIT};
use super::filter::{ENOSYS, EPERM, rules_for};
use super::*;

/// What a filter is told about a system call.
#[derive(Clone, Copy, Debug)]
struct Call {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Call {
    fn new(abi: Abi, name: &str, first: u64) -> Self {
        let number = abi.number(name).unwrap_or_else(|| panic!("{name} is not on {abi:?}"));
        Self { audit: abi.audit(), number, arguments: [first, 0, 0, 0, 0, 0] }
    }

    /// A word of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            _ => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    }
}

/// Runs a program as the kernel would, and counts the instructions.
fn run(code: &[Instruction], call: &Call) -> (u32, usize) {
    let mut accumulator = 0;
    let mut at = 0;
    for steps in 1.. {
        let Instruction { code: operation, jump_true, jump_false, constant } = code[at];
        let mut skip = 0;
        let mut branch = |holds: bool| skip = usize::from(if holds { jump_true } else { jump_false });
        match operation {
            0x20 => accumulator = call.word(constant),
            0x54 => accumulator &= constant,
            0x05 => skip = constant as usize,
            0x15 => branch(accumulator == constant),
            0x25 => branch(accumulator > constant),
            0x35 => branch(accumulator >= constant),
            0x06 => return (constant, steps),
            other => panic!("operation {other:#x}"),
        }
        at += 1 + skip;
    }
    unreachable!("a program ends in a return")
}

fn verdict(program: &Program, call: &Call) -> u32 {
    run(program.instructions(), call).0
}

/// What the documentation of [`Filter`] says, word by word.
fn naive(filter: &Filter, call: &Call) -> Action {
    let fitting = |abi: &&Abi| {
        let is_x32 = call.number >= X32_BIT && call.audit == Abi::X86_64.audit();
        abi.audit() == call.audit && (**abi == Abi::X32) == is_x32
    };
    let Some(abi) = filter.abis.iter().find(fitting) else {
        let known = filter.abis.iter().any(|abi| abi.audit() == call.audit);
        return if known { Action::Errno(ENOSYS) } else { Action::KillProcess };
    };
    let mut highest = None;
    let mut conditional = None;
    let mut always = None;
    let mut named = false;
    for rule in &filter.rules {
        for name in &rule.names {
            let own = abi.number(name);
            let multiplexer = abi.multiplexed(name);
            named |= own == Some(call.number) || multiplexer.is_some_and(|(number, _)| number == call.number);
            highest = highest.max(own.filter(|number| abi.tells_age(*number)));
            if rule.action == filter.default_action {
                continue;
            }
            if own == Some(call.number) {
                if rule.conditions.is_empty() {
                    always = always.or(Some(rule.action));
                } else if rule.conditions.iter().all(|condition| holds(condition, *abi, call)) {
                    conditional = conditional.or(Some(rule.action));
                }
            }
            if let Some((number, which)) = multiplexer
                && rule.conditions.is_empty()
                && number == call.number
                && call.arguments[0] as u32 == which
            {
                conditional = conditional.or(Some(rule.action));
            }
        }
    }
    let unknown = !named && highest.is_some_and(|highest| call.number > highest);
    let mentioned = always.or(conditional);
    mentioned.unwrap_or(if unknown { filter.unknown_action() } else { filter.default_action })
}

fn holds(condition: &Condition, abi: Abi, call: &Call) -> bool {
    let narrow = |value: u64| match abi.is_32_bit() || condition.width == Width::Low32 {
        true => value & 0xffff_ffff,
        false => value,
    };
    let argument = narrow(call.arguments[usize::from(condition.index)]);
    let value = narrow(condition.value);
    match condition.comparison {
        Comparison::Equal => argument == value,
        Comparison::NotEqual => argument != value,
        Comparison::Less => argument < value,
        Comparison::LessOrEqual => argument <= value,
        Comparison::Greater => argument > value,
        Comparison::GreaterOrEqual => argument >= value,
        Comparison::MaskedEqual(mask) => argument & narrow(mask) == value & narrow(mask),
    }
}

fn target(more: &[Capability]) -> Target {
    let capabilities: HashSet<Capability> = oci::capability::DEFAULT.iter().chain(more).copied().collect();
    Target::new(&capabilities, Machine::X86_64, KernelVersion { major: 6, minor: 1 })
}

fn default_verdict(more: &[Capability], abi: Abi, name: &str, first: u64) -> u32 {
    verdict(&compile_default(&target(more)).unwrap(), &Call::new(abi, name, first))
}

const ALLOWED: u32 = 0x7fff_0000;
const REFUSED: u32 = 0x0005_0000 | EPERM as u32;
const MISSING: u32 = 0x0005_0000 | ENOSYS as u32;

#[test]
fn default_decides_alike_on_each_interface() {
    for abi in [Abi::X86_64, Abi::X86, Abi::X32] {
        for (name, expected) in [
            ("read", ALLOWED),
            ("openat2", ALLOWED),
            ("chroot", ALLOWED),
            ("ptrace", ALLOWED),
            ("modify_ldt", ALLOWED),
            ("mount", REFUSED),
            ("unshare", REFUSED),
            ("keyctl", REFUSED),
            ("io_uring_setup", REFUSED),
            ("userfaultfd", REFUSED),
            ("clone3", MISSING),
            ("file_setattr", MISSING),
        ] {
            assert_eq!(default_verdict(&[], abi, name, 0), expected, "{name} on {abi:?}");
        }
    }
}

#[test]
fn default_compares_arguments() {
    for (name, first, expected) in [
        ("clone", 0x11, ALLOWED),
        ("clone", 0x1000_0011, REFUSED),
        ("clone", 0x0002_0000, REFUSED),
        ("personality", 0, ALLOWED),
        ("personality", 0xffff_ffff, ALLOWED),
        ("personality", 0x2_0008, ALLOWED),
        ("personality", 0x4_0000, REFUSED),
        ("socket", 2, ALLOWED),
        ("socket", 38, REFUSED),
        ("socket", 39, ALLOWED),
        ("socket", 40, REFUSED),
        ("socket", 41, ALLOWED),
        ("socket", 0x1_0000_0000 | 38, REFUSED),
        ("socket", 0xffff_ffff_0000_0000 | 40, REFUSED),
    ] {
        assert_eq!(default_verdict(&[], Abi::X86_64, name, first), expected, "{name}({first:#x})");
    }
}

#[test]
fn default_follows_capabilities() {
    let admin = [Capability::SysAdmin];
    for (more, name, expected) in [
        (&admin[..], "mount", ALLOWED),
        (&admin, "clone3", ALLOWED),
        (&admin, "bpf", ALLOWED),
        (&admin, "reboot", REFUSED),
        (&[Capability::Bpf], "bpf", ALLOWED),
        (&[Capability::Perfmon], "perf_event_open", ALLOWED),
        (&[Capability::SysPtrace], "kcmp", ALLOWED),
        (&[], "kcmp", REFUSED),
        (&[Capability::NetAdmin], "mount", REFUSED),
        (&[Capability::SysTime], "settimeofday", ALLOWED),
        (&[Capability::SysModule], "init_module", ALLOWED),
        (&[Capability::SysNice], "mbind", ALLOWED),
        (&[Capability::Syslog], "syslog", ALLOWED),
        (&[Capability::SysTtyConfig], "vhangup", ALLOWED),
        (&[Capability::SysRawio], "iopl", ALLOWED),
        (&[Capability::SysPacct], "acct", ALLOWED),
        (&[Capability::SysBoot], "reboot", ALLOWED),
        (&[Capability::DacReadSearch], "open_by_handle_at", ALLOWED),
    ] {
        assert_eq!(default_verdict(more, Abi::X86_64, name, 0), expected, "{name} with {more:?}");
    }
    assert_eq!(default_verdict(&admin, Abi::X86_64, "clone", 0x1000_0011), ALLOWED);
}

#[test]
fn default_forbids_tracing_on_kernels_where_it_escapes() {
    let old = Target { kernel: KernelVersion { major: 4, minor: 7 }, ..target(&[]) };
    let program = compile_default(&old).unwrap();
    assert_eq!(verdict(&program, &Call::new(Abi::X86_64, "ptrace", 0)), REFUSED);
}

#[test]
fn default_knows_every_name_on_some_interface() {
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let target = Target::new(&oci::capability::ALL, machine, target(&[]).kernel);
        let names = default::filter(&target).rules.into_iter().flat_map(|rule| rule.names);
        let abis = [Abi::X86_64, Abi::X86, Abi::X32, Abi::Aarch64, Abi::Arm];
        let unknown: Vec<_> = names
            .filter(|name| name != "riscv_hwprobe" && abis.iter().all(|abi| abi.number(name).is_none()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn default_is_small_and_searches_few_numbers() {
    let program = compile_default(&target(&[])).unwrap();
    assert!(program.instructions().len() < 900, "{} instructions", program.instructions().len());
    let longest = (0..470)
        .map(|number| Call { audit: Abi::X86_64.audit(), number, arguments: [0; 6] })
        .map(|call| run(program.instructions(), &call).1)
        .max();
    assert!(longest.unwrap() < 24, "{longest:?} instructions run");
}

#[test]
fn default_on_arm_allows_its_private_calls() {
    let target = Target { machine: Machine::Aarch64, ..target(&[]) };
    let program = compile_default(&target).unwrap();
    assert_eq!(verdict(&program, &Call::new(Abi::Arm, "set_tls", 0)), ALLOWED);
    assert_eq!(verdict(&program, &Call::new(Abi::Aarch64, "read", 0)), ALLOWED);
    assert_eq!(verdict(&program, &Call::new(Abi::Aarch64, "clone", 0x1000_0000)), REFUSED);
    let foreign = Call { audit: Abi::X86_64.audit(), number: 0, arguments: [0; 6] };
    assert_eq!(verdict(&program, &foreign), 0x8000_0000);
}

fn docker(json: &str) -> Program {
    compile_docker_json(json, &target(&[])).unwrap().unwrap()
}

#[test]
fn docker_profile_follows_its_circumstances() {
    let program = docker(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
            "syscalls":[
              {"names":["read","made_up"],"action":"SCMP_ACT_ALLOW","comment":"x","args":[],"includes":{},"excludes":{}},
              {"name":"write","action":"SCMP_ACT_LOG","args":null},
              {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
              {"names":["chroot"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_CHROOT","CAP_KILL"]}},
              {"names":["reboot"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"]}},
              {"names":["open"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
              {"names":["stat"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["arm64"]}},
              {"names":["fork"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.2"}},
              {"names":["vfork"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.1"}},
              {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
              {"names":["kill"],"action":"SCMP_ACT_KILL_PROCESS"},
              {"names":["tkill"],"action":"SCMP_ACT_TRAP"},
              {"names":["ptrace"],"action":"SCMP_ACT_TRACE","errnoRet":7}
            ]}"#,
    );
    for (name, expected) in [
        ("read", ALLOWED),
        ("write", 0x7ffc_0000),
        ("mount", 0x0005_000d),
        ("chroot", ALLOWED),
        ("reboot", 0x0005_000d),
        ("open", 0x0005_000d),
        ("stat", ALLOWED),
        ("fork", 0x0005_000d),
        ("vfork", ALLOWED),
        ("clone3", MISSING),
        ("kill", 0x8000_0000),
        ("tkill", 0x0003_0000),
        ("ptrace", 0x7ff0_0007),
        ("openat2", MISSING),
    ] {
        assert_eq!(verdict(&program, &Call::new(Abi::X86_64, name, 0)), expected, "{name}");
    }
    assert_eq!(verdict(&program, &Call::new(Abi::X86, "read", 0)), ALLOWED);
    assert_eq!(verdict(&program, &Call::new(Abi::X32, "read", 0)), MISSING);
}

#[test]
fn docker_profile_that_asks_for_nothing_is_none() {
    for json in
        ["{}", r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#]
    {
        assert_eq!(compile_docker_json(json, &target(&[])).unwrap(), None, "{json}");
    }
}

#[test]
fn docker_profile_that_cannot_be_followed_is_refused_by_name() {
    for (json, text) in [
        ("{", "decoding seccomp profile failed"),
        (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "SCMP_ACT_MAYBE"),
        (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY is not supported"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/x"}"#, "listenerPath is not supported"),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#,
            "both 'architectures' and 'archMap'",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
            "both 'name' and 'names'",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            "no argument 6",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}]}"#,
            "\"new\" is not a kernel version",
        ),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#, "error number 5000"),
    ] {
        let error = compile_docker_json(json, &target(&[])).unwrap_err().to_string();
        assert!(error.contains(text), "{error:?} does not say {text:?}");
    }
}

#[test]
fn conditions_on_one_argument_are_alternatives() {
    let program = docker(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":8,"op":"SCMP_CMP_EQ"},{"index":0,"value":9,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    for (value, expected) in [(8, ALLOWED), (9, ALLOWED), (10, REFUSED)] {
        assert_eq!(verdict(&program, &Call::new(Abi::X86_64, "personality", value)), expected);
    }
}

#[test]
fn list_of_what_is_denied_cannot_be_walked_around_by_x32() {
    let program = docker(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    assert_eq!(verdict(&program, &Call::new(Abi::X86_64, "mount", 0)), REFUSED);
    assert_eq!(verdict(&program, &Call::new(Abi::X86_64, "file_setattr", 0)), ALLOWED);
    assert_eq!(verdict(&program, &Call::new(Abi::X32, "mount", 0)), MISSING);
}

#[test]
fn multiplexer_leads_only_where_the_names_do() {
    let program = docker(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[
            {"names":["bind","openat2"],"action":"SCMP_ACT_ALLOW"},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    assert_eq!(verdict(&program, &Call::new(Abi::X86, "socketcall", 2)), ALLOWED);
    assert_eq!(verdict(&program, &Call::new(Abi::X86, "socketcall", 1)), REFUSED);
    assert_eq!(verdict(&program, &Call::new(Abi::X86, "socketcall", 3)), REFUSED);
    assert_eq!(verdict(&program, &Call::new(Abi::X86, "socket", 2)), ALLOWED);
}

#[test]
fn spec_is_read_as_runc_reads_it() {
    let seccomp: LinuxSeccomp = serde_json::from_str(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X32"],
            "flags":["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls":[{"names":["mount","read"],"action":"SCMP_ACT_ERRNO","errnoRet":5,
                "args":[{"index":3,"value":6,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
    )
    .unwrap();
    let filter = spec::filter(&seccomp, Machine::X86_64).unwrap().unwrap();
    let program = Program::compile(&filter).unwrap();
    assert_eq!(program.flags(), 2);
    let call = |third| Call { arguments: [0, 0, 0, third, 0, 0], ..Call::new(Abi::X32, "mount", 0) };
    assert_eq!(verdict(&program, &call(0xff02 & !4)), 0x0005_0005);
    assert_eq!(verdict(&program, &call(6)), ALLOWED);
    let nothing: LinuxSeccomp = serde_json::from_str(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).unwrap();
    assert_eq!(compile_spec(&nothing).unwrap(), None);
}

#[test]
fn kernel_versions_are_read_and_ordered() {
    let version = |text| KernelVersion::parse(text).unwrap();
    assert_eq!(version("6.18.44-fc"), KernelVersion { major: 6, minor: 18 });
    assert_eq!(version("4.8"), KernelVersion { major: 4, minor: 8 });
    assert!(version("4.19") > version("4.8"));
    assert_eq!(KernelVersion::parse("6"), None);
    assert_eq!(KernelVersion::parse("6.x"), None);
}

#[test]
fn profile_that_is_too_large_is_refused() {
    let condition =
        |value| Condition { index: 0, width: Width::Full64, comparison: Comparison::Equal, value };
    let names = vec!["read".to_owned()];
    let rules =
        (0..1000).flat_map(|value| rules_for(&names, Action::Allow, vec![condition(value)])).collect();
    let filter = Filter { default_action: Action::Errno(1), abis: vec![Abi::X86_64], rules, flags: 0 };
    assert!(matches!(Program::compile(&filter), Err(SeccompError::TooLarge(_))));
}

#[test]
fn call_that_a_rule_names_is_never_an_unknown_one() {
    let never = Condition { index: 0, width: Width::Low32, comparison: Comparison::Less, value: 0 };
    for (rule_action, conditions) in [(Action::Allow, vec![never]), (Action::Trap, Vec::new())] {
        let names = ["ioctl", "read"].map(str::to_owned);
        for named in [&names[..1], &names[..]] {
            let filter = Filter {
                default_action: Action::Trap,
                abis: vec![Abi::X86_64, Abi::X32],
                rules: rules_for(named, rule_action, conditions.clone()),
                flags: 0,
            };
            let program = Program::compile(&filter).unwrap();
            // x32's own number, far above those that are given out in the order of time.
            let ioctl = Call::new(Abi::X32, "ioctl", 0);
            assert_eq!(ioctl.number, 1_073_742_338);
            assert_eq!(verdict(&program, &ioctl), Action::Trap.code(), "{named:?} {rule_action:?}");
        }
    }
}

#[test]
fn profile_that_names_no_call_gives_all_its_default_action() {
    let program = docker(r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#);
    for name in ["read", "openat2"] {
        assert_eq!(verdict(&program, &Call::new(Abi::X86_64, name, 0)), REFUSED, "{name}");
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Errno(1)),
        Just(Action::Errno(38)),
        Just(Action::Trap),
        Just(Action::Log),
        Just(Action::KillProcess),
        Just(Action::Trace(3)),
    ]
}

/// Values near each other and near the border of the halves.
fn value() -> impl Strategy<Value = u64> {
    let high = prop_oneof![Just(0u64), Just(1), Just(0xffff_ffff)];
    let low = prop_oneof![0u64..4, Just(0xffff_fffe), Just(0xffff_ffff)];
    (high, low).prop_map(|(high, low)| high << 32 | low)
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
        value().prop_map(Comparison::MaskedEqual),
    ];
    let width = prop_oneof![Just(Width::Low32), Just(Width::Full64)];
    (0u8..3, width, comparison, value()).prop_map(|(index, width, comparison, value)| Condition {
        index,
        width,
        comparison,
        value,
    })
}

const NAMES: [&str; 14] = [
    "read", "write", "open", "close", "stat", "socket", "bind", "ioctl", "semop", "clone", "clone3",
    "openat2", "made_up", "uselib",
];

fn rule() -> impl Strategy<Value = Rule> {
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4);
    let conditions = prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec(condition(), 1..4)];
    (names, action(), conditions).prop_map(|(names, action, conditions)| Rule {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        conditions,
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let abis = prop_oneof![
        Just(vec![Abi::X86_64]),
        Just(vec![Abi::X86_64, Abi::X86]),
        Just(vec![Abi::X86_64, Abi::X32]),
        Just(vec![Abi::X86_64, Abi::X86, Abi::X32]),
        Just(vec![Abi::Aarch64, Abi::Arm]),
    ];
    (action(), abis, prop::collection::vec(rule(), 0..12)).prop_map(|(default_action, abis, rules)| Filter {
        default_action,
        abis,
        rules,
        flags: 0,
    })
}

fn call() -> impl Strategy<Value = Call> {
    let abi = prop::sample::select(&[Abi::X86_64, Abi::X86, Abi::X32, Abi::Aarch64, Abi::Arm][..]);
    let named =
        (abi.clone(), prop::sample::select(&NAMES[..])).prop_map(|(abi, name)| abi.number(name).unwrap_or(7));
    let number = prop_oneof![
        4 => named,
        1 => 0u32..480,
        1 => (0u32..560).prop_map(|number| number | X32_BIT),
        1 => any::<u32>(),
    ];
    let argument = prop_oneof![4 => value(), 1 => any::<u64>()];
    (abi, number, prop::array::uniform6(argument)).prop_map(|(abi, number, mut arguments)| {
        if matches!(abi, Abi::X86 | Abi::Arm) {
            arguments = arguments.map(|argument| argument & 0xffff_ffff);
        }
        Call { audit: abi.audit(), number, arguments }
    })
}

proptest! {
    #[test]
    fn program_decides_as_the_rules_do(filter in any_filter(), calls in prop::collection::vec(call(), 1..40)) {
        let program = Program::compile(&filter).unwrap();
        for call in calls {
            let expected = naive(&filter, &call);
            prop_assert_eq!(verdict(&program, &call), expected.code(), "{:?} should be {:?}", call, expected);
        }
    }

    #[test]
    fn any_text_as_a_profile_never_panics(text: String) {
        let _ = compile_docker_json(&text, &target(&[]));
    }
}

proptest! {
    // A case compiles the whole profile.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn default_decides_as_its_rules_do(capabilities: u64, arm: bool, calls in prop::collection::vec(call(), 1..40)) {
        let machine = if arm { Machine::Aarch64 } else { Machine::X86_64 };
        let target = Target { capabilities, machine, ..target(&[]) };
        let filter = default::filter(&target);
        let program = Program::compile(&filter).unwrap();
        for call in calls {
            prop_assert_eq!(verdict(&program, &call), naive(&filter, &call).code(), "{:?}", call);
        }
    }
}
